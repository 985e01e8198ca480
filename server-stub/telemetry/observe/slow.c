/* Observe: finds devices that became much slower, without a common label.
 *
 * Each device is judged once, by its first 12 readings after its swap.  A
 * control is judged by its first 12 readings after each wave that it saw, even
 * if it swaps later.  The speed that changed most counts.  Segments are judged
 * separately, but share the neighbours at a site, where a hold-out has only two
 * devices. */
#include <math.h>
#include <stdlib.h>

#include "server-stub/core/gate/slices/slow.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/telemetry/observe/cohort.h"

/* A member, with its changes in the present wave. */
struct member {
    const struct flo_observer_entry *entry;
    double d[FLO_SPEEDS];
    bool has[FLO_SPEEDS];
};
struct look {
    uint8_t wave;
    const uint32_t *strata; /* [flo_slow_reading_count] */
    struct member *members; /* sorted by site */
    size_t count;
    struct flo_slow_device *devices; /* [count] */
    double *numbers;                 /* likewise */
};

/* Gets the change of an updated device since its swap, which is in the present
 * wave. */
static bool updated_change(const struct flo_observer_entry *entry,
                           enum flo_observed_reading reading, double *d)
{
    const struct flo_mean *first = &entry->since->speeds[reading].first;
    double before;

    if (first->count < FLO_SLOW_READINGS ||
        !flo_observed_reference(&entry->observed, reading, &before)) {
        return false;
    }
    *d = flo_mean_of(first) - before;
    return true;
}

static bool is_member(const struct flo_observer_entry *entry, uint32_t cohort)
{
    enum flo_arm arm = (enum flo_arm)entry->observed.arm;

    return entry->cohort == cohort && entry->since != NULL && entry->since->speeds != NULL &&
           (arm == FLO_ARM_CONTROL || arm == FLO_ARM_TREATED || arm == FLO_ARM_ENDED);
}

static bool change_of(const struct look *look, const struct flo_observer_entry *entry, size_t k,
                      double *d)
{
    enum flo_observed_reading reading = flo_slow_readings[k];
    uint32_t stratum = flo_observed_stratum(&entry->observed, reading);

    return entry->since->wave == look->wave + 1
               ? stratum == look->strata[k] && updated_change(entry, reading, d)
               : flo_since_first(entry->since, reading, look->wave, d, &stratum) &&
                     stratum == look->strata[k];
}

static bool is_updated(const struct look *look, const struct member *member)
{
    return member->entry->since->wave == look->wave + 1;
}

/* Reads the members' changes in a wave.  Returns a bit for each speed in which
 * some member has a change. */
static unsigned read_wave(const struct look *look)
{
    unsigned any = 0;

    for (size_t i = 0; i < look->count; i++) {
        struct member *member = &look->members[i];
        for (size_t k = 0; k < flo_slow_reading_count; k++) {
            member->has[k] = change_of(look, member->entry, k, &member->d[k]);
            any |= (member->has[k] ? 1u : 0u) << k;
        }
    }
    return any;
}

/* Gets the median change of a segment's controls.  Returns false if it has
 * fewer than two. */
static bool centre_of(const struct look *look, uint32_t segment, size_t k, double *out)
{
    size_t count = 0;

    for (size_t i = 0; i < look->count; i++) {
        const struct member *member = &look->members[i];
        if (member->has[k] && member->entry->observed.segment == segment &&
            !is_updated(look, member)) {
            look->numbers[count++] = member->d[k];
        }
    }
    if (count < 2) {
        return false;
    }
    *out = flo_median(look->numbers, count);
    return true;
}

static void add_reading(const struct look *look, uint32_t segment, size_t k)
{
    double centre;

    if (!centre_of(look, segment, k, &centre)) {
        return;
    }
    for (size_t i = 0; i < look->count; i++) {
        const struct member *member = &look->members[i];
        struct flo_slow_device *device = &look->devices[i];
        if (member->has[k] && member->entry->observed.segment == segment) {
            double d = member->d[k] - centre;
            device->d = device->is_compared ? fmax(device->d, d) : d;
            device->is_compared = true;
        }
    }
}

/* Adds the devices of the wave to the sums of their segments. */
static void add_wave(const struct look *look, struct flo_slow *slows, uint32_t segments)
{
    unsigned any = read_wave(look);
    size_t count = 0;

    if (any == 0) {
        return; /* No device has a change in this wave yet. */
    }
    for (size_t i = 0; i < look->count; i++) {
        const struct member *member = &look->members[i];
        look->devices[i] = (struct flo_slow_device){.value = member->entry->site,
                                                    .segment = member->entry->observed.segment,
                                                    .is_updated = is_updated(look, member)};
    }
    for (uint32_t s = 0; s < segments; s++) {
        for (unsigned left = any; left != 0; left &= left - 1) {
            add_reading(look, s, (size_t)__builtin_ctz(left));
        }
    }
    for (size_t i = 0; i < look->count; i++) {
        if (look->devices[i].is_compared) {
            look->devices[count++] = look->devices[i];
        }
    }
    /* The results are ignored: the calls only fail for means that are not
     * finite. */
    for (uint32_t s = 0; s < segments; s++) {
        (void)flo_slow_add_wave(&slows[s], s, look->devices, count, look->numbers);
    }
}

/* Tells whether the controls of the newest wave confirm the finding. */
static bool is_borne_out(const struct flo_slow *slow)
{
    double updated = (double)slow->updated.devices;
    double now = flo_slow_share_now(slow);

    return slow->updated.devices > 0 &&
           ((double)slow->updated.slow < updated * now ||
            (double)slow->updated.slow >= FLO_SLOW_RATIO_MIN * updated * now);
}

static void add_arm(struct flo_count_arm *arm, const struct flo_slow_arm *from)
{
    for (uint64_t i = 0; i < from->devices; i++) {
        flo_count_add(arm, i < from->slow ? 1 : 0, 1, 1);
    }
}

/* Finds the pair of releases (the one that devices ran last, and that of their
 * baseline) that most updated devices have.  Only devices with the same pair
 * are compared. */
static uint32_t stratum_of(const struct flo_observer *observer, uint32_t cohort,
                           enum flo_observed_reading reading)
{
    uint32_t best = 0;
    int64_t votes = 0;

    for (size_t i = 0; i < observer->count; i++) {
        const struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->cohort != cohort || entry->since == NULL || entry->since->wave == 0) {
            continue;
        }
        uint32_t one = flo_observed_stratum(&entry->observed, reading);
        best = votes == 0 ? one : best;
        votes += one == best ? 1 : -1;
    }
    return best;
}

static int by_site(const void *a, const void *b)
{
    const struct member *one = a;
    const struct member *other = b;

    return (one->entry->site > other->entry->site) - (one->entry->site < other->entry->site);
}

/* FLO_E_MEMORY */
static int look_open(struct look *look, const struct flo_observer *observer, uint32_t cohort,
                     struct flo_err *err)
{
    look->members = calloc(observer->count + 1, sizeof(*look->members));
    look->devices = calloc(observer->count + 1, sizeof(*look->devices));
    look->numbers = calloc(observer->count + 1, sizeof(*look->numbers));
    if (look->members == NULL || look->devices == NULL || look->numbers == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "evidence");
    }
    for (size_t i = 0; i < observer->count; i++) {
        const struct flo_observer_entry *entry = &observer->entries[i];
        if (is_member(entry, cohort)) {
            look->members[look->count++].entry = entry;
        }
    }
    qsort(look->members, look->count, sizeof(*look->members), by_site);
    return 0;
}

int flo_observer_slow(const struct flo_observer *observer, uint32_t cohort,
                      struct flo_analysis_evidence *evidence, struct flo_err *err)
{
    uint8_t waves = observer->cohorts[cohort].kept.waves.count;
    uint32_t strata[FLO_SPEEDS];
    struct flo_slow slows[FLO_SEGMENTS_MAX] = {0};
    struct look look = {.strata = strata};

    if (waves == 0) {
        return 0;
    }
    int rv = look_open(&look, observer, cohort, err);
    for (size_t k = 0; k < flo_slow_reading_count; k++) {
        strata[k] = stratum_of(observer, cohort, flo_slow_readings[k]);
    }
    for (look.wave = 0; look.wave < waves && rv == 0; look.wave++) {
        add_wave(&look, slows, evidence->segment_count);
    }
    for (uint32_t s = 0; s < evidence->segment_count && rv == 0; s++) {
        struct flo_statistic_arms *arms = &evidence->segments[s].arms[FLO_MEASURE_MUCH_SLOWER];
        if (is_borne_out(&slows[s])) {
            add_arm(&arms->count.treated, &slows[s].updated);
            add_arm(&arms->count.control, &slows[s].controls);
        }
    }
    free(look.members);
    free(look.devices);
    free(look.numbers);
    return rv;
}

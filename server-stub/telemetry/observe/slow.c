/* Observe: devices that became much slower, whatever they have in common.
 *
 * Each is judged once, by its first 12 readings after its swap, a control by
 * those after each wave that it saw begin; it stays what it was when it swaps
 * later.  The speed that changed most counts.  Segments are judged apart, and
 * share the neighbours of a site: a hold-out has two devices there. */
#include <math.h>
#include <stdlib.h>

#include "server-stub/core/gate/slices/slow.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/telemetry/observe/inside.h"

struct look {
    const struct flo_observer *observer;
    uint32_t roster;
    uint8_t wave;
    const uint32_t *strata;          /* [flo_slow_reading_count] */
    struct flo_slow_device *devices; /* [observer->count] */
    double *numbers;                 /* likewise */
};

/* Its change since its own swap, in the wave. */
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

static bool is_member(const struct look *look,
                      const struct flo_observer_entry *entry)
{
    enum flo_arm arm = (enum flo_arm)entry->observed.arm;

    return entry->roster == look->roster && entry->since != NULL &&
           entry->since->speeds != NULL &&
           (arm == FLO_ARM_CONTROL || arm == FLO_ARM_TREATED ||
            arm == FLO_ARM_ENDED);
}

static bool change_of(const struct look *look,
                      const struct flo_observer_entry *entry, size_t k,
                      double *d)
{
    enum flo_observed_reading reading = flo_slow_readings[k];
    uint32_t stratum = flo_observed_stratum(&entry->observed, reading);

    return entry->since->wave == look->wave + 1
               ? stratum == look->strata[k] && updated_change(entry, reading, d)
               : flo_since_first(entry->since, reading, look->wave, d,
                                 &stratum) &&
                     stratum == look->strata[k];
}

/* Less what the controls did in the median.  false: fewer than two. */
static bool centre_of(const struct look *look, uint32_t segment, size_t k,
                      double *out)
{
    size_t count = 0;

    for (size_t i = 0; i < look->observer->count; i++) {
        const struct flo_observer_entry *entry = &look->observer->entries[i];
        if (is_member(look, entry) && entry->observed.segment == segment &&
            entry->since->wave != look->wave + 1 &&
            change_of(look, entry, k, &look->numbers[count])) {
            count++;
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
    double d;

    if (!centre_of(look, segment, k, &centre)) {
        return;
    }
    for (size_t i = 0; i < look->observer->count; i++) {
        const struct flo_observer_entry *entry = &look->observer->entries[i];
        struct flo_slow_device *device = &look->devices[i];
        if (is_member(look, entry) && entry->observed.segment == segment &&
            change_of(look, entry, k, &d)) {
            d -= centre;
            device->d = device->is_compared ? fmax(device->d, d) : d;
            device->is_compared = true;
        }
    }
}

/* One for each segment. */
static void add_wave(const struct look *look, struct flo_slow *slows,
                     uint32_t segments)
{
    for (size_t i = 0; i < look->observer->count; i++) {
        const struct flo_observer_entry *entry = &look->observer->entries[i];
        look->devices[i] = (struct flo_slow_device){
            .value = entry->site,
            .segment = entry->observed.segment,
            .is_updated =
                entry->since != NULL && entry->since->wave == look->wave + 1};
    }
    for (uint32_t s = 0; s < segments; s++) {
        for (size_t k = 0; k < flo_slow_reading_count; k++) {
            add_reading(look, s, k);
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < look->observer->count; i++) {
        if (look->devices[i].is_compared) {
            look->devices[count++] = look->devices[i];
        }
    }
    for (uint32_t s = 0; s < segments; s++) { /* means are finite */
        (void)flo_slow_add_wave(&slows[s], s, look->devices, count,
                                look->numbers);
    }
}

/* The controls of the newest wave have to bear it out. */
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

/* The reference that most updated devices have. */
static uint32_t stratum_of(const struct flo_observer *observer, uint32_t roster,
                           enum flo_observed_reading reading)
{
    uint32_t best = 0;
    int64_t votes = 0;

    for (size_t i = 0; i < observer->count; i++) {
        const struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->roster != roster || entry->since == NULL ||
            entry->since->wave == 0) {
            continue;
        }
        uint32_t one = flo_observed_stratum(&entry->observed, reading);
        best = votes == 0 ? one : best;
        votes += one == best ? 1 : -1;
    }
    return best;
}

int flo_observer_slow(const struct flo_observer *observer, uint32_t roster,
                      struct flo_study_evidence *evidence, struct flo_err *err)
{
    uint8_t waves = observer->rosters[roster].kept.waves.count;
    uint32_t strata[FLO_SPEEDS];
    struct flo_slow slows[FLO_SEGMENTS_MAX] = {0};
    struct look look = {
        .observer = observer, .roster = roster, .strata = strata};

    if (waves == 0) {
        return 0;
    }
    look.devices = calloc(observer->count + 1, sizeof(*look.devices));
    look.numbers = calloc(observer->count + 1, sizeof(*look.numbers));
    int rv = look.devices == NULL || look.numbers == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "evidence")
                 : 0;
    for (size_t k = 0; k < flo_slow_reading_count; k++) {
        strata[k] = stratum_of(observer, roster, flo_slow_readings[k]);
    }
    for (look.wave = 0; look.wave < waves && rv == 0; look.wave++) {
        add_wave(&look, slows, evidence->segment_count);
    }
    for (uint32_t s = 0; s < evidence->segment_count && rv == 0; s++) {
        struct flo_statistic_arms *arms =
            &evidence->segments[s].arms[FLO_MEASURE_MUCH_SLOWER];
        if (is_borne_out(&slows[s])) {
            add_arm(&arms->count.treated, &slows[s].updated);
            add_arm(&arms->count.control, &slows[s].controls);
        }
    }
    free(look.devices);
    free(look.numbers);
    return rv;
}

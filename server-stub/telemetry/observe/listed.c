/* Observe: lists the devices of the slices that people see, each with its own
 * change. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/telemetry/observe/crowd.h"

struct pick {
    uint32_t place; /* index of the device in the crowd */
    uint8_t wave;   /* number of the wave in which the device swapped, from 1; 0: it is a control */
    bool has_effect;
    double effect;
};
struct listing {
    struct flo_crowd crowd;
    uint8_t waves;
    enum flo_measure measure;
    struct flo_slice slice;
    bool is_own; /* devices are compared with the slice's own controls; false: with all controls */
    /* number of the pair of releases (flo_observed_stratum) that most updated
     * devices in the slice have */
    uint32_t stratum;
    double base[FLO_SCAN_WAVES_MAX]; /* for each wave, median change of the controls in the slice */
    uint8_t known;                   /* a bit for each wave with a median in `base` */
    struct pick *picks;              /* [crowd.count] */
    double *numbers;                 /* likewise */
};

static bool is_in(const struct listing *listing, size_t place)
{
    return listing->crowd.labels[listing->slice.label].values[place] == listing->slice.value;
}

/* ---- speeds ---- */

static bool is_speed(const struct listing *listing)
{
    int reading = flo_measure_fact(listing->measure)->reading;

    return reading >= 0 && reading < FLO_SPEEDS;
}

static enum flo_observed_reading reading_of(const struct listing *listing)
{
    return (enum flo_observed_reading)flo_measure_fact(listing->measure)->reading;
}

static void find_stratum(struct listing *listing)
{
    int64_t votes = 0;

    for (size_t i = 0; i < listing->crowd.count; i++) {
        const struct flo_observer_entry *entry = listing->crowd.entries[i];
        if (is_in(listing, i) && flo_crowd_is_updated(entry)) {
            uint32_t one = flo_observed_stratum(&entry->observed, reading_of(listing));
            listing->stratum = votes == 0 ? one : listing->stratum;
            votes += one == listing->stratum ? 1 : -1;
        }
    }
}

static bool control_change(const struct listing *listing, const struct flo_observer_entry *entry,
                           size_t wave, double *out)
{
    uint32_t stratum;

    return !flo_crowd_is_updated(entry) && entry->since->speeds != NULL &&
           flo_since_difference(entry->since, (size_t)reading_of(listing), wave, out, &stratum) &&
           stratum == listing->stratum;
}

/* Computes the median change of the controls in a wave.  With `is_own` only the
 * controls in the slice count, unless there are fewer than two of them. */
static void find_base(struct listing *listing, uint8_t wave, bool is_own)
{
    size_t count = 0;
    double d;

    for (size_t i = 0; i < listing->crowd.count; i++) {
        if ((!is_own || is_in(listing, i)) &&
            control_change(listing, listing->crowd.entries[i], wave, &d)) {
            listing->numbers[count++] = d;
        }
    }
    if (count >= 2) {
        listing->base[wave] = flo_median(listing->numbers, count);
        listing->known |= (uint8_t)(1u << wave);
    } else if (is_own) {
        find_base(listing, wave, false);
    }
}

/* Gets the effect on a device's speed.  For a control it is the change since
 * the newest wave that the control saw. */
static bool speed_effect(const struct listing *listing, const struct flo_observer_entry *entry,
                         double *out)
{
    uint8_t wave = (uint8_t)(entry->since->wave - 1);
    double d = 0;
    bool has_any = false;

    if (flo_crowd_is_updated(entry)) {
        has_any = (listing->known >> wave & 1) != 0 &&
                  flo_observed_stratum(&entry->observed, reading_of(listing)) == listing->stratum &&
                  flo_observed_difference(&entry->observed, reading_of(listing), &d);
    } else {
        for (wave = listing->waves; wave > 0 && !has_any;) {
            wave--;
            has_any = (listing->known >> wave & 1) != 0 && control_change(listing, entry, wave, &d);
        }
    }
    *out = has_any ? d - listing->base[wave] : 0;
    return has_any;
}

/* ---- counts ---- */

/* Gets the ratio of a device's rate of events to the rate of its own past.
 * Half an event is added to both. */
static bool ratio_of(double events, double exposure, double before, double exposure_before,
                     double *out)
{
    *out = log((events + 0.5) / exposure) - log((before + 0.5) / exposure_before);
    return exposure > 0 && exposure_before > 0 && isfinite(*out);
}

static bool count_effect(const struct listing *listing, const struct flo_observer_entry *entry,
                         double *out)
{
    struct flo_since_numbers of;
    size_t newest = listing->waves > 0 ? listing->waves - 1u : 0;

    if (!flo_crowd_numbers(entry, newest, &of) && !flo_crowd_numbers(entry, 0, &of)) {
        return false;
    }
    return listing->measure == FLO_MEASURE_ERRORS
               ? ratio_of(of.errors, of.requests, of.errors_before, of.requests_before, out)
               : ratio_of(of.crashes, of.hours, of.crashes_before, of.hours_before, out);
}

/* ---- the list ---- */

/* Orders two devices: updated ones first, then by effect, the larger one
 * first. */
static int by_effect(const void *left, const void *right)
{
    const struct pick *a = left;
    const struct pick *b = right;

    if ((a->wave > 0) != (b->wave > 0)) {
        return a->wave > 0 ? -1 : 1;
    }
    if (a->has_effect != b->has_effect) {
        return a->has_effect ? -1 : 1;
    }
    if (a->has_effect && a->effect != b->effect) {
        return a->effect > b->effect ? -1 : 1;
    }
    return a->place < b->place ? -1 : 1;
}

static size_t pick_devices(struct listing *listing)
{
    size_t count = 0;

    for (size_t i = 0; i < listing->crowd.count; i++) {
        const struct flo_observer_entry *entry = listing->crowd.entries[i];
        if (!is_in(listing, i)) {
            continue;
        }
        struct pick *pick = &listing->picks[count++];
        *pick = (struct pick){.place = (uint32_t)i,
                              .wave = flo_crowd_is_updated(entry) ? entry->since->wave : 0};
        pick->has_effect = is_speed(listing) ? speed_effect(listing, entry, &pick->effect)
                                             : count_effect(listing, entry, &pick->effect);
    }
    qsort(listing->picks, count, sizeof(*listing->picks), by_effect);
    return count < FLO_ANALYSIS_DEVICES_MAX ? count : FLO_ANALYSIS_DEVICES_MAX;
}

static void list_row(struct listing *listing, uint8_t row)
{
    struct flo_observe_analysis *analysis = listing->crowd.analysis;
    struct flo_analysis_slices *slices = &analysis->evidence.slices;

    listing->known = 0;
    listing->stratum = 0;
    if (is_speed(listing)) {
        find_stratum(listing);
        for (uint8_t wave = 0; wave < listing->waves; wave++) {
            find_base(listing, wave, listing->is_own);
        }
    }
    size_t count = pick_devices(listing);
    for (size_t i = 0; i < count; i++) {
        const struct pick *pick = &listing->picks[i];
        const struct flo_observer_entry *entry = listing->crowd.entries[pick->place];
        struct flo_analysis_device *out = &analysis->listed[slices->device_count++];
        *out = (struct flo_analysis_device){
            .row = row, .wave = pick->wave, .has_effect = pick->has_effect, .effect = pick->effect};
        snprintf(out->device, sizeof(out->device), "%s",
                 listing->crowd.observer->ids.items[entry->device]);
    }
}

static void list_all(struct listing *listing)
{
    const struct flo_observe_analysis *analysis = listing->crowd.analysis;
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;

    listing->is_own = true;
    for (uint32_t i = 0; i < slices->count; i++) {
        listing->measure = slices->rows[i].measure;
        listing->slice = analysis->found[i].slice;
        list_row(listing, (uint8_t)i);
    }
    listing->is_own = false;
    for (uint32_t i = 0; i < slices->changed_count; i++) {
        listing->measure = slices->changed[i].measure;
        listing->slice = analysis->moved[i];
        list_row(listing, (uint8_t)(FLO_ANALYSIS_SLICES_MAX + i));
    }
}

int flo_observer_list(struct flo_observer *observer, struct flo_observe_analysis *analysis,
                      uint32_t number, struct flo_err *err)
{
    struct flo_analysis_slices *slices = &analysis->evidence.slices;
    size_t rows = slices->count + slices->changed_count;
    struct listing listing = {
        .crowd = {.observer = observer, .analysis = analysis, .cohort = number},
        .waves = observer->cohorts[number].kept.waves.count};

    if (rows == 0) {
        return 0;
    }
    int rv = flo_crowd_open(&listing.crowd, false, err);
    FLO_TRY(rv);
    size_t count = listing.crowd.count;
    analysis->listed = calloc(rows * FLO_ANALYSIS_DEVICES_MAX, sizeof(*analysis->listed));
    listing.picks = calloc(count + 1, sizeof(*listing.picks));
    listing.numbers = calloc(count + 1, sizeof(*listing.numbers));
    if (analysis->listed == NULL || listing.picks == NULL || listing.numbers == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "evidence");
    } else {
        slices->devices = analysis->listed;
        list_all(&listing);
    }
    free(listing.picks);
    free(listing.numbers);
    flo_crowd_close(&listing.crowd);
    return rv;
}

/* Observe: scans the labels of a rollout for values at which speed is worse. */
#include <stdlib.h>

#include "server-stub/core/gate/slices/scan.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/telemetry/observe/crowd.h"

#define ALPHA 0.01
#define LIMIT_PCT 10
#define AFTER_MIN 3 /* number of readings after the swap that a device needs */
/* A slice with this many controls of its own cannot be decided by a single one
 * of them. */
#define OWN_CONTROLS_MANY 5

struct look {
    struct flo_crowd crowd;
    struct flo_observer_cohort *cohort;
    enum flo_measure measure;
    enum flo_observed_reading reading;
    uint32_t stratum;
    /* devices of the scan, with the same indexes as in the crowd */
    struct flo_scan_device *devices;
    double *numbers;
    uint8_t *far;
    void *room;
    struct flo_scan scan;
};

/* Finds the releases of the baseline that most updated devices have: their own
 * earlier release, or a pair of releases.  Only devices with the same ones are
 * compared. */
static uint32_t stratum_of(const struct look *look)
{
    uint32_t best = 0;
    int64_t votes = 0;

    for (size_t i = 0; i < look->crowd.count; i++) {
        const struct flo_observer_entry *entry = look->crowd.entries[i];
        if (!flo_crowd_is_updated(entry)) {
            continue;
        }
        uint32_t one = flo_observed_stratum(&entry->observed, look->reading);
        best = votes == 0 ? one : best;
        votes += one == best ? 1 : -1;
    }
    return best;
}

static void add_updated(const struct look *look, const struct flo_observer_entry *entry,
                        struct flo_scan_device *out)
{
    const struct flo_observed *observed = &entry->observed;

    out->is_updated = true;
    out->wave = (uint8_t)(entry->since->wave - 1);
    if (flo_observed_stratum(observed, look->reading) == look->stratum &&
        observed->readings->series[look->reading].since >= AFTER_MIN &&
        flo_observed_difference(observed, look->reading, &out->d[out->wave])) {
        out->known = (uint8_t)(1u << out->wave);
    }
    out->has_step = flo_since_step(entry->since, look->reading, &out->step);
}

static void add_control(const struct look *look, const struct flo_observer_entry *entry,
                        struct flo_scan_device *out)
{
    uint32_t stratum;

    for (uint8_t p = 0; p < look->cohort->kept.waves.count; p++) {
        if (flo_since_difference(entry->since, look->reading, p, &out->d[p], &stratum) &&
            stratum == look->stratum) {
            out->known |= (uint8_t)(1u << p);
        }
    }
}

static size_t fill(struct look *look)
{
    size_t updated = 0;

    look->stratum = stratum_of(look);
    for (size_t i = 0; i < look->crowd.count; i++) {
        const struct flo_observer_entry *entry = look->crowd.entries[i];
        struct flo_scan_device *out = &look->devices[i];
        *out = (struct flo_scan_device){0};
        if (flo_crowd_is_updated(entry)) {
            add_updated(look, entry, out);
            updated += out->known != 0 ? 1 : 0;
        } else {
            add_control(look, entry, out);
        }
    }
    return updated;
}

/* Set of devices over which a median is taken: all controls, the controls in a
 * slice, the updated devices in a slice, or the controls outside of it. */
enum side { SIDE_CONTROLS, SIDE_OWN, SIDE_UPDATED, SIDE_ELSEWHERE };

static bool is_of(const struct look *look, enum side side, const struct flo_slice *slice,
                  size_t place)
{
    const struct flo_scan_device *device = &look->devices[place];
    bool is_in = look->crowd.labels[slice->label].values[place] == slice->value;

    if (side == SIDE_UPDATED || side == SIDE_ELSEWHERE) {
        return device->known != 0 && device->is_updated && is_in == (side == SIDE_UPDATED);
    }
    return device->known != 0 && !device->is_updated && (side == SIDE_CONTROLS || is_in);
}

/* Gets the median of a side's newest changes; no outlier is limited.  Returns
 * false if the side has fewer than two. */
static bool median_of(const struct look *look, enum side side, const struct flo_slice *slice,
                      double *out)
{
    size_t count = 0;

    for (size_t i = 0; i < look->crowd.count; i++) {
        const struct flo_scan_device *device = &look->devices[i];
        if (is_of(look, side, slice, i)) {
            look->numbers[count++] = device->d[31 - __builtin_clz(device->known)];
        }
    }
    if (count < 2) {
        return false;
    }
    *out = flo_median(look->numbers, count);
    return true;
}

/* Gets the median change of a side, less the median change of all controls. */
static bool change_of(const struct look *look, enum side side, const struct flo_slice *slice,
                      double *out)
{
    double all;

    if (!median_of(look, SIDE_CONTROLS, slice, &all) || !median_of(look, side, slice, out)) {
        return false;
    }
    *out -= all;
    return true;
}

/* Tells whether the controls outside the slice confirm a finding.  With few
 * controls in a slice, one that was fast for a while makes all other devices
 * look slow.  So the updated devices must also be slower than the controls
 * elsewhere, by half as much. */
static bool is_borne_out(const struct look *look, const struct flo_scan_row *row)
{
    double moved;

    return !row->is_culprit || row->controls >= OWN_CONTROLS_MANY || !row->told.has_effect ||
           !change_of(look, SIDE_UPDATED, &row->slice, &moved) || moved >= row->told.effect / 2;
}

static void keep_row(struct look *look, const struct flo_scan_row *row)
{
    const struct flo_analysis_slices *slices = &look->crowd.analysis->evidence.slices;
    struct flo_slice held = row->has_within ? row->within : row->slice;
    struct flo_analysis_slice *out =
        flo_crowd_row(&look->crowd, held, row->has_within ? row->slice : (struct flo_slice){0});

    if (out == NULL) {
        return;
    }
    out->measure = look->measure;
    out->is_culprit = row->is_culprit;
    out->is_asked = !row->is_culprit && row->with_swap;
    out->updated = row->updated;
    out->far = row->far;
    out->controls = row->controls;
    out->ln_e = row->ln_e;
    out->threshold = row->threshold;
    out->told = row->told;
    held = look->crowd.analysis->found[out - slices->rows].slice;
    out->has_elsewhere = change_of(look, SIDE_ELSEWHERE, &held, &out->elsewhere);
}

static void keep_changed(struct look *look, const struct flo_scan_changed *one)
{
    struct flo_observe_analysis *analysis = look->crowd.analysis;
    struct flo_analysis_slices *slices = &analysis->evidence.slices;

    if (slices->changed_count == FLO_ANALYSIS_SLICES_MAX) {
        return;
    }
    struct flo_analysis_changed *out = &slices->changed[slices->changed_count];
    analysis->moved[slices->changed_count++] = one->slice;
    *out = (struct flo_analysis_changed){.measure = look->measure, .has_both = one->has_both};
    if (!change_of(look, SIDE_OWN, &one->slice, &out->shift)) {
        out->shift = one->shift;
    }
}

/* Requests a probe, more updated devices, for a slice.  All its updated devices
 * that could be compared are much slower. */
static void keep_probe(const struct look *look, const struct flo_scan_probe *spec)
{
    const uint16_t *values = look->crowd.labels[spec->slice.label].values;

    for (size_t i = 0; i < look->crowd.count; i++) {
        const struct flo_scan_device *device = &look->devices[i];
        if (values[i] == spec->slice.value && device->is_updated && device->known != 0) {
            struct flo_analysis_probe *probe = flo_crowd_probe(&look->crowd, spec->slice, i);
            if (probe != NULL) {
                probe->least = spec->least;
            }
            return;
        }
    }
}

/* Stores tau2, which is the largest variance between a label's values that was
 * found so far. */
static void keep_tau2(struct look *look)
{
    double *tau2 = look->cohort->kept.tau2[look->reading];

    for (size_t i = 0; i < look->crowd.analysis->label_count; i++) {
        if (look->scan.tau2[i] > tau2[i]) {
            tau2[i] = look->scan.tau2[i];
            look->cohort->is_dirty = true;
        }
    }
}

static void scan(struct look *look)
{
    struct flo_crowd *crowd = &look->crowd;
    const double *tau2 = look->cohort->kept.tau2[look->reading];
    const struct flo_scan_rule rule = {.alpha = ALPHA,
                                       .weight = crowd->analysis->weights[look->measure],
                                       .limit_pct = LIMIT_PCT,
                                       .labels = crowd->labels,
                                       .label_count = crowd->analysis->label_count};

    if (fill(look) == 0) {
        return;
    }
    for (size_t i = 0; i < rule.label_count; i++) {
        crowd->labels[i].tau2 = tau2[i];
    }
    /* The result is ignored: the call only fails for changes that are not
     * finite, or waves that the rollout does not have. */
    (void)flo_scan_look(&rule, look->devices, crowd->count, look->room, look->far, &look->scan);
    keep_tau2(look);
    for (size_t i = 0; i < look->scan.row_count; i++) {
        if (is_borne_out(look, &look->scan.rows[i])) {
            keep_row(look, &look->scan.rows[i]);
        }
    }
    for (size_t i = 0; i < look->scan.changed_count; i++) {
        keep_changed(look, &look->scan.changed[i]);
    }
    for (size_t i = 0; i < look->scan.probe_count; i++) {
        keep_probe(look, &look->scan.probes[i]);
    }
}

static int scan_speeds(struct look *look, struct flo_err *err)
{
    size_t count = look->crowd.count;

    look->devices = calloc(count + 1, sizeof(*look->devices));
    look->numbers = calloc(count + 1, sizeof(*look->numbers));
    look->far = calloc(count + 1, 1);
    look->room = malloc(flo_scan_room_bytes(count));
    int rv =
        look->devices == NULL || look->numbers == NULL || look->far == NULL || look->room == NULL
            ? flo_fail(err, FLO_E_MEMORY, "evidence")
            : 0;
    for (int i = 0; i < FLO_MEASURE_COUNT && rv == 0; i++) {
        look->measure = (enum flo_measure)i;
        int reading = flo_measure_fact(look->measure)->reading;
        if (reading >= 0 && reading < FLO_SPEEDS && look->crowd.analysis->weights[i] > 0) {
            look->reading = (enum flo_observed_reading)reading;
            scan(look);
        }
    }
    free(look->devices);
    free(look->numbers);
    free(look->far);
    free(look->room);
    return rv;
}

int flo_observer_scan(struct flo_observer *observer, struct flo_observe_analysis *analysis,
                      uint32_t number, struct flo_err *err)
{
    struct look look = {.crowd = {.observer = observer, .analysis = analysis, .cohort = number},
                        .cohort = &observer->cohorts[number]};

    if (analysis->label_count == 0 || look.cohort->kept.waves.count == 0) {
        return 0;
    }
    FLO_TRY(flo_crowd_open(&look.crowd, true, err));
    int rv = scan_speeds(&look, err);
    flo_crowd_close(&look.crowd);
    FLO_TRY(rv);
    return flo_observer_scan_counts(observer, analysis, number, err);
}

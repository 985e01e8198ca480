/* Observe: scans the labels of a rollout for values with more errors or crashes
 * than elsewhere. */
#include <stdlib.h>

#include "server-stub/core/gate/slices/count_scan.h"
#include "server-stub/core/gate/slices/crash.h"
#include "server-stub/core/gate/statistics/count.h"
#include "server-stub/telemetry/observe/crowd.h"

#define ALPHA 0.01
/* number of errors with which a device counts as far worse than its past */
#define ERRORS_LEAST 8
#define CRASHES_LEAST 1
#define RATE_MIN 1e-6 /* rate of crashes an hour that is assumed when no device had one */

struct look {
    struct flo_crowd crowd;
    uint8_t waves;
    enum flo_measure measure; /* ERRORS or CRASHES */
    /* errors per request, or crashes per hour, of all members before the
     * rollout; expected of a device that has no past */
    double rate;
    /* devices of the scan, with the same indexes as in the crowd */
    struct flo_count_scan_device *devices;
    uint8_t *far;
    void *room;
    struct flo_count_scan scan;
};

/* ---- numbers of a device ---- */

/* Returns the errors per request, or crashes per hour, of all members before
 * the rollout.  For a control this is the time before the first wave that it
 * saw, for an updated device that before its swap. */
static double rate_of(const struct look *look)
{
    struct flo_since_numbers one;
    double events = 0;
    double exposure = 0;

    for (size_t i = 0; i < look->crowd.count; i++) {
        if (flo_crowd_numbers(look->crowd.entries[i], 0, &one)) {
            bool is_errors = look->measure == FLO_MEASURE_ERRORS;
            events += is_errors ? one.errors_before : one.crashes_before;
            exposure += is_errors ? one.requests_before : one.hours_before;
        }
    }
    double rate = exposure > 0 ? events / exposure : 0;
    return look->measure == FLO_MEASURE_CRASHES && rate <= 0 ? RATE_MIN : rate;
}

static void set(const struct look *look, const struct flo_since_numbers *of, double *events,
                double *expected)
{
    if (look->measure == FLO_MEASURE_ERRORS) {
        *events = of->errors;
        *expected =
            flo_expected_errors(of->requests, of->errors_before, of->requests_before, look->rate);
        return;
    }
    *events = of->crashes;
    *expected = of->hours * flo_crash_rate(of->crashes_before, of->hours_before, look->rate);
}

static void add_device(const struct look *look, const struct flo_observer_entry *entry,
                       struct flo_count_scan_device *out)
{
    bool is_updated = flo_crowd_is_updated(entry);
    uint8_t first = is_updated ? (uint8_t)(entry->since->wave - 1) : 0;
    uint8_t end = is_updated ? (uint8_t)(first + 1) : look->waves;
    struct flo_since_numbers one;

    *out = (struct flo_count_scan_device){
        .is_updated = is_updated, .wave = first, .waves = look->waves};
    for (uint8_t p = first; p < end; p++) {
        if (flo_crowd_numbers(entry, p, &one)) {
            set(look, &one, &out->events[p], &out->expected[p]);
        }
    }
}

/* ---- a look ---- */

static void keep_row(const struct look *look, const struct flo_count_scan_row *row)
{
    struct flo_analysis_slice *out =
        flo_crowd_row(&look->crowd, row->has_within ? row->within : row->slice,
                      row->has_within ? row->slice : (struct flo_slice){0});

    if (out == NULL) {
        return;
    }
    out->measure = look->measure;
    out->is_culprit = row->is_culprit;
    /* A person is asked if the release is not clearly to blame, although each
     * device is far worse than its own past since its update. */
    out->is_asked = !row->is_culprit;
    out->updated = row->updated;
    out->far = row->far;
    out->controls = row->controls;
    out->far_controls = row->far_controls;
    out->ln_e = row->ln_e;
    out->threshold = row->threshold;
}

/* Requests a probe, more updated devices, for a slice in which all updated
 * devices are far worse than their past. */
static void keep_probe(const struct look *look, const struct flo_scan_probe *spec)
{
    const uint16_t *values = look->crowd.labels[spec->slice.label].values;

    for (size_t i = 0; i < look->crowd.count; i++) {
        if (values[i] == spec->slice.value && look->devices[i].is_updated) {
            struct flo_analysis_probe *probe = flo_crowd_probe(&look->crowd, spec->slice, i);
            if (probe != NULL) {
                probe->is_count = true;
                probe->measure = look->measure;
            }
            return;
        }
    }
}

static void scan(struct look *look, enum flo_measure measure)
{
    const struct flo_crowd *crowd = &look->crowd;
    const struct flo_count_scan_rule rule = {.alpha = ALPHA,
                                             .weight = crowd->analysis->weights[measure],
                                             .least = measure == FLO_MEASURE_ERRORS ? ERRORS_LEAST
                                                                                    : CRASHES_LEAST,
                                             .labels = crowd->labels,
                                             .label_count = crowd->analysis->label_count};

    look->measure = measure;
    if (rule.weight <= 0) {
        return; /* The rollout has no rule for this measure. */
    }
    look->rate = rate_of(look);
    for (size_t i = 0; i < crowd->count; i++) {
        add_device(look, crowd->entries[i], &look->devices[i]);
    }
    /* The result is ignored: the call only fails for invalid sums, or waves
     * that the rollout does not have. */
    (void)flo_count_scan_look(&rule, look->devices, crowd->count, look->room, look->far,
                              &look->scan);
    for (size_t i = 0; i < look->scan.row_count; i++) {
        keep_row(look, &look->scan.rows[i]);
    }
    for (size_t i = 0; i < look->scan.probe_count; i++) {
        keep_probe(look, &look->scan.probes[i]);
    }
}

int flo_observer_scan_counts(const struct flo_observer *observer,
                             struct flo_observe_analysis *analysis, uint32_t cohort,
                             struct flo_err *err)
{
    struct look look = {.crowd = {.observer = observer, .analysis = analysis, .cohort = cohort},
                        .waves = observer->cohorts[cohort].kept.waves.count};
    int rv = flo_crowd_open(&look.crowd, false, err);

    FLO_TRY(rv);
    look.devices = calloc(look.crowd.count + 1, sizeof(*look.devices));
    look.far = calloc(look.crowd.count + 1, 1);
    look.room = malloc(flo_count_scan_room_bytes(look.crowd.count));
    if (look.devices == NULL || look.far == NULL || look.room == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "evidence");
    } else {
        scan(&look, FLO_MEASURE_ERRORS);
        scan(&look, FLO_MEASURE_CRASHES);
    }
    free(look.devices);
    free(look.far);
    free(look.room);
    flo_crowd_close(&look.crowd);
    return rv;
}

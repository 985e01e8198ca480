/* Lane evidence: sums rows of the telemetry store by hardware class and arm. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>

#include "server-stub/telemetry/lane_evidence.h"

struct flo_lane_evidence *flo_lane_evidence_new(size_t devices, size_t gates)
{
    struct flo_lane_evidence *evidence = calloc(1, sizeof(*evidence));

    assert(gates > 0 && gates <= FLO_GATES_MAX);
    if (evidence == NULL) {
        return NULL;
    }
    evidence->devices = calloc(devices + 1, sizeof(*evidence->devices));
    evidence->seen = calloc(2 * (devices + 1), 1);
    evidence->items = calloc(gates, sizeof(*evidence->items));
    if (evidence->devices == NULL || evidence->seen == NULL || evidence->items == NULL) {
        flo_lane_evidence_free(evidence);
        return NULL;
    }
    return evidence;
}

void flo_lane_evidence_free(struct flo_lane_evidence *evidence)
{
    if (evidence != NULL) {
        free(evidence->devices);
        free(evidence->seen);
        free(evidence->items);
        free(evidence);
    }
}

struct gather {
    struct flo_lane_evidence *evidence;
    flo_hardware_fn hardware;
    void *context;
    struct flo_histogram *scratch;
    struct flo_err *err;
};

static int by_id(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Returns the arm of a device with this release: 0 updated, 1 waiting, 2
 * neither. */
static size_t arm_of(const struct flo_lane_evidence *evidence, const struct flo_digest *release)
{
    if (flo_digest_equal(release, &evidence->updated)) {
        return 0;
    }
    for (size_t i = 0; i < evidence->waiting_count; i++) {
        if (flo_digest_equal(release, &evidence->waiting[i])) {
            return 1;
        }
    }
    return 2;
}

/* Adds a counter's sum, or a gauge's mean, as one sample of a row. */
static void add_number(const struct flo_sketch_number *number, int metric,
                       struct flo_histogram *out)
{
    bool is_gauge = flo_metric_fact(metric)->kind == FLO_METRIC_GAUGE;
    int64_t value =
        is_gauge && number->count > 0 ? number->sum / (int64_t)number->count : number->sum;

    flo_histogram_add(out, value > 0 ? (uint64_t)value : 0);
}

/* Adds a metric of a row.  A damaged row is skipped: otherwise no gate would
 * get evidence as long as the row is stored. */
static int add_metric(struct gather *gather, size_t gate, size_t arm, size_t device,
                      const char *hardware, const struct flo_window_row *row)
{
    struct flo_comparison *into = &gather->evidence->items[gate];
    uint8_t *seen = &gather->evidence->seen[2 * device + arm];
    struct flo_sketch_number number = {0};
    int rv =
        flo_sketch_pick(row->data, row->bytes, into->metric, &number, gather->scratch, gather->err);

    if (rv == FLO_E_MQTT_SCHEMA || number.count == 0) {
        return 0;
    }
    FLO_TRY(rv);
    struct flo_evidence_class *one = flo_evidence_class(into, hardware);
    if (one == NULL) {
        return 0;
    }
    struct flo_evidence_arm *to = arm == 0 ? &one->updated : &one->waiting;
    if (flo_metric_fact(into->metric)->kind == FLO_METRIC_HISTOGRAM) {
        flo_histogram_merge(&to->values, gather->scratch);
    } else {
        add_number(&number, into->metric, &to->values);
    }
    to->devices += (*seen >> gate & 1) == 0 ? 1 : 0;
    *seen |= (uint8_t)(1u << gate);
    return 0;
}

/* Returns the index of the device that a row is of.  Returns SIZE_MAX if the
 * device or its release does not count. */
static size_t device_of(const struct flo_lane_evidence *evidence, const struct flo_window_row *row,
                        size_t *arm)
{
    struct flo_digest release;

    if (!flo_digest_parse(row->release, &release)) {
        return SIZE_MAX;
    }
    *arm = arm_of(evidence, &release);
    const char(*found)[37] = *arm < 2
                                 ? bsearch(row->device, evidence->devices, evidence->device_count,
                                           sizeof(*evidence->devices), by_id)
                                 : NULL;
    return found != NULL ? (size_t)(found - (const char(*)[37])evidence->devices) : SIZE_MAX;
}

/* bit in seen[] which means that the device was seen in the updated arm */
#define IS_UPDATED 0x80
_Static_assert(FLO_GATES_MAX <= 8, "`failed` needs no bit");

/* Notes in which arm a row's device is.  A device that has the new release is
 * only in the updated arm, whatever it reported before. */
static int mark_row(void *context, const struct flo_window_row *row)
{
    struct flo_lane_evidence *evidence = ((struct gather *)context)->evidence;
    size_t arm = 2;
    size_t device = device_of(evidence, row, &arm);

    if (device != SIZE_MAX && arm == 0) {
        evidence->seen[2 * device] |= IS_UPDATED;
    }
    return 0;
}

static int take_row(void *context, const struct flo_window_row *row)
{
    struct gather *gather = context;
    struct flo_lane_evidence *evidence = gather->evidence;
    size_t arm = 2;
    size_t device = device_of(evidence, row, &arm);
    int rv = 0;

    if (device == SIZE_MAX || (arm == 1 && (evidence->seen[2 * device] & IS_UPDATED) != 0)) {
        return 0;
    }
    const char *hardware = gather->hardware(gather->context, row->device);
    if (hardware == NULL || hardware[0] == '\0') {
        return 0;
    }
    for (size_t i = 0; i < evidence->count && rv == 0; i++) {
        rv = add_metric(gather, i, arm, device, hardware, row);
    }
    return rv;
}

int flo_lane_evidence_gather(struct flo_lane_evidence *evidence, struct flo_windows *store,
                             flo_hardware_fn hardware, void *context, struct flo_err *err)
{
    struct gather gather = {
        .evidence = evidence,
        .hardware = hardware,
        .context = context,
        .scratch = calloc(1, sizeof(*gather.scratch)),
        .err = err,
    };

    assert(evidence->count > 0 && evidence->count <= FLO_GATES_MAX);
    bool is_cut = false;
    int rv = gather.scratch == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "evidence")
                 : flo_windows_newest(store, evidence->model, evidence->from_ms,
                                      FLO_EVIDENCE_ROWS_MAX, mark_row, &gather, &is_cut, err);
    if (rv == 0) {
        rv = flo_windows_newest(store, evidence->model, evidence->from_ms, FLO_EVIDENCE_ROWS_MAX,
                                take_row, &gather, &is_cut, err);
    }
    for (size_t i = 0; i < evidence->count; i++) {
        evidence->items[i].is_cut = is_cut;
    }
    free(gather.scratch);
    return rv;
}

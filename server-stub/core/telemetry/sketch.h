/* Sketch: sum of telemetry windows, packed as one blob.
 *
 * The store keeps a blob per device and span of time, and one per release,
 * hardware class and span.  Adding is exact and its order does not matter, so a
 * blob is read, added to and written again.  Pure. */
#ifndef FLOTILLA_SERVER_SKETCH_H
#define FLOTILLA_SERVER_SKETCH_H

#include "server-stub/core/telemetry/telemetry.h"

/* Counter or gauge, over all telemetry windows; a counter has only its sum. */
struct flo_sketch_number {
    uint64_t count; /* number of telemetry windows that had the metric; 0: none */
    int64_t sum, min, max;
};
struct flo_sketch {
    struct flo_sketch_number numbers[FLO_METRICS_MAX];
    struct flo_histogram histograms[FLO_METRICS_MAX]; /* count 0: none */
    bool has[FLO_METRICS_MAX];
};

void flo_sketch_clear(struct flo_sketch *sketch);
/* Adds a telemetry window to the sketch. */
void flo_sketch_add(struct flo_sketch *sketch, const struct flo_telemetry_window *window);
/* Appends the blob to `out`.  Bytes: format 1, then for each metric it has
 *
 *   varint  place in proto/metrics.def + 1
 *   histogram: flo_histogram_pack
 *   counter:   varint windows, varint sum
 *   gauge:     varint windows, zigzag varint min, varint max - min,
 *              varint sum - windows * min
 *
 * and a 0 at the end. */
void flo_sketch_pack(const struct flo_sketch *sketch, struct flo_buf *out);
/* Adds the content of a blob.  A metric number beyond the table is from a later
 * version and ends the reading.  FLO_E_MQTT_SCHEMA for bytes that pack does not
 * write: `sketch` may then have a part of them. */
FLO_MUST_USE int flo_sketch_unpack(struct flo_sketch *sketch, const uint8_t *data, size_t bytes,
                                   struct flo_err *err);
/* Reads one metric of a blob and skips the others: a counter or gauge to
 * `number`, a histogram to `histogram`.  The count of `number` is 0 when the
 * blob has no such metric. */
FLO_MUST_USE int flo_sketch_pick(const uint8_t *data, size_t bytes, int metric,
                                 struct flo_sketch_number *number, struct flo_histogram *histogram,
                                 struct flo_err *err);

#endif

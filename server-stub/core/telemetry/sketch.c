/* Sketch: adds telemetry windows to a sketch, packs it and unpacks it. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/metrics.h>

#include "server-stub/core/telemetry/sketch.h"

#define FORMAT 1

void flo_sketch_clear(struct flo_sketch *sketch)
{
    memset(sketch->has, 0, sizeof(sketch->has));
}

static void begin(struct flo_sketch *sketch, int metric)
{
    assert(metric >= 0 && metric < FLO_METRIC_COUNT);
    sketch->has[metric] = true;
    sketch->numbers[metric] = (struct flo_sketch_number){0};
    if (flo_metric_fact(metric)->kind == FLO_METRIC_HISTOGRAM) {
        memset(&sketch->histograms[metric], 0, sizeof(sketch->histograms[metric]));
    }
}

static int64_t saturated(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static void add_number(struct flo_sketch *sketch, int metric, const struct flo_sketch_number *more)
{
    struct flo_sketch_number *number = &sketch->numbers[metric];

    assert(more->count > 0);
    if (number->count == 0 || more->min < number->min) {
        number->min = more->min;
    }
    if (number->count == 0 || more->max > number->max) {
        number->max = more->max;
    }
    number->count += more->count;
    number->sum = saturated(number->sum, more->sum);
}

void flo_sketch_add(struct flo_sketch *sketch, const struct flo_telemetry_window *window)
{
    for (int m = 0; m < FLO_METRIC_COUNT; m++) {
        if (!window->has[m]) {
            continue;
        }
        if (!sketch->has[m]) {
            begin(sketch, m);
        }
        if (flo_metric_fact(m)->kind == FLO_METRIC_HISTOGRAM) {
            flo_histogram_merge(&sketch->histograms[m], &window->histograms[m]);
        } else {
            add_number(sketch, m,
                       &(struct flo_sketch_number){.count = 1,
                                                   .sum = window->values[m],
                                                   .min = window->values[m],
                                                   .max = window->values[m]});
        }
    }
}

/* ---- pack ---- */

static uint64_t zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static void put(struct flo_buf *out, uint64_t value)
{
    uint8_t bytes[FLO_VARINT_MAX];

    flo_buf_add(out, bytes, flo_varint_put(bytes, value));
}

/* Packs a gauge.  Arithmetic is modulo 2^64, so the sum is restored exactly
 * even if it overflowed. */
static void put_gauge(struct flo_buf *out, const struct flo_sketch_number *n)
{
    put(out, n->count);
    put(out, zigzag(n->min));
    put(out, (uint64_t)n->max - (uint64_t)n->min);
    put(out, (uint64_t)n->sum - n->count * (uint64_t)n->min);
}

void flo_sketch_pack(const struct flo_sketch *sketch, struct flo_buf *out)
{
    uint8_t packed[FLO_HISTOGRAM_PACKED_MAX];

    put(out, FORMAT);
    for (int m = 0; m < FLO_METRIC_COUNT; m++) {
        if (!sketch->has[m]) {
            continue;
        }
        put(out, (uint64_t)m + 1);
        switch (flo_metric_fact(m)->kind) {
        case FLO_METRIC_HISTOGRAM:
            flo_buf_add(out, packed, flo_histogram_pack(&sketch->histograms[m], packed));
            break;
        case FLO_METRIC_COUNTER:
            put(out, sketch->numbers[m].count);
            put(out, (uint64_t)sketch->numbers[m].sum);
            break;
        case FLO_METRIC_GAUGE:
            put_gauge(out, &sketch->numbers[m]);
            break;
        }
    }
    put(out, 0);
}

/* ---- unpack ---- */

struct blob {
    const uint8_t *data;
    size_t bytes;
    size_t at;
};

static bool get(struct blob *blob, uint64_t *value)
{
    return flo_varint_get(blob->data, blob->bytes, &blob->at, value);
}

static int broken(const struct blob *blob, struct flo_err *err)
{
    return flo_fail(err, FLO_E_MQTT_SCHEMA, "sketch: broken at byte %zu of %zu", blob->at,
                    blob->bytes);
}

/* Reads a count that fits a signed number, because means divide by it. */
static bool get_count(struct blob *blob, uint64_t *out)
{
    return get(blob, out) && *out > 0 && *out <= INT64_MAX;
}

static bool get_counter(struct blob *blob, struct flo_sketch_number *out)
{
    uint64_t sum;

    if (!get_count(blob, &out->count) || !get(blob, &sum) || sum > INT64_MAX) {
        return false;
    }
    out->sum = (int64_t)sum;
    return true;
}

static bool get_gauge(struct blob *blob, struct flo_sketch_number *out)
{
    uint64_t min;
    uint64_t spread;
    uint64_t above;

    if (!get_count(blob, &out->count) || !get(blob, &min) || !get(blob, &spread) ||
        !get(blob, &above)) {
        return false;
    }
    out->min = unzigzag(min);
    out->max = (int64_t)((uint64_t)out->min + spread);
    out->sum = (int64_t)(above + out->count * (uint64_t)out->min);
    return out->max >= out->min;
}

static int unpack_histogram(struct flo_sketch *sketch, int metric, struct blob *blob,
                            struct flo_err *err)
{
    struct flo_histogram *into = &sketch->histograms[metric];
    struct flo_histogram more;

    if (into->count == 0) {
        return flo_histogram_unpack(blob->data, blob->bytes, &blob->at, into, err);
    }
    FLO_TRY(flo_histogram_unpack(blob->data, blob->bytes, &blob->at, &more, err));
    flo_histogram_merge(into, &more);
    return 0;
}

static int unpack_one(struct flo_sketch *sketch, int metric, struct blob *blob, struct flo_err *err)
{
    enum flo_metric_kind kind = flo_metric_fact(metric)->kind;
    struct flo_sketch_number more = {0};

    assert(metric >= 0 && metric < FLO_METRIC_COUNT);
    if (!sketch->has[metric]) {
        begin(sketch, metric);
    }
    if (kind == FLO_METRIC_HISTOGRAM) {
        return unpack_histogram(sketch, metric, blob, err);
    }
    if (!(kind == FLO_METRIC_COUNTER ? get_counter : get_gauge)(blob, &more)) {
        return broken(blob, err);
    }
    add_number(sketch, metric, &more);
    return 0;
}

int flo_sketch_unpack(struct flo_sketch *sketch, const uint8_t *data, size_t bytes,
                      struct flo_err *err)
{
    struct blob blob = {data, bytes, 0};
    uint64_t place;
    int rv = 0;

    if (!get(&blob, &place) || place != FORMAT) {
        return broken(&blob, err);
    }
    while (rv == 0) {
        if (!get(&blob, &place)) {
            return broken(&blob, err);
        }
        if (place == 0) {
            return blob.at == bytes ? 0 : broken(&blob, err);
        }
        if (place > FLO_METRIC_COUNT) {
            return 0;
        }
        rv = unpack_one(sketch, (int)(place - 1), &blob, err);
    }
    return rv;
}

/* ---- pick ---- */

static bool skip_histogram(struct blob *blob)
{
    uint64_t gap = 1;
    uint64_t count;

    while (gap != 0) { /* The last pair has a gap of 0; its number is the sum of all values. */
        if (!get(blob, &gap) || !get(blob, &count)) {
            return false;
        }
    }
    return true;
}

static bool skip(struct blob *blob, int metric)
{
    struct flo_sketch_number unused = {0};

    assert(metric >= 0 && metric < FLO_METRIC_COUNT);
    switch (flo_metric_fact(metric)->kind) {
    case FLO_METRIC_HISTOGRAM:
        return skip_histogram(blob);
    case FLO_METRIC_COUNTER:
        return get_counter(blob, &unused);
    case FLO_METRIC_GAUGE:
        return get_gauge(blob, &unused);
    }
    return false;
}

static int pick(struct blob *blob, int metric, struct flo_sketch_number *number,
                struct flo_histogram *histogram, struct flo_err *err)
{
    enum flo_metric_kind kind = flo_metric_fact(metric)->kind;

    assert(metric >= 0 && metric < FLO_METRIC_COUNT);
    if (kind == FLO_METRIC_HISTOGRAM) {
        int rv = flo_histogram_unpack(blob->data, blob->bytes, &blob->at, histogram, err);
        number->count = rv == 0 ? histogram->count : 0;
        return rv;
    }
    return (kind == FLO_METRIC_COUNTER ? get_counter : get_gauge)(blob, number) ? 0
                                                                                : broken(blob, err);
}

int flo_sketch_pick(const uint8_t *data, size_t bytes, int metric, struct flo_sketch_number *number,
                    struct flo_histogram *histogram, struct flo_err *err)
{
    struct blob blob = {data, bytes, 0};
    uint64_t place;

    assert(metric < FLO_METRIC_COUNT);
    assert(number != NULL && histogram != NULL);
    *number = (struct flo_sketch_number){0};
    if (!get(&blob, &place) || place != FORMAT) {
        return broken(&blob, err);
    }
    while (get(&blob, &place)) {
        if (place == 0 || place > (uint64_t)metric + 1) {
            return 0; /* numbers ascend */
        }
        if (place == (uint64_t)metric + 1) {
            return pick(&blob, metric, number, histogram, err);
        }
        if (!skip(&blob, (int)(place - 1))) {
            return broken(&blob, err);
        }
    }
    return broken(&blob, err);
}

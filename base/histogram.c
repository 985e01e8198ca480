/* Histogram: mergeable log-linear sketch of non-negative integers.
 *
 * Values below 64 have a bucket each.  Each octave above, up to 2^40, has 32
 * equal buckets.  Larger values fall into the last bucket.  So a bucket's upper
 * bound is at most 1/32 above any value in it.
 *
 * The text form has varints in base64.  Each bucket that is not empty has a
 * pair: its index minus the index of the pair before (-1 for the first), and
 * its count.  Then 0 and the sum follow. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>
#include <flotilla/errors/mqtt.h>

enum {
    EXACT = 64,      /* each value below this has a bucket of its own */
    PER_OCTAVE = 32, /* buckets per octave: 5 bits after the leading one */
    STRIDE = 32      /* buckets that a search tests together */
};
_Static_assert(FLO_HISTOGRAM_BUCKETS % STRIDE == 0, "none is left over");

/* The last bucket ends at the value 2^40 - 1. */
_Static_assert(EXACT + (40 - 6) * PER_OCTAVE == FLO_HISTOGRAM_BUCKETS, "buckets reach up to 2^40");

static size_t bucket_of(uint64_t value)
{
    if (value < EXACT) {
        return (size_t)value;
    }
    if (value >> 40 != 0) {
        return FLO_HISTOGRAM_BUCKETS - 1;
    }
    unsigned exponent = 63 - (unsigned)__builtin_clzll(value);
    unsigned shift = exponent - 5;
    return EXACT + (exponent - 6) * PER_OCTAVE + (size_t)((value >> shift) - PER_OCTAVE);
}

uint64_t flo_histogram_low(size_t index)
{
    if (index < EXACT) {
        return index;
    }
    size_t octave = (index - EXACT) / PER_OCTAVE;
    uint64_t mantissa = PER_OCTAVE + (index - EXACT) % PER_OCTAVE;
    return mantissa << (octave + 1);
}

static uint64_t bucket_high(size_t index)
{
    return index < EXACT ? index : flo_histogram_low(index + 1) - 1;
}

/* Returns the index of the first non-empty bucket from `index` on, or
 * FLO_HISTOGRAM_BUCKETS when there is none.  The search is fast, because most
 * buckets are empty: a window has about ten values, and is read, merged and
 * packed several times. */
static size_t next_used(const struct flo_histogram *histogram, size_t index)
{
    const uint32_t *buckets = histogram->buckets;

    while (index < FLO_HISTOGRAM_BUCKETS) {
        if (index % STRIDE == 0) {
            uint32_t any = 0;
            for (size_t i = 0; i < STRIDE; i++) {
                any |= buckets[index + i];
            }
            if (any == 0) {
                index += STRIDE;
                continue;
            }
        }
        if (buckets[index] != 0) {
            break;
        }
        index++;
    }
    return index;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
    uint64_t sum = UINT64_MAX;

    (void)flo_add_u64(a, b, &sum);
    return sum;
}

/* Adds `count` to a bucket, at most up to UINT32_MAX; `histogram->count` stays
 * the sum of the buckets. */
static void bucket_add(struct flo_histogram *histogram, size_t index, uint32_t count)
{
    uint32_t room = UINT32_MAX - histogram->buckets[index];

    if (count > room) {
        count = room;
    }
    histogram->buckets[index] += count;
    histogram->count += count;
}

void flo_histogram_add(struct flo_histogram *histogram, uint64_t value)
{
    bucket_add(histogram, bucket_of(value), 1);
    histogram->sum = saturating_add(histogram->sum, value);
}

void flo_histogram_merge(struct flo_histogram *into, const struct flo_histogram *from)
{
    for (size_t i = next_used(from, 0); i < FLO_HISTOGRAM_BUCKETS; i = next_used(from, i + 1)) {
        bucket_add(into, i, from->buckets[i]);
    }
    into->sum = saturating_add(into->sum, from->sum);
}

uint64_t flo_histogram_quantile(const struct flo_histogram *histogram, double q)
{
    if (histogram->count == 0) {
        return 0;
    }
    /* The rank is the smallest whole number that is at least q * count and at
     * least 1. */
    double spec = q * (double)histogram->count;
    uint64_t rank = spec < 1                          ? 1
                    : spec > (double)histogram->count ? histogram->count
                                                      : (uint64_t)spec;
    if ((double)rank < spec && rank < histogram->count) {
        rank++;
    }
    uint64_t seen = 0;
    size_t last = 0;
    for (size_t i = next_used(histogram, 0); i < FLO_HISTOGRAM_BUCKETS && seen < rank;
         i = next_used(histogram, i + 1)) {
        seen += histogram->buckets[i];
        last = i;
    }
    return bucket_high(last);
}

size_t flo_varint_put(uint8_t *out, uint64_t value)
{
    size_t used = 0;

    while (value >= 0x80) {
        out[used++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[used++] = (uint8_t)value;
    return used;
}

bool flo_varint_get(const uint8_t *data, size_t bytes, size_t *at, uint64_t *value)
{
    uint64_t result = 0;

    for (unsigned shift = 0; shift < 64 && *at < bytes; shift += 7) {
        uint8_t b = data[(*at)++];
        uint64_t part = b & 0x7f;
        if (shift == 63 && part > 1) {
            return false;
        }
        result |= part << shift;
        if ((b & 0x80) == 0) {
            *value = result;
            return b != 0 || shift == 0;
        }
    }
    return false;
}

/* Most bytes of the encoding: 2 for the gap and 5 for the count of each bucket,
 * 1 for the end, 10 for the sum. */
enum { BINARY_MAX = FLO_HISTOGRAM_BUCKETS * 7 + 11 };
enum { TEXT_MAX = 4 * ((BINARY_MAX + 2) / 3) };
_Static_assert(BINARY_MAX == FLO_HISTOGRAM_PACKED_MAX, "see base.h");

size_t flo_histogram_pack(const struct flo_histogram *histogram, uint8_t *out)
{
    size_t used = 0;
    size_t next = 0; /* index of the previous bucket, plus one */

    for (size_t i = next_used(histogram, 0); i < FLO_HISTOGRAM_BUCKETS;
         i = next_used(histogram, i + 1)) {
        used += flo_varint_put(out + used, i + 1 - next);
        used += flo_varint_put(out + used, histogram->buckets[i]);
        next = i + 1;
    }
    used += flo_varint_put(out + used, 0);
    used += flo_varint_put(out + used, histogram->sum);
    return used;
}

void flo_histogram_encode(const struct flo_histogram *histogram, struct flo_buf *out)
{
    uint8_t binary[BINARY_MAX];
    char text[TEXT_MAX + 1];

    flo_base64_encode(binary, flo_histogram_pack(histogram, binary), text);
    flo_buf_text(out, text);
}

static int decode_refuse(struct flo_err *err, const char *what, size_t offset)
{
    return flo_fail(err, FLO_E_MQTT_SCHEMA, "histogram: %s at byte %zu", what, offset);
}

/* The lowest and the highest sum that the values of the buckets can have. */
struct bounds {
    uint64_t low, high;
};

static void bounds_add(struct bounds *bounds, size_t index, uint32_t count)
{
    bool is_open = index == FLO_HISTOGRAM_BUCKETS - 1 || count == UINT32_MAX;
    uint64_t part = UINT64_MAX;

    (void)flo_mul_u64(count, flo_histogram_low(index), &part);
    bounds->low = saturating_add(bounds->low, part);
    part = UINT64_MAX;
    if (!is_open) {
        (void)flo_mul_u64(count, bucket_high(index), &part);
    }
    bounds->high = saturating_add(bounds->high, part);
}

int flo_histogram_unpack(const uint8_t *binary, size_t bytes, size_t *from,
                         struct flo_histogram *out, struct flo_err *err)
{
    struct flo_histogram result = {0};
    struct bounds bounds = {0};
    size_t at = *from;
    size_t next = 0;

    for (;;) {
        uint64_t gap, count;
        size_t begin = at;
        if (!flo_varint_get(binary, bytes, &at, &gap)) {
            return decode_refuse(err, "bad gap", begin);
        }
        if (gap == 0) {
            break;
        }
        if (gap > FLO_HISTOGRAM_BUCKETS - next) {
            return decode_refuse(err, "bucket beyond the last", begin);
        }
        if (!flo_varint_get(binary, bytes, &at, &count) || count == 0 || count > UINT32_MAX) {
            return decode_refuse(err, "bad count", begin);
        }
        next += (size_t)gap;
        result.buckets[next - 1] = (uint32_t)count;
        result.count += count;
        bounds_add(&bounds, next - 1, (uint32_t)count);
    }
    if (!flo_varint_get(binary, bytes, &at, &result.sum)) {
        return decode_refuse(err, "bad sum", at);
    }
    if (result.sum < bounds.low || result.sum > bounds.high) {
        return decode_refuse(err, "impossible sum", at);
    }
    *out = result;
    *from = at;
    return 0;
}

int flo_histogram_decode(const char *text, size_t chars, struct flo_histogram *out,
                         struct flo_err *err)
{
    uint8_t binary[3 * (TEXT_MAX / 4)];
    size_t at = 0;

    if (chars > TEXT_MAX) {
        return flo_fail(err, FLO_E_MQTT_SCHEMA, "histogram: %zu characters, limit %d", chars,
                        (int)TEXT_MAX);
    }
    ptrdiff_t decoded = flo_base64_decode(text, chars, binary);
    if (decoded < 0) {
        return flo_fail(err, FLO_E_MQTT_SCHEMA, "histogram: not base64");
    }
    struct flo_histogram result;
    FLO_TRY(flo_histogram_unpack(binary, (size_t)decoded, &at, &result, err));
    if (at != (size_t)decoded) {
        return decode_refuse(err, "bad sum", at);
    }
    *out = result;
    return 0;
}

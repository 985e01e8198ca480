/* Ref cache: stores into the KV cache and computes attention, for the plain C
 * kernel.  A block of 16 positions of any type is unpacked to floats; then all
 * types are computed alike. */
#include "engine/kernel/ref.h"

#include <math.h>

/* ---- storing ---- */

static void *block_of(void *blocks, enum flo_cache type, size_t head_size, size_t position)
{
    return (uint8_t *)blocks + position / FLO_KV_BLOCK * flo_cache_block_bytes(type, head_size);
}

static void store_f32(const float *key, const float *value, size_t head_size, size_t lane,
                      float *keys, float *values)
{
    for (size_t d = 0; d < head_size; d++) {
        keys[d * FLO_KV_BLOCK + lane] = key[d];
        values[lane * head_size + d] = value[d];
    }
}

static void store_f16(const float *key, const float *value, size_t head_size, size_t lane,
                      uint16_t *keys, uint16_t *values)
{
    for (size_t d = 0; d < head_size; d++) {
        keys[d * FLO_KV_BLOCK + lane] = flo_f32_to_f16(key[d]);
        values[lane * head_size + d] = flo_f32_to_f16(value[d]);
    }
}

/* Quantises up to 32 values to codes.  Returns the scale, which is NaN if a
 * value is not finite.  Scales are chosen as in the block types of the same
 * names.  For q8_0 it is the largest magnitude / 127; for q4_0 the value of
 * largest magnitude becomes -8. */
static uint16_t code_values(enum flo_cache type, const float *x, size_t count, int8_t *codes)
{
    float largest = 0, poison = 0;

    for (size_t i = 0; i < count; i++) {
        poison += x[i] * 0.0f;
        largest = fabsf(x[i]) > fabsf(largest) ? x[i] : largest;
    }
    if (isnan(poison)) {
        memset(codes, 0, count);
        return 0x7e00;
    }
    bool is_wide = type == FLO_CACHE_Q8_0;
    uint16_t half = flo_f32_to_f16(is_wide ? fabsf(largest) / 127.0f : largest / -8.0f);
    float scale = flo_f16_to_f32(half);
    float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    float most = is_wide ? 127 : 7, least = is_wide ? -127 : -8;
    for (size_t i = 0; i < count; i++) {
        float code = rintf(x[i] * inverse);

        code = code < least ? least : code;
        codes[i] = (int8_t)(code > most ? most : code);
    }
    return half;
}

/* Sets the low or the high nibble of a byte to a code. */
static void put_nibble(uint8_t *byte, bool is_high, int8_t code)
{
    unsigned bits = (unsigned)(code + 8) & 15;

    *byte = (uint8_t)(is_high ? (*byte & 15u) | bits << 4 : (*byte & 0xf0u) | bits);
}

static void store_codes(enum flo_cache type, const float *key, const float *value, size_t head_size,
                        size_t lane, uint8_t *keys, uint8_t *values)
{
    size_t scales = flo_cache_scales(head_size), half = head_size / 2;
    size_t code_bytes = flo_cache_code_bytes(type, head_size);
    uint16_t *key_scales = (uint16_t *)(void *)(keys + code_bytes);
    uint16_t *value_scales = (uint16_t *)(void *)(values + code_bytes);
    int8_t k[FLO_CACHE_HEAD_MAX], v[FLO_CACHE_HEAD_MAX];

    for (size_t b = 0; b < scales; b++) {
        size_t at = b * 32, left = head_size - at;
        size_t count = left < 32 ? left : 32;

        key_scales[b * FLO_KV_BLOCK + lane] = code_values(type, key + at, count, k + at);
        value_scales[lane * scales + b] = code_values(type, value + at, count, v + at);
    }
    for (size_t d = 0; d < head_size; d++) {
        if (type == FLO_CACHE_Q8_0) {
            keys[d * FLO_KV_BLOCK + lane] = (uint8_t)k[d];
            values[lane * head_size + d] = (uint8_t)v[d];
        } else {
            put_nibble(&keys[d * 8 + lane % 8], lane >= 8, k[d]);
            put_nibble(&values[lane * half + d % half], d >= half, v[d]);
        }
    }
}

void flo_ref_store(const float *key, const float *value, size_t head_size, size_t position,
                   enum flo_cache type, void *keys, void *values)
{
    size_t lane = position % FLO_KV_BLOCK;

    keys = block_of(keys, type, head_size, position);
    values = block_of(values, type, head_size, position);
    switch (type) {
    case FLO_CACHE_F16:
        store_f16(key, value, head_size, lane, keys, values);
        break;
    case FLO_CACHE_F32:
        store_f32(key, value, head_size, lane, keys, values);
        break;
    case FLO_CACHE_Q8_0:
    case FLO_CACHE_Q4_0:
        store_codes(type, key, value, head_size, lane, keys, values);
        break;
    }
}

/* ---- unpacking ---- */

static int code_at(enum flo_cache type, const uint8_t *codes, size_t byte, bool is_high)
{
    if (type == FLO_CACHE_Q8_0) {
        return (int8_t)codes[byte];
    }
    return (is_high ? codes[byte] >> 4 : codes[byte] & 15) - 8;
}

/* Unpacks the keys of one block to [head_size][16] floats. */
static void unpack_keys(enum flo_cache type, const uint8_t *block, size_t head_size, float *out)
{
    const uint8_t *scales = block + flo_cache_code_bytes(type, head_size);

    for (size_t i = 0; i < head_size * FLO_KV_BLOCK; i++) {
        size_t d = i / FLO_KV_BLOCK, lane = i % FLO_KV_BLOCK;
        size_t scale = d / 32 * FLO_KV_BLOCK + lane;
        size_t byte = type == FLO_CACHE_Q8_0 ? i : d * 8 + lane % 8;

        if (type == FLO_CACHE_F32) {
            memcpy(&out[i], block + i * 4, 4);
        } else if (type == FLO_CACHE_F16) {
            out[i] = flo_f16_at(block + i * 2);
        } else {
            out[i] = flo_f16_at(scales + scale * 2) * (float)code_at(type, block, byte, lane >= 8);
        }
    }
}

/* Unpacks the value of one position of a block to [head_size] floats. */
static void unpack_value(enum flo_cache type, const uint8_t *block, size_t head_size, size_t lane,
                         float *out)
{
    const uint8_t *scales = block + flo_cache_code_bytes(type, head_size);
    size_t half = head_size / 2;

    for (size_t d = 0; d < head_size; d++) {
        size_t at = lane * head_size + d;
        size_t scale = lane * flo_cache_scales(head_size) + d / 32;
        size_t byte = type == FLO_CACHE_Q8_0 ? at : lane * half + d % half;

        if (type == FLO_CACHE_F32) {
            memcpy(&out[d], block + at * 4, 4);
        } else if (type == FLO_CACHE_F16) {
            out[d] = flo_f16_at(block + at * 2);
        } else {
            out[d] = flo_f16_at(scales + scale * 2) * (float)code_at(type, block, byte, d >= half);
        }
    }
}

/* ---- attention ---- */

/* State of the online softmax of one query.  The weights so far are relative to
 * `largest`. */
struct softmax {
    float largest;
    float total;
};

/* Turns the scores of one block into weights.  Returns the factor for the
 * output of earlier blocks. */
static float softmax_block(struct softmax *s, float *scores, size_t count)
{
    float largest = s->largest, correction;

    for (size_t i = 0; i < count; i++) {
        largest = scores[i] > largest ? scores[i] : largest;
    }
    if (largest == -INFINITY) { /* so far all scores of the row are -inf or NaN */
        largest = 0;
    }
    correction = expf(s->largest - largest);
    s->total *= correction;
    for (size_t i = 0; i < count; i++) {
        scores[i] = expf(scores[i] - largest);
        s->total += scores[i];
    }
    s->largest = largest;
    return correction;
}

/* Computes the scores of a block's positions, from position p on.  Those of
 * positions before the row's first one are -infinity. */
static void score_block(const struct flo_attention *a, size_t row, size_t p, size_t count,
                        float *scores)
{
    size_t block_bytes = flo_cache_block_bytes(a->type, a->head_size);
    float keys[FLO_CACHE_HEAD_MAX * FLO_KV_BLOCK];

    unpack_keys(a->type,
                (const uint8_t *)a->keys + flo_attend_place(a, p) / FLO_KV_BLOCK * block_bytes,
                a->head_size, keys);
    memset(scores, 0, FLO_KV_BLOCK * sizeof(*scores));
    for (size_t d = 0; d < a->head_size; d++) {
        for (size_t i = 0; i < FLO_KV_BLOCK; i++) {
            scores[i] += a->queries[row][d] * keys[d * FLO_KV_BLOCK + i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        scores[i] *= a->scale;
    }
    if (a->cap > 0) {
        flo_ref_soft_cap(scores, a->cap, count);
    }
    for (size_t i = 0; p + i < a->firsts[row]; i++) {
        scores[i] = -INFINITY;
    }
}

static void attend_row(const struct flo_attention *a, size_t row)
{
    struct softmax softmax = {.largest = -INFINITY};
    size_t block_bytes = flo_cache_block_bytes(a->type, a->head_size);
    size_t first = a->firsts[row];
    float scores[FLO_KV_BLOCK], value[FLO_CACHE_HEAD_MAX];
    float *out = a->out[row];

    memset(out, 0, a->head_size * sizeof(*out));
    for (size_t p = first / FLO_KV_BLOCK * FLO_KV_BLOCK; p < a->lengths[row]; p += FLO_KV_BLOCK) {
        const uint8_t *block =
            (const uint8_t *)a->values + flo_attend_place(a, p) / FLO_KV_BLOCK * block_bytes;
        size_t left = a->lengths[row] - p;
        size_t count = left < FLO_KV_BLOCK ? left : FLO_KV_BLOCK;

        score_block(a, row, p, count, scores);
        float correction = softmax_block(&softmax, scores, count);
        for (size_t d = 0; d < a->head_size; d++) {
            out[d] *= correction;
        }
        for (size_t i = p < first ? first - p : 0; i < count; i++) {
            unpack_value(a->type, block, a->head_size, i, value);
            for (size_t d = 0; d < a->head_size; d++) {
                out[d] += scores[i] * value[d];
            }
        }
    }
    softmax.total += flo_attend_sink(a, row, softmax.largest);
    for (size_t d = 0; d < a->head_size; d++) {
        out[d] /= softmax.total;
    }
}

void flo_ref_attend(const struct flo_attention *attention)
{
    for (size_t row = 0; row < attention->rows; row++) {
        attend_row(attention, row);
    }
}

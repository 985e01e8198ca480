/* Narrow kernels: attention over the KV cache, four floats at a time.
 *
 * The method is the AVX2 kernel's (avx2/attend.c): queries that share a head
 * are computed together, and transposed keys need no sum across lanes. */
#ifndef FLOTILLA_ENGINE_NARROW_ATTEND_H
#define FLOTILLA_ENGINE_NARROW_ATTEND_H

#include "engine/kernel/attend.h"
#include "engine/kernel/ref.h"
#include "engine/kernel/x86/narrow/math.h"

enum { BLOCK = FLO_KV_BLOCK, QUARTERS = BLOCK / 4 };

FLO_INLINE bool is_coded(const enum flo_cache type)
{
    return type == FLO_CACHE_Q8_0 || type == FLO_CACHE_Q4_0;
}

FLO_INLINE __m128 load_4(bool is_f16, const void *array, size_t index)
{
    return is_f16 ? flo_load_half_4((const uint16_t *)array + index)
                  : _mm_loadu_ps((const float *)array + index);
}

FLO_INLINE __m128i load_word(const uint8_t *p)
{
    int32_t word;

    memcpy(&word, p, sizeof(word));
    return _mm_cvtsi32_si128(word);
}

/* Converts four codes to floats. */
FLO_INLINE __m128 load_bytes(const uint8_t *p)
{
    return _mm_cvtepi32_ps(_mm_cvtepi8_epi32(load_word(p)));
}

FLO_INLINE __m128 load_nibbles(const uint8_t *p, bool is_high)
{
    __m128i bytes = _mm_cvtepu8_epi32(load_word(p));

    bytes = is_high ? _mm_srli_epi32(bytes, 4) : _mm_and_si128(bytes, _mm_set1_epi32(15));
    return _mm_cvtepi32_ps(_mm_sub_epi32(bytes, _mm_set1_epi32(8)));
}

/* Unpacks the keys [head_size][16] of a block of codes. */
FLO_INLINE void unpack_keys(const enum flo_cache type, const uint8_t *block, size_t head_size,
                            float *out)
{
    const uint8_t *scales = block + flo_cache_code_bytes(type, head_size);

    for (size_t d = 0; d < head_size; d++, out += BLOCK) {
        const uint8_t *by = scales + d / 32 * BLOCK * 2;

        for (size_t i = 0; i < BLOCK; i += 4) {
            __m128 v = type == FLO_CACHE_Q8_0 ? load_bytes(block + d * BLOCK + i)
                                              : load_nibbles(block + d * 8 + i % 8, i >= 8);

            _mm_storeu_ps(out + i, _mm_mul_ps(v, flo_load_half_4(by + i * 2)));
        }
    }
}

/* Unpacks the first `count` values [16][head_size] of a block of codes. */
FLO_INLINE void unpack_values(const enum flo_cache type, const uint8_t *block, size_t head_size,
                              size_t count, float *out)
{
    const uint8_t *scales = block + flo_cache_code_bytes(type, head_size);
    size_t half = head_size / 2;

    for (size_t i = 0; i < count; i++, out += head_size) {
        const uint8_t *by = scales + i * flo_cache_scales(head_size) * 2;

        for (size_t d = 0; d < head_size; d += 4) {
            __m128 scale = _mm_set1_ps(flo_f16_at(by + d / 32 * 2));
            __m128 v = type == FLO_CACHE_Q8_0
                           ? load_bytes(block + i * head_size + d)
                           : load_nibbles(block + i * half + d % half, d >= half);

            _mm_storeu_ps(out + d, _mm_mul_ps(v, scale));
        }
    }
}

/* Returns a block of keys or values as floats: in the cache, or unpacked into
 * `room`. */
FLO_INLINE const float *floats_of(const enum flo_cache type, bool is_keys, const uint8_t *block,
                                  size_t head_size, size_t count, float *room)
{
    if (type == FLO_CACHE_F32) {
        return (const float *)(const void *)block;
    }
    if (type == FLO_CACHE_F16) {
        for (size_t i = 0; i < count * head_size; i += 4) {
            _mm_storeu_ps(room + i, load_4(true, block, i));
        }
    } else if (is_keys) {
        unpack_keys(type, block, head_size, room);
    } else {
        unpack_values(type, block, head_size, count, room);
    }
    return room;
}

/* Computes 16 scores of each row: q . K, over one block of keys. */
FLO_INLINE void block_scores(const int R, const enum flo_cache type, const struct flo_attention *a,
                             const uint8_t *block, struct flo_attend_state *rows)
{
    float room[FLO_CACHE_HEAD_MAX * BLOCK];
    const float *keys = floats_of(type, true, block, a->head_size, BLOCK, room);
    const __m128 scale = _mm_set1_ps(a->scale);
    const __m128 cap = _mm_set1_ps(a->cap);
    const __m128 inverse = _mm_set1_ps(a->cap > 0 ? 1.0f / a->cap : 0.0f);

    for (int r = 0; r < R; r++) {
        __m128 acc[QUARTERS] = {0};

        for (size_t d = 0; d < a->head_size; d++) {
            __m128 q = _mm_set1_ps(a->queries[r][d]);

#pragma GCC unroll 4
            for (int i = 0; i < QUARTERS; i++) {
                __m128 k = _mm_loadu_ps(keys + d * BLOCK + (size_t)i * 4);

                acc[i] = _mm_add_ps(_mm_mul_ps(q, k), acc[i]);
            }
        }
        for (int i = 0; i < QUARTERS; i++) {
            __m128 score = _mm_mul_ps(acc[i], scale);

            if (a->cap > 0) {
                score = flo_tanh_4(_mm_mul_ps(score, inverse));
                score = _mm_mul_ps(score, cap);
            }
            _mm_store_ps(rows->weights[r] + i * 4, score);
        }
    }
}

/* Masks which of four lanes, from position `at` on, are in [skip, count). */
FLO_INLINE __m128 seen_lanes(int at, size_t skip, size_t count)
{
    const __m128i lanes = _mm_add_epi32(_mm_setr_epi32(0, 1, 2, 3), _mm_set1_epi32(at));
    __m128i is_low = _mm_cmpgt_epi32(_mm_set1_epi32((int)skip), lanes);
    __m128i is_in = _mm_cmpgt_epi32(_mm_set1_epi32((int)count), lanes);

    return _mm_castsi128_ps(_mm_andnot_si128(is_low, is_in));
}

/* Turns the scores of row r into weights; positions outside the row's range
 * weigh 0. */
FLO_INLINE void block_softmax(struct flo_attend_state *rows, int r)
{
    __m128 scores[QUARTERS], most = _mm_set1_ps(-INFINITY);
    const __m128 none = most;
    float largest, before = rows->largest[r];
    __m128 total = _mm_setzero_ps();

    for (int i = 0; i < QUARTERS; i++) {
        __m128 seen = seen_lanes(i * 4, rows->skips[r], rows->counts[r]);

        scores[i] = _mm_blendv_ps(none, _mm_load_ps(rows->weights[r] + i * 4), seen);
        most = _mm_max_ps(scores[i], most);
    }
    largest = flo_max_4(most);
    largest = largest > before ? largest : before;
    if (!(largest > -INFINITY)) { /* all scores so far are -inf or NaN */
        largest = 0;
    }
    for (int i = 0; i < QUARTERS; i++) {
        /* exp(-inf) is 0, so lanes past the end add nothing. */
        __m128 v = flo_exp_4(_mm_sub_ps(scores[i], _mm_set1_ps(largest)));

        total = _mm_add_ps(total, v);
        _mm_store_ps(rows->weights[r] + i * 4, v);
    }
    rows->correction[r] = before == largest ? 1.0f : expf(before - largest);
    rows->total[r] = rows->total[r] * rows->correction[r] + flo_sum_4(total);
    rows->largest[r] = largest;
}

/* Computes out = out * correction + weights . V. */
FLO_INLINE void block_values(const int R, const enum flo_cache type, const struct flo_attention *a,
                             const uint8_t *block, size_t count,
                             const struct flo_attend_state *rows)
{
    float room[FLO_CACHE_HEAD_MAX * BLOCK];
    const float *values = floats_of(type, false, block, a->head_size, count, room);

    for (size_t d = 0; d < a->head_size; d += 4) {
        __m128 acc[FLO_ATTEND_ROWS];

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            acc[r] = _mm_mul_ps(_mm_loadu_ps(a->out[r] + d), _mm_set1_ps(rows->correction[r]));
        }
        for (size_t i = 0; i < count; i++) {
            __m128 v = _mm_loadu_ps(values + i * a->head_size + d);

#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                __m128 weight = _mm_set1_ps(rows->weights[r][i]);

                acc[r] = _mm_add_ps(_mm_mul_ps(weight, v), acc[r]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            _mm_storeu_ps(a->out[r] + d, acc[r]);
        }
    }
}

FLO_ATTEND_BY_BLOCKS(block_scores, block_softmax, block_values)

static void narrow_attend(const struct flo_attention *attention)
{
    if (attention->head_size % 16 != 0) {
        flo_ref_attend(attention);
        return;
    }
    attend_each(attention);
}

#endif

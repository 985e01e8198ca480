/* AVX2 kernel: attention over the KV cache.
 *
 * Up to four queries that share a key and value head are computed together, so
 * that every key and value is widened only once.  Keys are transposed in blocks
 * of 16 positions, so 16 scores are two vectors without a sum across lanes.
 * Softmax is online, block by block. */
#include "engine/kernel/attend.h"
#include "engine/kernel/ref.h"
#include "engine/kernel/x86/avx2/avx2.h"
#include "engine/kernel/x86/avx2/math.h"

enum { R_MAX = FLO_ATTEND_ROWS, BLOCK = FLO_KV_BLOCK };

FLO_INLINE bool is_coded(const enum flo_cache type)
{
    return type == FLO_CACHE_Q8_0 || type == FLO_CACHE_Q4_0;
}

FLO_INLINE __m256 load_8(bool is_f16, const void *array, size_t index)
{
    return is_f16 ? flo_load_half_8((const uint16_t *)array + index)
                  : _mm256_loadu_ps((const float *)array + index);
}

/* Converts eight codes to floats. */
FLO_INLINE __m256 load_bytes(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}

FLO_INLINE __m256 load_nibbles(const uint8_t *p, bool is_high)
{
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));

    bytes = is_high ? _mm256_srli_epi32(bytes, 4) : _mm256_and_si256(bytes, _mm256_set1_epi32(15));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(bytes, _mm256_set1_epi32(8)));
}

/* Unpacks the keys [head_size][16] of a block of codes. */
FLO_INLINE void unpack_keys(const enum flo_cache type, const uint8_t *block, size_t head_size,
                            float *out)
{
    const uint8_t *scales = block + flo_cache_code_bytes(type, head_size);

    for (size_t d = 0; d < head_size; d++, out += BLOCK) {
        const uint8_t *by = scales + d / 32 * BLOCK * 2;
        __m256 low, high;

        if (type == FLO_CACHE_Q8_0) {
            low = load_bytes(block + d * BLOCK);
            high = load_bytes(block + d * BLOCK + 8);
        } else {
            low = load_nibbles(block + d * 8, false);
            high = load_nibbles(block + d * 8, true);
        }
        _mm256_storeu_ps(out, _mm256_mul_ps(low, flo_load_half_8(by)));
        _mm256_storeu_ps(out + 8, _mm256_mul_ps(high, flo_load_half_8(by + 16)));
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

        for (size_t d = 0; d < head_size; d += 8) {
            __m256 v = type == FLO_CACHE_Q8_0
                           ? load_bytes(block + i * head_size + d)
                           : load_nibbles(block + i * half + d % half, d >= half);

            _mm256_storeu_ps(out + d, _mm256_mul_ps(v, _mm256_set1_ps(flo_half(by + d / 32 * 2))));
        }
    }
}

/* Computes 16 scores of each row: q . K, over one block of keys. */
FLO_INLINE void block_scores(const int R, const enum flo_cache type, const struct flo_attention *a,
                             const uint8_t *block, struct flo_attend_state *rows)
{
    const bool is_f16 = type == FLO_CACHE_F16;
    const void *keys = block;
    float floats[FLO_CACHE_HEAD_MAX * BLOCK]; /* decoded block of codes */
    __m256 acc[R_MAX][2];
    const __m256 scale = _mm256_set1_ps(a->scale);
    const __m256 cap = _mm256_set1_ps(a->cap);
    const __m256 inverse = _mm256_set1_ps(a->cap > 0 ? 1.0f / a->cap : 0.0f);

    if (is_coded(type)) {
        unpack_keys(type, block, a->head_size, floats);
        keys = floats;
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    }
    for (size_t d = 0; d < a->head_size; d++) {
        __m256 low = load_8(is_f16, keys, d * BLOCK);
        __m256 high = load_8(is_f16, keys, d * BLOCK + 8);

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            __m256 q = _mm256_broadcast_ss(&a->queries[r][d]);
            acc[r][0] = _mm256_fmadd_ps(q, low, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(q, high, acc[r][1]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        for (int i = 0; i < 2; i++) {
            __m256 score = _mm256_mul_ps(acc[r][i], scale);

            if (a->cap > 0) {
                score = flo_tanh_8(_mm256_mul_ps(score, inverse));
                score = _mm256_mul_ps(score, cap);
            }
            _mm256_store_ps(rows->weights[r] + i * 8, score);
        }
    }
}

/* Masks which of eight lanes, from position `at` on, are in [skip, count). */
FLO_INLINE __m256 seen_lanes(int at, size_t skip, size_t count)
{
    const __m256i lanes =
        _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(at));
    __m256i is_low = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)skip), lanes);
    __m256i is_in = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes);

    return _mm256_castsi256_ps(_mm256_andnot_si256(is_low, is_in));
}

/* Turns the scores of row r into weights; positions outside the row's range
 * weigh 0. */
FLO_INLINE void block_softmax(struct flo_attend_state *rows, int r)
{
    __m256 low = _mm256_load_ps(rows->weights[r]);
    __m256 high = _mm256_load_ps(rows->weights[r] + 8);
    __m256 is_low = seen_lanes(0, rows->skips[r], rows->counts[r]);
    __m256 is_high = seen_lanes(8, rows->skips[r], rows->counts[r]);
    const __m256 none = _mm256_set1_ps(-INFINITY);
    float largest, before = rows->largest[r];

    low = _mm256_blendv_ps(none, low, is_low);
    high = _mm256_blendv_ps(none, high, is_high);
    largest = flo_max_8(_mm256_max_ps(low, high));
    largest = largest > before ? largest : before;
    if (!(largest > -INFINITY)) { /* all scores so far are -inf or NaN */
        largest = 0;
    }
    __m256 by = _mm256_set1_ps(largest);
    /* exp(-inf) is 0, so lanes past the end add nothing. */
    low = flo_exp_8(_mm256_sub_ps(low, by));
    high = flo_exp_8(_mm256_sub_ps(high, by));
    rows->correction[r] = before == largest ? 1.0f : expf(before - largest);
    rows->total[r] = rows->total[r] * rows->correction[r] + flo_sum_8(_mm256_add_ps(low, high));
    rows->largest[r] = largest;
    _mm256_store_ps(rows->weights[r], low);
    _mm256_store_ps(rows->weights[r] + 8, high);
}

/* Computes out = out * correction + weights . V. */
FLO_INLINE void block_values(const int R, const enum flo_cache type, const struct flo_attention *a,
                             const uint8_t *block, size_t count,
                             const struct flo_attend_state *rows)
{
    const bool is_f16 = type == FLO_CACHE_F16;
    const void *values = block;
    float floats[FLO_CACHE_HEAD_MAX * BLOCK]; /* decoded block of codes */

    if (is_coded(type)) {
        unpack_values(type, block, a->head_size, count, floats);
        values = floats;
    }
    for (size_t d = 0; d < a->head_size; d += 8) {
        __m256 acc[R_MAX];

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            acc[r] =
                _mm256_mul_ps(_mm256_loadu_ps(a->out[r] + d), _mm256_set1_ps(rows->correction[r]));
        }
        for (size_t i = 0; i < count; i++) {
            __m256 v = load_8(is_f16, values, i * a->head_size + d);

#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                acc[r] = _mm256_fmadd_ps(_mm256_broadcast_ss(&rows->weights[r][i]), v, acc[r]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            _mm256_storeu_ps(a->out[r] + d, acc[r]);
        }
    }
}

FLO_ATTEND_BY_BLOCKS(block_scores, block_softmax, block_values)

void flo_avx2_attend(const struct flo_attention *attention)
{
    if (attention->head_size % 16 != 0) {
        flo_ref_attend(attention);
        return;
    }
    attend_each(attention);
}

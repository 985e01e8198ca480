/* AVX2 kernel: attention over the KV cache.
 *
 * Up to four queries that share a key and value head go through the cache
 * together: every key and value is widened from f16 once.  Keys stand
 * transposed in blocks of 16 positions, so 16 scores are two vectors without
 * a sum across lanes; softmax is online, block by block. */
#include "engine/kernel/ref.h"
#include "engine/kernel/x86/avx2.h"
#include "engine/kernel/x86/avx2_math.h"

#include <math.h>

enum { R_MAX = FLO_ATTEND_ROWS, BLOCK = FLO_KV_BLOCK };

struct rows {
    float largest[R_MAX];
    float total[R_MAX];
    float correction[R_MAX];
    size_t counts[R_MAX];                     /* positions of this block */
    size_t skips[R_MAX];                      /* of them before the window */
    _Alignas(32) float weights[R_MAX][BLOCK]; /* exp(score - largest) */
};

FLO_INLINE __m256 load_8(bool is_f16, const void *array, size_t index)
{
    return is_f16 ? flo_load_half_8((const uint16_t *)array + index)
                  : _mm256_loadu_ps((const float *)array + index);
}

/* 16 scores of each row: q . K. */
FLO_INLINE void block_scores(const int R, bool is_f16,
                             const struct flo_attention *a, size_t position,
                             struct rows *rows)
{
    __m256 acc[R_MAX][2];
    const __m256 scale = _mm256_set1_ps(a->scale);
    const __m256 cap = _mm256_set1_ps(a->cap);
    const __m256 inverse = _mm256_set1_ps(a->cap > 0 ? 1.0f / a->cap : 0.0f);

#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    }
    for (size_t d = 0; d < a->head_size; d++) {
        size_t at = position * a->head_size + d * BLOCK;
        __m256 low = load_8(is_f16, a->keys, at);
        __m256 high = load_8(is_f16, a->keys, at + 8);

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

/* Which of eight lanes, the first of them `at`, are in [skip, count)? */
FLO_INLINE __m256 seen_lanes(int at, size_t skip, size_t count)
{
    const __m256i lanes = _mm256_add_epi32(
        _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(at));
    __m256i is_low = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)skip), lanes);
    __m256i is_in = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes);

    return _mm256_castsi256_ps(_mm256_andnot_si256(is_low, is_in));
}

/* Scores of row r into weights; positions that it does not see weigh 0. */
FLO_INLINE void block_softmax(struct rows *rows, int r)
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
    if (!(largest > -INFINITY)) { /* nothing but -inf or NaN so far */
        largest = 0;
    }
    __m256 by = _mm256_set1_ps(largest);
    /* exp(-inf) is 0, so lanes behind the end add nothing. */
    low = flo_exp_8(_mm256_sub_ps(low, by));
    high = flo_exp_8(_mm256_sub_ps(high, by));
    rows->correction[r] = before == largest ? 1.0f : expf(before - largest);
    rows->total[r] = rows->total[r] * rows->correction[r] +
                     flo_sum_8(_mm256_add_ps(low, high));
    rows->largest[r] = largest;
    _mm256_store_ps(rows->weights[r], low);
    _mm256_store_ps(rows->weights[r] + 8, high);
}

/* out = out * correction + weights . V; positions behind `count` are not
 * read: their values may be left over from another sequence. */
FLO_INLINE void block_values(const int R, bool is_f16,
                             const struct flo_attention *a, size_t position,
                             size_t count, const struct rows *rows)
{
    for (size_t d = 0; d < a->head_size; d += 8) {
        __m256 acc[R_MAX];

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            acc[r] = _mm256_mul_ps(_mm256_loadu_ps(a->out[r] + d),
                                   _mm256_set1_ps(rows->correction[r]));
        }
        for (size_t i = 0; i < count; i++) {
            size_t at = (position + i) * a->head_size + d;
            __m256 v = load_8(is_f16, a->values, at);

#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                acc[r] = _mm256_fmadd_ps(
                    _mm256_broadcast_ss(&rows->weights[r][i]), v, acc[r]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            _mm256_storeu_ps(a->out[r] + d, acc[r]);
        }
    }
}

FLO_INLINE void attend(const int R, bool is_f16, const struct flo_attention *a)
{
    struct rows rows = {0};
    size_t longest = 0, first = a->firsts[0];

    for (int r = 0; r < R; r++) {
        rows.largest[r] = -INFINITY;
        longest = a->lengths[r] > longest ? a->lengths[r] : longest;
        first = a->firsts[r] < first ? a->firsts[r] : first;
        memset(a->out[r], 0, a->head_size * sizeof(*a->out[r]));
    }
    for (size_t p = first / BLOCK * BLOCK; p < longest; p += BLOCK) {
        size_t count = longest - p < BLOCK ? longest - p : BLOCK;

        block_scores(R, is_f16, a, p, &rows);
        for (int r = 0; r < R; r++) {
            size_t left = a->lengths[r] > p ? a->lengths[r] - p : 0;

            rows.counts[r] = left < BLOCK ? left : BLOCK;
            rows.skips[r] = a->firsts[r] > p ? a->firsts[r] - p : 0;
            if (rows.counts[r] > rows.skips[r]) {
                block_softmax(&rows, r);
            } else {
                rows.correction[r] = 1.0f;
                memset(rows.weights[r], 0, sizeof(rows.weights[r]));
            }
        }
        block_values(R, is_f16, a, p, count, &rows);
    }
    for (int r = 0; r < R; r++) {
        __m256 total = _mm256_set1_ps(rows.total[r]);

        for (size_t d = 0; d < a->head_size; d += 8) {
            _mm256_storeu_ps(
                a->out[r] + d,
                _mm256_div_ps(_mm256_loadu_ps(a->out[r] + d), total));
        }
    }
}

FLO_INLINE void attend_rows(bool is_f16, const struct flo_attention *a)
{
    switch (a->rows) {
    case 1:
        attend(1, is_f16, a);
        break;
    case 2:
        attend(2, is_f16, a);
        break;
    case 3:
        attend(3, is_f16, a);
        break;
    default:
        attend(4, is_f16, a);
        break;
    }
}

void flo_avx2_attend(const struct flo_attention *attention)
{
    if (attention->head_size % 8 != 0) {
        flo_ref_attend(attention);
    } else if (attention->is_f16) {
        attend_rows(true, attention);
    } else {
        attend_rows(false, attention);
    }
}

/* NEON kernel: attention over the KV cache.
 *
 * Up to four queries that share a key and value head are computed together, so
 * that every key and value is widened only once, in registers.  Keys are
 * transposed in blocks of 16 positions, so 16 scores are computed without a sum
 * across lanes.  Softmax is online, block by block. */
#include "engine/kernel/arm/neon.h"
#include "engine/kernel/arm/neon_math.h"
#include "engine/kernel/attend.h"
#include "engine/kernel/ref.h"

enum { R_MAX = FLO_ATTEND_ROWS, BLOCK = FLO_KV_BLOCK };

/* Loads 16 numbers of a block: floats, halves, or codes that are not scaled
 * yet.  With `is_high` the codes are the high nibbles. */
FLO_INLINE struct flo_f32x16 load_16(const enum flo_cache type, const void *row, size_t index,
                                     bool is_high)
{
    const uint8_t *bytes = (const uint8_t *)row + index;
    struct flo_f32x16 out;

    if (type == FLO_CACHE_Q8_0) {
        return flo_floats_of_bytes(vreinterpretq_s8_u8(vld1q_u8(bytes)));
    }
    if (type == FLO_CACHE_Q4_0) {
        uint8x16_t codes = vld1q_u8(bytes);

        codes = is_high ? vshrq_n_u8(codes, 4) : vandq_u8(codes, vdupq_n_u8(15));
        return flo_floats_of_bytes(vsubq_s8(vreinterpretq_s8_u8(codes), vdupq_n_s8(8)));
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        out.v[i] = type == FLO_CACHE_F16 ? flo_load_half_4((const uint16_t *)row + index + i * 4)
                                         : vld1q_f32((const float *)row + index + i * 4);
    }
    return out;
}

/* Loads the numbers at index d of 16 keys. */
FLO_INLINE struct flo_f32x16 load_keys(const enum flo_cache type, const uint8_t *block,
                                       size_t head_size, size_t d)
{
    struct flo_f32x16 out;

    if (type == FLO_CACHE_Q4_0) { /* each of 8 bytes holds a code of position i and one of i + 8 */
        uint8x8_t bytes = vld1_u8(block + d * BLOCK / 2);
        uint8x16_t codes = vcombine_u8(vand_u8(bytes, vdup_n_u8(15)), vshr_n_u8(bytes, 4));
        out = flo_floats_of_bytes(vsubq_s8(vreinterpretq_s8_u8(codes), vdupq_n_s8(8)));
    } else {
        out = load_16(type, block, d * BLOCK, false);
    }
    if (type == FLO_CACHE_Q8_0 || type == FLO_CACHE_Q4_0) {
        const uint8_t *by = block + flo_cache_code_bytes(type, head_size) + d / 32 * BLOCK * 2;

#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            out.v[i] = vmulq_f32(out.v[i], flo_load_half_4(by + i * 8));
        }
    }
    return out;
}

/* Loads the numbers d .. d + 15 of the value at position i. */
FLO_INLINE struct flo_f32x16 load_value(const enum flo_cache type, const uint8_t *block,
                                        size_t head_size, size_t i, size_t d)
{
    size_t half = head_size / 2;
    size_t index = type == FLO_CACHE_Q4_0 ? i * half + d % half : i * head_size + d;
    struct flo_f32x16 out = load_16(type, block, index, d >= half);

    if (type == FLO_CACHE_Q8_0 || type == FLO_CACHE_Q4_0) {
        size_t scale = i * flo_cache_scales(head_size) + d / 32;
        float by = flo_half(block + flo_cache_code_bytes(type, head_size) + scale * 2);

#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            out.v[j] = vmulq_n_f32(out.v[j], by);
        }
    }
    return out;
}

/* Computes q . K for each row and the 16 keys of one block. */
FLO_INLINE void block_scores(const int R, const enum flo_cache type, const struct flo_attention *a,
                             const uint8_t *keys, struct flo_attend_state *rows)
{
    struct flo_f32x16 acc[R_MAX] = {0};

    for (size_t d = 0; d < a->head_size; d++) {
        struct flo_f32x16 k = load_keys(type, keys, a->head_size, d);

#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                acc[r].v[i] = vfmaq_n_f32(acc[r].v[i], k.v[i], a->queries[r][d]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            float32x4_t score = vmulq_n_f32(acc[r].v[i], a->scale);

            if (a->cap > 0) {
                score = flo_tanh_4(vmulq_n_f32(score, 1.0f / a->cap));
                score = vmulq_n_f32(score, a->cap);
            }
            vst1q_f32(rows->weights[r] + i * 4, score);
        }
    }
}

/* Turns the scores of row r into weights.  Positions outside the row's range
 * weigh 0. */
FLO_INLINE void block_softmax(struct flo_attend_state *rows, int r)
{
    static const uint32_t lanes[BLOCK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint32x4_t skip = vdupq_n_u32((uint32_t)rows->skips[r]);
    const uint32x4_t count = vdupq_n_u32((uint32_t)rows->counts[r]);
    float *weights = rows->weights[r];
    float32x4_t most = vdupq_n_f32(-INFINITY), sum = vdupq_n_f32(0);
    float32x4_t score[4];

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        uint32x4_t lane = vld1q_u32(lanes + i * 4);
        uint32x4_t is_seen = vandq_u32(vcgeq_u32(lane, skip), vcltq_u32(lane, count));

        score[i] = vbslq_f32(is_seen, vld1q_f32(weights + i * 4), vdupq_n_f32(-INFINITY));
        most = vmaxnmq_f32(most, score[i]); /* ignores NaN */
    }
    float before = rows->largest[r], largest = fmaxf(vmaxnmvq_f32(most), before);
    if (!(largest > -INFINITY)) { /* so far all scores of the row are -inf or NaN */
        largest = 0;
    }
    /* exp(-inf) is 0, so lanes behind the last position add nothing. */
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        float32x4_t w = flo_exp_4(vsubq_f32(score[i], vdupq_n_f32(largest)));

        sum = vaddq_f32(sum, w);
        vst1q_f32(weights + i * 4, w);
    }
    rows->correction[r] = before == largest ? 1.0f : expf(before - largest);
    rows->total[r] = rows->total[r] * rows->correction[r] + vaddvq_f32(sum);
    rows->largest[r] = largest;
}

/* Computes out = out * correction + weights . V for the rows. */
FLO_INLINE void block_values(const int R, const enum flo_cache type, const struct flo_attention *a,
                             const uint8_t *values, size_t count,
                             const struct flo_attend_state *rows)
{
    for (size_t d = 0; d < a->head_size; d += 16) {
        struct flo_f32x16 acc[R_MAX];

#pragma GCC unroll 16
        for (int j = 0; j < R * 4; j++) {
            acc[j / 4].v[j % 4] =
                vmulq_n_f32(vld1q_f32(a->out[j / 4] + d + j % 4 * 4), rows->correction[j / 4]);
        }
        for (size_t i = 0; i < count; i++) {
            struct flo_f32x16 v = load_value(type, values, a->head_size, i, d);

#pragma GCC unroll 16
            for (int j = 0; j < R * 4; j++) {
                acc[j / 4].v[j % 4] =
                    vfmaq_n_f32(acc[j / 4].v[j % 4], v.v[j % 4], rows->weights[j / 4][i]);
            }
        }
#pragma GCC unroll 16
        for (int j = 0; j < R * 4; j++) {
            vst1q_f32(a->out[j / 4] + d + j % 4 * 4, acc[j / 4].v[j % 4]);
        }
    }
}

FLO_ATTEND_BY_BLOCKS(block_scores, block_softmax, block_values)

void flo_neon_attend(const struct flo_attention *attention)
{
    size_t step = attention->type == FLO_CACHE_Q4_0 ? 32 : 16;

    if (attention->head_size % step != 0) {
        flo_ref_attend(attention);
        return;
    }
    attend_each(attention);
}

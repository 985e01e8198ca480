/* NEON kernels (every 64-bit Arm): the table of the basic one, and the small
 * operations. */
#define FLO_RECUR_LANES 4
#define FLO_RECUR_PARTS 8
#include "engine/kernel/arm/neon.h"
#include "engine/kernel/arm/neon_math.h"
#include "engine/kernel/recur.h"

void flo_neon_recur(const struct flo_recurrence *recurrence, const float *added, float *out)
{
    flo_recur_step(recurrence, added, out);
}

void flo_neon_recall(const struct flo_recurrence *recurrence, float *out)
{
    flo_recur_recall(recurrence, out);
}

void flo_neon_quantise(const float *values, size_t columns, enum flo_precision precision,
                       int16_t *codes, float *scales, float *sums)
{
    for (size_t b = 0; b < columns / FLO_CODE_BLOCK; b++) {
        int16x8_t n[4];
        int sum = 0;

        scales[b] = flo_quantise_32(values + b * FLO_CODE_BLOCK, flo_code_max(precision), n);
        for (size_t i = 0; i < 4; i++) {
            vst1q_s16(codes + b * FLO_CODE_BLOCK + i * 8, n[i]);
            sum += vaddlvq_s16(n[i]);
        }
        sums[b] = scales[b] * (float)sum;
    }
}

void flo_neon_rms_norm(const float *x, const float *weight, float epsilon, size_t count, float *out)
{
    struct flo_f32x16 acc = {0};
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            float32x4_t v = vld1q_f32(x + i + j * 4);
            acc.v[j] = vfmaq_f32(acc.v[j], v, v);
        }
    }
    float squares =
        vaddvq_f32(vaddq_f32(vaddq_f32(acc.v[0], acc.v[1]), vaddq_f32(acc.v[2], acc.v[3])));
    for (; i < count; i++) {
        squares += x[i] * x[i];
    }
    float factor = 1.0f / sqrtf(squares / (float)count + epsilon);
    for (i = 0; i + 4 <= count; i += 4) {
        float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), factor);
        vst1q_f32(out + i, vmulq_f32(v, vld1q_f32(weight + i)));
    }
    for (; i < count; i++) {
        out[i] = x[i] * factor * weight[i];
    }
}

void flo_neon_silu_multiply(float *gate, const float *up, size_t count)
{
    const float32x4_t one = vdupq_n_f32(1);
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        float32x4_t v = vld1q_f32(gate + i);
        v = vdivq_f32(v, vaddq_f32(one, flo_exp_4(vnegq_f32(v))));
        vst1q_f32(gate + i, vmulq_f32(v, vld1q_f32(up + i)));
    }
    flo_ref_silu_multiply(gate + i, up + i, count - i);
}

void flo_neon_gelu_multiply(float *gate, const float *up, size_t count)
{
    const float32x4_t one = vdupq_n_f32(1);
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        float32x4_t v = vld1q_f32(gate + i);
        float32x4_t u = vfmaq_n_f32(one, vmulq_f32(v, v), 0.044715f);

        u = vmulq_f32(vmulq_n_f32(v, -2 * 0.797884561f), u);
        v = vdivq_f32(v, vaddq_f32(one, flo_exp_4(u)));
        vst1q_f32(gate + i, up == NULL ? v : vmulq_f32(v, vld1q_f32(up + i)));
    }
    flo_ref_gelu_multiply(gate + i, up == NULL ? NULL : up + i, count - i);
}

void flo_neon_soft_cap(float *x, float cap, size_t count)
{
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), 1.0f / cap);
        vst1q_f32(x + i, vmulq_n_f32(flo_tanh_4(v), cap));
    }
    flo_ref_soft_cap(x + i, cap, count - i);
}

void flo_neon_store(const float *key, const float *value, size_t head_size, size_t position,
                    enum flo_cache type, void *keys, void *values)
{
    size_t block = position / FLO_KV_BLOCK * FLO_KV_BLOCK * head_size;
    __fp16 *k = (__fp16 *)keys + block + position % FLO_KV_BLOCK;
    __fp16 *v = (__fp16 *)values + position * head_size;

    if (type != FLO_CACHE_F16) {
        flo_ref_store(key, value, head_size, position, type, keys, values);
        return;
    }
    for (size_t d = 0; d < head_size; d++) {
        k[d * FLO_KV_BLOCK] = (__fp16)key[d];
        v[d] = (__fp16)value[d];
    }
}

static bool is_supported(void)
{
    return true;
}

const struct flo_kernel flo_kernel_neon = {
    .name = "neon",
    .is_supported = is_supported,
    FLO_NEON_OPERATIONS,
};

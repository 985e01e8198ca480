/* NEON kernel (every 64-bit Arm): its table, and the small operations. */
#include "engine/kernel/arm/neon.h"
#include "engine/kernel/arm/neon_math.h"
#include "engine/kernel/ref.h"

#include <math.h>

/* One block of 32; returns its scale, NaN when a value is not finite. */
FLO_INLINE float quantise_block(const float *x, float code_max, int16_t *codes,
                                float *sum)
{
    float32x4_t v[8], largest = vdupq_n_f32(0);
    int32x4_t total = vdupq_n_s32(0);

#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + i * 4);
        largest = vmaxq_f32(largest, vabsq_f32(v[i])); /* keeps a NaN */
    }
    float scale = vmaxvq_f32(largest) / code_max;
    if (!isfinite(scale)) {
        memset(codes, 0, FLO_CODE_BLOCK * sizeof(*codes));
        *sum = NAN;
        return NAN;
    }
    float inverse = scale > 1e-38f ? 1.0f / scale : 0.0f;
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        int32x4_t n = vcvtnq_s32_f32(vmulq_n_f32(v[i], inverse));

        total = vaddq_s32(total, n);
        vst1_s16(codes + i * 4, vqmovn_s32(n));
    }
    *sum = scale * (float)vaddvq_s32(total);
    return scale;
}

void flo_neon_quantise(const float *values, size_t columns,
                       enum flo_precision precision, int16_t *codes,
                       float *scales, float *sums)
{
    float code_max = flo_code_max(precision);

    for (size_t b = 0; b < columns / FLO_CODE_BLOCK; b++) {
        size_t at = b * FLO_CODE_BLOCK;
        scales[b] = quantise_block(values + at, code_max, codes + at, &sums[b]);
    }
}

/* sum((x - mean)^power), power 1 or 2. */
FLO_INLINE float sum_of_powers(const float *x, float mean, const int power,
                               size_t count)
{
    float32x4_t acc[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0),
                          vdupq_n_f32(0)};
    const float32x4_t one = vdupq_n_f32(1), middle = vdupq_n_f32(mean);
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            float32x4_t d = vsubq_f32(vld1q_f32(x + i + j * 4), middle);
            acc[j] = vfmaq_f32(acc[j], d, power == 2 ? d : one);
        }
    }
    float sum = vaddvq_f32(
        vaddq_f32(vaddq_f32(acc[0], acc[1]), vaddq_f32(acc[2], acc[3])));
    for (; i < count; i++) {
        sum += power == 2 ? (x[i] - mean) * (x[i] - mean) : x[i] - mean;
    }
    return sum;
}

void flo_neon_rms_norm(const float *x, const float *weight, float epsilon,
                       size_t count, float *out)
{
    float squares = sum_of_powers(x, 0, 2, count);
    float factor = 1.0f / sqrtf(squares / (float)count + epsilon);
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), factor);
        vst1q_f32(out + i, vmulq_f32(v, vld1q_f32(weight + i)));
    }
    for (; i < count; i++) {
        out[i] = x[i] * factor * weight[i];
    }
}

void flo_neon_layer_norm(const float *x, const float *weight, const float *bias,
                         float epsilon, size_t count, float *out)
{
    float mean = sum_of_powers(x, 0, 1, count) / (float)count;
    float squares = sum_of_powers(x, mean, 2, count);
    float factor = 1.0f / sqrtf(squares / (float)count + epsilon);
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        float32x4_t v = vsubq_f32(vld1q_f32(x + i), vdupq_n_f32(mean));
        v = vmulq_n_f32(v, factor);
        vst1q_f32(out + i,
                  vfmaq_f32(vld1q_f32(bias + i), v, vld1q_f32(weight + i)));
    }
    for (; i < count; i++) {
        out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
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

void flo_neon_store(const float *key, const float *value, size_t head_size,
                    size_t position, enum flo_cache type, void *keys,
                    void *values)
{
    size_t block = position / FLO_KV_BLOCK * FLO_KV_BLOCK * head_size;
    uint16_t *k = (uint16_t *)keys + block + position % FLO_KV_BLOCK;
    uint16_t *v = (uint16_t *)values + position * head_size;

    if (type != FLO_CACHE_F16 || head_size % 4 != 0) {
        flo_ref_store(key, value, head_size, position, type, keys, values);
        return;
    }
    for (size_t d = 0; d < head_size; d += 4) {
        uint16x4_t half =
            vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(key + d)));

        vst1_lane_u16(k + d * FLO_KV_BLOCK, half, 0);
        vst1_lane_u16(k + (d + 1) * FLO_KV_BLOCK, half, 1);
        vst1_lane_u16(k + (d + 2) * FLO_KV_BLOCK, half, 2);
        vst1_lane_u16(k + (d + 3) * FLO_KV_BLOCK, half, 3);
        vst1_u16(v + d,
                 vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(value + d))));
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

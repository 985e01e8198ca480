/* NEON math: small vector functions that the NEON files share. */
#ifndef FLOTILLA_ENGINE_NEON_MATH_H
#define FLOTILLA_ENGINE_NEON_MATH_H

#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FLO_INLINE static inline __attribute__((always_inline))

struct flo_f32x16 {
    float32x4_t v[4];
};

/* Loads four half floats as floats. */
FLO_INLINE float32x4_t flo_load_half_4(const void *p)
{
    uint16x4_t halves;

    memcpy(&halves, p, sizeof(halves));
    return vcvt_f32_f16(vreinterpret_f16_u16(halves));
}

FLO_INLINE float flo_half(const void *p)
{
    __fp16 half;

    memcpy(&half, p, sizeof(half));
    return (float)half;
}

/* Converts 16 signed bytes to floats. */
FLO_INLINE struct flo_f32x16 flo_floats_of_bytes(int8x16_t bytes)
{
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);

    return (struct flo_f32x16){
        {vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
         vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
}

/* Quantises 32 values to codes of at most code_max.  Returns their scale, which
 * is NaN if a value is not finite. */
FLO_INLINE float flo_quantise_32(const float *x, float code_max, int16x8_t n[4])
{
    float32x4_t v[8], largest = vdupq_n_f32(0);

#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + i * 4);
        largest = vmaxq_f32(largest, vabsq_f32(v[i])); /* keeps a NaN */
    }
    float scale = vmaxvq_f32(largest) / code_max;
    /* The inverse of a subnormal scale may not be finite, so 0 is used. */
    float inverse = scale > 1e-38f ? 1.0f / scale : 0.0f;
    if (!isfinite(scale)) {
        scale = NAN;
        inverse = 0;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        float32x4_t a = vmulq_n_f32(v[i * 2], inverse);
        float32x4_t b = vmulq_n_f32(v[i * 2 + 1], inverse);

        n[i] = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a)), vqmovn_s32(vcvtnq_s32_f32(b)));
    }
    return scale;
}

/* Loads the first four floats of an array of `count`, with zeros for those
 * behind its end. */
FLO_INLINE float32x4_t flo_load_rows(const float *y, size_t count)
{
    float part[4] = {0};

    if (count >= 4) {
        return vld1q_f32(y);
    }
    memcpy(part, y, count * sizeof(*y));
    return vld1q_f32(part);
}

FLO_INLINE void flo_store_rows(float *y, size_t count, float32x4_t v)
{
    float part[4];

    if (count >= 4) {
        vst1q_f32(y, v);
        return;
    }
    vst1q_f32(part, v);
    memcpy(y, part, count * sizeof(*y));
}

/* Returns exp(x) with a relative error below 2e-7.  It is 0 below -87.3, and
 * NaN stays NaN.  exp(x) = 2^n * exp(r) with |r| <= ln 2 / 2.  exp(r) is the
 * Taylor polynomial of degree 6, whose first missing term is at most 1.3e-7 of
 * the result. */
FLO_INLINE float32x4_t flo_exp_4(float32x4_t x)
{
    const float32x4_t low = vdupq_n_f32(-87.3f), high = vdupq_n_f32(88.7f);
    uint32x4_t is_low = vcltq_f32(x, low);
    float32x4_t n, r, p;

    x = vminq_f32(high, vmaxq_f32(low, x)); /* a NaN in x stays */
    n = vrndnq_f32(vmulq_n_f32(x, 1.44269504f));
    r = vfmsq_n_f32(x, n, 0.693145752f);
    r = vfmsq_n_f32(r, n, 1.42860677e-6f);
    p = vfmaq_n_f32(vdupq_n_f32(1.0f / 120), r, 1.0f / 720);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 24), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 6), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    /* 2^n is a product of two factors, because 2^128 alone would overflow. */
    const int32x4_t bias = vdupq_n_s32(127);
    int32x4_t exponent = vcvtq_s32_f32(n);
    int32x4_t half = vshrq_n_s32(exponent, 1);
    int32x4_t rest = vsubq_s32(exponent, half);
    p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
    p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(p), is_low));
}

/* Returns tanh(x) with an absolute error below 2e-7.  NaN stays NaN. */
FLO_INLINE float32x4_t flo_tanh_4(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1), two = vdupq_n_f32(2);

    return vsubq_f32(one, vdivq_f32(two, vaddq_f32(flo_exp_4(vmulq_f32(x, two)), one)));
}

#endif

/* Math: small functions on four floats, for CPUs without AVX2 (SSE4.1 is
 * enough).  Half floats are widened with integer instructions, as these CPUs
 * lack F16C. */
#ifndef FLOTILLA_ENGINE_NARROW_MATH_H
#define FLOTILLA_ENGINE_NARROW_MATH_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifndef FLO_INLINE
#define FLO_INLINE static inline __attribute__((always_inline))
#endif

FLO_INLINE float flo_sum_4(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}

FLO_INLINE float flo_max_4(__m128 v)
{
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 1)));
}

/* Converts four half floats, in the low 64 bits.  The exponent is raised by
 * 112; that of infinity and NaN by another 112.  A subnormal gets an exponent
 * that is subtracted again as a float, which avoids slow arithmetic on
 * subnormals. */
FLO_INLINE __m128 flo_float_of_half_4(__m128i halves)
{
    const __m128i bias = _mm_set1_epi32(112 << 23);
    const __m128i least = _mm_set1_epi32(1 << 23);
    __m128i h = _mm_cvtepu16_epi32(halves);
    __m128i sign = _mm_slli_epi32(_mm_srli_epi32(h, 15), 31);
    __m128i rest = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x7fff)), 13);
    __m128i is_far = _mm_cmpgt_epi32(rest, _mm_set1_epi32(0x0f7fffff));
    __m128i v = _mm_add_epi32(rest, bias);

    __m128i is_small = _mm_cmpgt_epi32(least, rest);
    v = _mm_add_epi32(v, _mm_and_si128(is_far, bias));
    v = _mm_add_epi32(v, _mm_and_si128(is_small, least));
    __m128 taken =
        _mm_and_ps(_mm_castsi128_ps(is_small), _mm_castsi128_ps(_mm_set1_epi32(113 << 23)));
    return _mm_or_ps(_mm_sub_ps(_mm_castsi128_ps(v), taken), _mm_castsi128_ps(sign));
}

FLO_INLINE __m128 flo_load_half_4(const void *p)
{
    return flo_float_of_half_4(_mm_loadl_epi64(p));
}

/* exp(x) as flo_exp_8() of the AVX2 kernel: relative error below 3e-7, 0 below
 * -87.3, NaN stays NaN. */
FLO_INLINE __m128 flo_exp_4(__m128 x)
{
    static const float factors[] = {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1, 1};
    const __m128 low = _mm_set1_ps(-87.3f), high = _mm_set1_ps(88.7f);
    const __m128i bias = _mm_set1_epi32(127);
    __m128 is_low = _mm_cmplt_ps(x, low);
    __m128 n, r, p = _mm_set1_ps(1.0f / 720);

    /* min and max give their second operand when one is NaN. */
    x = _mm_min_ps(high, _mm_max_ps(low, x));
    n = _mm_round_ps(_mm_mul_ps(x, _mm_set1_ps(1.44269504f)),
                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    r = _mm_sub_ps(x, _mm_mul_ps(n, _mm_set1_ps(0.693145752f)));
    r = _mm_sub_ps(r, _mm_mul_ps(n, _mm_set1_ps(1.42860677e-6f)));
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) {
        p = _mm_add_ps(_mm_mul_ps(p, r), _mm_set1_ps(factors[i]));
    }
    /* 2^n in two factors, so that n = 128 does not overflow by itself. */
    __m128i exponent = _mm_cvtps_epi32(n);
    __m128i half = _mm_srai_epi32(exponent, 1);
    __m128i rest = _mm_sub_epi32(exponent, half);
    p = _mm_mul_ps(p, _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(half, bias), 23)));
    p = _mm_mul_ps(p, _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(rest, bias), 23)));
    return _mm_andnot_ps(is_low, p);
}

/* tanh(x), absolute error below 3e-7; NaN stays NaN. */
FLO_INLINE __m128 flo_tanh_4(__m128 x)
{
    const __m128 one = _mm_set1_ps(1), two = _mm_set1_ps(2);
    __m128 e = flo_exp_4(_mm_mul_ps(x, two));

    return _mm_sub_ps(one, _mm_div_ps(two, _mm_add_ps(e, one)));
}

#endif

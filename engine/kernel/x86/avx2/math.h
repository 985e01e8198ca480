/* AVX2 math: small vector functions that the AVX2 files share. */
#ifndef FLOTILLA_ENGINE_AVX2_MATH_H
#define FLOTILLA_ENGINE_AVX2_MATH_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define FLO_INLINE static inline __attribute__((always_inline))

FLO_INLINE float flo_sum_8(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

FLO_INLINE float flo_max_8(__m256 v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    s = _mm_max_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

FLO_INLINE float flo_half(const void *p)
{
    uint16_t half;

    memcpy(&half, p, sizeof(half));
    return _cvtsh_ss(half);
}

/* Converts eight half floats to floats. */
FLO_INLINE __m256 flo_load_half_8(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}

/* exp(x), relative error below 2e-7; 0 below -87.3; NaN stays NaN.
 * exp(x) = 2^n * exp(r), |r| <= ln 2 / 2, by the Taylor polynomial of degree
 * 6 (its first missing term is 1.3e-7 of the result at the ends). */
FLO_INLINE __m256 flo_exp_8(__m256 x)
{
    const __m256 low = _mm256_set1_ps(-87.3f), high = _mm256_set1_ps(88.7f);
    __m256 is_low = _mm256_cmp_ps(x, low, _CMP_LT_OQ);
    __m256 n, r, p;
    __m256i exponent;

    /* min and max give their second operand when one is NaN. */
    x = _mm256_min_ps(high, _mm256_max_ps(low, x));
    n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f), r);
    p = _mm256_set1_ps(1.0f / 720);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    /* 2^n in two factors, so that n = 128 does not overflow by itself. */
    exponent = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(exponent, 1);
    __m256i rest = _mm256_sub_epi32(exponent, half);
    const __m256i bias = _mm256_set1_epi32(127);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
    return _mm256_andnot_ps(is_low, p);
}

/* tanh(x), absolute error below 2e-7; NaN stays NaN. */
FLO_INLINE __m256 flo_tanh_8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1), two = _mm256_set1_ps(2);
    __m256 e = flo_exp_8(_mm256_mul_ps(x, two));

    return _mm256_sub_ps(one, _mm256_div_ps(two, _mm256_add_ps(e, one)));
}

#endif

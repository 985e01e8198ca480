/* AVX-512 math: small vector functions that the AVX-512 files share. */
#ifndef FLOTILLA_ENGINE_AVX512_MATH_H
#define FLOTILLA_ENGINE_AVX512_MATH_H

#include "engine/kernel/x86/avx2/math.h"

/* Sums 16 lanes, always in this order: halves, then as flo_sum_8(). */
FLO_INLINE float flo_sum_16(__m512 v)
{
    return flo_sum_8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

/* Converts 16 half floats to floats. */
FLO_INLINE __m512 flo_load_half_16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

/* exp(x) with the same polynomial as flo_exp_8(); 0 below -87.3; NaN stays
 * NaN. */
FLO_INLINE __m512 flo_exp_16(__m512 x)
{
    const __m512 low = _mm512_set1_ps(-87.3f), high = _mm512_set1_ps(88.7f);
    __mmask16 is_in = _mm512_cmp_ps_mask(x, low, _CMP_NLT_UQ);
    __m512 n, r, p;

    /* min and max give their second operand when one is NaN. */
    x = _mm512_min_ps(high, _mm512_max_ps(low, x));
    n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    p = _mm512_set1_ps(1.0f / 720);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(is_in, p, n);
}

/* tanh(x), absolute error below 2e-7; NaN stays NaN. */
FLO_INLINE __m512 flo_tanh_16(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1), two = _mm512_set1_ps(2);
    __m512 e = flo_exp_16(_mm512_mul_ps(x, two));

    return _mm512_sub_ps(one, _mm512_div_ps(two, _mm512_add_ps(e, one)));
}

#endif

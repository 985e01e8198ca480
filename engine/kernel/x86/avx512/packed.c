/* AVX-512 kernel: products with packed weights (packed_strips.h), 16 rows at a
 * time. */
#include "engine/kernel/x86/avx512/avx512.h"

#define FLO_LANES 16
#define FLO_HAS_VNNI true
#define FLO_PACKED_NAME(type) flo_avx512_packed_##type
#include "engine/kernel/x86/packed_strips.h"

FLO_INLINE float quantise_block(const float *v, const int bytes, int8_t *codes, int32_t *sums)
{
    const float code_max = bytes == 1 ? 127.0f : (float)CODE_MAX_16;
    const __m512i round = _mm512_set1_epi32(128);
    __m512 a = _mm512_loadu_ps(v), b = _mm512_loadu_ps(v + 16);
    __m512 poison = _mm512_mul_ps(a, _mm512_setzero_ps());

    poison = _mm512_fmadd_ps(b, _mm512_setzero_ps(), poison);
    if (_mm512_cmp_ps_mask(poison, poison, _CMP_UNORD_Q) != 0) {
        memset(codes, 0, (size_t)bytes * FLO_CODE_BLOCK);
        sums[0] = sums[1] = 0;
        return NAN;
    }
    float scale =
        _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b))) / code_max;
    __m512 inverse = _mm512_set1_ps(scale > 1e-38f ? 1.0f / scale : 0.0f);
    __m512i p = _mm512_cvtps_epi32(_mm512_mul_ps(a, inverse));
    __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(b, inverse));
    __m128i *to = (__m128i *)(void *)codes;

    if (bytes == 2) {
        __m512i high = _mm512_srai_epi32(_mm512_add_epi32(p, round), 8);
        _mm_storeu_si128(to++, _mm512_cvtepi32_epi8(high));
        high = _mm512_srai_epi32(_mm512_add_epi32(q, round), 8);
        _mm_storeu_si128(to++, _mm512_cvtepi32_epi8(high));
    }
    _mm_storeu_si128(to, _mm512_cvtepi32_epi8(p));
    _mm_storeu_si128(to + 1, _mm512_cvtepi32_epi8(q));
    sums[1] = -_mm512_reduce_add_epi32(p);
    sums[0] = sums[1] - _mm512_reduce_add_epi32(q);
    return scale;
}

void flo_avx512_packed_quantise(const float *values, const struct flo_activations *out, size_t t)
{
    quantise(quantise_block, values, out, t);
}

/* Tokens: makes the packed form of tokens with AVX2, for kernels with eight
 * lanes.  Include it after packed_strips.h, which describes the form. */
#ifndef FLOTILLA_ENGINE_AVX2_TOKENS_H
#define FLOTILLA_ENGINE_AVX2_TOKENS_H

#include "engine/kernel/x86/packed_strips.h"

FLO_INLINE int sum_8(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 1)));
}

/* Stores the low bytes of 32 numbers. */
FLO_INLINE void store_bytes(const __m256i *n, int8_t *out)
{
    const __m256i low = _mm256_set1_epi32(255);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i a = _mm256_packus_epi32(n[0] & low, n[1] & low);
    __m256i b = _mm256_packus_epi32(n[2] & low, n[3] & low);

    a = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
    _mm256_storeu_si256((__m256i *)(void *)out, a);
}

/* Returns the high bytes of 16-bit codes. */
FLO_INLINE __m256i high_bytes(__m256i n)
{
    if (FLO_RADIX == 256) {
        n = _mm256_add_epi32(n, _mm256_set1_epi32(128));
        return _mm256_srai_epi32(n, 8);
    }
    return _mm256_cvtps_epi32(
        _mm256_mul_ps(_mm256_cvtepi32_ps(n), _mm256_set1_ps(1.0f / FLO_RADIX)));
}

FLO_INLINE float quantise_block(const float *v, const int bytes, int8_t *codes, int32_t *sums)
{
    const __m256i no_sign = _mm256_set1_epi32(0x7fffffff);
    __m256i bits[4], n[4], high[4], most = _mm256_setzero_si256();
    float most_of_8[8], largest = 0;

    /* Converts to whole numbers; a non-finite value becomes the largest. */
    for (int i = 0; i < 4; i++) {
        bits[i] = _mm256_loadu_si256((const void *)(v + i * 8));
        most = _mm256_max_epi32(most, bits[i] & no_sign);
    }
    if (_mm256_movemask_epi8(_mm256_cmpgt_epi32(most, _mm256_set1_epi32(0x7f7fffff))) != 0) {
        memset(codes, 0, (size_t)bytes * FLO_CODE_BLOCK);
        sums[0] = sums[1] = 0;
        return NAN;
    }
    _mm256_storeu_ps(most_of_8, _mm256_castsi256_ps(most));
    for (int i = 0; i < 8; i++) {
        largest = most_of_8[i] > largest ? most_of_8[i] : largest;
    }
    float scale = largest / (bytes == 1 ? 127.0f : (float)CODE_MAX_16);
    __m256 inverse = _mm256_set1_ps(scale > 1e-38f ? 1.0f / scale : 0.0f);
    for (int i = 0; i < 4; i++) {
        n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_castsi256_ps(bits[i]), inverse));
    }
    sums[1] = -sum_8(_mm256_add_epi32(n[0], n[1]));
    sums[0] = sums[1] - sum_8(_mm256_add_epi32(n[2], n[3]));
    if (bytes == 2) {
        for (int i = 0; i < 4; i++) {
            high[i] = high_bytes(n[i]);
            n[i] =
                _mm256_sub_epi32(n[i], _mm256_mullo_epi32(high[i], _mm256_set1_epi32(FLO_RADIX)));
        }
        store_bytes(high, codes);
        codes += FLO_CODE_BLOCK;
    }
    store_bytes(n, codes);
    return scale;
}

FLO_INLINE void flo_quantise_packed(const float *values, const struct flo_activations *out,
                                    size_t t)
{
    quantise(quantise_block, values, out, t);
}

#endif

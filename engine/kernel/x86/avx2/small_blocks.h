/* Small blocks: unpacks MXFP4 and the types of less than 4 bits in AVX2
 * registers, in the form of blocks.h.
 *
 * Patterns of codebooks are looked up by plain code, eight levels at a time
 * (codebook.h); signs and scales are vectors. */
#ifndef FLOTILLA_ENGINE_AVX2_SMALL_BLOCKS_H
#define FLOTILLA_ENGINE_AVX2_SMALL_BLOCKS_H

#include <stdbool.h>

#include "base/quant/codebook.h"
#include "engine/kernel/x86/avx2/blocks.h"

/* ---- MXFP4 ---- */

FLO_INLINE struct flo_scales scales_mxfp4(const uint8_t *p, size_t parts)
{
    const __m128i byte = _mm_set1_epi32(255);
    struct flo_words w = flo_words(p, sizeof(struct flo_block_mxfp4), parts);
    __m256i e = _mm256_set_m128i(_mm_and_si128(w.high, byte), _mm_and_si128(w.low, byte));
    __m256i ends = _mm256_or_si256(_mm256_cmpeq_epi32(e, _mm256_setzero_si256()),
                                   _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255)));

    /* 2^(e - 127): the bit below the exponent gives 2^-127 for 0, NaN for 255 */
    ends = _mm256_and_si256(ends, _mm256_set1_epi32(0x00400000));
    e = _mm256_or_si256(_mm256_slli_epi32(e, 23), ends);
    return (struct flo_scales){_mm256_mul_ps(_mm256_castsi256_ps(e), _mm256_set1_ps(0.5f)),
                               _mm256_setzero_ps()};
}

FLO_INLINE struct flo_codes codes_mxfp4(const uint8_t *p, size_t part)
{
    return flo_codes_of_grid(p + part * sizeof(struct flo_block_mxfp4) + 1, flo_quant_e2m1_grid);
}

/* ---- three levels ---- */

FLO_INLINE struct flo_scales scales_tq2_0(const uint8_t *p, size_t parts)
{
    (void)parts;
    return flo_scales_one(p + 64);
}

FLO_INLINE struct flo_codes codes_tq2_0(const uint8_t *p, size_t part)
{
    const __m128i one = _mm_set1_epi8(1);
    const uint8_t *q = p + part / 4 * 32;

    return flo_codes_of_bytes(_mm_sub_epi8(flo_bytes_q2_k(q, part), one),
                              _mm_sub_epi8(flo_bytes_q2_k(q + 16, part), one));
}

FLO_INLINE struct flo_scales scales_tq1_0(const uint8_t *p, size_t parts)
{
    (void)parts;
    return flo_scales_one(p + 52);
}

/* Returns the digit in base 3 of 16 bytes, minus 1.  A product with 3^n cuts the
 * n digits before it off. */
FLO_INLINE __m256i flo_digits(__m128i bytes, __m256i powers)
{
    const __m256i byte = _mm256_set1_epi16(255);
    __m256i rest = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(bytes), powers);

    rest = _mm256_mullo_epi16(_mm256_and_si256(rest, byte), _mm256_set1_epi16(3));
    return _mm256_sub_epi16(_mm256_srli_epi16(rest, 8), _mm256_set1_epi16(1));
}

FLO_INLINE __m256i flo_power_of_3(size_t n)
{
    static const int16_t powers[] = {1, 3, 9, 27, 81};

    return _mm256_set1_epi16(powers[n]);
}

/* Unpacks the codes.  32 bytes have five parts, 16 bytes the next two and a half,
 * and the last four bytes four codes each. */
FLO_INLINE struct flo_codes codes_tq1_0(const uint8_t *p, size_t part)
{
    size_t n = part < 5 ? part : (part - 5) * 2;
    __m128i low = flo_load_16(part < 5 ? p : p + 32);
    __m128i high = flo_load_16(part < 5 ? p + 16 : p + 32);
    __m256i powers = flo_power_of_3(part < 5 || part == 7 ? n : n + 1);

    if (part == 7) {
        int rest;

        memcpy(&rest, p + 48, sizeof(rest));
        high = _mm_set1_epi32(rest);
        powers = _mm256_setr_epi16(1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27);
    }
    return (struct flo_codes){flo_digits(low, flo_power_of_3(n)), flo_digits(high, powers)};
}

/* ---- codebooks ---- */

/* Returns d times the uneven numbers that four bits mean. */
FLO_INLINE struct flo_scales flo_scales_uneven(__m256i bits, float d)
{
    __m256i uneven = _mm256_add_epi32(_mm256_add_epi32(bits, bits), _mm256_set1_epi32(1));

    return (struct flo_scales){_mm256_mul_ps(_mm256_cvtepi32_ps(uneven), _mm256_set1_ps(d)),
                               _mm256_setzero_ps()};
}

/* Returns the scale of a group whose codes are multiplied with their own. */
FLO_INLINE struct flo_scales flo_scales_same(float d)
{
    return (struct flo_scales){_mm256_set1_ps(d), _mm256_setzero_ps()};
}

FLO_INLINE struct flo_scales scales_iq2_xxs(const uint8_t *p, size_t parts)
{
    struct flo_words w = flo_words(p + 6, 8, parts);

    return flo_scales_uneven(_mm256_srli_epi32(_mm256_set_m128i(w.high, w.low), 28),
                             flo_half(p) * 0.125f);
}

FLO_INLINE struct flo_scales scales_iq2_xs(const uint8_t *p, size_t parts)
{
    (void)parts;
    return flo_scales_same(flo_half(p) * 0.125f);
}

FLO_INLINE struct flo_scales scales_iq2_s(const uint8_t *p, size_t parts)
{
    (void)parts;
    return flo_scales_same(flo_half(p) * 0.125f);
}

FLO_INLINE struct flo_scales scales_iq3_xxs(const uint8_t *p, size_t parts)
{
    __m256i words = _mm256_loadu_si256((const void *)(p + 66));

    (void)parts;
    return flo_scales_uneven(_mm256_srli_epi32(words, 28), flo_half(p) * 0.25f);
}

FLO_INLINE struct flo_scales scales_iq3_s(const uint8_t *p, size_t parts)
{
    int word;

    (void)parts;
    memcpy(&word, p + 106, sizeof(word));
    __m256i bits =
        _mm256_srlv_epi32(_mm256_set1_epi32(word), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    return flo_scales_uneven(_mm256_and_si256(bits, _mm256_set1_epi32(15)), flo_half(p));
}

FLO_INLINE struct flo_scales scales_iq1_s(const uint8_t *p, size_t parts)
{
    __m256i words = _mm256_cvtepu16_epi32(flo_load_16(p + 34));

    (void)parts;
    words = _mm256_and_si256(_mm256_srli_epi32(words, 12), _mm256_set1_epi32(7));
    return flo_scales_uneven(words, flo_half(p) * 0.125f);
}

FLO_INLINE struct flo_scales scales_iq1_m(const uint8_t *p, size_t parts)
{
    (void)parts;
    return flo_scales_same(flo_f16_to_f32(flo_quant_iq1_m_d((const void *)p)) * 0.125f);
}

/* Kinds of levels: with a sign, or with an eighth that is added or
 * subtracted. */
enum flo_levels_kind { FLO_LEVELS_SIGNED, FLO_LEVELS_EIGHTH };

/* Puts 32 codes together; with `has_halves` they are multiplied with their
 * scales. */
FLO_INLINE struct flo_codes flo_codes_of_patterns(const struct flo_quant_patterns *from,
                                                  const enum flo_levels_kind kind,
                                                  const bool has_halves)
{
    const __m256i bits = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    const __m256i places =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    __m256i levels = _mm256_setr_epi64x((long long)from->levels[0], (long long)from->levels[1],
                                        (long long)from->levels[2], (long long)from->levels[3]);
    __m256i signs = _mm256_shuffle_epi8(_mm256_set1_epi32((int)from->signs), places);

    signs = _mm256_cmpeq_epi8(_mm256_and_si256(signs, bits), bits);
    if (kind == FLO_LEVELS_EIGHTH) {
        levels = _mm256_add_epi8(levels, _mm256_or_si256(signs, _mm256_set1_epi8(1)));
    } else {
        levels = _mm256_sub_epi8(_mm256_xor_si256(levels, signs), signs);
    }
    __m128i low = _mm256_castsi256_si128(levels), high = _mm256_extracti128_si256(levels, 1);
    if (has_halves) {
        return (struct flo_codes){flo_scaled(low, from->scales[0]),
                                  flo_scaled(high, from->scales[1])};
    }
    return flo_codes_of_bytes(low, high);
}

#define CODES(name, kind, has_halves)                                                              \
    FLO_INLINE struct flo_codes codes_##name(const uint8_t *p, size_t part)                        \
    {                                                                                              \
        struct flo_quant_patterns patterns;                                                        \
                                                                                                   \
        flo_patterns_##name(p, part, &patterns);                                                   \
        return flo_codes_of_patterns(&patterns, kind, has_halves);                                 \
    }

CODES(iq2_xxs, FLO_LEVELS_SIGNED, false)
CODES(iq2_xs, FLO_LEVELS_SIGNED, true)
CODES(iq2_s, FLO_LEVELS_SIGNED, true)
CODES(iq3_xxs, FLO_LEVELS_SIGNED, false)
CODES(iq3_s, FLO_LEVELS_SIGNED, false)
CODES(iq1_s, FLO_LEVELS_EIGHTH, false)
CODES(iq1_m, FLO_LEVELS_EIGHTH, true)
#undef CODES

/* ---- the list ---- */

/* Calls X for each type, as FLO_AVX2_TYPES() does. */
#define FLO_AVX2_SMALL_TYPES(X)                                                                    \
    X(mxfp4, 136, FLO_OFFSETS_NONE, minima_none)                                                   \
    X(tq1_0, 54, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(tq2_0, 66, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(iq2_xxs, 66, FLO_OFFSETS_NONE, minima_none)                                                  \
    X(iq2_xs, 74, FLO_OFFSETS_NONE, minima_none)                                                   \
    X(iq2_s, 82, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(iq3_xxs, 98, FLO_OFFSETS_NONE, minima_none)                                                  \
    X(iq3_s, 110, FLO_OFFSETS_NONE, minima_none)                                                   \
    X(iq1_s, 50, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(iq1_m, 56, FLO_OFFSETS_NONE, minima_none)

#endif

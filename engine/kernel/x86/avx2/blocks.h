/* Blocks: unpacks the blocks of quantised types in AVX2 registers (those of
 * MXFP4 and of less than 4 bits: small_blocks.h).
 *
 * A type is read in groups of 256 weights: eight blocks of a 32-value type, one
 * block of a 256-value type.  For a group, scales_<type>() gives eight scales
 * and offsets, and codes_<type>() the 32 codes of one of its parts: weight =
 * scale * code + offset.  For types whose scale changes every 16 weights, the
 * codes are already multiplied with it (|code| <= 4096).  A row may end inside
 * a group of 32-value blocks: `parts` says how many of its parts exist. */
#ifndef FLOTILLA_ENGINE_AVX2_BLOCKS_H
#define FLOTILLA_ENGINE_AVX2_BLOCKS_H

#include "base/quant/quant.h"
#include "engine/kernel/x86/avx2/math.h"

enum { FLO_PARTS = 8 }; /* parts of a group, 32 weights each */

struct flo_codes { /* 16 signed 16-bit codes each */
    __m256i low, high;
};

struct flo_scales { /* scales of the eight parts of a group */
    __m256 scales, offsets;
};

/* ---- pieces ---- */

FLO_INLINE __m128i flo_load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const void *)p);
}

/* Widens 32 signed bytes. */
FLO_INLINE struct flo_codes flo_codes_of_bytes(__m128i low, __m128i high)
{
    return (struct flo_codes){_mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high)};
}

FLO_INLINE __m128i flo_low_nibbles(__m128i bytes)
{
    return _mm_and_si128(bytes, _mm_set1_epi8(15));
}

FLO_INLINE __m128i flo_high_nibbles(__m128i bytes)
{
    return flo_low_nibbles(_mm_srli_epi16(bytes, 4));
}

/* Loads 16 unsigned bytes as 16-bit numbers. */
FLO_INLINE __m256i flo_load_wide(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(flo_load_16(p));
}

/* Unpacks 16 bytes: values 0..15 are the low nibbles, 16..31 the high ones. */
FLO_INLINE struct flo_codes flo_codes_of_nibbles(const uint8_t *p)
{
    __m256i bytes = flo_load_wide(p);

    return (struct flo_codes){_mm256_and_si256(bytes, _mm256_set1_epi16(15)),
                              _mm256_srli_epi16(bytes, 4)};
}

/* Returns 16 words, each all ones if its bit is set in the two bytes at p. */
FLO_INLINE __m256i flo_words_of_bits(const uint8_t *p)
{
    const __m256i bits = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
                                           8192, 16384, (short)32768u);
    int16_t both;

    memcpy(&both, p, sizeof(both));
    return _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(both), bits), bits);
}

/* Four bytes of each of eight parts, read at p, p + step and so on: `low` has
 * those of parts 0 to 3, `high` those of parts 4 to 7.  Missing parts give 0.
 * They are combined in registers, because a load of what was just stored would
 * wait. */
struct flo_words {
    __m128i low, high;
};

FLO_INLINE __m128i flo_word(const uint8_t *p, size_t step, size_t part, size_t parts)
{
    int word = 0;

    if (part < parts) {
        memcpy(&word, p + part * step, sizeof(word));
    }
    return _mm_cvtsi32_si128(word);
}

FLO_INLINE struct flo_words flo_words(const uint8_t *p, size_t step, size_t parts)
{
    __m128i a = _mm_unpacklo_epi32(flo_word(p, step, 0, parts), flo_word(p, step, 1, parts));
    __m128i b = _mm_unpacklo_epi32(flo_word(p, step, 2, parts), flo_word(p, step, 3, parts));
    __m128i c = _mm_unpacklo_epi32(flo_word(p, step, 4, parts), flo_word(p, step, 5, parts));
    __m128i d = _mm_unpacklo_epi32(flo_word(p, step, 6, parts), flo_word(p, step, 7, parts));

    return (struct flo_words){_mm_unpacklo_epi64(a, b), _mm_unpacklo_epi64(c, d)};
}

/* Reads the scales of blocks that begin with an f16 scale. */
FLO_INLINE struct flo_scales flo_scales_alone(const uint8_t *p, size_t step, size_t parts)
{
    const __m128i low_halves = _mm_set1_epi32(0xffff);
    struct flo_words w = flo_words(p, step, parts);
    __m128i halves =
        _mm_packus_epi32(_mm_and_si128(w.low, low_halves), _mm_and_si128(w.high, low_halves));

    return (struct flo_scales){_mm256_cvtph_ps(halves), _mm256_setzero_ps()};
}

/* Reads the scales of blocks that begin with an f16 scale and an f16 offset. */
FLO_INLINE struct flo_scales flo_scales_pair(const uint8_t *p, size_t step, size_t parts)
{
    const __m128i low_halves = _mm_set1_epi32(0xffff);
    struct flo_words w = flo_words(p, step, parts);
    __m128i scales =
        _mm_packus_epi32(_mm_and_si128(w.low, low_halves), _mm_and_si128(w.high, low_halves));
    __m128i offsets = _mm_packus_epi32(_mm_srli_epi32(w.low, 16), _mm_srli_epi32(w.high, 16));

    return (struct flo_scales){_mm256_cvtph_ps(scales), _mm256_cvtph_ps(offsets)};
}

/* Converts eight unsigned bytes to floats. */
FLO_INLINE __m256 flo_floats_of_bytes(uint64_t bytes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes)));
}

/* ---- types of 32 values ---- */

FLO_INLINE struct flo_scales scales_q4_0(const uint8_t *p, size_t parts)
{
    return flo_scales_alone(p, sizeof(struct flo_block_q4_0), parts);
}

/* Unpacks the codes: code - 8 is the nibble with its top bit inverted, as a
 * signed number. */
FLO_INLINE struct flo_codes codes_q4_0(const uint8_t *p, size_t part)
{
    __m128i bytes = flo_load_16(p + part * sizeof(struct flo_block_q4_0) + 2);
    __m256i both = _mm256_cvtepi8_epi16(_mm_xor_si128(bytes, _mm_set1_epi8((char)0x88)));

    return (struct flo_codes){_mm256_srai_epi16(_mm256_slli_epi16(both, 12), 12),
                              _mm256_srai_epi16(both, 4)};
}

FLO_INLINE struct flo_scales scales_q4_1(const uint8_t *p, size_t parts)
{
    return flo_scales_pair(p, sizeof(struct flo_block_q4_1), parts);
}

FLO_INLINE struct flo_codes codes_q4_1(const uint8_t *p, size_t part)
{
    return flo_codes_of_nibbles(p + part * sizeof(struct flo_block_q4_1) + 4);
}

FLO_INLINE struct flo_scales scales_q5_0(const uint8_t *p, size_t parts)
{
    return flo_scales_alone(p, sizeof(struct flo_block_q5_0), parts);
}

/* Unpacks the codes as code - 16: if the fifth bit is 0, all bits above the
 * nibble are 1. */
FLO_INLINE struct flo_codes codes_q5_0(const uint8_t *p, size_t part)
{
    const uint8_t *block = p + part * sizeof(struct flo_block_q5_0);
    const __m256i top = _mm256_set1_epi16(-16);
    struct flo_codes c = flo_codes_of_nibbles(block + 6);

    return (struct flo_codes){
        _mm256_or_si256(c.low, _mm256_andnot_si256(flo_words_of_bits(block + 2), top)),
        _mm256_or_si256(c.high, _mm256_andnot_si256(flo_words_of_bits(block + 4), top))};
}

FLO_INLINE struct flo_scales scales_q5_1(const uint8_t *p, size_t parts)
{
    return flo_scales_pair(p, sizeof(struct flo_block_q5_1), parts);
}

FLO_INLINE struct flo_codes codes_q5_1(const uint8_t *p, size_t part)
{
    const uint8_t *block = p + part * sizeof(struct flo_block_q5_1);
    const __m256i fifth = _mm256_set1_epi16(16);
    struct flo_codes c = flo_codes_of_nibbles(block + 8);

    return (struct flo_codes){
        _mm256_or_si256(c.low, _mm256_and_si256(flo_words_of_bits(block + 4), fifth)),
        _mm256_or_si256(c.high, _mm256_and_si256(flo_words_of_bits(block + 6), fifth))};
}

FLO_INLINE struct flo_scales scales_q8_0(const uint8_t *p, size_t parts)
{
    return flo_scales_alone(p, sizeof(struct flo_block_q8_0), parts);
}

FLO_INLINE struct flo_codes codes_q8_0(const uint8_t *p, size_t part)
{
    const uint8_t *q = p + part * sizeof(struct flo_block_q8_0) + 2;

    return flo_codes_of_bytes(flo_load_16(q), flo_load_16(q + 16));
}

/* Maps nibbles through a table of 16 levels. */
FLO_INLINE struct flo_codes flo_codes_of_grid(const uint8_t *p, const int8_t *levels)
{
    __m128i grid = flo_load_16((const uint8_t *)levels);
    __m128i bytes = flo_load_16(p);

    return flo_codes_of_bytes(_mm_shuffle_epi8(grid, flo_low_nibbles(bytes)),
                              _mm_shuffle_epi8(grid, flo_high_nibbles(bytes)));
}

FLO_INLINE struct flo_scales scales_iq4_nl(const uint8_t *p, size_t parts)
{
    return flo_scales_alone(p, sizeof(struct flo_block_iq4_nl), parts);
}

FLO_INLINE struct flo_codes codes_iq4_nl(const uint8_t *p, size_t part)
{
    return flo_codes_of_grid(p + part * sizeof(struct flo_block_iq4_nl) + 2, flo_quant_iq4_grid);
}

/* ---- types of 256 values ---- */

/* Reads eight pairs of 6 bits from 12 bytes (flo_quant_k4_scale()). */
FLO_INLINE struct flo_scales scales_q4_k(const uint8_t *p, size_t parts)
{
    const uint32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, two = 0x30303030;
    uint32_t word[3];

    (void)parts;
    memcpy(word, p + 4, sizeof(word));
    uint64_t scales = (word[2] & four) | (word[0] >> 2 & two);
    uint64_t minima = (word[2] >> 4 & four) | (word[1] >> 2 & two);
    scales = scales << 32 | (word[0] & six);
    minima = minima << 32 | (word[1] & six);
    return (struct flo_scales){
        _mm256_mul_ps(flo_floats_of_bytes(scales), _mm256_set1_ps(flo_half(p))),
        _mm256_mul_ps(flo_floats_of_bytes(minima), _mm256_set1_ps(-flo_half(p + 2)))};
}

/* Reads nibbles: 32 bytes hold parts 2k (low) and 2k + 1 (high). */
FLO_INLINE void flo_nibbles_k4(const uint8_t *nibbles, size_t part, __m128i *low, __m128i *high)
{
    *low = flo_load_16(nibbles + part / 2 * 32);
    *high = flo_load_16(nibbles + part / 2 * 32 + 16);
    *low = part % 2 ? flo_high_nibbles(*low) : flo_low_nibbles(*low);
    *high = part % 2 ? flo_high_nibbles(*high) : flo_low_nibbles(*high);
}

FLO_INLINE struct flo_codes codes_q4_k(const uint8_t *p, size_t part)
{
    __m256i low = flo_load_wide(p + 16 + part / 2 * 32);
    __m256i high = flo_load_wide(p + 32 + part / 2 * 32);
    const __m256i nibble = _mm256_set1_epi16(15);

    if (part % 2 != 0) {
        return (struct flo_codes){_mm256_srli_epi16(low, 4), _mm256_srli_epi16(high, 4)};
    }
    return (struct flo_codes){_mm256_and_si256(low, nibble), _mm256_and_si256(high, nibble)};
}

FLO_INLINE struct flo_scales scales_q5_k(const uint8_t *p, size_t parts)
{
    return scales_q4_k(p, parts);
}

/* Returns bit `part` of 16 bytes, as 16 or 0. */
FLO_INLINE __m128i flo_fifth_k(const uint8_t *p, size_t part)
{
    __m128i is = _mm_set1_epi8((char)(1u << part));
    __m128i bits = _mm_and_si128(flo_load_16(p), is);

    return _mm_and_si128(_mm_cmpeq_epi8(bits, is), _mm_set1_epi8(16));
}

FLO_INLINE struct flo_codes codes_q5_k(const uint8_t *p, size_t part)
{
    __m128i low, high;

    flo_nibbles_k4(p + 48, part, &low, &high);
    return flo_codes_of_bytes(_mm_or_si128(low, flo_fifth_k(p + 16, part)),
                              _mm_or_si128(high, flo_fifth_k(p + 32, part)));
}

/* Returns the same scale for all parts of a group. */
FLO_INLINE struct flo_scales flo_scales_one(const uint8_t *half)
{
    return (struct flo_scales){_mm256_set1_ps(flo_half(half)), _mm256_setzero_ps()};
}

/* Returns 16 signed bytes times their scale. */
FLO_INLINE __m256i flo_scaled(__m128i bytes, int scale)
{
    return _mm256_mullo_epi16(_mm256_cvtepi8_epi16(bytes), _mm256_set1_epi16((short)scale));
}

FLO_INLINE struct flo_scales scales_q6_k(const uint8_t *p, size_t parts)
{
    (void)parts;
    return flo_scales_one(p + 208);
}

/* Unpacks 16 codes of 6 bits, minus 32. */
FLO_INLINE __m128i flo_bytes_q6_k(const uint8_t *low, const uint8_t *high, size_t group)
{
    __m128i q = flo_load_16(low), h = flo_load_16(high);

    q = group >= 2 ? flo_high_nibbles(q) : flo_low_nibbles(q);
    h = _mm_and_si128(_mm_srli_epi16(h, (int)group * 2), _mm_set1_epi8(3));
    q = _mm_or_si128(q, _mm_slli_epi16(h, 4));
    return _mm_sub_epi8(q, _mm_set1_epi8(32));
}

FLO_INLINE struct flo_codes codes_q6_k(const uint8_t *p, size_t part)
{
    const uint8_t *low = p + part / 4 * 64 + part % 2 * 32;
    const uint8_t *high = p + 128 + part / 4 * 32;
    const int8_t *scales = (const int8_t *)p + 192 + part * 2;

    return (struct flo_codes){flo_scaled(flo_bytes_q6_k(low, high, part % 4), scales[0]),
                              flo_scaled(flo_bytes_q6_k(low + 16, high + 16, part % 4), scales[1])};
}

/* Unpacks 16 codes of 2 bits. */
FLO_INLINE __m128i flo_bytes_q2_k(const uint8_t *q, size_t part)
{
    __m128i bytes = _mm_srli_epi16(flo_load_16(q), (int)(part % 4) * 2);

    return _mm_and_si128(bytes, _mm_set1_epi8(3));
}

FLO_INLINE struct flo_scales scales_q3_k(const uint8_t *p, size_t parts)
{
    (void)parts;
    return flo_scales_one(p + 108);
}

/* Unpacks 16 codes of 3 bits, minus 4; a set third bit adds the 4 again. */
FLO_INLINE __m128i flo_bytes_q3_k(const uint8_t *high, const uint8_t *q, size_t part)
{
    __m128i is = _mm_set1_epi8((char)(1u << part));
    __m128i has = _mm_cmpeq_epi8(_mm_and_si128(flo_load_16(high), is), is);

    return _mm_sub_epi8(flo_bytes_q2_k(q, part), _mm_andnot_si128(has, _mm_set1_epi8(4)));
}

FLO_INLINE struct flo_codes codes_q3_k(const uint8_t *p, size_t part)
{
    const uint8_t *q = p + 32 + part / 4 * 32, *scales = p + 96;

    return (struct flo_codes){
        flo_scaled(flo_bytes_q3_k(p, q, part), flo_quant_k3_scale(scales, part * 2)),
        flo_scaled(flo_bytes_q3_k(p + 16, q + 16, part), flo_quant_k3_scale(scales, part * 2 + 1))};
}

/* Reads the scale of a group, and the offset with which minima_q2_k() is
 * multiplied. */
FLO_INLINE struct flo_scales scales_q2_k(const uint8_t *p, size_t parts)
{
    (void)parts;
    return (struct flo_scales){_mm256_set1_ps(flo_half(p + 80)), _mm256_set1_ps(-flo_half(p + 82))};
}

FLO_INLINE struct flo_codes codes_q2_k(const uint8_t *p, size_t part)
{
    const uint8_t *q = p + 16 + part / 4 * 32, *scales = p + part * 2;

    return (struct flo_codes){flo_scaled(flo_bytes_q2_k(q, part), scales[0] & 15),
                              flo_scaled(flo_bytes_q2_k(q + 16, part), scales[1] & 15)};
}

/* Unpacks the minima of a part, one for each 16 weights.  The group's offset is
 * multiplied with them later. */
FLO_INLINE struct flo_codes minima_q2_k(const uint8_t *p, size_t part)
{
    return (struct flo_codes){_mm256_set1_epi16(p[part * 2] >> 4),
                              _mm256_set1_epi16(p[part * 2 + 1] >> 4)};
}

FLO_INLINE struct flo_scales scales_iq4_xs(const uint8_t *p, size_t parts)
{
    uint32_t low;
    uint16_t high;

    (void)parts;
    memcpy(&high, p + 2, sizeof(high));
    memcpy(&low, p + 4, sizeof(low));
    __m256i four = _mm256_srlv_epi32(_mm256_set1_epi32((int)low),
                                     _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    __m256i two =
        _mm256_srlv_epi32(_mm256_set1_epi32(high), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
    four = _mm256_and_si256(four, _mm256_set1_epi32(15));
    two = _mm256_slli_epi32(_mm256_and_si256(two, _mm256_set1_epi32(3)), 4);
    __m256i scale = _mm256_sub_epi32(_mm256_or_si256(four, two), _mm256_set1_epi32(32));
    return (struct flo_scales){
        _mm256_mul_ps(_mm256_cvtepi32_ps(scale), _mm256_set1_ps(flo_half(p))), _mm256_setzero_ps()};
}

FLO_INLINE struct flo_codes codes_iq4_xs(const uint8_t *p, size_t part)
{
    return flo_codes_of_grid(p + 8 + part * 16, flo_quant_iq4_grid);
}

/* Returns zeros, for types without minima. */
FLO_INLINE struct flo_codes minima_none(const uint8_t *p, size_t part)
{
    (void)p;
    (void)part;
    return (struct flo_codes){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

/* ---- the list ---- */

enum flo_offsets {
    FLO_OFFSETS_NONE,
    FLO_OFFSETS_BY_32, /* offsets of flo_scales */
    FLO_OFFSETS_BY_16, /* offsets of flo_scales, times a minimum for each 16 weights */
};

typedef struct flo_scales flo_scales_fn(const uint8_t *group, size_t parts);
typedef struct flo_codes flo_codes_fn(const uint8_t *group, size_t part);

/* Calls X for each type: its name, the bytes of a group of 256 weights, the
 * kind of its offsets, and the function for its minima. */
#define FLO_AVX2_TYPES(X)                                                                          \
    X(q4_0, 144, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(q4_1, 160, FLO_OFFSETS_BY_32, minima_none)                                                   \
    X(q5_0, 176, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(q5_1, 192, FLO_OFFSETS_BY_32, minima_none)                                                   \
    X(q8_0, 272, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(iq4_nl, 144, FLO_OFFSETS_NONE, minima_none)                                                  \
    X(q2_k, 84, FLO_OFFSETS_BY_16, minima_q2_k)                                                    \
    X(q3_k, 110, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(q4_k, 144, FLO_OFFSETS_BY_32, minima_none)                                                   \
    X(q5_k, 176, FLO_OFFSETS_BY_32, minima_none)                                                   \
    X(q6_k, 210, FLO_OFFSETS_NONE, minima_none)                                                    \
    X(iq4_xs, 136, FLO_OFFSETS_NONE, minima_none)

#endif

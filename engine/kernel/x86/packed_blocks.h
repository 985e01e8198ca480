/* Packed blocks: 32 columns of a strip, unpacked into registers of any width.
 *
 * The including file first defines the width (FLO_LANES rows: 16 with AVX-512,
 * 8 with AVX2, else 4) and whether its CPUs have VNNI (FLO_HAS_VNNI).
 *
 * codes_<type>() gives the eight groups of four columns as unsigned bytes, per
 * row: code + 2^shift.  Codes that fill a signed byte are made unsigned for
 * VNNI only; packed_dot.h multiplies them unchanged elsewhere.  scales_<kind>()
 * gives the factors of a row's sums. */
#ifndef FLOTILLA_ENGINE_PACKED_BLOCKS_H
#define FLOTILLA_ENGINE_PACKED_BLOCKS_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/quant/quant.h"

#define FLO_INLINE static inline __attribute__((always_inline))

#ifndef FLO_LANES /* this header alone */
#define FLO_LANES 8
#define FLO_HAS_VNNI false
#define FLO_PACKED_NAME(type) flo_packed_##type
#endif
#if FLO_LANES == 4
#include "engine/kernel/x86/narrow/math.h"
#endif
#if FLO_LANES == 16
#define OP(name) _mm512_##name
#define FLO_REPEAT_16 _mm512_broadcast_i32x4
typedef __m512i flo_ints;
typedef __m512 flo_floats;
typedef __m256i flo_halves;
#elif FLO_LANES == 8
#define OP(name) _mm256_##name
#define FLO_REPEAT_16 _mm256_broadcastsi128_si256
typedef __m256i flo_ints;
typedef __m256 flo_floats;
typedef __m128i flo_halves;
#else
#define OP(name) _mm_##name
#define FLO_REPEAT_16(v) (v)
typedef __m128i flo_ints;
typedef __m128 flo_floats;
typedef uint64_t flo_halves;
#endif

#ifdef __FMA__
#define FLO_MULTIPLY_ADD(a, b, c) OP(fmadd_ps)(a, b, c)
#else
#define FLO_MULTIPLY_ADD(a, b, c) OP(add_ps)(OP(mul_ps)(a, b), c)
#endif

enum { FLO_GROUPS = 8 }; /* 4 columns each */

/* Scales of a type, which decide how its sums are combined. */
enum flo_scales_kind {                  /* those per 32 columns first */
                       FLO_SCALES_HALF, /* one f16 scale per 32 columns */
                       FLO_SCALES_E8M0, /* one power of two per 32 columns */
                       FLO_SCALES_PAIR, /* one f16 scale and one f16 offset per 32 columns */
                       FLO_SCALES_BYTE, /* one f16 scale per 256 columns, times a byte per 32 */
                       FLO_SCALES_LESS, /* one f16 scale per 256 columns, of codes less 1 */
                       FLO_SCALES_K4, /* f16 per 256 columns times a byte per 32, for a scale and a
                                         minimum */
                       FLO_SCALES_16, /* one f16 scale per 256 columns, times a byte per 16 */
                       FLO_SCALES_K2, /* f16 per 256 columns times a byte per 16, for a scale and a
                                         minimum */
};

FLO_INLINE bool flo_has_minima(const enum flo_scales_kind kind)
{
    return kind == FLO_SCALES_PAIR || kind == FLO_SCALES_LESS || kind == FLO_SCALES_K4 ||
           kind == FLO_SCALES_K2;
}

struct flo_weights_32 {
    flo_ints codes[FLO_GROUPS];
    /* [0] and [1]: scales of the first and of the last 16 columns; or [0]
     * alone: the scale of all 32 */
    flo_floats scales[2];
    flo_floats minima[2]; /* numbers that are subtracted, times the sum of the input's codes */
};

typedef void flo_codes_32_fn(const uint8_t *high, const uint8_t *low, flo_ints *out);

/* ---- codes ---- */

FLO_INLINE flo_ints flo_load_ints(const uint8_t *p)
{
    flo_ints v;

    memcpy(&v, p, sizeof(v));
    return v;
}

FLO_INLINE __m128i flo_load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const void *)p);
}

/* Shifts bits so that the one at `from` moves to `to`; other bits move
 * along. */
FLO_INLINE flo_ints flo_move_bits(flo_ints v, const int from, const int to)
{
    if (to > from) {
        return OP(slli_epi16)(v, (unsigned)(to - from));
    }
    return to < from ? OP(srli_epi16)(v, (unsigned)(from - to)) : v;
}

/* Unpacks a plane of 2 or 4 bits. */
FLO_INLINE void flo_codes_of_plane(const int bits, const uint8_t *low, flo_ints *out)
{
    const flo_ints mask = OP(set1_epi8)((char)((1 << bits) - 1));

#pragma GCC unroll 4
    for (int i = 0; i < bits; i++) {
        flo_ints v = flo_load_ints(low + i * 64);

#pragma GCC unroll 4
        for (int g = i; g < FLO_GROUPS; g += bits) {
            out[g] = flo_move_bits(v, g / bits * bits, 0) & mask;
        }
    }
}

/* Adds a plane of 1 or 2 bits above codes of `below` bits. */
FLO_INLINE void flo_add_plane(const int bits, const int below, const uint8_t *high, flo_ints *out)
{
    const flo_ints mask = OP(set1_epi8)((char)(((1 << bits) - 1) << below));

#pragma GCC unroll 2
    for (int i = 0; i < bits; i++) {
        flo_ints v = flo_load_ints(high + i * 64);

#pragma GCC unroll 8
        for (int g = i; g < FLO_GROUPS; g += bits) {
            out[g] |= flo_move_bits(v, g / bits * bits, below) & mask;
        }
    }
}

FLO_INLINE void codes_2(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    (void)high;
    flo_codes_of_plane(2, low, out);
}

FLO_INLINE void codes_3(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    flo_codes_of_plane(2, low, out);
    flo_add_plane(1, 2, high, out);
}

FLO_INLINE void codes_4(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    (void)high;
    flo_codes_of_plane(4, low, out);
}

FLO_INLINE void codes_5(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    flo_codes_of_plane(4, low, out);
    flo_add_plane(1, 4, high, out);
}

FLO_INLINE void codes_6(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    flo_codes_of_plane(4, low, out);
    flo_add_plane(2, 4, high, out);
}

/* Converts signed codes to the form that products need (packed_dot.h). */
FLO_INLINE flo_ints flo_signed_codes(flo_ints v)
{
    if (FLO_HAS_VNNI) {
        v ^= OP(set1_epi8)((char)0x80);
    }
    return v;
}

FLO_INLINE void codes_8(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    (void)high;
#pragma GCC unroll 8
    for (int g = 0; g < FLO_GROUPS; g++) {
        out[g] = flo_signed_codes(flo_load_ints(low + g * 64));
    }
}

/* Maps nibbles through the table of the IQ4 types. */
FLO_INLINE void codes_grid(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    const flo_ints grid =
        flo_signed_codes(FLO_REPEAT_16(flo_load_16((const uint8_t *)flo_quant_iq4_grid)));

    (void)high;
    flo_codes_of_plane(4, low, out);
#pragma GCC unroll 8
    for (int g = 0; g < FLO_GROUPS; g++) {
        out[g] = OP(shuffle_epi8)(grid, out[g]);
    }
}

/* Maps nibbles to floats of 4 bits, doubled, plus 16. */
FLO_INLINE void codes_e2m1(const uint8_t *high, const uint8_t *low, flo_ints *out)
{
    const flo_ints grid = OP(add_epi8)(
        FLO_REPEAT_16(flo_load_16((const uint8_t *)flo_quant_e2m1_grid)), OP(set1_epi8)(16));

    (void)high;
    flo_codes_of_plane(4, low, out);
#pragma GCC unroll 8
    for (int g = 0; g < FLO_GROUPS; g++) {
        out[g] = OP(shuffle_epi8)(grid, out[g]);
    }
}

/* ---- scales ---- */

/* Loads an f16 of each row. */
FLO_INLINE flo_floats flo_load_halves(const uint8_t *p)
{
    flo_halves v;

    memcpy(&v, p, sizeof(v));
#if FLO_LANES == 4
    return flo_float_of_half_4(_mm_cvtsi64_si128((int64_t)v));
#else
    return OP(cvtph_ps)(v);
#endif
}

/* Returns 2^(e - 128) for a byte e of each row, and NaN for 255. */
FLO_INLINE flo_floats flo_powers_of_two(__m128i bytes)
{
    const __m128i least = _mm_setzero_si128(), most = _mm_cmpeq_epi8(least, least);
    /* The bit below the exponent is set at both ends: it makes 2^-127 of 0, and
     * NaN of infinity. */
    __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(bytes, least), _mm_cmpeq_epi8(bytes, most));
    flo_ints below = OP(cvtepu8_epi32)(_mm_and_si128(ends, _mm_set1_epi8(0x40)));
    flo_ints bits = OP(slli_epi32)(OP(cvtepu8_epi32)(bytes), 23) | OP(slli_epi32)(below, 16);

    return OP(mul_ps)((flo_floats)bits, OP(set1_ps)(0.5f));
}

/* Returns d times a signed byte of each row. */
FLO_INLINE flo_floats flo_times_signed(flo_floats d, __m128i bytes)
{
    return OP(mul_ps)(d, OP(cvtepi32_ps)(OP(cvtepi8_epi32)(bytes)));
}

/* The f16 scales of a group, per row: d, and dmin (or -m) if the type has
 * one. */
struct flo_group {
    flo_floats d, dmin;
};

FLO_INLINE struct flo_group flo_read_group(const enum flo_scales_kind kind, const uint8_t *halves)
{
    struct flo_group g;

    if (kind == FLO_SCALES_E8M0) {
        return (struct flo_group){0};
    }
    g.d = flo_load_halves(halves);
    if (flo_has_minima(kind) && kind != FLO_SCALES_LESS) {
        g.dmin = flo_load_halves(halves + 32);
    }
    if (kind == FLO_SCALES_PAIR) {
        g.dmin = OP(sub_ps)(OP(setzero_ps)(), g.dmin);
    }
    return g;
}

/* Computes the factors for a block, which begins at `scales`. */
FLO_INLINE void flo_scales_32(const enum flo_scales_kind kind, const struct flo_group *group,
                              const uint8_t *scales, struct flo_weights_32 *out)
{
    const __m128i nibble = _mm_set1_epi8(15);
    const flo_floats d = group->d, dmin = group->dmin;
    __m128i first, second;

    switch (kind) {
    case FLO_SCALES_HALF:
        out->scales[0] = d;
        break;
    case FLO_SCALES_E8M0:
        out->scales[0] = flo_powers_of_two(flo_load_16(scales));
        break;
    case FLO_SCALES_PAIR:
        out->scales[0] = d;
        out->minima[0] = dmin;
        break;
    case FLO_SCALES_LESS:
        out->scales[0] = out->minima[0] = d;
        break;
    case FLO_SCALES_BYTE:
        out->scales[0] = flo_times_signed(d, flo_load_16(scales));
        break;
    case FLO_SCALES_K4: /* below 64 */
        out->scales[0] = flo_times_signed(d, flo_load_16(scales));
        out->minima[0] = flo_times_signed(dmin, flo_load_16(scales + 16));
        break;
    case FLO_SCALES_16:
        out->scales[0] = flo_times_signed(d, flo_load_16(scales));
        out->scales[1] = flo_times_signed(d, flo_load_16(scales + 16));
        break;
    default:
        first = flo_load_16(scales);
        second = flo_load_16(scales + 16);
        out->scales[0] = flo_times_signed(d, _mm_and_si128(first, nibble));
        out->scales[1] = flo_times_signed(d, _mm_and_si128(second, nibble));
        first = _mm_srli_epi16(first, 4);
        second = _mm_srli_epi16(second, 4);
        out->minima[0] = flo_times_signed(dmin, _mm_and_si128(first, nibble));
        out->minima[1] = flo_times_signed(dmin, _mm_and_si128(second, nibble));
        break;
    }
}

#endif

/* Sums of products of unpacked weights with tokens' codes, by VNNI or without.
 *
 * VNNI adds four products of an unsigned and a signed byte to a 32-bit sum.
 * Elsewhere vpmaddubsw adds two of them into 16 bits, which must not overflow:
 * so many groups are added there as the largest code allows, and widened once.
 * A code that is a whole signed byte has no room for another: its size is
 * multiplied with the token's code of its sign, and each pair is widened.
 *
 * Codes of 16 bits are two signed bytes, high * FLO_RADIX + low.  With VNNI
 * the radix is 256.  Elsewhere it is 254, so that no byte is -128: a sign that
 * is turned then always fits, and so do sums of FLO_CODE_BYTE_MAX. */
#ifndef FLOTILLA_ENGINE_PACKED_DOT_H
#define FLOTILLA_ENGINE_PACKED_DOT_H

#include "engine/kernel/kernel.h"
#include "engine/kernel/x86/packed_blocks.h"

enum {
    FLO_CODE_BYTE_MAX = 127,
    FLO_SIGNED = 255, /* for the largest code: see struct form */
    FLO_SIGNED_SHIFT = FLO_HAS_VNNI ? 7 : 0,
    FLO_RADIX = FLO_HAS_VNNI ? 256 : 254,
    /* Sums begin with an integer given; else it is added afterwards, as a
     * register for it is missing until then. */
    FLO_STARTS = FLO_HAS_VNNI,
    /* So that the high byte ends at 127, however it is rounded. */
    FLO_CODE_MAX_16 = FLO_HAS_VNNI ? 127 * 256 : 127 * 254 + 126,
};

FLO_INLINE flo_ints flo_broadcast(const void *p)
{
    int32_t value;

    memcpy(&value, p, sizeof(value));
    return OP(set1_epi32)(value);
}

/* FLO_RADIX * high + low */
FLO_INLINE flo_ints flo_join(flo_ints high, flo_ints low)
{
    flo_ints v = OP(add_epi32)(OP(slli_epi32)(high, 8), low);

    return FLO_RADIX == 256 ? v : OP(sub_epi32)(v, OP(add_epi32)(high, high));
}

#if FLO_HAS_VNNI

typedef int32_t flo_four_codes __attribute__((may_alias, aligned(1)));

#if FLO_LANES == 16 || defined(FLO_VNNI_OF_AVX512)
#define FLO_HAS_EVEX true
#else
#define FLO_HAS_EVEX false
#endif

/* acc += w . x, four columns in every lane. */
FLO_INLINE flo_ints flo_dot(flo_ints acc, flo_ints w, flo_ints x)
{
#if FLO_HAS_EVEX
    return OP(dpbusd_epi32)(acc, w, x);
#else
    return _mm256_dpbusd_avx_epi32(acc, w, x);
#endif
}

/* The same with the four codes at x for all lanes.  gcc 12 makes two
 * instructions of a broadcast and a product where EVEX has one. */
FLO_INLINE flo_ints flo_dot_4(flo_ints acc, flo_ints w, const int8_t *x)
{
#if FLO_HAS_EVEX
    const flo_four_codes *codes = (const void *)x;

    __asm__("vpdpbusd %2%{1to%c3%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*codes), "i"(FLO_LANES));
    return acc;
#else
    return flo_dot(acc, w, flo_broadcast(x));
#endif
}

/* Sums of `groups` groups of N tokens that lie `step` bytes apart and of S
 * registers of rows, added to acc. */
FLO_INLINE void flo_dot_groups(const int S, const int N, const int groups, const size_t step,
                               const struct flo_weights_32 *w, const int from, const int8_t *x,
                               flo_ints acc[][4])
{
#pragma GCC unroll 8
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            const int8_t *codes = x + (size_t)t * step + g * 4;

            if (S == 1) {
                acc[0][t] = flo_dot_4(acc[0][t], w->codes[from + g], codes);
            } else {
                flo_ints four = flo_broadcast(codes);

#pragma GCC unroll 4
                for (int s = 0; s < S; s++) {
                    acc[s][t] = flo_dot(acc[s][t], w[s].codes[from + g], four);
                }
            }
        }
    }
}

/* For both bytes of codes; acc begins with what `start` says. */
FLO_INLINE void flo_dot_codes(const int S, const int N, const int most, const int groups,
                              const int bytes, const struct flo_weights_32 *w, const int from,
                              const int8_t *x, const flo_ints *start, flo_ints acc[][4])
{
    const size_t step = (size_t)bytes * FLO_CODE_BLOCK;

    (void)most;
    if (bytes == 2) {
#pragma GCC unroll 4
        for (int s = 0; s < S; s++) {
#pragma GCC unroll 4
            for (int t = 0; t < N; t++) {
                acc[s][t] = OP(set1_epi32)(0);
            }
        }
        flo_dot_groups(S, N, groups, step, w, from, x, acc);
        x += FLO_CODE_BLOCK;
    }
#pragma GCC unroll 4
    for (int s = 0; s < S; s++) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            acc[s][t] = bytes == 2 ? flo_join(acc[s][t], start[t]) : start[t];
        }
    }
    flo_dot_groups(S, N, groups, step, w, from, x, acc);
}

#else /* without VNNI */

/* gcc 12 would put all products first and add them up afterwards, for which
 * there are not registers enough. */
#define FLO_IN_ORDER(v) __asm__("" : "+x"(v))

/* Sums of two columns' products, 16 bits each. */
FLO_INLINE flo_ints flo_pairs(const int most, flo_ints w, flo_ints x)
{
    if (most == FLO_SIGNED) {
        return OP(maddubs_epi16)(OP(abs_epi8)(w), OP(sign_epi8)(x, w));
    }
    return OP(maddubs_epi16)(w, x);
}

/* Sums of `groups` groups of N tokens that lie `step` bytes apart and of S
 * registers of rows. */
FLO_INLINE void flo_dot_groups(const int S, const int N, const int most, const int groups,
                               const size_t step, const struct flo_weights_32 *w, const int from,
                               const int8_t *x, flo_ints out[][4])
{
    /* Groups whose pairs fit into 16 bits together. */
    const int chain = most == FLO_SIGNED ? 1 : INT16_MAX / (2 * most * FLO_CODE_BYTE_MAX);
    const flo_ints ones = OP(set1_epi16)(1);
    flo_ints sum[4][4];

#pragma GCC unroll 8
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            flo_ints four = flo_broadcast(x + (size_t)t * step + g * 4);

#pragma GCC unroll 4
            for (int s = 0; s < S; s++) {
                flo_ints p = flo_pairs(most, w[s].codes[from + g], four);

                sum[s][t] = g % chain == 0 ? p : OP(add_epi16)(sum[s][t], p);
                FLO_IN_ORDER(sum[s][t]);
                if (g % chain == chain - 1 || g == groups - 1) {
                    p = OP(madd_epi16)(sum[s][t], ones);
                    out[s][t] = g < chain ? p : OP(add_epi32)(out[s][t], p);
                    FLO_IN_ORDER(out[s][t]);
                }
            }
        }
    }
}

/* For both bytes of codes. */
FLO_INLINE void flo_dot_codes(const int S, const int N, const int most, const int groups,
                              const int bytes, const struct flo_weights_32 *w, const int from,
                              const int8_t *x, const flo_ints *start, flo_ints out[][4])
{
    const size_t step = (size_t)bytes * FLO_CODE_BLOCK;
    flo_ints high[4][4];

    (void)start;
    if (bytes == 2) {
        flo_dot_groups(S, N, most, groups, step, w, from, x, high);
        x += FLO_CODE_BLOCK;
    }
    flo_dot_groups(S, N, most, groups, step, w, from, x, out);
#pragma GCC unroll 4
    for (int s = 0; bytes == 2 && s < S; s++) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            out[s][t] = flo_join(high[s][t], out[s][t]);
        }
    }
}

#endif

#endif

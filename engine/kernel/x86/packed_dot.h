/* Packed dot: products of unpacked weights with tokens' codes, summed with VNNI
 * or without.
 *
 * VNNI adds four products of an unsigned and a signed byte to a 32-bit sum.
 * Elsewhere vpmaddubsw adds two products into 16 bits, which must not overflow:
 * as many groups are added as the largest code allows, and then widened once.
 * Codes that fill a signed byte leave no room: their magnitude is multiplied
 * with the token's code times their sign, and each pair is widened.
 *
 * Codes of 16 bits are two signed bytes, high * FLO_RADIX + low.  With VNNI the
 * radix is 256.  Elsewhere it is 254, so that no byte is -128: a negated byte
 * then always fits, and so do sums of FLO_CODE_BYTE_MAX. */
#ifndef FLOTILLA_ENGINE_PACKED_DOT_H
#define FLOTILLA_ENGINE_PACKED_DOT_H

#include "engine/kernel/kernel.h"
#include "engine/kernel/x86/packed_blocks.h"

enum {
    FLO_CODE_BYTE_MAX = 127,
    FLO_SIGNED = 255, /* value of `most` in struct form for codes that fill a signed byte */
    FLO_SIGNED_SHIFT = FLO_HAS_VNNI ? 7 : 0,
    FLO_RADIX = FLO_HAS_VNNI ? 256 : 254,
    /* true: sums of products start at a given integer; false: it is added at
     * the end, because no register is free before */
    FLO_STARTS = FLO_HAS_VNNI,
    /* Largest 16-bit code, whose high byte is at most 127 after rounding. */
    FLO_CODE_MAX_16 = FLO_HAS_VNNI ? 127 * 256 : 127 * 254 + 126,
};

FLO_INLINE flo_ints flo_broadcast(const void *p)
{
    int32_t value;

    memcpy(&value, p, sizeof(value));
    return OP(set1_epi32)(value);
}

/* Returns FLO_RADIX * high + low. */
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

/* Returns acc + w . x, four columns per lane. */
FLO_INLINE flo_ints flo_dot(flo_ints acc, flo_ints w, flo_ints x)
{
#if FLO_HAS_EVEX
    return OP(dpbusd_epi32)(acc, w, x);
#else
    return _mm256_dpbusd_avx_epi32(acc, w, x);
#endif
}

/* Does what flo_dot() does, with the four codes at x in all lanes.  gcc 12
 * emits a broadcast and a product, where EVEX has one instruction. */
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

/* Sums `groups` groups for N tokens, which are `step` bytes apart, and S
 * registers of rows, and adds them to acc. */
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

/* Sums the products of both bytes of 16-bit codes.  The sums begin at
 * `start`. */
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

/* Keeps gcc 12 from doing all products before the sums, for which there are too
 * few registers. */
#define FLO_IN_ORDER(v) __asm__("" : "+x"(v))

/* Returns the sums of two columns' products, 16 bits each. */
FLO_INLINE flo_ints flo_pairs(const int most, flo_ints w, flo_ints x)
{
    if (most == FLO_SIGNED) {
        return OP(maddubs_epi16)(OP(abs_epi8)(w), OP(sign_epi8)(x, w));
    }
    return OP(maddubs_epi16)(w, x);
}

/* Sums `groups` groups for N tokens, which are `step` bytes apart, and S
 * registers of rows. */
FLO_INLINE void flo_dot_groups(const int S, const int N, const int most, const int groups,
                               const size_t step, const struct flo_weights_32 *w, const int from,
                               const int8_t *x, flo_ints out[][4])
{
    /* Number of groups whose sums fit into 16 bits together. */
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

/* Sums both bytes of 16-bit codes. */
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

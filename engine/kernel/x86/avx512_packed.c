/* AVX-512 kernel: products with packed weights, by VNNI.
 *
 * A strip of 16 rows meets a tile of tokens: 32 columns of weights are
 * unpacked into eight registers, and each token's codes are broadcast from
 * memory, four columns at a time.  Weights are unsigned there; what that adds
 * is taken off by the integer that the sums start with, exactly.  Codes of 16
 * bits are a high and a low byte: the high sums are shifted under the low
 * ones.  Each token has one float sum per row, to which every 32 columns add
 * once, in order: the same bits alone and in a batch.
 *
 * The packed form of tokens: tiles of TILE, in a tile block after block, in a
 * block token after token: codes (32 bytes; of 16 bits 32 high bytes, then 32
 * low ones), scale, and two sums of codes, negative: all 32, the first 16. */
#include "engine/kernel/x86/avx512.h"

#include <math.h>

#include "engine/kernel/pack.h"
#include "engine/kernel/x86/avx512_packed.h"

enum {
    TILE = 32,
    CODE_MAX_16 = 127 * 256, /* so that the high byte ends at 127 */
    AHEAD_BYTES = 3072,      /* how far prefetching looks */
};

/* Of one block of a tile. */
struct input {
    const int8_t *codes;
    const float *scales;
    const int32_t *sums;
};

static size_t tile_tokens(const struct flo_activations *x, size_t first)
{
    return x->tokens - first < TILE ? x->tokens - first : TILE;
}

/* ---- one block --------------------------------------------------------- */

FLO_INLINE __m512i broadcast(const void *p)
{
    int32_t value;

    memcpy(&value, p, sizeof(value));
    return _mm512_set1_epi32(value);
}

/* Sums of `groups` groups of N tokens that lie `step` bytes apart, added to
 * acc. */
FLO_INLINE void dot(const int N, const int groups, const size_t step,
                    const __m512i *w, const int8_t *x, __m512i *acc)
{
#pragma GCC unroll 8
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            acc[t] = _mm512_dpbusd_epi32(
                acc[t], w[g], broadcast(x + (size_t)t * step + g * 4));
        }
    }
}

/* The same for both bytes of codes; acc begins with what `start` says. */
FLO_INLINE void dot_codes(const int N, const int groups, const int bytes,
                          const __m512i *w, const int8_t *x,
                          const __m512i *start, __m512i *acc)
{
    const size_t step = (size_t)bytes * FLO_CODE_BLOCK;

    if (bytes == 2) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            acc[t] = _mm512_setzero_si512();
        }
        dot(N, groups, step, w, x, acc);
        x += FLO_CODE_BLOCK;
    }
#pragma GCC unroll 4
    for (int t = 0; t < N; t++) {
        acc[t] = bytes == 2
                     ? _mm512_add_epi32(_mm512_slli_epi32(acc[t], 8), start[t])
                     : start[t];
    }
    dot(N, groups, step, w, x, acc);
}

FLO_INLINE bool has_halves(const enum flo_scales_kind kind)
{
    return kind == FLO_SCALES_16 || kind == FLO_SCALES_K2;
}

FLO_INLINE bool has_minima(const enum flo_scales_kind kind)
{
    return kind == FLO_SCALES_PAIR || kind == FLO_SCALES_K4 ||
           kind == FLO_SCALES_K2;
}

/* -2^shift times the sum of a token's codes: `part` 0 of all, 1 of the first
 * 16, 2 of the last. */
FLO_INLINE __m512i start_sum(const int shift, const int part,
                             const int32_t *sums)
{
    __m512i v = broadcast(sums + (part == 1));

    if (part == 2) {
        v = _mm512_sub_epi32(v, broadcast(sums + 1));
    }
    return _mm512_slli_epi32(v, (unsigned)shift);
}

/* One block for N tokens: acc += scale * (weights . codes). */
FLO_INLINE void add_block(const int N, const enum flo_scales_kind kind,
                          const int shift, const int bytes,
                          const struct flo_weights_32 *w, struct input x,
                          __m512 *acc)
{
    const int halves = has_halves(kind) ? 2 : 1;
    __m512 sum[4];
    __m512i start[4], dots[4];

#pragma GCC unroll 2
    for (int h = halves - 1; h >= 0; h--) {
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            start[t] = shift == 0 ? _mm512_setzero_si512()
                                  : start_sum(shift, halves == 2 ? h + 1 : 0,
                                              x.sums + t * 2);
        }
        dot_codes(N, FLO_GROUPS / halves, bytes, w->codes + h * 4,
                  x.codes + h * 16, start, dots);
#pragma GCC unroll 4
        for (int t = 0; t < N; t++) {
            __m512 v = _mm512_cvtepi32_ps(dots[t]);

            sum[t] = h == halves - 1 ? _mm512_mul_ps(v, w->scales[h])
                                     : _mm512_fmadd_ps(v, w->scales[h], sum[t]);
            if (has_minima(kind)) {
                v = _mm512_cvtepi32_ps(
                    start_sum(0, halves == 2 ? h + 1 : 0, x.sums + t * 2));
                sum[t] = _mm512_fmadd_ps(v, w->minima[h], sum[t]);
            }
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < N; t++) {
        acc[t] = _mm512_fmadd_ps(sum[t], _mm512_set1_ps(x.scales[t]), acc[t]);
    }
}

FLO_INLINE struct input skip(struct input x, size_t tokens, const int bytes)
{
    return (struct input){
        x.codes + tokens * (size_t)bytes * FLO_CODE_BLOCK,
        x.scales + tokens,
        x.sums + tokens * 2,
    };
}

/* ---- strips ------------------------------------------------------------ */

struct strip {
    const uint8_t *begin;
    const struct flo_strip *at;
    size_t blocks;
    size_t high, low; /* bytes of a block */
    size_t ahead;     /* bytes to prefetch per block */
};

FLO_INLINE void read_block(flo_codes_32_fn *codes,
                           const enum flo_scales_kind kind,
                           const struct strip *s, size_t b,
                           struct flo_weights_32 *out)
{
    const uint8_t *next = s->begin + s->at->low + AHEAD_BYTES + b * s->ahead;

    for (size_t i = 0; i < s->ahead; i += 64) {
        _mm_prefetch((const void *)(next + i), _MM_HINT_T0);
    }
    codes(s->begin + s->at->high + b * s->high,
          s->begin + s->at->low + b * s->low, out->codes);
    flo_scales_32(kind, s->begin, s->begin + s->at->scales, b, out);
}

/* One token: its sums stay in a register. */
FLO_INLINE void strip_alone(flo_codes_32_fn *codes,
                            const enum flo_scales_kind kind, const int shift,
                            const int bytes, const struct strip *s,
                            struct input x, __m512 *acc)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t b = 0; b < s->blocks; b++) {
        struct flo_weights_32 w;

        read_block(codes, kind, s, b, &w);
        add_block(1, kind, shift, bytes, &w, x, &sum);
        x = skip(x, 1, bytes);
    }
    acc[0] = sum;
}

FLO_INLINE void strip_tile(flo_codes_32_fn *codes,
                           const enum flo_scales_kind kind, const int shift,
                           const int bytes, const struct strip *s,
                           struct input x, size_t tokens, __m512 *acc)
{
    for (size_t t = 0; t < tokens; t++) {
        acc[t] = _mm512_setzero_ps();
    }
    for (size_t b = 0; b < s->blocks; b++) {
        struct flo_weights_32 w;
        size_t t = 0;

        read_block(codes, kind, s, b, &w);
        for (; t + 4 <= tokens; t += 4) {
            add_block(4, kind, shift, bytes, &w, x, acc + t);
            x = skip(x, 4, bytes);
        }
        for (; t < tokens; t++) {
            add_block(1, kind, shift, bytes, &w, x, acc + t);
            x = skip(x, 1, bytes);
        }
    }
}

/* All tiles of tokens over all strips. */
FLO_INLINE void matmul(flo_codes_32_fn *codes, const enum flo_scales_kind kind,
                       const int shift, const int bytes, uint32_t type,
                       const uint8_t *weights, size_t strip_bytes, size_t rows,
                       const struct flo_activations *x, float *y, size_t stride)
{
    const struct flo_strip at = flo_strip_layout(type, x->columns);
    size_t blocks = x->columns / FLO_CODE_BLOCK;
    struct strip s = {.begin = weights,
                      .at = &at,
                      .blocks = blocks,
                      .high = (at.low - at.high) / blocks,
                      .low = (at.bytes - at.low) / blocks};
    const int8_t *all = (const int8_t *)x->codes;
    __m512 acc[TILE];

    for (size_t r = 0; r < rows; r += FLO_STRIP_ROWS) {
        size_t left = rows - r < FLO_STRIP_ROWS ? rows - r : FLO_STRIP_ROWS;
        __mmask16 mask = (__mmask16)((1u << left) - 1);

        s.ahead = strip_bytes / blocks;
        for (size_t first = 0; first < x->tokens; first += TILE) {
            size_t tokens = tile_tokens(x, first);
            struct input in =
                skip((struct input){all, x->scales, (const int32_t *)x->sums},
                     first * blocks, bytes);

            if (tokens == 1) {
                strip_alone(codes, kind, shift, bytes, &s, in, acc);
            } else {
                strip_tile(codes, kind, shift, bytes, &s, in, tokens, acc);
            }
            for (size_t t = 0; t < tokens; t++) {
                _mm512_mask_storeu_ps(y + (first + t) * stride + r, mask,
                                      acc[t]);
            }
            s.ahead = 0;
        }
        s.begin += strip_bytes;
    }
}

#define MATMUL_PACKED(type, id, codes, kind, shift)                            \
    void flo_avx512_packed_##type(                                             \
        const void *weights, size_t row_bytes, size_t rows,                    \
        const struct flo_activations *x, float *y, size_t stride)              \
    {                                                                          \
        if (x->precision == FLO_PRECISION_8) {                                 \
            matmul(codes, kind, shift, 1, id, weights, row_bytes, rows, x, y,  \
                   stride);                                                    \
        } else {                                                               \
            matmul(codes, kind, shift, 2, id, weights, row_bytes, rows, x, y,  \
                   stride);                                                    \
        }                                                                      \
    }

MATMUL_PACKED(q4_0, FLO_QUANT_Q4_0, codes_4, FLO_SCALES_HALF, 3)
MATMUL_PACKED(q4_1, FLO_QUANT_Q4_1, codes_4, FLO_SCALES_PAIR, 0)
MATMUL_PACKED(q5_0, FLO_QUANT_Q5_0, codes_5, FLO_SCALES_HALF, 4)
MATMUL_PACKED(q5_1, FLO_QUANT_Q5_1, codes_5, FLO_SCALES_PAIR, 0)
MATMUL_PACKED(q8_0, FLO_QUANT_Q8_0, codes_8, FLO_SCALES_HALF, 7)
MATMUL_PACKED(q2_k, FLO_QUANT_Q2_K, codes_2, FLO_SCALES_K2, 0)
MATMUL_PACKED(q3_k, FLO_QUANT_Q3_K, codes_3, FLO_SCALES_16, 2)
MATMUL_PACKED(q4_k, FLO_QUANT_Q4_K, codes_4, FLO_SCALES_K4, 0)
MATMUL_PACKED(q5_k, FLO_QUANT_Q5_K, codes_5, FLO_SCALES_K4, 0)
MATMUL_PACKED(q6_k, FLO_QUANT_Q6_K, codes_6, FLO_SCALES_16, 5)
MATMUL_PACKED(iq4_nl, FLO_QUANT_IQ4_NL, codes_grid, FLO_SCALES_HALF, 7)
MATMUL_PACKED(iq4_xs, FLO_QUANT_IQ4_XS, codes_grid, FLO_SCALES_BYTE, 7)

/* ---- the tokens' form -------------------------------------------------- */

/* One block of 32; returns its scale, NaN when a value is not finite. */
FLO_INLINE float quantise_block(const float *v, const int bytes, int8_t *codes,
                                int32_t *sums)
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
    float scale = _mm512_reduce_max_ps(
                      _mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b))) /
                  code_max;
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

FLO_INLINE void quantise(const float *values, const int bytes,
                         const struct flo_activations *out, size_t t)
{
    size_t blocks = out->columns / FLO_CODE_BLOCK;
    size_t first = t / TILE * TILE, step = tile_tokens(out, first);
    size_t at = first * blocks + (t - first);
    int8_t *codes = (int8_t *)out->codes;
    int32_t *sums = (int32_t *)(void *)out->sums;

    for (size_t b = 0; b < blocks; b++, at += step) {
        out->scales[at] = quantise_block(
            values + b * FLO_CODE_BLOCK, bytes,
            codes + at * (size_t)bytes * FLO_CODE_BLOCK, sums + at * 2);
    }
}

void flo_avx512_quantise_packed(const float *values,
                                const struct flo_activations *out, size_t t)
{
    if (out->precision == FLO_PRECISION_8) {
        quantise(values, 1, out, t);
    } else {
        quantise(values, 2, out, t);
    }
}

/* Kernel: a complete kernel for CPUs without AVX2, four rows or floats at a
 * time.
 *
 * sse42.c and avx.c include this file, each built for its own instruction set;
 * the code needs only SSE4.1.  The including file first defines the kernel's
 * name and CPU.  Small operations without exp() are plain C's: a compiler
 * vectorises them. */
#ifndef FLO_NARROW /* this header alone */
#define FLO_NARROW narrow
#define FLO_NAME "narrow"
#define FLO_CPU "sse4.2"
#endif
#define FLO_LANES 4
#define FLO_HAS_VNNI false
#define FLO_PASTE(a, b) a##b
#define FLO_KERNEL_OF(set) FLO_PASTE(flo_kernel_, set)
#define FLO_PACKED_OF(set, type) FLO_PASTE(flo_##set##_packed_, type)
#define FLO_PACKED_PASTE(set, type) FLO_PACKED_OF(set, type)
#define FLO_PACKED_NAME(type) FLO_PACKED_PASTE(FLO_NARROW, type)
#include "engine/kernel/x86/packed_strips.h"

#define FLO_RECUR_LANES 4
#define FLO_RECUR_PARTS 4
#include "engine/kernel/recur.h"
#include "engine/kernel/x86/narrow/attend.h"
#include "engine/kernel/x86/narrow/matmul.h"
#include "engine/kernel/x86/narrow/narrow.h"

/* ---- the packed form of tokens ---- */

FLO_INLINE int sum_of(__m128i v)
{
    v = _mm_add_epi32(v, _mm_unpackhi_epi64(v, v));
    return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 1)));
}

/* Stores 16 numbers from -127 to 127 as bytes. */
FLO_INLINE void store_bytes(const __m128i *n, int8_t *out)
{
    _mm_storeu_si128((__m128i *)(void *)out,
                     _mm_packs_epi16(_mm_packs_epi32(n[0], n[1]), _mm_packs_epi32(n[2], n[3])));
}

FLO_INLINE float quantise_block(const float *v, const int bytes, int8_t *codes, int32_t *sums)
{
    const __m128i no_sign = _mm_set1_epi32(0x7fffffff);
    const __m128i finite = _mm_set1_epi32(0x7f7fffff);
    __m128i n[8], high[8], most = _mm_setzero_si128();

    /* Converts to whole numbers; a non-finite value becomes the largest. */
    for (int i = 0; i < 8; i++) {
        n[i] = _mm_loadu_si128((const void *)(v + i * 4));
        most = _mm_max_epi32(most, _mm_and_si128(n[i], no_sign));
    }
    if (_mm_movemask_epi8(_mm_cmpgt_epi32(most, finite)) != 0) {
        memset(codes, 0, (size_t)bytes * FLO_CODE_BLOCK);
        sums[0] = sums[1] = 0;
        return NAN;
    }
    float scale = flo_max_4(_mm_castsi128_ps(most)) / (bytes == 1 ? 127.0f : (float)CODE_MAX_16);
    __m128 inverse = _mm_set1_ps(scale > 1e-38f ? 1.0f / scale : 0.0f);
    __m128i sum[2] = {0};

    for (int i = 0; i < 8; i++) {
        n[i] = _mm_cvtps_epi32(_mm_mul_ps(_mm_castsi128_ps(n[i]), inverse));
        sum[i / 4] = _mm_add_epi32(sum[i / 4], n[i]);
    }
    sums[1] = -sum_of(sum[0]);
    sums[0] = sums[1] - sum_of(sum[1]);
    if (bytes == 2) {
        for (int i = 0; i < 8; i++) {
            high[i] =
                _mm_cvtps_epi32(_mm_mul_ps(_mm_cvtepi32_ps(n[i]), _mm_set1_ps(1.0f / FLO_RADIX)));
            n[i] = _mm_sub_epi32(n[i], _mm_mullo_epi32(high[i], _mm_set1_epi32(FLO_RADIX)));
        }
        store_bytes(high, codes);
        store_bytes(high + 4, codes + 16);
        codes += FLO_CODE_BLOCK;
    }
    store_bytes(n, codes);
    store_bytes(n + 4, codes + 16);
    return scale;
}

static void narrow_quantise(const float *values, const struct flo_activations *out, size_t t)
{
    quantise(quantise_block, values, out, t);
}

/* ---- operations with exp() ---- */

static void narrow_silu_multiply(float *gate, const float *up, size_t count)
{
    const __m128 one = _mm_set1_ps(1), zero = _mm_setzero_ps();
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        __m128 v = _mm_loadu_ps(gate + i);
        __m128 down = _mm_add_ps(one, flo_exp_4(_mm_sub_ps(zero, v)));

        v = _mm_mul_ps(_mm_div_ps(v, down), _mm_loadu_ps(up + i));
        _mm_storeu_ps(gate + i, v);
    }
    flo_ref_silu_multiply(gate + i, up + i, count - i);
}

static void narrow_gelu_multiply(float *gate, const float *up, size_t count)
{
    const __m128 one = _mm_set1_ps(1);
    const __m128 cubic = _mm_set1_ps(0.044715f);
    const __m128 by = _mm_set1_ps(-2 * 0.797884561f);
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        __m128 v = _mm_loadu_ps(gate + i);
        __m128 u = _mm_add_ps(_mm_mul_ps(_mm_mul_ps(v, v), cubic), one);

        u = _mm_mul_ps(_mm_mul_ps(v, by), u);
        v = _mm_div_ps(v, _mm_add_ps(one, flo_exp_4(u)));
        if (up != NULL) {
            v = _mm_mul_ps(v, _mm_loadu_ps(up + i));
        }
        _mm_storeu_ps(gate + i, v);
    }
    flo_ref_gelu_multiply(gate + i, up == NULL ? NULL : up + i, count - i);
}

static void narrow_soft_cap(float *x, float cap, size_t count)
{
    const __m128 by = _mm_set1_ps(cap);
    const __m128 inverse = _mm_set1_ps(1.0f / cap);
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        __m128 v = _mm_mul_ps(_mm_loadu_ps(x + i), inverse);

        _mm_storeu_ps(x + i, _mm_mul_ps(flo_tanh_4(v), by));
    }
    flo_ref_soft_cap(x + i, cap, count - i);
}

static bool is_supported(void)
{
    return __builtin_cpu_supports(FLO_CPU);
}

static void narrow_recur(const struct flo_recurrence *recurrence, const float *added, float *out)
{
    flo_recur_step(recurrence, added, out);
}

static void narrow_recall(const struct flo_recurrence *recurrence, float *out)
{
    flo_recur_recall(recurrence, out);
}

#define FLO_PACKED_ROW(set, type, id) [FLO_QUANT_##id] = FLO_PACKED_NAME(type),

const struct flo_kernel FLO_KERNEL_OF(FLO_NARROW) = {
    .name = FLO_NAME,
    .is_supported = is_supported,
    .matmul = {FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_ROW, narrow_matmul_)
                   FLO_QUANT_CODE_TYPES(FLO_MATMUL_ROW, narrow_matmul_)},
    .matmul_packed = {FLO_QUANT_STRIP_TYPES(FLO_PACKED_ROW, )},
    .quantise = flo_ref_quantise,
    .quantise_packed = narrow_quantise,
    .rms_norm = flo_ref_rms_norm,
    .layer_norm = flo_ref_layer_norm,
    .rope_pairs = flo_ref_rope_pairs,
    .rope_halves = flo_ref_rope_halves,
    .silu_multiply = narrow_silu_multiply,
    .gelu_multiply = narrow_gelu_multiply,
    .soft_cap = narrow_soft_cap,
    .add = flo_ref_add,
    .low_rank_add = flo_ref_low_rank_add,
    .recur = narrow_recur,
    .recall = narrow_recall,
    .store = flo_ref_store,
    .attend = narrow_attend,
};

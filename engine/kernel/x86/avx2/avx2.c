/* AVX2 kernel (with FMA and F16C): its table, and the small operations. */
#include "engine/kernel/x86/avx2/avx2.h"
#include "engine/kernel/ref.h"
#include "engine/kernel/x86/avx2/math.h"

#include <cpuid.h>
#include <math.h>

/* Quantises one block of 32; returns its scale, NaN if a value is not
 * finite. */
FLO_INLINE float quantise_block(const float *x, float code_max, int16_t *codes, float *sum)
{
    const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 v[4], largest = _mm256_setzero_ps(), poison = _mm256_setzero_ps();
    __m256i n[4];

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + i * 8);
        largest = _mm256_max_ps(largest, _mm256_and_ps(v[i], no_sign));
        poison = _mm256_fmadd_ps(v[i], _mm256_setzero_ps(), poison);
    }
    if (_mm256_movemask_ps(_mm256_cmp_ps(poison, poison, _CMP_UNORD_Q)) != 0) {
        memset(codes, 0, FLO_CODE_BLOCK * sizeof(*codes));
        *sum = NAN;
        return NAN;
    }
    float scale = flo_max_8(largest) / code_max;
    __m256 inverse = _mm256_set1_ps(scale > 1e-38f ? 1.0f / scale : 0.0f);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
    }
    __m256i total = _mm256_add_epi32(_mm256_add_epi32(n[0], n[1]), _mm256_add_epi32(n[2], n[3]));
    /* The packs instruction takes the halves of 128 bits in turn, so the order
     * of the values is restored. */
    __m256i low = _mm256_permute4x64_epi64(_mm256_packs_epi32(n[0], n[1]), 0xd8);
    __m256i high = _mm256_permute4x64_epi64(_mm256_packs_epi32(n[2], n[3]), 0xd8);
    _mm256_storeu_si256((__m256i *)(void *)codes, low);
    _mm256_storeu_si256((__m256i *)(void *)(codes + 16), high);
    *sum = scale * flo_sum_8(_mm256_cvtepi32_ps(total));
    return scale;
}

void flo_avx2_quantise(const float *values, size_t columns, enum flo_precision precision,
                       int16_t *codes, float *scales, float *sums)
{
    float code_max = flo_code_max(precision);

    for (size_t b = 0; b < columns / FLO_CODE_BLOCK; b++) {
        size_t at = b * FLO_CODE_BLOCK;
        scales[b] = quantise_block(values + at, code_max, codes + at, &sums[b]);
    }
}

void flo_avx2_rms_norm(const float *x, const float *weight, float epsilon, size_t count, float *out)
{
    __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    float squares;
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        acc[0] = _mm256_fmadd_ps(a, a, acc[0]);
        acc[1] = _mm256_fmadd_ps(b, b, acc[1]);
    }
    squares = flo_sum_8(_mm256_add_ps(acc[0], acc[1]));
    for (; i < count; i++) {
        squares += x[i] * x[i];
    }
    float factor = 1.0f / sqrtf(squares / (float)count + epsilon);
    __m256 by = _mm256_set1_ps(factor);
    for (i = 0; i + 8 <= count; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), by);
        _mm256_storeu_ps(out + i, _mm256_mul_ps(v, _mm256_loadu_ps(weight + i)));
    }
    for (; i < count; i++) {
        out[i] = x[i] * factor * weight[i];
    }
}

void flo_avx2_layer_norm(const float *x, const float *weight, const float *bias, float epsilon,
                         size_t count, float *out)
{
    __m256 acc = _mm256_setzero_ps();
    float sum, squares;
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        acc = _mm256_add_ps(acc, _mm256_loadu_ps(x + i));
    }
    sum = flo_sum_8(acc);
    for (; i < count; i++) {
        sum += x[i];
    }
    const float mean = sum / (float)count;
    const __m256 middle = _mm256_set1_ps(mean);
    acc = _mm256_setzero_ps();
    for (i = 0; i + 8 <= count; i += 8) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i), middle);
        acc = _mm256_fmadd_ps(d, d, acc);
    }
    squares = flo_sum_8(acc);
    for (; i < count; i++) {
        squares += (x[i] - mean) * (x[i] - mean);
    }
    const float factor = 1.0f / sqrtf(squares / (float)count + epsilon);
    const __m256 by = _mm256_set1_ps(factor);
    for (i = 0; i + 8 <= count; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), middle), by);
        _mm256_storeu_ps(
            out + i, _mm256_fmadd_ps(v, _mm256_loadu_ps(weight + i), _mm256_loadu_ps(bias + i)));
    }
    for (; i < count; i++) {
        out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
    }
}

void flo_avx2_rope_halves(float *x, const float *cosines, const float *sines, size_t count)
{
    size_t half = count / 2, j = 0;

    for (; j + 8 <= half; j += 8) {
        __m256 a = _mm256_loadu_ps(x + j);
        __m256 b = _mm256_loadu_ps(x + half + j);
        __m256 c = _mm256_mul_ps(a, _mm256_loadu_ps(cosines + j));
        __m256 d = _mm256_mul_ps(b, _mm256_loadu_ps(cosines + half + j));

        _mm256_storeu_ps(x + j, _mm256_fmadd_ps(b, _mm256_loadu_ps(sines + j), c));
        _mm256_storeu_ps(x + half + j, _mm256_fmadd_ps(a, _mm256_loadu_ps(sines + half + j), d));
    }
    for (; j < half; j++) {
        float a = x[j], b = x[j + half];
        x[j] = a * cosines[j] + b * sines[j];
        x[j + half] = b * cosines[j + half] + a * sines[j + half];
    }
}

void flo_avx2_rope_pairs(float *x, const float *cosines, const float *sines, size_t count)
{
    size_t j = 0;

    for (; j + 8 <= count; j += 8) {
        __m256 v = _mm256_loadu_ps(x + j);
        __m256 other = _mm256_permute_ps(v, 0xb1);
        v = _mm256_mul_ps(v, _mm256_loadu_ps(cosines + j));
        _mm256_storeu_ps(x + j, _mm256_fmadd_ps(other, _mm256_loadu_ps(sines + j), v));
    }
    flo_ref_rope_pairs(x + j, cosines + j, sines + j, count - j);
}

void flo_avx2_silu_multiply(float *gate, const float *up, size_t count)
{
    const __m256 one = _mm256_set1_ps(1), zero = _mm256_setzero_ps();
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        __m256 v = _mm256_loadu_ps(gate + i);
        __m256 down = _mm256_add_ps(one, flo_exp_8(_mm256_sub_ps(zero, v)));
        v = _mm256_mul_ps(_mm256_div_ps(v, down), _mm256_loadu_ps(up + i));
        _mm256_storeu_ps(gate + i, v);
    }
    flo_ref_silu_multiply(gate + i, up + i, count - i);
}

void flo_avx2_gelu_multiply(float *gate, const float *up, size_t count)
{
    const __m256 one = _mm256_set1_ps(1);
    const __m256 cubic = _mm256_set1_ps(0.044715f);
    const __m256 by = _mm256_set1_ps(-2 * 0.797884561f);
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        __m256 v = _mm256_loadu_ps(gate + i);
        __m256 u = _mm256_fmadd_ps(_mm256_mul_ps(v, v), cubic, one);

        u = _mm256_mul_ps(_mm256_mul_ps(v, by), u);
        v = _mm256_div_ps(v, _mm256_add_ps(one, flo_exp_8(u)));
        if (up != NULL) {
            v = _mm256_mul_ps(v, _mm256_loadu_ps(up + i));
        }
        _mm256_storeu_ps(gate + i, v);
    }
    flo_ref_gelu_multiply(gate + i, up == NULL ? NULL : up + i, count - i);
}

void flo_avx2_soft_cap(float *x, float cap, size_t count)
{
    const __m256 by = _mm256_set1_ps(cap);
    const __m256 inverse = _mm256_set1_ps(1.0f / cap);
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), inverse);
        _mm256_storeu_ps(x + i, _mm256_mul_ps(flo_tanh_8(v), by));
    }
    flo_ref_soft_cap(x + i, cap, count - i);
}

void flo_avx2_add(float *x, const float *y, size_t count)
{
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        _mm256_storeu_ps(x + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    }
    flo_ref_add(x + i, y + i, count - i);
}

void flo_avx2_low_rank_add(const float *b, size_t stride, size_t rank, const float *low, float *y,
                           size_t rows)
{
    size_t i = 0;

    for (; i + 32 <= rows; i += 32) {
        __m256 sums[4] = {0};

        for (size_t r = 0; r < rank; r++) {
            __m256 scale = _mm256_broadcast_ss(low + r);
            const float *values = b + r * stride + i;

#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                sums[j] = _mm256_fmadd_ps(scale, _mm256_loadu_ps(values + 8 * j), sums[j]);
            }
        }
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            float *at = y + i + 8 * j;

            _mm256_storeu_ps(at, _mm256_add_ps(_mm256_loadu_ps(at), sums[j]));
        }
    }
    for (; i < rows; i++) { /* the last rows one by one, with the same order and rounding */
        float sum = 0;

        for (size_t r = 0; r < rank; r++) {
            sum = fmaf(low[r], b[r * stride + i], sum);
        }
        y[i] += sum;
    }
}

void flo_avx2_store(const float *key, const float *value, size_t head_size, size_t position,
                    enum flo_cache type, void *keys, void *values)
{
    size_t block = position / FLO_KV_BLOCK * FLO_KV_BLOCK * head_size;
    uint16_t *k = (uint16_t *)keys + block + position % FLO_KV_BLOCK;
    uint16_t *v = (uint16_t *)values + position * head_size;

    if (type != FLO_CACHE_F16 || head_size % 8 != 0) {
        flo_ref_store(key, value, head_size, position, type, keys, values);
        return;
    }
    for (size_t d = 0; d < head_size; d += 8) {
        uint16_t half[8];

        _mm_storeu_si128((void *)half,
                         _mm256_cvtps_ph(_mm256_loadu_ps(key + d), _MM_FROUND_TO_NEAREST_INT));
        for (size_t i = 0; i < 8; i++) {
            k[(d + i) * FLO_KV_BLOCK] = half[i];
        }
        _mm_storeu_si128((void *)(v + d),
                         _mm256_cvtps_ph(_mm256_loadu_ps(value + d), _MM_FROUND_TO_NEAREST_INT));
    }
}

/* Tells whether the CPU has F16C, which some compilers'
 * __builtin_cpu_supports() do not know. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

static bool is_supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

const struct flo_kernel flo_kernel_avx2 = {
    .name = "avx2",
    .is_supported = is_supported,
    .matmul = {FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_ROW, flo_avx2_matmul_)
                   FLO_QUANT_CODE_TYPES(FLO_MATMUL_ROW, flo_avx2_matmul_)},
    .matmul_packed = {FLO_QUANT_STRIP_TYPES(FLO_MATMUL_ROW, flo_avx2_packed_)},
    .quantise_packed = flo_avx2_packed_quantise,
    FLO_AVX2_OPERATIONS,
    FLO_AVX2_RECURRENCE,
    .attend = flo_avx2_attend,
};

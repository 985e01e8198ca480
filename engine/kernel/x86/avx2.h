/* Pieces of the AVX2 kernel; what each does stands in kernel.h. */
#ifndef FLOTILLA_ENGINE_AVX2_H
#define FLOTILLA_ENGINE_AVX2_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx2;

flo_matmul_fn flo_avx2_matmul_f32;
flo_matmul_fn flo_avx2_matmul_f16;
flo_matmul_fn flo_avx2_matmul_bf16;
flo_matmul_fn flo_avx2_matmul_q4_0;
flo_matmul_fn flo_avx2_matmul_q4_1;
flo_matmul_fn flo_avx2_matmul_q5_0;
flo_matmul_fn flo_avx2_matmul_q5_1;
flo_matmul_fn flo_avx2_matmul_q8_0;
flo_matmul_fn flo_avx2_matmul_q2_k;
flo_matmul_fn flo_avx2_matmul_q3_k;
flo_matmul_fn flo_avx2_matmul_q4_k;
flo_matmul_fn flo_avx2_matmul_q5_k;
flo_matmul_fn flo_avx2_matmul_q6_k;
flo_matmul_fn flo_avx2_matmul_iq4_nl;
flo_matmul_fn flo_avx2_matmul_iq4_xs;

flo_quantise_fn flo_avx2_quantise;
void flo_avx2_rms_norm(const float *x, const float *weight, float epsilon,
                       size_t count, float *out);
void flo_avx2_layer_norm(const float *x, const float *weight, const float *bias,
                         float epsilon, size_t count, float *out);
void flo_avx2_rope_pairs(float *x, const float *cosines, const float *sines,
                         size_t count);
void flo_avx2_rope_halves(float *x, const float *cosines, const float *sines,
                          size_t count);
void flo_avx2_silu_multiply(float *gate, const float *up, size_t count);
void flo_avx2_gelu_multiply(float *gate, const float *up, size_t count);
void flo_avx2_soft_cap(float *x, float cap, size_t count);
void flo_avx2_add(float *x, const float *y, size_t count);
void flo_avx2_low_rank_add(const float *b, size_t stride, size_t rank,
                           const float *low, float *y, size_t rows);
void flo_avx2_store(const float *key, const float *value, size_t head_size,
                    size_t position, enum flo_cache type, void *keys,
                    void *values);
void flo_avx2_attend(const struct flo_attention *attention);

/* Rows of a kernel's table: products by rows of the quantised types, and the
 * operations that wider kernels take over as they are. */
#define FLO_AVX2_MATMUL_CODES                                                  \
    [FLO_QUANT_Q4_0] = flo_avx2_matmul_q4_0,                                   \
    [FLO_QUANT_Q4_1] = flo_avx2_matmul_q4_1,                                   \
    [FLO_QUANT_Q5_0] = flo_avx2_matmul_q5_0,                                   \
    [FLO_QUANT_Q5_1] = flo_avx2_matmul_q5_1,                                   \
    [FLO_QUANT_Q8_0] = flo_avx2_matmul_q8_0,                                   \
    [FLO_QUANT_Q2_K] = flo_avx2_matmul_q2_k,                                   \
    [FLO_QUANT_Q3_K] = flo_avx2_matmul_q3_k,                                   \
    [FLO_QUANT_Q4_K] = flo_avx2_matmul_q4_k,                                   \
    [FLO_QUANT_Q5_K] = flo_avx2_matmul_q5_k,                                   \
    [FLO_QUANT_Q6_K] = flo_avx2_matmul_q6_k,                                   \
    [FLO_QUANT_IQ4_NL] = flo_avx2_matmul_iq4_nl,                               \
    [FLO_QUANT_IQ4_XS] = flo_avx2_matmul_iq4_xs
#define FLO_AVX2_OPERATIONS                                                    \
    .quantise = flo_avx2_quantise, .rms_norm = flo_avx2_rms_norm,              \
    .layer_norm = flo_avx2_layer_norm, .rope_pairs = flo_avx2_rope_pairs,      \
    .rope_halves = flo_avx2_rope_halves,                                       \
    .silu_multiply = flo_avx2_silu_multiply,                                   \
    .gelu_multiply = flo_avx2_gelu_multiply, .soft_cap = flo_avx2_soft_cap,    \
    .add = flo_avx2_add, .low_rank_add = flo_avx2_low_rank_add,                \
    .store = flo_avx2_store

#endif

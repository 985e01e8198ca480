/* Pieces of the AVX2 kernel; what each does stands in kernel.h. */
#ifndef FLOTILLA_ENGINE_AVX2_H
#define FLOTILLA_ENGINE_AVX2_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx2;

FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_DECLARE, flo_avx2_matmul_)
FLO_QUANT_CODE_TYPES(FLO_MATMUL_DECLARE, flo_avx2_matmul_)

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

/* The operations that wider kernels take over as they are. */
#define FLO_AVX2_OPERATIONS                                                    \
    .quantise = flo_avx2_quantise, .rms_norm = flo_avx2_rms_norm,              \
    .layer_norm = flo_avx2_layer_norm, .rope_pairs = flo_avx2_rope_pairs,      \
    .rope_halves = flo_avx2_rope_halves,                                       \
    .silu_multiply = flo_avx2_silu_multiply,                                   \
    .gelu_multiply = flo_avx2_gelu_multiply, .soft_cap = flo_avx2_soft_cap,    \
    .add = flo_avx2_add, .low_rank_add = flo_avx2_low_rank_add,                \
    .store = flo_avx2_store

#endif

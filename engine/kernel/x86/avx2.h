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

#endif

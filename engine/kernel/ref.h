/* Operations of the plain C kernel that other kernels borrow where they have
 * nothing better; what each does stands at its member in kernel.h. */
#ifndef FLOTILLA_ENGINE_REF_H
#define FLOTILLA_ENGINE_REF_H

#include "engine/kernel/kernel.h"

FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_DECLARE, flo_ref_matmul_)
FLO_QUANT_CODE_TYPES(FLO_MATMUL_DECLARE, flo_ref_matmul_)

flo_quantise_fn flo_ref_quantise;
void flo_ref_rms_norm(const float *x, const float *weight, float epsilon,
                      size_t count, float *out);
void flo_ref_rope_pairs(float *x, const float *cosines, const float *sines,
                        size_t count);
void flo_ref_silu_multiply(float *gate, const float *up, size_t count);
void flo_ref_layer_norm(const float *x, const float *weight, const float *bias,
                        float epsilon, size_t count, float *out);
void flo_ref_rope_halves(float *x, const float *cosines, const float *sines,
                         size_t count);
void flo_ref_gelu_multiply(float *gate, const float *up, size_t count);
void flo_ref_soft_cap(float *x, float cap, size_t count);
void flo_ref_add(float *x, const float *y, size_t count);
void flo_ref_low_rank_add(const float *b, size_t stride, size_t rank,
                          const float *low, float *y, size_t rows);
void flo_ref_store(const float *key, const float *value, size_t head_size,
                   size_t position, enum flo_cache type, void *keys,
                   void *values);
void flo_ref_attend(const struct flo_attention *attention);

#endif

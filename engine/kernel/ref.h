/* Ref: operations of the plain C kernel.  Other kernels use them too if they
 * have no better ones.  kernel.h describes each operation. */
#ifndef FLOTILLA_ENGINE_REF_H
#define FLOTILLA_ENGINE_REF_H

#include "engine/kernel/kernel.h"

FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_DECLARE, flo_ref_matmul_)
FLO_QUANT_CODE_TYPES(FLO_MATMUL_DECLARE, flo_ref_matmul_)

flo_quantise_fn flo_ref_quantise;
flo_rms_norm_fn flo_ref_rms_norm;
flo_layer_norm_fn flo_ref_layer_norm;
flo_rope_fn flo_ref_rope_pairs, flo_ref_rope_halves;
flo_gate_fn flo_ref_silu_multiply, flo_ref_gelu_multiply;
flo_soft_cap_fn flo_ref_soft_cap;
flo_add_fn flo_ref_add;
flo_low_rank_add_fn flo_ref_low_rank_add;
flo_recur_fn flo_ref_recur;
flo_recall_fn flo_ref_recall;
flo_store_fn flo_ref_store;
flo_attention_fn flo_ref_attend;

/* Do the same for the values from `first` on, for kernels whose vectors leave
 * some. */
void flo_ref_recur_from(const struct flo_recurrence *r, size_t first, const float *added,
                        float *out);
void flo_ref_recall_from(const struct flo_recurrence *r, size_t first, float *out);

#endif

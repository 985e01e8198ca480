/* AVX2: pieces of the AVX2 kernel; kernel.h describes each operation. */
#ifndef FLOTILLA_ENGINE_AVX2_H
#define FLOTILLA_ENGINE_AVX2_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx2;

FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_DECLARE, flo_avx2_matmul_)
FLO_QUANT_CODE_TYPES(FLO_MATMUL_DECLARE, flo_avx2_matmul_)

FLO_QUANT_STRIP_TYPES(FLO_MATMUL_DECLARE, flo_avx2_packed_)
flo_quantise_packed_fn flo_avx2_packed_quantise;

flo_quantise_fn flo_avx2_quantise;
flo_rms_norm_fn flo_avx2_rms_norm;
flo_layer_norm_fn flo_avx2_layer_norm;
flo_rope_fn flo_avx2_rope_pairs, flo_avx2_rope_halves;
flo_gate_fn flo_avx2_silu_multiply, flo_avx2_gelu_multiply;
flo_soft_cap_fn flo_avx2_soft_cap;
flo_add_fn flo_avx2_add;
flo_low_rank_add_fn flo_avx2_low_rank_add;
flo_recur_fn flo_avx2_recur;
flo_recall_fn flo_avx2_recall;
flo_store_fn flo_avx2_store;
flo_attention_fn flo_avx2_attend;

/* Operations that wider kernels reuse. */
#define FLO_AVX2_OPERATIONS                                                                        \
    .quantise = flo_avx2_quantise, .rms_norm = flo_avx2_rms_norm,                                  \
    .layer_norm = flo_avx2_layer_norm, .rope_pairs = flo_avx2_rope_pairs,                          \
    .rope_halves = flo_avx2_rope_halves, .silu_multiply = flo_avx2_silu_multiply,                  \
    .gelu_multiply = flo_avx2_gelu_multiply, .soft_cap = flo_avx2_soft_cap, .add = flo_avx2_add,   \
    .low_rank_add = flo_avx2_low_rank_add, .store = flo_avx2_store

/* Steps of a recurrent state, which a kernel for wider vectors has itself. */
#define FLO_AVX2_RECURRENCE .recur = flo_avx2_recur, .recall = flo_avx2_recall

#endif

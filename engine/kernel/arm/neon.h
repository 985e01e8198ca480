/* NEON: functions that the files of the NEON kernels share.  kernel.h describes
 * each operation. */
#ifndef FLOTILLA_ENGINE_NEON_H
#define FLOTILLA_ENGINE_NEON_H

#include "engine/kernel/ref.h"

extern const struct flo_kernel flo_kernel_neon, flo_kernel_neon_dot, flo_kernel_neon_i8mm;

/* Declare the products with weights in GGUF blocks, and those with strips that
 * use sdot. */
FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_DECLARE, flo_neon_matmul_)
FLO_QUANT_CODE_TYPES(FLO_MATMUL_DECLARE, flo_neon_matmul_)
FLO_QUANT_STRIP_TYPES(FLO_MATMUL_DECLARE, flo_neon_dot_)

flo_quantise_fn flo_neon_quantise;
flo_quantise_packed_fn flo_neon_quantise_packed;
flo_rms_norm_fn flo_neon_rms_norm;
flo_gate_fn flo_neon_silu_multiply, flo_neon_gelu_multiply;
flo_soft_cap_fn flo_neon_soft_cap;
flo_recur_fn flo_neon_recur;
flo_recall_fn flo_neon_recall;
flo_store_fn flo_neon_store;
flo_attention_fn flo_neon_attend;

/* Operations that the tables of all NEON kernels share.  Rotation and addition
 * are plain C, for which compilers generate what one would write by hand (ld2
 * and fmla). */
#define FLO_NEON_OPERATIONS                                                                        \
    .matmul = {FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_ROW, flo_neon_matmul_)                             \
                   FLO_QUANT_CODE_TYPES(FLO_MATMUL_ROW, flo_neon_matmul_)},                        \
    .quantise = flo_neon_quantise, .rms_norm = flo_neon_rms_norm,                                  \
    .layer_norm = flo_ref_layer_norm, .rope_pairs = flo_ref_rope_pairs,                            \
    .rope_halves = flo_ref_rope_halves, .silu_multiply = flo_neon_silu_multiply,                   \
    .gelu_multiply = flo_neon_gelu_multiply, .soft_cap = flo_neon_soft_cap, .add = flo_ref_add,    \
    .low_rank_add = flo_ref_low_rank_add, .recur = flo_neon_recur, .recall = flo_neon_recall,      \
    .store = flo_neon_store, .attend = flo_neon_attend

#endif

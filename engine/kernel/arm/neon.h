/* Pieces of the NEON kernels; what each does stands in kernel.h. */
#ifndef FLOTILLA_ENGINE_NEON_H
#define FLOTILLA_ENGINE_NEON_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_neon;

flo_matmul_fn flo_neon_matmul_f32;
flo_matmul_fn flo_neon_matmul_f16;
flo_matmul_fn flo_neon_matmul_bf16;
flo_matmul_fn flo_neon_matmul_q4_0;
flo_matmul_fn flo_neon_matmul_q4_1;
flo_matmul_fn flo_neon_matmul_q5_0;
flo_matmul_fn flo_neon_matmul_q5_1;
flo_matmul_fn flo_neon_matmul_q8_0;
flo_matmul_fn flo_neon_matmul_q2_k;
flo_matmul_fn flo_neon_matmul_q3_k;
flo_matmul_fn flo_neon_matmul_q4_k;
flo_matmul_fn flo_neon_matmul_q5_k;
flo_matmul_fn flo_neon_matmul_q6_k;
flo_matmul_fn flo_neon_matmul_iq4_nl;
flo_matmul_fn flo_neon_matmul_iq4_xs;

void flo_neon_attend(const struct flo_attention *attention);

#endif

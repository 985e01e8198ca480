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

void flo_avx2_attend(const struct flo_attention *attention);

#endif

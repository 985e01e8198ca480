/* Pieces of the AVX-512 kernel; what each does stands in kernel.h. */
#ifndef FLOTILLA_ENGINE_AVX512_H
#define FLOTILLA_ENGINE_AVX512_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx512;

flo_matmul_fn flo_avx512_packed_q4_0;
flo_matmul_fn flo_avx512_packed_q4_1;
flo_matmul_fn flo_avx512_packed_q5_0;
flo_matmul_fn flo_avx512_packed_q5_1;
flo_matmul_fn flo_avx512_packed_q8_0;
flo_matmul_fn flo_avx512_packed_q2_k;
flo_matmul_fn flo_avx512_packed_q3_k;
flo_matmul_fn flo_avx512_packed_q4_k;
flo_matmul_fn flo_avx512_packed_q5_k;
flo_matmul_fn flo_avx512_packed_q6_k;
flo_matmul_fn flo_avx512_packed_iq4_nl;
flo_matmul_fn flo_avx512_packed_iq4_xs;
flo_quantise_packed_fn flo_avx512_quantise_packed;

flo_matmul_fn flo_avx512_matmul_f32;
flo_matmul_fn flo_avx512_matmul_f16;
flo_matmul_fn flo_avx512_matmul_bf16;
void flo_avx512_attend(const struct flo_attention *attention);

#endif

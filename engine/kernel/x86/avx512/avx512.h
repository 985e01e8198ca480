/* AVX-512: pieces of the AVX-512 kernel; kernel.h describes each operation. */
#ifndef FLOTILLA_ENGINE_AVX512_H
#define FLOTILLA_ENGINE_AVX512_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx512;

FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_DECLARE, flo_avx512_matmul_)
FLO_QUANT_STRIP_TYPES(FLO_MATMUL_DECLARE, flo_avx512_packed_)
flo_quantise_packed_fn flo_avx512_packed_quantise;
flo_recur_fn flo_avx512_recur;
flo_recall_fn flo_avx512_recall;
flo_attention_fn flo_avx512_attend;

#endif

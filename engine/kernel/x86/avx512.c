/* AVX-512 kernel (with VNNI, VBMI and BF16): its table, and the small
 * operations.  What has no version of its own is the AVX2 kernel's. */
#include "engine/kernel/x86/avx512.h"

#include "engine/kernel/x86/avx2.h"

/* The files of this kernel are built for all of these (CMakeLists.txt). */
static bool is_supported(void)
{
    return flo_kernel_avx2.is_supported() &&
           __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512bf16");
}

const struct flo_kernel flo_kernel_avx512 = {
    .name = "avx512",
    .is_supported = is_supported,
    .matmul =
        {
            [FLO_QUANT_F32] = flo_avx512_matmul_f32,
            [FLO_QUANT_F16] = flo_avx512_matmul_f16,
            [FLO_QUANT_BF16] = flo_avx512_matmul_bf16,
            FLO_AVX2_MATMUL_CODES,
        },
    .matmul_packed =
        {
            [FLO_QUANT_Q4_0] = flo_avx512_packed_q4_0,
            [FLO_QUANT_Q4_1] = flo_avx512_packed_q4_1,
            [FLO_QUANT_Q5_0] = flo_avx512_packed_q5_0,
            [FLO_QUANT_Q5_1] = flo_avx512_packed_q5_1,
            [FLO_QUANT_Q8_0] = flo_avx512_packed_q8_0,
            [FLO_QUANT_Q2_K] = flo_avx512_packed_q2_k,
            [FLO_QUANT_Q3_K] = flo_avx512_packed_q3_k,
            [FLO_QUANT_Q4_K] = flo_avx512_packed_q4_k,
            [FLO_QUANT_Q5_K] = flo_avx512_packed_q5_k,
            [FLO_QUANT_Q6_K] = flo_avx512_packed_q6_k,
            [FLO_QUANT_IQ4_NL] = flo_avx512_packed_iq4_nl,
            [FLO_QUANT_IQ4_XS] = flo_avx512_packed_iq4_xs,
        },
    .quantise_packed = flo_avx512_quantise_packed,
    FLO_AVX2_OPERATIONS,
    .attend = flo_avx512_attend,
};

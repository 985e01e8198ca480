/* AVX-512 kernel (with VNNI, as in Cascade Lake and Ice Lake): its table.
 * Functions without a version of their own are the AVX2 kernel's. */
#include "engine/kernel/x86/avx512/avx512.h"

#include "engine/kernel/x86/avx2/avx2.h"

/* The files of this kernel are compiled for all of these instruction sets
 * (CMakeLists.txt). */
static bool is_supported(void)
{
    return flo_kernel_avx2.is_supported() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

const struct flo_kernel flo_kernel_avx512 = {
    .name = "avx512",
    .is_supported = is_supported,
    .matmul = {FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_ROW, flo_avx512_matmul_)
                   FLO_QUANT_CODE_TYPES(FLO_MATMUL_ROW, flo_avx2_matmul_)},
    .matmul_packed = {FLO_QUANT_STRIP_TYPES(FLO_MATMUL_ROW, flo_avx512_packed_)},
    .quantise_packed = flo_avx512_packed_quantise,
    FLO_AVX2_OPERATIONS,
    .recur = flo_avx512_recur,
    .recall = flo_avx512_recall,
    .attend = flo_avx512_attend,
};

/* AVX-VNNI kernel: products with packed weights (packed_strips.h), 8 rows at a
 * time; everything else is the AVX2 kernel's.
 *
 * A test builds it with FLO_VNNI_OF_AVX512, which uses AVX-512 VL's form of the
 * same instruction and so runs on CPUs that have only that. */
#include "engine/kernel/x86/avx_vnni.h"

#include <cpuid.h>

#include "engine/kernel/x86/avx2/avx2.h"

#define FLO_LANES 8
#define FLO_HAS_VNNI true
#define FLO_PACKED_NAME(type) flo_avx_vnni_packed_##type
#include "engine/kernel/x86/packed_strips.h"

#include "engine/kernel/x86/avx2/tokens.h"

#ifdef FLO_VNNI_OF_AVX512
static bool has_vnni(void)
{
    return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#else
static bool has_vnni(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 4) != 0;
}
#endif

static void quantise_packed(const float *values, const struct flo_activations *out, size_t t)
{
    flo_quantise_packed(values, out, t);
}

static bool is_supported(void)
{
    return flo_kernel_avx2.is_supported() && has_vnni();
}

const struct flo_kernel flo_kernel_avx_vnni = {
    .name = "avx-vnni",
    .is_supported = is_supported,
    .matmul = {FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_ROW, flo_avx2_matmul_)
                   FLO_QUANT_CODE_TYPES(FLO_MATMUL_ROW, flo_avx2_matmul_)},
    .matmul_packed = {FLO_QUANT_STRIP_TYPES(FLO_MATMUL_ROW, flo_avx_vnni_packed_)},
    .quantise_packed = quantise_packed,
    FLO_AVX2_OPERATIONS,
    FLO_AVX2_RECURRENCE,
    .attend = flo_avx2_attend,
};

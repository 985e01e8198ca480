/* AVX2 kernel: products with packed weights (packed_strips.h), 16 rows of a
 * strip in two registers. */
#include "engine/kernel/x86/avx2/avx2.h"

#define FLO_LANES 8
#define FLO_HAS_VNNI false
#define FLO_PACKED_NAME(type) flo_avx2_packed_##type
#include "engine/kernel/x86/packed_strips.h"

#include "engine/kernel/x86/avx2/tokens.h"

void flo_avx2_packed_quantise(const float *values, const struct flo_activations *out, size_t t)
{
    flo_quantise_packed(values, out, t);
}

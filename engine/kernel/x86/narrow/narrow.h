/* Narrow: the kernels of x86 CPUs without AVX2. */
#ifndef FLOTILLA_ENGINE_NARROW_H
#define FLOTILLA_ENGINE_NARROW_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx, flo_kernel_sse42;

#endif

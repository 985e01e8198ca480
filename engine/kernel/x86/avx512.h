/* Pieces of the AVX-512 kernel; what each does stands in kernel.h. */
#ifndef FLOTILLA_ENGINE_AVX512_H
#define FLOTILLA_ENGINE_AVX512_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx512;

#endif

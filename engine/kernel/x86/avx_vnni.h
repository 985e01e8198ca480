/* AVX-VNNI: the kernel for CPUs with AVX-VNNI but no AVX-512. */
#ifndef FLOTILLA_ENGINE_AVX_VNNI_H
#define FLOTILLA_ENGINE_AVX_VNNI_H

#include "engine/kernel/kernel.h"

extern const struct flo_kernel flo_kernel_avx_vnni;

#endif

/* Kernel for CPUs with AVX but not AVX2, such as Sandy Bridge and Ivy Bridge:
 * the code of the narrow kernels, compiled to three-operand instructions. */
#define FLO_NARROW avx
#define FLO_NAME "avx"
#define FLO_CPU "avx"
#include "engine/kernel/x86/narrow/kernel.h"

/* The kernel of CPUs with AVX but not AVX2, as Sandy Bridge and Ivy Bridge:
 * the text of the narrow kernels in instructions of three operands. */
#define FLO_NARROW avx
#define FLO_NAME "avx"
#define FLO_CPU "avx"
#include "engine/kernel/x86/narrow/kernel.h"

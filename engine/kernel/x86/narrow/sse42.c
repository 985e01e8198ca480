/* Kernel for CPUs with SSE4.2 but not AVX, such as Apollo Lake, Gemini Lake,
 * Jasper Lake and Elkhart Lake. */
#define FLO_NARROW sse42
#define FLO_NAME "sse42"
#define FLO_CPU "sse4.2"
#include "engine/kernel/x86/narrow/kernel.h"

/* Ahead: whether products with one token prefetch weights by instruction.
 *
 * Zen 4 (family 19h) is fastest without.  Zen 5 measured 28 GB/s without and 45
 * with prefetching for K types, and 37 and 42 for F16. */
#ifndef FLOTILLA_ENGINE_X86_AHEAD_H
#define FLOTILLA_ENGINE_X86_AHEAD_H

#include <stdbool.h>

static inline bool flo_fetches_ahead(void)
{
    return !__builtin_cpu_is("amdfam19h");
}

#endif

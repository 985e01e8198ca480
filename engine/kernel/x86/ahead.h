/* Ahead: whether products with one token prefetch weights by instruction.
 *
 * AMD's Zen 4 (family 19h) is fastest without prefetch instructions.  Zen 5
 * read K types at 28 GB/s without them and at 45 GB/s with them, F16 at 37 and
 * 42 GB/s. */
#ifndef FLOTILLA_ENGINE_X86_AHEAD_H
#define FLOTILLA_ENGINE_X86_AHEAD_H

#include <stdbool.h>

static inline bool flo_fetches_ahead(void)
{
    return !__builtin_cpu_is("amdfam19h");
}

#endif

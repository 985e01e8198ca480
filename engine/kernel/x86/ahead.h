/* Whether weights that one token reads are fetched ahead by instruction.
 *
 * Zen 4 (family 19h) foresees long streams best by itself.  Zen 5 got 28 of the
 * 42 GB/s of its memory so for K types, of whose blocks less is in flight at
 * once, and 45 when told; F16 37, and 42 when told. */
#ifndef FLOTILLA_ENGINE_X86_AHEAD_H
#define FLOTILLA_ENGINE_X86_AHEAD_H

#include <stdbool.h>

static inline bool flo_fetches_ahead(void)
{
    return !__builtin_cpu_is("amdfam19h");
}

#endif

/* FNV: FNV-1a hashes of 64 bits (Fowler, Noll, Vo), the same on every CPU.
 * They find equal texts, and protect against nothing. */
#ifndef FLOTILLA_BASE_FNV_H
#define FLOTILLA_BASE_FNV_H

#include <stddef.h>
#include <stdint.h>

#define FLO_FNV_BASIS UINT64_C(0xcbf29ce484222325) /* hash of nothing */

/* Returns the hash of the bytes behind those of `hash`. */
static inline uint64_t flo_fnv1a(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

#endif

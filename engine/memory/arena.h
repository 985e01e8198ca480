/* Arena: one mapping that is laid out once at open.
 *
 * The same layout function runs twice: on an arena without memory, to learn
 * the bytes for the plan, and then on the mapped one, to get the pointers. */
#ifndef FLOTILLA_ENGINE_ARENA_H
#define FLOTILLA_ENGINE_ARENA_H

#include <flotilla/base.h>

struct flo_arena {
    uint8_t *base; /* NULL: only count */
    uint64_t bytes;
    uint64_t used;
    bool failed; /* a size overflowed, or more than `bytes` was asked for */
};

/* count * item_bytes, 64-byte aligned; NULL while only counting. */
void *flo_arena_take(struct flo_arena *arena, uint64_t count, uint64_t item_bytes);

/* Behind a count that did not fail: pages for what was taken, to be taken once
 * more.  The caller unmaps `base`.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_arena_map(struct flo_arena *arena, struct flo_err *err);

/* Zeroed pages that cost memory when first touched.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_pages_map(uint64_t bytes, void **pages, struct flo_err *err);
void flo_pages_unmap(void *pages, uint64_t bytes); /* NULL is fine */
/* Give those pages back that are all its own; they read as zero again. */
void flo_pages_drop(void *pages, uint64_t bytes);

#endif

/* Arena: one memory mapping whose layout is computed once at open.
 *
 * The same layout function runs twice: first on an arena without memory, to
 * count the bytes for the plan, then on the mapped arena, to get the
 * pointers. */
#ifndef FLOTILLA_ENGINE_ARENA_H
#define FLOTILLA_ENGINE_ARENA_H

#include <flotilla/base.h>

struct flo_arena {
    uint8_t *base; /* NULL: only count */
    uint64_t bytes;
    uint64_t used;
    bool failed; /* a requested size was too large for 64 bits or for `bytes` */
};

/* Takes count * item_bytes of the arena, 64-byte aligned.  Returns NULL if the
 * arena only counts. */
void *flo_arena_take(struct flo_arena *arena, uint64_t count, uint64_t item_bytes);

/* Maps as many pages as were counted, and restarts the arena in them.  Called
 * after a count that did not fail.  The caller unmaps `base`.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_arena_map(struct flo_arena *arena, struct flo_err *err);

/* Maps zeroed pages.  Each takes memory only from its first use on.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_pages_map(uint64_t bytes, void **pages, struct flo_err *err);
void flo_pages_unmap(void *pages, uint64_t bytes); /* NULL is fine */
/* Frees the memory of the pages that lie wholly in this range.  They read as
 * zero afterwards. */
void flo_pages_drop(void *pages, uint64_t bytes);

#endif

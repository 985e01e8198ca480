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
    bool failed; /* a size overflowed or exceeded `bytes` */
};

/* Takes count * item_bytes, 64-byte aligned; returns NULL while only
 * counting. */
void *flo_arena_take(struct flo_arena *arena, uint64_t count, uint64_t item_bytes);

/* Maps pages of the counted size, and restarts the arena.  Call it after a
 * successful count.  The caller unmaps `base`.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_arena_map(struct flo_arena *arena, struct flo_err *err);

/* Maps zeroed pages that take memory when first touched.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_pages_map(uint64_t bytes, void **pages, struct flo_err *err);
void flo_pages_unmap(void *pages, uint64_t bytes); /* NULL is fine */
/* Frees the pages that lie wholly in this range; they read as zero again. */
void flo_pages_drop(void *pages, uint64_t bytes);

#endif

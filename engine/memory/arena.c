/* Arena: lays out memory in one mapping, and maps and frees pages. */
#include "engine/memory/arena.h"

#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64 };

void *flo_arena_take(struct flo_arena *arena, uint64_t count, uint64_t item_bytes)
{
    uint64_t bytes, end, at = arena->used;

    if (!flo_mul_u64(count, item_bytes, &bytes) || !flo_add_u64(bytes, ALIGN - 1, &bytes) ||
        !flo_add_u64(at, bytes & ~(uint64_t)(ALIGN - 1), &end) ||
        (arena->base != NULL && end > arena->bytes)) {
        arena->failed = true;
        return NULL;
    }
    arena->used = end;
    return arena->base == NULL ? NULL : arena->base + at;
}

int flo_arena_map(struct flo_arena *arena, struct flo_err *err)
{
    void *pages = NULL;

    FLO_TRY(flo_pages_map(arena->used, &pages, err));
    *arena = (struct flo_arena){.base = pages, .bytes = arena->used};
    return 0;
}

int flo_pages_map(uint64_t bytes, void **pages, struct flo_err *err)
{
    void *p;

    if (bytes > SIZE_MAX) {
        return flo_fail(err, FLO_E_MEMORY, "%llu bytes", (unsigned long long)bytes);
    }
    p = mmap(NULL, bytes == 0 ? 1 : (size_t)bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return flo_fail_errno(err, FLO_E_MEMORY, "map %llu bytes", (unsigned long long)bytes);
    }
    *pages = p;
    return 0;
}

void flo_pages_unmap(void *pages, uint64_t bytes)
{
    if (pages != NULL) {
        munmap(pages, bytes == 0 ? 1 : (size_t)bytes);
    }
}

void flo_pages_drop(void *pages, uint64_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)pages;
    uintptr_t first = (at + page - 1) / page * page;
    uintptr_t end = (at + (uintptr_t)bytes) / page * page;

    if (first < end) {
        (void)madvise((uint8_t *)pages + (first - at), end - first, MADV_DONTNEED);
    }
}

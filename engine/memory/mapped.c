/* Mapped: reads pages of a mapped file in advance.  So a failed disk does not
 * kill the process, and several pages are read at once. */
#include "engine/memory/mapped.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ /* a libc older than Linux 5.14 does not define it */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* Calls madvise() for all pages that contain one of the bytes. */
static int advise(const void *at, size_t bytes, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)at / page * page;
    uintptr_t end = ((uintptr_t)at + bytes + page - 1) / page * page;

    return madvise((void *)begin, end - begin, advice);
}

/* Tells whether the disk failed, as only these two errors say.  A kernel that
 * does not know the advice returns EINVAL. */
static bool is_lost(int rv)
{
    return rv < 0 && (errno == EFAULT || errno == EHWPOISON);
}

int flo_mapped_fetch(const void *at, size_t bytes, struct flo_err *err)
{
    return is_lost(advise(at, bytes, MADV_POPULATE_READ))
               ? flo_fail(err, FLO_E_IO_READ,
                          "%zu mapped bytes are not in memory, and the disk "
                          "does not give them",
                          bytes)
               : 0;
}

int flo_mapped_claim(void *at, size_t bytes, struct flo_err *err)
{
    return is_lost(advise(at, bytes, MADV_POPULATE_WRITE))
               ? flo_fail(err, FLO_E_IO_WRITE, "the disk takes none of %zu mapped bytes", bytes)
               : 0;
}

void flo_mapped_expect(const void *at, size_t bytes)
{
    (void)advise(at, bytes, MADV_WILLNEED);
}

bool flo_misses_next(struct flo_misses *misses, uint64_t faults)
{
    if (faults != misses->seen) {
        *misses = (struct flo_misses){.seen = faults, .passes_left = FLO_MISSES_PASSES};
    }
    misses->passes_left -= misses->passes_left > 0;
    return misses->passes_left > 0;
}

uint64_t flo_misses_count(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_majflt : 0;
}

/* Mapped: pages of a mapped file that are not in memory, and whose disk may have
 * failed.
 *
 * Touching a page that is not in memory kills the process (SIGBUS) if the disk
 * does not deliver it.  flo_mapped_fetch() and flo_mapped_claim() find that out
 * before, if the kernel supports it (Linux 5.14).  Pages in memory need no
 * disk. */
#ifndef FLOTILLA_ENGINE_MAPPED_H
#define FLOTILLA_ENGINE_MAPPED_H

#include <flotilla/base.h>

/* Checks that the mapped bytes can be read; returns FLO_E_IO_READ if not. */
FLO_MUST_USE int flo_mapped_fetch(const void *at, size_t bytes, struct flo_err *err);
/* Checks that the mapped bytes can be written and have space on the disk;
 * returns FLO_E_IO_WRITE if not. */
FLO_MUST_USE int flo_mapped_claim(void *at, size_t bytes, struct flo_err *err);
/* Asks the system to read mapped bytes that will be used soon.  It does not wait
 * for them, and an error is ignored. */
void flo_mapped_expect(const void *at, size_t bytes);

/* Decides whether to call flo_mapped_expect().  A call costs some microseconds
 * also if all bytes are in memory.  So it is of use only where the process has
 * waited for the disk lately. */
struct flo_misses {
    uint64_t seen;        /* page faults of the process that waited for a disk */
    uint32_t passes_left; /* passes for which reading in advance goes on */
};
#define FLO_MISSES_PASSES 16u
/* Call before each pass, with the number of such faults until now. */
bool flo_misses_next(struct flo_misses *misses, uint64_t faults);
/* Returns the number of page faults of this process that waited for a disk. */
uint64_t flo_misses_count(void);

#endif

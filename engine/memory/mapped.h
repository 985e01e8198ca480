/* Mapped: pages of a mapped file whose disk may have failed.
 *
 * Touching a page that is not in memory kills the process (SIGBUS) if the disk
 * does not deliver it.  These functions find that out before, if the kernel
 * supports it (Linux 5.14).  Pages in memory need no disk. */
#ifndef FLOTILLA_ENGINE_MAPPED_H
#define FLOTILLA_ENGINE_MAPPED_H

#include <flotilla/base.h>

/* Checks that the mapped bytes can be read; returns FLO_E_IO_READ if not. */
FLO_MUST_USE int flo_mapped_fetch(const void *at, size_t bytes, struct flo_err *err);
/* Checks that the mapped bytes can be written and have space on the disk;
 * returns FLO_E_IO_WRITE if not. */
FLO_MUST_USE int flo_mapped_claim(void *at, size_t bytes, struct flo_err *err);
#endif

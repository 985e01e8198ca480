/* Pages of a mapped file whose disk may be gone.
 *
 * Reading a page that is not in memory ends the process (SIGBUS) when the disk
 * does not give it.  These ask first, where the kernel can be asked (Linux
 * 5.14).  Pages that are in memory need no disk. */
#ifndef FLOTILLA_ENGINE_MAPPED_H
#define FLOTILLA_ENGINE_MAPPED_H

#include <flotilla/base.h>

/* The bytes can be read: FLO_E_IO_READ. */
FLO_MUST_USE int flo_mapped_fetch(const void *at, size_t bytes, struct flo_err *err);
/* The bytes can be written, and have their place on the disk: FLO_E_IO_WRITE.
 */
FLO_MUST_USE int flo_mapped_claim(void *at, size_t bytes, struct flo_err *err);
#endif

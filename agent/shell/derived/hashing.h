/* SHA-256 of a large file on the event loop's thread, some milliseconds at a
 * time: heartbeats and orders go on in between. */
#ifndef FLOTILLA_AGENT_SHELL_HASHING_H
#define FLOTILLA_AGENT_SHELL_HASHING_H

#include <flotilla/base.h>

struct event_base;
struct flo_hashing;

/* The end: the digest of the whole file, or `err` (FLO_E_IO_READ).  The hashing
 * is gone then. */
typedef void flo_hashing_done(void *context, const struct flo_digest *digest,
                              const struct flo_err *err);

/* Begin with a file, whose descriptor stays the caller's, and is open until the
 * end; `done` is called by the event loop.  FLO_E_MEMORY, FLO_E_IO_READ. */
FLO_MUST_USE int flo_hashing_start(struct event_base *base, int fd, flo_hashing_done *done,
                                   void *context, struct flo_hashing **out, struct flo_err *err);
/* Stop without a report.  NULL is fine. */
void flo_hashing_cancel(struct flo_hashing *hashing);

#endif

/* Hashing: computes the SHA-256 of a large file on the thread of the event
 * loop, a few milliseconds at a time.  The loop serves heartbeats and orders in
 * between. */
#ifndef FLOTILLA_AGENT_SHELL_HASHING_H
#define FLOTILLA_AGENT_SHELL_HASHING_H

#include <flotilla/base.h>

struct event_base;
struct flo_hashing;

/* Called once at the end, with the digest of the whole file or with `err`
 * (FLO_E_IO_READ).  The flo_hashing has been freed by then. */
typedef void flo_hashing_done(void *context, const struct flo_digest *digest,
                              const struct flo_err *err);

/* Starts to hash a file.  The caller owns the descriptor and leaves it open
 * until the event loop calls `done`.
 * FLO_E_MEMORY, FLO_E_IO_READ  the start failed */
FLO_MUST_USE int flo_hashing_start(struct event_base *base, int fd, flo_hashing_done *done,
                                   void *context, struct flo_hashing **out, struct flo_err *err);
/* Stops hashing without calling `done`.  NULL is allowed. */
void flo_hashing_cancel(struct flo_hashing *hashing);

#endif

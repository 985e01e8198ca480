/* Hashing: the SHA-256 of a large file on the thread of the event loop, a few
 * milliseconds at a time.  Heartbeats and orders are served in between. */
#ifndef FLOTILLA_AGENT_SHELL_HASHING_H
#define FLOTILLA_AGENT_SHELL_HASHING_H

#include <flotilla/base.h>

struct event_base;
struct flo_hashing;

/* Called at the end with the digest of the whole file, or with `err`
 * (FLO_E_IO_READ).  The flo_hashing is freed by then. */
typedef void flo_hashing_done(void *context, const struct flo_digest *digest,
                              const struct flo_err *err);

/* Starts to hash a file.  The caller keeps the descriptor and leaves it open
 * until `done`, which the event loop calls.  FLO_E_MEMORY, FLO_E_IO_READ. */
FLO_MUST_USE int flo_hashing_start(struct event_base *base, int fd, flo_hashing_done *done,
                                   void *context, struct flo_hashing **out, struct flo_err *err);
/* Stops without calling `done`.  NULL is fine. */
void flo_hashing_cancel(struct flo_hashing *hashing);

#endif

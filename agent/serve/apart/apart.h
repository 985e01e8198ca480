/* Apart: serving on a thread of its own.
 *
 * The agent's loop stands still while it syncs, and its order and durability
 * ask for that.  Requests must not wait for a disk, so the sockets of clients
 * and engines turn in another loop.  Both sides keep the picture of one thread:
 *   - a call of serve.h goes inside: the serving thread stands between two of
 *     its callbacks until the call is over.  What a call finds is thus whole,
 *     and no callback of serve sees half of a call.
 *   - what serve has to tell becomes news (news.h), heard by the caller.
 * The serving thread never waits for anything but a call that is inside, and no
 * call syncs: requests wait for memory and processors alone.
 *
 * The caller's thread also owns those processes that serve nobody: packers,
 * planners, and killed ones that are waited for.  Their events are in `home`.
 * Without a thread (a command, `flotilla-agent serve`), home is serve's own
 * loop, and all of this costs nothing. */
#ifndef FLOTILLA_SERVE_APART_H
#define FLOTILLA_SERVE_APART_H

#include <flotilla/base.h>

struct event_base;
struct flo_serve;
struct serve_apart;

/* A loop for serve, `*base`; its thread begins with flo_apart_start(). */
FLO_MUST_USE int flo_apart_open(struct serve_apart **out, struct event_base **base,
                                struct flo_err *err);
FLO_MUST_USE int flo_apart_start(struct serve_apart *apart, struct flo_err *err);
/* The thread has ended; calls are plain ones from here on. */
void flo_apart_stop(struct serve_apart *apart);
/* NULL is fine, here and below. */
void flo_apart_close(struct serve_apart *apart);

/* Around a call of the caller's thread; calls within calls are fine, and so are
 * those of the serving thread itself. */
void flo_apart_enter(struct serve_apart *apart);
void flo_apart_leave(struct serve_apart **apart);

/* From here to the end of the block. */
#define FLO_INSIDE(serve)                                                                          \
    FLO_CLEANUP(flo_apart_leave) struct serve_apart *inside = (serve)->apart;                      \
    flo_apart_enter(inside)

#endif

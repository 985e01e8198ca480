/* Apart: runs serving on a thread of its own.
 *
 * The agent's loop blocks during a sync, which its ordering and durability
 * require.  Requests must not wait for a disk, so the sockets of clients and
 * engines are handled in another loop.  For both sides it looks as if there
 * were one thread:
 *   - a call of serve.h goes inside: the serving thread pauses between two of
 *     its callbacks until the call is over.  So a call sees a consistent state,
 *     and no callback of serve sees half of a call.
 *   - events of serve become news (news.h), which the caller's thread handles.
 * The serving thread waits only for a call that is inside, and no call syncs a
 * file.  So requests wait for memory and CPUs, never for a disk.
 *
 * The caller's thread also owns the processes that serve no requests: packers,
 * planners, and killed ones that must be reaped.  Their events are in `home`.
 * Without a thread (a command, `flotilla-agent serve`), home is serve's own
 * loop, and all of this costs nothing. */
#ifndef FLOTILLA_SERVE_APART_H
#define FLOTILLA_SERVE_APART_H

#include <flotilla/base.h>

struct event_base;
struct flo_serve;
struct serve_apart;

/* Makes an event loop for serve, `*base`; flo_apart_start() starts its
 * thread. */
FLO_MUST_USE int flo_apart_open(struct serve_apart **out, struct event_base **base,
                                struct flo_err *err);
FLO_MUST_USE int flo_apart_start(struct serve_apart *apart, struct flo_err *err);
/* Ends the thread; calls need no locking from here on. */
void flo_apart_stop(struct serve_apart *apart);
/* NULL is fine, here and below. */
void flo_apart_close(struct serve_apart *apart);

/* Enter and leave a call of the caller's thread.  Calls may nest; calls of the
 * serving thread itself are fine too. */
void flo_apart_enter(struct serve_apart *apart);
void flo_apart_leave(struct serve_apart **apart);

/* Holds the call open until the end of the block. */
#define FLO_INSIDE(serve)                                                                          \
    FLO_CLEANUP(flo_apart_leave) struct serve_apart *inside = (serve)->apart;                      \
    flo_apart_enter(inside)

#endif

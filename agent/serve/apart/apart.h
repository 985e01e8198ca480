/* Apart: runs serving on a thread of its own.
 *
 * The agent's loop blocks during a sync, which its ordering and durability
 * require.  Requests must not wait for a disk, so another loop handles the
 * sockets of clients and engines.  Both threads can be written as if there were
 * only one:
 *
 * A call of a function in serve.h pauses the serving thread between two of its
 * callbacks until the call is over.  So the call sees a consistent state, and
 * no callback of serve sees half of a call.
 *
 * An event of serve becomes an entry in a queue (news.h), which the caller's
 * thread handles.
 *
 * The serving thread waits only for such calls, and none of them syncs a file.
 * So requests wait for memory and CPUs, never for a disk.
 *
 * The caller's thread also owns the processes that serve no requests: packers,
 * planners, and killed ones that must be reaped.  Their events are in the loop
 * `home`.  Without a serving thread (a command, `flotilla-agent serve`), home
 * is serve's own loop, and all of this costs nothing. */
#ifndef FLOTILLA_SERVE_APART_H
#define FLOTILLA_SERVE_APART_H

#include <flotilla/base.h>

struct event_base;
struct flo_serve;
struct serve_apart;

/* Makes the event loop of the serving thread, which flo_apart_start()
 * starts. */
FLO_MUST_USE int flo_apart_open(struct serve_apart **out, struct event_base **base,
                                struct flo_err *err);
FLO_MUST_USE int flo_apart_start(struct serve_apart *apart, struct flo_err *err);
/* Ends the serving thread.  Calls of serve need no pause and no lock from then
 * on. */
void flo_apart_stop(struct serve_apart *apart);
/* Frees the state of the serving thread, after flo_apart_stop().  `apart` may
 * be NULL, here and in all functions below. */
void flo_apart_close(struct serve_apart *apart);

/* Pauses the serving thread for a call of the caller's thread.  Calls may nest.
 * The serving thread itself may call it too, without an effect. */
void flo_apart_enter(struct serve_apart *apart);
/* Ends a call, so that the serving thread continues. */
void flo_apart_leave(struct serve_apart **apart);

/* Pauses the serving thread until the end of the block. */
#define FLO_INSIDE(serve)                                                                          \
    FLO_CLEANUP(flo_apart_leave) struct serve_apart *inside = (serve)->apart;                      \
    flo_apart_enter(inside)

#endif

/* Live: server-sent events, with a ring buffer of the latest ones.
 *
 * An object that changes often is sent at most four times a second, in its
 * latest state.  A client that reconnects with Last-Event-ID gets the events
 * that it missed, or `resync` when the ring no longer has them.  After a minute
 * without clients no events are made. */
#ifndef FLOTILLA_SERVER_LIVE_H
#define FLOTILLA_SERVER_LIVE_H

#include "base/host/httpd.h"

#include "server-stub/state/controller.h"

struct event_base;
struct flo_live;
struct flo_rest_call;

/* Opens the live stream, and subscribes it to all commits from now on. */
FLO_MUST_USE int flo_live_open(struct flo_controller *controller, struct event_base *base,
                               struct flo_live **out, struct flo_err *err);
void flo_live_close(struct flo_live *live);
/* Handles GET /v1/events; the listener has checked the token.  The stream ends
 * when the token is deleted or expires, or when its place goes to an account
 * with fewer streams (core/access/seats.h). */
void flo_live_subscribe(struct flo_live *live, const struct flo_rest_call *call);
size_t flo_live_clients(const struct flo_live *live);

#endif

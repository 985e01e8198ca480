/* HTTP client on an event loop: libcurl, http and https only, bounded.
 *
 * Calls run together, and each answer is passed on piece by piece.  Everything
 * runs on the thread of the event base.  Connections and TLS sessions are kept
 * between calls.  Only HTTP/1.1 is spoken: an answer that is not taken stops
 * the server, and a cancelled call closes its connection.  Proxies are handled
 * as in http_client.h. */
#ifndef FLOTILLA_HOST_HTTP_ASYNC_H
#define FLOTILLA_HOST_HTTP_ASYNC_H

#include <flotilla/base.h>

#include "base/host/http_client.h"

struct event_base;
struct flo_http_async;
struct flo_http_async_call;

/* Result of on_data() when it has not taken the piece, and wants it again
 * later. */
#define FLO_HTTP_WAIT 1

/* Callbacks of a call.  A negative result stops the call with that code, whose
 * message is in `err`.  on_head and on_data must not begin, cancel or resume
 * calls. */
struct flo_http_async_events {
    /* Called once, with status and members of the head. */
    int (*on_head)(void *context, const struct flo_http_answer *head, struct flo_err *err);
    /* Called for each piece of the body, whatever the status.  After
     * FLO_HTTP_WAIT nothing is read until flo_http_async_go_on(). */
    int (*on_data)(void *context, const void *data, size_t bytes, struct flo_err *err);
    /* Called once at the end; the call does not exist any more.  Without an
     * error the answer is complete.  Errors are those of flo_http_call(). */
    void (*on_end)(void *context, const struct flo_err *err);
};

/* Opens a client with these options.  Only those about TLS, timeouts and
 * `meets_device` are used, but not unix_socket, is_direct, bearer, S3 and
 * rates.  The limit of low_speed counts from the body's first byte, because a
 * server may think before; 0: no limit.  Fails with FLO_E_MEMORY. */
FLO_MUST_USE int flo_http_async_open(struct event_base *base,
                                     const struct flo_http_options *options,
                                     struct flo_http_async **out, struct flo_err *err);
/* Cancels the calls of the client, and closes it.  `client` may be NULL.  A
 * callback must not call this. */
void flo_http_async_close(struct flo_http_async *client);
/* Number of calls that have not ended. */
size_t flo_http_async_calls(const struct flo_http_async *client);

/* Begins a call.  The request's method, URL, headers, content type and body are
 * used; the body is borrowed until the end.  FLO_E_USAGE, FLO_E_MEMORY. */
FLO_MUST_USE int flo_http_async_begin(struct flo_http_async *client,
                                      const struct flo_http_request *request,
                                      const struct flo_http_async_events *events, void *context,
                                      struct flo_http_async_call **out, struct flo_err *err);
/* Continues a call that waits: on_data gets the same piece again. */
void flo_http_async_go_on(struct flo_http_async_call *call);
/* Ends a call without on_end; its connection is closed. */
void flo_http_async_cancel(struct flo_http_async_call *call);

#endif

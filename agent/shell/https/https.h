/* HTTPS: calls the controller on a thread of its own, so that the event loop
 * never waits for the network. */
#ifndef FLOTILLA_AGENT_HTTPS_H
#define FLOTILLA_AGENT_HTTPS_H

#include "agent/shell/shell.h"
#include "base/host/http_client.h"

struct flo_https;

/* Called once, on the loop's thread.  An answer of any status is no error; a
 * failure that may pass is FLO_E_NET_UNREACHABLE.  The answer is freed after
 * the call. */
typedef void flo_https_done(void *context, const struct flo_http_answer *answer,
                            const struct flo_err *err);

struct flo_https_ask {
    const char *method; /* NULL: GET */
    const char *path;   /* path "/v1/..." of the request, relative to the controller's address */
    /* body of the request, which flo_https_start() owns, also on failure; NULL:
     * none */
    struct flo_buf *body;
    size_t answer_bytes_max;
    flo_https_done *done;
    void *context;
};
/* Starts a call to the controller with the certificate that the device uses
 * now. */
FLO_MUST_USE int flo_https_start(struct flo_shell *shell, const struct flo_https_ask *ask,
                                 struct flo_https **out, struct flo_err *err);
/* Stops the call without calling `done`.  NULL is allowed. */
void flo_https_cancel(struct flo_https *https);

#endif

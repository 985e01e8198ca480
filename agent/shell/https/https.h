/* HTTPS: calls the controller on a thread of its own, so that the loop never
 * waits for the network. */
#ifndef FLOTILLA_AGENT_HTTPS_H
#define FLOTILLA_AGENT_HTTPS_H

#include "agent/shell/shell.h"
#include "base/host/http_client.h"

struct flo_https;

/* Called once, on the loop's thread.  An answer of any status has no error; a
 * transient failure is FLO_E_NET_UNREACHABLE.  The answer is freed after the
 * call. */
typedef void flo_https_done(void *context, const struct flo_http_answer *answer,
                            const struct flo_err *err);

struct flo_https_ask {
    const char *method;   /* NULL: GET */
    const char *path;     /* path "/v1/...", below the controller's address */
    struct flo_buf *body; /* body, which the call owns, also on failure; NULL: none */
    size_t answer_bytes_max;
    flo_https_done *done;
    void *context;
};
/* Starts a call with the device's present certificate. */
FLO_MUST_USE int flo_https_start(struct flo_shell *shell, const struct flo_https_ask *ask,
                                 struct flo_https **out, struct flo_err *err);
/* Stops without calling `done`.  NULL is fine. */
void flo_https_cancel(struct flo_https *https);

#endif

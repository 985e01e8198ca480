/* One call to the controller over HTTPS, on a thread of its own, so that the
 * loop never waits for the network. */
#ifndef FLOTILLA_AGENT_HTTPS_H
#define FLOTILLA_AGENT_HTTPS_H

#include "agent/shell/shell.h"
#include "base/host/http_client.h"

struct flo_https;

/* On the loop, once.  An answer of any status comes without an error; a passing
 * failure is FLO_E_NET_UNREACHABLE.  The call is over: what it points to is
 * freed after this. */
typedef void flo_https_done(void *context, const struct flo_http_answer *answer,
                            const struct flo_err *err);

struct flo_https_ask {
    const char *method;   /* NULL: GET */
    const char *path;     /* "/v1/..." of the controller */
    struct flo_buf *body; /* taken, also on failure; NULL: none */
    size_t answer_bytes_max;
    flo_https_done *done;
    void *context;
};
/* With the device's certificate, as it is now. */
FLO_MUST_USE int flo_https_start(struct flo_shell *shell, const struct flo_https_ask *ask,
                                 struct flo_https **out, struct flo_err *err);
/* `done` is not called.  NULL is fine. */
void flo_https_cancel(struct flo_https *https);

#endif

/* Asking: sends one renewal request to the controller. */
#ifndef FLOTILLA_AGENT_ASKING_H
#define FLOTILLA_AGENT_ASKING_H

#include "agent/shell/https/https.h"
#include "agent/shell/identity/identity.h"

struct flo_asking;

/* Result of a renewal request; valid during the call only. */
struct flo_asked {
    const struct flo_key *key; /* new key */
    const char *answer;        /* bytes of the answer; NULL: the request failed */
    size_t answer_bytes;
    uint64_t after_ms; /* earliest next try, as the controller says; 0: not given */
    struct flo_err err;
};
typedef void flo_asking_done(void *context, const struct flo_asked *asked);

/* Starts a request.  `done` is called once, on the loop's thread, unless the
 * request is cancelled. */
FLO_MUST_USE int flo_asking_start(struct flo_shell *shell, flo_asking_done *done, void *context,
                                  struct flo_asking **out, struct flo_err *err);
/* Cancels a request; blocks until the running call ends.  NULL is fine. */
void flo_asking_cancel(struct flo_asking *asking);

#endif

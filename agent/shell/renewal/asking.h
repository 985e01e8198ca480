/* Asking: sends one renewal request to the controller. */
#ifndef FLOTILLA_AGENT_ASKING_H
#define FLOTILLA_AGENT_ASKING_H

#include "agent/shell/https/https.h"
#include "agent/shell/identity/identity.h"

struct flo_asking;

/* Result of a renewal request, valid only during the call of `done`. */
struct flo_asked {
    const struct flo_key *key; /* new key */
    const char *answer;        /* bytes of the controller's answer; NULL: the request failed */
    size_t answer_bytes;
    uint64_t after_ms; /* time before the next try that the controller asks for; 0: not given */
    struct flo_err err;
};
typedef void flo_asking_done(void *context, const struct flo_asked *asked);

/* Starts a request for a new certificate.  life: the id of this agent's start,
 * which the controller demands if two machines have this identity; NULL: it is
 * not told, as older controllers do not know it.  `done` is called once on the loop's
 * thread, unless the request is cancelled. */
FLO_MUST_USE int flo_asking_start(struct flo_shell *shell, const char *life, flo_asking_done *done,
                                  void *context, struct flo_asking **out, struct flo_err *err);
/* Cancels the request, and blocks until its call has ended.  NULL is
 * allowed. */
void flo_asking_cancel(struct flo_asking *asking);

#endif

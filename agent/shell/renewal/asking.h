/* Asking: one renewal at the controller. */
#ifndef FLOTILLA_AGENT_ASKING_H
#define FLOTILLA_AGENT_ASKING_H

#include "agent/shell/https/https.h"
#include "agent/shell/identity/identity.h"

struct flo_asking;

/* How it went; borrowed for the call. */
struct flo_asked {
    const struct flo_key *key; /* the new one */
    const char *answer;        /* bytes of it; NULL: it failed */
    size_t answer_bytes;
    uint64_t after_ms; /* not to be tried again before; 0: not said */
    struct flo_err err;
};
typedef void flo_asking_done(void *context, const struct flo_asked *asked);

/* `done` is called on the loop, once, unless it is cancelled. */
FLO_MUST_USE int flo_asking_start(struct flo_shell *shell, flo_asking_done *done, void *context,
                                  struct flo_asking **out, struct flo_err *err);
/* Waits for the call; NULL is fine. */
void flo_asking_cancel(struct flo_asking *asking);

#endif

/* Declares the state of a body that is being converted, and the conversion of
 * its conversation. */
#ifndef FLOTILLA_SERVE_ANTHROPIC_HISTORY_H
#define FLOTILLA_SERVE_ANTHROPIC_HISTORY_H

#include "agent/serve/anthropic/anthropic.h"

struct anthropic_body {
    const json_t *from; /* Anthropic's */
    json_t *to;         /* OpenAI's */
    struct anthropic_state *state;
    bool failed; /* out of memory */
    struct flo_err *err;
};

/* Converts `system` and `messages` to OpenAI's messages. */
FLO_MUST_USE int flo_anthropic_history(struct anthropic_body *body);

#endif

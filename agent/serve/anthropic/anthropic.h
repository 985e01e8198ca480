/* Anthropic: fronts of Anthropic's messages API. */
#ifndef FLOTILLA_SERVE_ANTHROPIC_H
#define FLOTILLA_SERVE_ANTHROPIC_H

#include "agent/serve/front/front.h"

extern const struct serve_front flo_anthropic_messages; /* answer.c */
extern const struct serve_front flo_anthropic_count;    /* count.c */

/* A field that is refused in a special form, so that clients continue without
 * it. */
#define FLO_ANTHROPIC_THREAD "thread"

/* A request's state. */
struct anthropic_state {
    uint16_t came_from[FLO_WIRE_MESSAGES_MAX]; /* for each message of OpenAI's body: index of the
                                                  client's message */
    uint32_t n_messages;
    /* State of a streamed answer's current block. */
    enum serve_piece_kind kind; /* TEXT, THOUGHT or CALL */
    bool is_open;
    uint32_t n_blocks;   /* number of blocks that have ended */
    uint32_t call_block; /* index of the last call's block */
};

/* Parses the body into request->params (body.c).  is_count: only its prompt
 * matters. */
FLO_MUST_USE int flo_anthropic_read(struct serve_request *request, const struct serve_body *body,
                                    bool is_count, struct flo_err *err);
/* Writes an error in this API's form: fail() of all its fronts (errors.c). */
void flo_anthropic_fail(struct serve_failure *failure, struct flo_buf *out);

#endif

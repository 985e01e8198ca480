/* Anthropic's messages: their fronts. */
#ifndef FLOTILLA_SERVE_ANTHROPIC_H
#define FLOTILLA_SERVE_ANTHROPIC_H

#include "agent/serve/front/front.h"

extern const struct serve_front flo_anthropic_messages; /* answer.c */
extern const struct serve_front flo_anthropic_count;    /* count.c */

/* A field whose refusal has a form of its own, so that clients go on without
 * it. */
#define FLO_ANTHROPIC_THREAD "thread"

/* A request's state. */
struct anthropic_state {
    uint16_t came_from[FLO_WIRE_MESSAGES_MAX]; /* a message of OpenAI's body ->
                                                  the client's */
    uint32_t n_messages;
    /* The block of a stream. */
    enum serve_piece_kind kind; /* TEXT, THOUGHT or CALL */
    bool is_open;
    uint32_t n_blocks;   /* that ended */
    uint32_t call_block; /* the index of the last call's */
};

/* body.c: the body to request->params; is_count: for its prompt alone. */
FLO_MUST_USE int flo_anthropic_read(struct serve_request *request, const struct serve_body *body,
                                    bool is_count, struct flo_err *err);
/* errors.c: every front's fail(). */
void flo_anthropic_fail(struct serve_failure *failure, struct flo_buf *out);

#endif

/* Anthropic: declares the functions that serve Anthropic's messages API. */
#ifndef FLOTILLA_SERVE_ANTHROPIC_H
#define FLOTILLA_SERVE_ANTHROPIC_H

#include "agent/serve/front/front.h"

extern const struct serve_front flo_anthropic_messages; /* answer.c */
extern const struct serve_front flo_anthropic_count;    /* count.c */

/* Name of a field that is refused in a special form, so that clients continue
 * without it. */
#define FLO_ANTHROPIC_THREAD "thread"

/* A request's state. */
struct anthropic_state {
    /* index of the client's message from which each message of OpenAI's body
     * came */
    uint16_t came_from[FLO_WIRE_MESSAGES_MAX];
    uint32_t n_messages;
    /* The members from here on describe the streamed answer's newest block. */
    enum serve_piece_kind kind; /* kind of the block: TEXT, THOUGHT or CALL */
    bool is_open;
    uint32_t n_blocks;   /* number of blocks of the answer that have ended */
    uint32_t call_block; /* index of the block of the last call */
};

/* Converts the body into request->params (body.c).  is_count: only the body's
 * prompt is used. */
FLO_MUST_USE int flo_anthropic_read(struct serve_request *request, const struct serve_body *body,
                                    bool is_count, struct flo_err *err);
/* Writes an error in the form of Anthropic's API (errors.c).  Each front of
 * that API has this function as its fail(). */
void flo_anthropic_fail(struct serve_failure *failure, struct flo_buf *out);

#endif

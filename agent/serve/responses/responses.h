/* Responses: declares the fronts of OpenAI's Responses API, which Open
 * Responses specifies too, and the stored responses. */
#ifndef FLOTILLA_SERVE_RESPONSES_H
#define FLOTILLA_SERVE_RESPONSES_H

#include "agent/serve/front/front.h"

extern const struct serve_front flo_responses;       /* answer.c */
extern const struct serve_front flo_responses_count; /* count.c */

#define RESPONSES_TOOLS_MAX 512

/* An item of an answer: a reasoning, a message or a call. */
struct responses_item {
    enum serve_piece_kind kind; /* kind of the item: THOUGHT, TEXT or CALL */
    size_t begin, end;          /* range of the item in the stored thoughts or text */
    uint32_t call;              /* index of the item among the stored calls */
};

/* A request's state. */
struct responses_state {
    /* index of the client's item from which each message of OpenAI's body came,
     * for errors */
    uint16_t *item_of;
    uint32_t n_messages;
    /* index of the client's tool from which each tool of OpenAI's body came,
     * for errors */
    uint16_t tool_of[RESPONSES_TOOLS_MAX];
    uint32_t n_tools;
    bool is_stored;
    struct flo_buf echo; /* members of the response that repeat its request */
    /* list of the items that the model got; empty: the response is not
     * stored */
    struct flo_buf context;
    uint32_t n_context;
    /* The answer. */
    struct responses_item *items;
    uint32_t n_items;
    bool is_open;      /* the last item of a stream has not been finished */
    uint64_t sequence; /* number of the next event of the stream */
};

/* ---- the body: body.c ---- */

/* Reads a body into request->params and request->state.  is_count: only the
 * body's prompt is used. */
FLO_MUST_USE int flo_responses_read(struct serve_request *request, const struct serve_body *body,
                                    bool is_count, struct flo_err *err);
/* Frees the state of a request.  It is drop() of all fronts of this API. */
void flo_responses_drop(void *state);

/* ---- the object and its items: object.c ---- */

/* Writes an id made from that of the response: "resp_1f" gives the message
 * "msg_1fo3". */
void flo_responses_add_id(const struct serve_request *request, const char *prefix, char mark,
                          size_t index, struct flo_buf *out);
/* Writes the id of item i of the answer. */
void flo_responses_add_item_id(const struct serve_request *request, uint32_t i,
                               struct flo_buf *out);
/* Writes item i of the answer.  `status` NULL: the item has just begun and is
 * empty. */
void flo_responses_add_item(const struct serve_request *request, uint32_t i, const char *status,
                            struct flo_buf *out);
/* Writes a part of a message or a reasoning, such as
 * {"type":"output_text",...}. */
void flo_responses_add_part(enum serve_piece_kind kind, struct flo_wire_text text,
                            struct flo_buf *out);
/* Returns the text of a message or a reasoning, or the arguments of a call. */
struct flo_wire_text flo_responses_text(const struct serve_request *request, uint32_t i);
/* Returns the final status of item i.  `done` NULL: the answer failed. */
const char *flo_responses_item_status(const struct serve_request *request, uint32_t i,
                                      const struct flo_wire_done *done);
/* Writes the whole object of a response.  `err`: reason why it failed.  `done`
 * and `err` NULL: the response is still being generated. */
void flo_responses_add_object(const struct serve_request *request, const struct flo_wire_done *done,
                              const struct flo_err *err, struct flo_buf *out);

/* Writes an error (errors.c).  It is fail() of all fronts of this API. */
void flo_responses_fail(struct serve_failure *failure, struct flo_buf *out);

#endif

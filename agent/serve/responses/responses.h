/* Responses: fronts of OpenAI's Responses API, as Open Responses specifies it
 * too, and the stored responses. */
#ifndef FLOTILLA_SERVE_RESPONSES_H
#define FLOTILLA_SERVE_RESPONSES_H

#include "agent/serve/front/front.h"

extern const struct serve_front flo_responses;       /* answer.c */
extern const struct serve_front flo_responses_count; /* count.c */

#define RESPONSES_TOOLS_MAX 512

/* An item of an answer: reasoning, a message or a call. */
struct responses_item {
    enum serve_piece_kind kind; /* THOUGHT, TEXT or CALL */
    size_t begin, end;          /* begin and end in the kept thoughts or text */
    uint32_t call;              /* index in the kept calls */
};

/* A request's state. */
struct responses_state {
    /* Positions in the client's body, for errors. */
    uint16_t *item_of; /* for each message of OpenAI's body: index of the client's item */
    uint32_t n_messages;
    uint16_t tool_of[RESPONSES_TOOLS_MAX]; /* for each tool of OpenAI's body: the same */
    uint32_t n_tools;
    bool is_stored;
    struct flo_buf echo; /* members of the object that repeat the request */
    /* list of the items that the model got; empty: the response is not
     * stored */
    struct flo_buf context;
    uint32_t n_context;
    /* The answer. */
    struct responses_item *items;
    uint32_t n_items;
    bool is_open;      /* the last item of a stream is not finished */
    uint64_t sequence; /* number of the stream's next event */
};

/* ---- the body: body.c ---- */

/* Parses a body into request->params and request->state.  is_count: only its
 * prompt matters. */
FLO_MUST_USE int flo_responses_read(struct serve_request *request, const struct serve_body *body,
                                    bool is_count, struct flo_err *err);
/* Frees the state: drop() of all fronts of this API. */
void flo_responses_drop(void *state);

/* ---- the object and its items: object.c ---- */

/* Writes an item's id: response "resp_1f" gives message "msg_1fo3". */
void flo_responses_add_id(const struct serve_request *request, const char *prefix, char mark,
                          size_t index, struct flo_buf *out);
/* Writes the id of item i of the answer. */
void flo_responses_add_item_id(const struct serve_request *request, uint32_t i,
                               struct flo_buf *out);
/* Writes item i of the answer.  status NULL: it begins, and is empty. */
void flo_responses_add_item(const struct serve_request *request, uint32_t i, const char *status,
                            struct flo_buf *out);
/* Writes {"type":"output_text",...}, or reasoning's part. */
void flo_responses_add_part(enum serve_piece_kind kind, struct flo_wire_text text,
                            struct flo_buf *out);
/* Returns the kept text of a message or of reasoning, or a call's arguments. */
struct flo_wire_text flo_responses_text(const struct serve_request *request, uint32_t i);
/* Returns the final status of item i; done NULL: the answer failed. */
const char *flo_responses_item_status(const struct serve_request *request, uint32_t i,
                                      const struct flo_wire_done *done);
/* Writes the whole object. done and err NULL: the answer is in progress; err:
 * the answer failed. */
void flo_responses_add_object(const struct serve_request *request, const struct flo_wire_done *done,
                              const struct flo_err *err, struct flo_buf *out);

/* Writes an error: fail() of all fronts of this API (errors.c). */
void flo_responses_fail(struct serve_failure *failure, struct flo_buf *out);

#endif

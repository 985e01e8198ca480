/* Declares the state of a body that is being converted, and the functions that
 * read its parts. */
#ifndef FLOTILLA_SERVE_RESPONSES_BODY_H
#define FLOTILLA_SERVE_RESPONSES_BODY_H

#include "agent/serve/params/reader.h"
#include "agent/serve/responses/responses.h"

/* value in item_of: the item belongs to the previous response */
#define RESPONSES_BEFORE UINT16_MAX

struct responses_body {
    struct serve_request *request;
    struct responses_state *state;
    const json_t *from; /* the client's */
    json_t *to;         /* OpenAI's chat */
    json_t *items;      /* items that the model gets, each complete and with an id */
    size_t n_before;    /* number of entries in `items` that are from the previous response */
    json_t *skipped;    /* types of the tools in the body that are not supported */
    bool failed;        /* out of memory */
    struct flo_err *err;
};

/* ---- helpers: fields.c ---- */

/* Returns the value of a field; NULL: it is absent or null. */
json_t *flo_responses_field(const struct responses_body *body, const char *key);
void flo_responses_put(struct responses_body *body, const char *key, json_t *value);
/* Fails with FLO_E_INFER_PARAM about this field.  Its text is the field, a
 * blank, and the formatted rest of the sentence. */
int flo_responses_refuse(struct responses_body *body, const char *field, const char *format, ...)
    FLO_PRINTF(3, 4);

/* ---- parts, each in a file of its name ---- */

/* Reads `previous_response_id` and `input`, and puts their items into
 * body->items. */
FLO_MUST_USE int flo_responses_read_items(struct responses_body *body);
/* Converts `instructions` and body->items to the chat's `messages`. */
void flo_responses_add_messages(struct responses_body *body);
/* Reads `tools`, `tool_choice` and `parallel_tool_calls` of the body. */
FLO_MUST_USE int flo_responses_read_tools(struct responses_body *body);
/* Writes the members of the answer that repeat the request to state->echo,
 * after the request's parameters were read. */
FLO_MUST_USE int flo_responses_keep_echo(struct responses_body *body);

#endif

/* A body while it is read, and its parts. */
#ifndef FLOTILLA_SERVE_RESPONSES_BODY_H
#define FLOTILLA_SERVE_RESPONSES_BODY_H

#include <string.h>

#include "agent/serve/params/reader.h"
#include "agent/serve/responses/responses.h"

#define RESPONSES_BEFORE UINT16_MAX /* an item of the response before */

struct responses_body {
    struct serve_request *request;
    struct responses_state *state;
    const json_t *from; /* the client's */
    json_t *to;         /* OpenAI's chat */
    json_t *items;      /* that the model is told, each whole and with an id */
    size_t n_before;    /* items of the response before */
    json_t *skipped;    /* types of tools that nobody here runs */
    bool failed;        /* memory was gone */
    struct flo_err *err;
};

/* ---- helpers: fields.c ---- */

/* The field, or NULL when it is absent or null. */
json_t *flo_responses_field(const struct responses_body *body, const char *key);
void flo_responses_put(struct responses_body *body, const char *key, json_t *value);
static inline bool flo_responses_is(const json_t *value, const char *word)
{
    return json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}
/* FLO_E_INFER_PARAM: the field, a blank and the sentence's rest; the field is
 * the error's `param`. */
int flo_responses_refuse(struct responses_body *body, const char *field, const char *format, ...)
    FLO_PRINTF(3, 4);

/* ---- parts, each in a file of its name ---- */

/* `previous_response_id` and `input` to body->items. */
FLO_MUST_USE int flo_responses_read_items(struct responses_body *body);
/* `instructions` and body->items to `messages`. */
void flo_responses_add_messages(struct responses_body *body);
/* `tools`, `tool_choice` and `parallel_tool_calls`. */
FLO_MUST_USE int flo_responses_read_tools(struct responses_body *body);
/* Members that repeat the request, as state->echo; its parameters are read. */
FLO_MUST_USE int flo_responses_keep_echo(struct responses_body *body);

#endif

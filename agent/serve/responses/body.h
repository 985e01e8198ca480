/* Body: struct of a body while it is parsed, and the functions that read its
 * parts. */
#ifndef FLOTILLA_SERVE_RESPONSES_BODY_H
#define FLOTILLA_SERVE_RESPONSES_BODY_H

#include <string.h>

#include "agent/serve/params/reader.h"
#include "agent/serve/responses/responses.h"

#define RESPONSES_BEFORE UINT16_MAX /* marks an item of the previous response */

struct responses_body {
    struct serve_request *request;
    struct responses_state *state;
    const json_t *from; /* the client's */
    json_t *to;         /* OpenAI's chat */
    json_t *items;      /* items for the model, each complete and with an id */
    size_t n_before;    /* number of items of the previous response */
    json_t *skipped;    /* types of tools that are not supported here */
    bool failed;        /* out of memory */
    struct flo_err *err;
};

/* ---- helpers: fields.c ---- */

/* Returns the field, or NULL if it is absent or null. */
json_t *flo_responses_field(const struct responses_body *body, const char *key);
void flo_responses_put(struct responses_body *body, const char *key, json_t *value);
static inline bool flo_responses_is(const json_t *value, const char *word)
{
    return json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}
/* Fails with FLO_E_INFER_PARAM: the field, a blank and the rest of the
 * sentence; the field becomes the error's `param`. */
int flo_responses_refuse(struct responses_body *body, const char *field, const char *format, ...)
    FLO_PRINTF(3, 4);

/* ---- parts, each in a file of its name ---- */

/* Reads `previous_response_id` and `input` into body->items. */
FLO_MUST_USE int flo_responses_read_items(struct responses_body *body);
/* Converts `instructions` and body->items to `messages`. */
void flo_responses_add_messages(struct responses_body *body);
/* Reads `tools`, `tool_choice` and `parallel_tool_calls`. */
FLO_MUST_USE int flo_responses_read_tools(struct responses_body *body);
/* Writes the members that repeat the request to state->echo; call it after its
 * parameters were parsed. */
FLO_MUST_USE int flo_responses_keep_echo(struct responses_body *body);

#endif

/* Body: converts a body of the Responses API to one of OpenAI's chat.
 *
 * The chat's reader checks the ranges that both have.  This file checks what
 * that reader cannot: items, other tools, and fields of this API. */
#include "agent/serve/responses/body.h"

#include <stdlib.h>
#include <string.h>

#include "agent/serve/responses/store.h"

#define METADATA_MAX 16
#define METADATA_KEY_CHARS_MAX 64
#define METADATA_CHARS_MAX 512

/* ---- fields of this API alone ---- */

/* Refuses fields that are not supported, except with values that change
 * nothing. */
static int read_not_built(struct responses_body *body)
{
    static const char *const fields[] = {"conversation", "prompt"};
    const json_t *background = flo_responses_field(body, "background");
    const json_t *top = flo_responses_field(body, "top_logprobs");
    const json_t *include = flo_responses_field(body, "include");
    const json_t *word;
    size_t i;

    for (i = 0; i < FLO_COUNT(fields); i++) {
        if (flo_responses_field(body, fields[i]) != NULL) {
            return flo_responses_refuse(body, fields[i], "is not built");
        }
    }
    if (background != NULL && !json_is_false(background)) {
        return flo_responses_refuse(body, "background",
                                    "must be false: answers in the background "
                                    "are not built");
    }
    if (top != NULL && !(json_is_integer(top) && json_integer_value(top) == 0)) {
        return flo_responses_refuse(body, "top_logprobs",
                                    "must be 0: log-probabilities are those of "
                                    "/v1/chat/completions");
    }
    if (include != NULL && !json_is_array(include)) {
        return flo_responses_refuse(body, "include", "must be a list of texts");
    }
    json_array_foreach(include, i, word)
    {
        if (!json_is_string(word)) {
            return flo_responses_refuse(body, "include", "must be a list of texts");
        }
        if (flo_reader_is(word, "message.output_text.logprobs")) {
            return flo_responses_refuse(body, "include",
                                        "asks for log-probabilities, which are those of "
                                        "/v1/chat/completions");
        }
    }
    return 0;
}

static size_t chars_of(const char *text)
{
    size_t chars = 0;

    for (; *text != '\0'; text++) {
        chars += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return chars;
}

static int read_metadata(struct responses_body *body)
{
    json_t *metadata = flo_responses_field(body, "metadata");
    bool fits = metadata == NULL ||
                (json_is_object(metadata) && json_object_size(metadata) <= METADATA_MAX);
    const char *key;
    json_t *value;

    json_object_foreach(metadata, key, value)
    {
        fits = fits && chars_of(key) <= METADATA_KEY_CHARS_MAX && json_is_string(value) &&
               chars_of(json_string_value(value)) <= METADATA_CHARS_MAX;
    }
    return fits ? 0
                : flo_responses_refuse(body, "metadata",
                                       "must be an object of at most %d texts of %d characters, "
                                       "with keys of %d",
                                       METADATA_MAX, METADATA_CHARS_MAX, METADATA_KEY_CHARS_MAX);
}

static int read_store(struct responses_body *body)
{
    const json_t *value = flo_responses_field(body, "store");

    if (value != NULL && !json_is_boolean(value)) {
        return flo_responses_refuse(body, "store", "must be true or false");
    }
    body->state->is_stored = json_is_true(value);
    return 0;
}

/* Checks the texts in the body that the answer repeats. */
static int check_texts(struct responses_body *body)
{
    static const char *const fields[] = {"instructions", "user", "safety_identifier",
                                         "prompt_cache_key"};
    const json_t *calls = flo_responses_field(body, "max_tool_calls");

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const json_t *value = flo_responses_field(body, fields[i]);
        if (value != NULL && !json_is_string(value)) {
            return flo_responses_refuse(body, fields[i], "must be a text");
        }
    }
    return calls == NULL || (json_is_integer(calls) && json_integer_value(calls) > 0)
               ? 0
               : flo_responses_refuse(body, "max_tool_calls", "must be a whole number from 1");
}

/* ---- fields with another name in a chat ---- */

static bool is_text_or_none(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_string(value);
}

static int read_format(struct responses_body *body)
{
    const json_t *text = flo_responses_field(body, "text");
    json_t *format = json_object_get(text, "format");
    json_t *type = json_object_get(format, "type");
    json_t *schema = json_object_get(format, "schema");

    if (text != NULL && !json_is_object(text)) {
        return flo_responses_refuse(body, "text", "must be an object");
    }
    if (format == NULL || json_is_null(format)) {
        return 0;
    }
    if (!is_text_or_none(json_object_get(format, "name")) ||
        !is_text_or_none(json_object_get(format, "description"))) {
        return flo_responses_refuse(body, "text.format",
                                    "has a name or description that is no text");
    }
    flo_responses_put(
        body, "response_format",
        flo_reader_is(type, "json_schema")
            ? json_pack("{s:O,s:{s:O?}}", "type", type, "json_schema", "schema", schema)
            : json_pack("{s:O?}", "type", type));
    return 0;
}

/* Reads the effort of reasoning.  A level above the highest that templates know
 * counts as that one. */
static int read_reasoning(struct responses_body *body)
{
    const json_t *reasoning = flo_responses_field(body, "reasoning");
    json_t *effort = json_object_get(reasoning, "effort");

    if (reasoning != NULL && !json_is_object(reasoning)) {
        return flo_responses_refuse(body, "reasoning", "must be an object");
    }
    if (effort != NULL && !json_is_null(effort)) {
        flo_responses_put(body, "reasoning_effort",
                          flo_reader_is(effort, "xhigh") ? json_string("high")
                                                         : json_incref(effort));
    }
    return 0;
}

/* Copies the fields that both APIs have, perhaps under different names. */
static void copy_fields(struct responses_body *body, bool is_count)
{
    static const struct {
        const char *theirs, *ours;
        /* true: the field is part of a prompt; false: it is only for an
         * answer */
        bool is_of_prompt;
    } rows[] = {
        {"model", "model", true},
        {"truncation", "truncation", true},
        {"max_output_tokens", "max_tokens", false},
        {"temperature", "temperature", false},
        {"top_p", "top_p", false},
        {"presence_penalty", "presence_penalty", false},
        {"frequency_penalty", "frequency_penalty", false},
        {"seed", "seed", false},
        {"stream", "stream", false},
        {"service_tier", "service_tier", false},
        {"priority", "priority", false},
        {"user", "user", true},
        {"safety_identifier", "safety_identifier", true},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        json_t *value = flo_responses_field(body, rows[i].theirs);
        if (value != NULL && (rows[i].is_of_prompt || !is_count)) {
            flo_responses_put(body, rows[i].ours, json_incref(value));
        }
    }
    if (is_count) {
        flo_responses_put(body, "max_tokens", json_integer(1));
    }
}

/* ---- all of it ---- */

static int translate(struct responses_body *body, bool is_count)
{
    FLO_TRY(read_not_built(body));
    FLO_TRY(read_metadata(body));
    FLO_TRY(read_store(body));
    FLO_TRY(check_texts(body));
    FLO_TRY(flo_responses_read_items(body));
    FLO_TRY(flo_responses_read_tools(body));
    FLO_TRY(read_reasoning(body));
    if (!is_count) {
        FLO_TRY(read_format(body));
    }
    copy_fields(body, is_count);
    flo_responses_add_messages(body);
    if (!body->failed && body->state->n_messages == 0) {
        return flo_responses_refuse(body, "input", "has reasoning alone, and nothing was said");
    }
    return body->failed ? flo_fail(body->err, FLO_E_MEMORY, "no memory for the body") : 0;
}

/* Stores the conversation, if the response will be stored. */
static int keep_context(struct responses_body *body)
{
    struct responses_state *state = body->state;

    if (!state->is_stored) {
        return 0;
    }
    state->context.bytes_max = RESPONSES_STORED_ONE_BYTES_MAX;
    flo_json_dump(body->items, &state->context);
    state->n_context = (uint32_t)json_array_size(body->items);
    return state->context.failed
               ? flo_responses_refuse(body, "store",
                                      "keeps %u bytes at most, the conversation has more",
                                      RESPONSES_STORED_ONE_BYTES_MAX)
               : 0;
}

static int read_body(struct responses_body *body, bool is_count)
{
    struct serve_params *params = &body->request->params;
    int rv = translate(body, is_count);

    if (rv < 0) {
        json_decref(body->to);
        return rv;
    }
    FLO_TRY(flo_params_read_tree(REQUEST_CHAT, body->to, params, body->err));
    if (is_count) {
        return 0;
    }
    FLO_TRY(flo_responses_keep_echo(body));
    return keep_context(body);
}

int flo_responses_read(struct serve_request *request, const struct serve_body *body, bool is_count,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;
    struct responses_body reading = {.request = request, .err = err};
    int rv;

    FLO_TRY(flo_json_body(body->data, body->bytes, PARAMS_BODY_BYTES_MAX, &tree, err));
    request->state = reading.state = calloc(1, sizeof(*reading.state));
    reading.from = tree;
    reading.to = json_object();
    reading.skipped = json_array();
    if (reading.state == NULL || reading.to == NULL || reading.skipped == NULL) {
        json_decref(reading.to);
        rv = flo_fail(err, FLO_E_MEMORY, "no memory for the body");
    } else {
        rv = read_body(&reading, is_count);
    }
    json_decref(reading.items);
    json_decref(reading.skipped);
    return rv;
}

void flo_responses_drop(void *state)
{
    struct responses_state *one = state;

    if (one == NULL) {
        return;
    }
    flo_buf_deinit(&one->echo);
    flo_buf_deinit(&one->context);
    free(one->item_of);
    free(one->items);
    free(one);
}

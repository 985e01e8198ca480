/* Body: converts a body of Anthropic's messages API to one of OpenAI's chat.
 *
 * OpenAI's reader checks the ranges that both APIs have.  This file checks what
 * that reader cannot: blocks, and ranges that differ. */
#include "agent/serve/anthropic/anthropic.h"

#include <stdlib.h>
#include <string.h>

#include "agent/serve/anthropic/history.h"
#include "agent/serve/params/reader.h"

static const json_t *field(const struct anthropic_body *body, const char *key)
{
    return flo_json_member(body->from, key);
}

static void put(struct anthropic_body *body, const char *key, json_t *value)
{
    body->failed |= json_object_set_new(body->to, key, value) < 0;
}

static int refuse(const struct anthropic_body *body, const char *what)
{
    return flo_fail(body->err, FLO_E_INFER_PARAM, "%s", what);
}

/* ---- fields with a meaning of their own ---- */

static int read_temperature(struct anthropic_body *body)
{
    const json_t *value = field(body, "temperature");
    double number = json_number_value(value);

    if (value == NULL) {
        return 0;
    }
    if (!json_is_number(value) || !(number >= 0 && number <= 1)) {
        return refuse(body, "temperature must be a number from 0 to 1");
    }
    put(body, "temperature", json_real(number));
    return 0;
}

static int read_tool(struct anthropic_body *body, size_t i, const json_t *tool, json_t *list)
{
    const json_t *type = json_object_get(tool, "type");
    json_t *schema = json_object_get(tool, "input_schema");
    json_t *description = json_object_get(tool, "description");
    json_t *function;

    if (json_is_string(type) && !flo_reader_is(type, "custom")) {
        return 0; /* Anthropic's servers would run a tool of this type, but this device cannot */
    }
    if (type != NULL && !json_is_null(type) && !json_is_string(type)) {
        return flo_fail(body->err, FLO_E_INFER_PARAM, "tools[%zu] has a type that is no text", i);
    }
    if (!json_is_string(json_object_get(tool, "name")) || !json_is_object(schema)) {
        return flo_fail(body->err, FLO_E_INFER_PARAM,
                        "tools[%zu] must have a name, and an input_schema as "
                        "an object",
                        i);
    }
    function = json_pack("{s:O,s:O}", "name", json_object_get(tool, "name"), "parameters", schema);
    if (description != NULL) {
        body->failed |= json_object_set(function, "description", description) < 0;
    }
    body->failed |= json_array_append_new(
                        list, json_pack("{s:s,s:o}", "type", "function", "function", function)) < 0;
    return 0;
}

static int read_tools(struct anthropic_body *body)
{
    const json_t *tools = field(body, "tools");
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();
    const json_t *tool;
    size_t i;

    if (tools != NULL && !json_is_array(tools)) {
        return refuse(body, "tools must be a list");
    }
    json_array_foreach(tools, i, tool)
    {
        FLO_TRY(read_tool(body, i, tool, list));
    }
    put(body, "tools", json_incref(list));
    return 0;
}

static int read_choice(struct anthropic_body *body)
{
    static const struct {
        const char *theirs, *ours;
    } words[] = {{"auto", "auto"}, {"any", "required"}, {"none", "none"}};
    const json_t *choice = field(body, "tool_choice");
    const json_t *type = json_object_get(choice, "type");
    const json_t *one = json_object_get(choice, "disable_parallel_tool_use");
    json_t *name = json_object_get(choice, "name");
    bool is_known = choice == NULL;

    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (flo_reader_is(type, words[i].theirs)) {
            put(body, "tool_choice", json_string(words[i].ours));
            is_known = true;
        }
    }
    if (flo_reader_is(type, "tool") && json_is_string(name)) {
        put(body, "tool_choice",
            json_pack("{s:s,s:{s:O}}", "type", "function", "function", "name", name));
        is_known = true;
    }
    if (!is_known) {
        return refuse(body, "tool_choice must have the type auto, any or none, "
                            "or the type tool and a name");
    }
    if (one != NULL && !json_is_boolean(one)) {
        return refuse(body, "tool_choice has a disable_parallel_tool_use that "
                            "is not true or false");
    }
    put(body, "parallel_tool_calls", json_boolean(!json_is_true(one)));
    return 0;
}

/* Reads `thinking`.  Its budget is ignored, because max_tokens limits thoughts
 * too. */
static int read_thinking(struct anthropic_body *body)
{
    const json_t *thinking = field(body, "thinking");
    const json_t *type = json_object_get(thinking, "type");
    bool is_on = flo_reader_is(type, "enabled");

    if (thinking == NULL || flo_reader_is(type, "adaptive") ||
        flo_reader_is(type, "between_tools")) {
        return 0;
    }
    if (!is_on && !flo_reader_is(type, "disabled")) {
        return refuse(body, "thinking must have the type enabled, disabled, "
                            "adaptive or between_tools");
    }
    put(body, "chat_template_kwargs", json_pack("{s:b}", "enable_thinking", is_on));
    return 0;
}

static int read_format(struct anthropic_body *body)
{
    const json_t *format = json_object_get(field(body, "output_config"), "format");
    json_t *schema;

    if (format == NULL || json_is_null(format)) {
        return 0;
    }
    schema = json_object_get(format, "schema");
    if (!flo_reader_is(json_object_get(format, "type"), "json_schema") || !json_is_object(schema)) {
        return refuse(body, "output_config must have a format of type "
                            "json_schema and with a schema");
    }
    put(body, "response_format",
        json_pack("{s:s,s:{s:O}}", "type", "json_schema", "json_schema", "schema", schema));
    return 0;
}

/* ---- all of it ---- */

/* Copies the fields that both APIs have, perhaps under different names. */
static void copy_fields(struct anthropic_body *body, bool is_count)
{
    static const struct {
        const char *theirs, *ours;
        /* true: the field is part of a prompt; false: it is only for an
         * answer */
        bool is_of_prompt;
    } rows[] = {
        {"model", "model", true},
        {"max_tokens", "max_tokens", false},
        {"stop_sequences", "stop", false},
        {"top_p", "top_p", false},
        {"top_k", "top_k", false},
        {"stream", "stream", false},
        {"service_tier", "service_tier", false},
    };
    const json_t *user = json_object_get(field(body, "metadata"), "user_id");

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        json_t *value = json_object_get(body->from, rows[i].theirs);
        if (value != NULL && (rows[i].is_of_prompt || !is_count)) {
            put(body, rows[i].ours,
                flo_reader_is(value, "standard_only") ? json_string("default")
                                                      : json_incref(value));
        }
    }
    if (json_is_string(user)) {
        put(body, "user", json_stringn(json_string_value(user), json_string_length(user)));
    }
    if (is_count) {
        put(body, "max_tokens", json_integer(1));
    }
}

static int translate(struct anthropic_body *body, bool is_count)
{
    if (!is_count && field(body, "max_tokens") == NULL) {
        return flo_fail(body->err, FLO_E_INFER_PARAM,
                        "max_tokens must be given, a whole number from 1 to %d", PARAMS_TOKENS_MAX);
    }
    copy_fields(body, is_count);
    FLO_TRY(flo_anthropic_history(body));
    FLO_TRY(read_tools(body));
    FLO_TRY(read_choice(body));
    FLO_TRY(read_thinking(body));
    if (!is_count) {
        FLO_TRY(read_temperature(body));
        FLO_TRY(read_format(body));
    }
    return body->failed ? flo_fail(body->err, FLO_E_MEMORY, "no memory for the body") : 0;
}

/* Refuses a thread, which would be a conversation stored on the server.  A
 * client that gets this error sends the whole conversation itself. */
static int refuse_thread(const json_t *tree, struct serve_params *params, struct flo_err *err)
{
    const json_t *thread = json_object_get(tree, "thread");

    if (thread == NULL || json_is_null(thread)) {
        return 0;
    }
    strcpy(params->param, FLO_ANTHROPIC_THREAD);
    return flo_fail(err, FLO_E_INFER_PARAM,
                    "thread is not built: no conversation is kept between two "
                    "requests, so send all messages");
}

int flo_anthropic_read(struct serve_request *request, const struct serve_body *body, bool is_count,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;
    struct anthropic_body reading = {.err = err};

    FLO_TRY(flo_json_body(body->data, body->bytes, PARAMS_BODY_BYTES_MAX, &tree, err));
    FLO_TRY(refuse_thread(tree, &request->params, err));
    request->state = reading.state = calloc(1, sizeof(*reading.state));
    reading.from = tree;
    reading.to = json_object();
    int rv = reading.state == NULL || reading.to == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "no memory for the body")
                 : translate(&reading, is_count);
    if (rv < 0) {
        json_decref(reading.to);
        return rv;
    }
    return flo_params_read_tree(REQUEST_CHAT, reading.to, &request->params, err);
}

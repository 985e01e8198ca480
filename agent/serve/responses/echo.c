/* Echo: writes the members of a response that repeat its request, with the
 * values that were used. */
#include "agent/serve/responses/body.h"

#define ECHO_BYTES_MAX (2 * PARAMS_BODY_BYTES_MAX)

struct echo {
    struct responses_body *body;
    json_t *to;
};

/* Sets a member; `value` NULL: sets it to null. */
static void set(struct echo *echo, const char *key, json_t *value)
{
    value = value == NULL ? json_null() : value;
    echo->body->failed |= json_object_set_new(echo->to, key, value) < 0;
}

static json_t *given(const struct echo *echo, const char *key)
{
    return json_incref(flo_responses_field(echo->body, key));
}

static json_t *given_or(const struct echo *echo, const char *key, json_t *standard)
{
    json_t *value = flo_responses_field(echo->body, key);

    if (value != NULL) {
        json_decref(standard);
        return json_incref(value);
    }
    return standard;
}

/* Lists the tools as used: each is strict, whatever the client set. */
static json_t *tools_of(const struct echo *echo)
{
    const json_t *tools = flo_responses_field(echo->body, "tools");
    json_t *list = json_array();
    const json_t *tool;
    size_t i;

    json_array_foreach(tools, i, tool)
    {
        if (flo_reader_is(json_object_get(tool, "type"), "function")) {
            json_array_append_new(list,
                                  json_pack("{s:s,s:O?,s:O?,s:O?,s:b}", "type", "function", "name",
                                            json_object_get(tool, "name"), "description",
                                            json_object_get(tool, "description"), "parameters",
                                            json_object_get(tool, "parameters"), "strict", 1));
        }
    }
    return list;
}

static json_t *text_of(const struct echo *echo)
{
    const json_t *format = json_object_get(flo_responses_field(echo->body, "text"), "format");
    const json_t *type = json_object_get(format, "type");
    const char *name = json_string_value(json_object_get(format, "name"));
    json_t *out;

    if (flo_reader_is(type, "json_schema")) {
        out = json_pack("{s:s,s:s,s:O?,s:O?,s:b}", "type", "json_schema", "name",
                        name == NULL ? "" : name, "description",
                        json_object_get(format, "description"), "schema",
                        json_object_get(format, "schema"), "strict", 1);
    } else {
        out = json_pack("{s:s}", "type", type == NULL ? "text" : json_string_value(type));
    }
    return json_pack("{s:o}", "format", out);
}

static json_t *tier_of(const struct echo *echo)
{
    json_t *tier = flo_responses_field(echo->body, "service_tier");

    return tier == NULL || flo_reader_is(tier, "auto") ? json_string("default") : json_incref(tier);
}

int flo_responses_keep_echo(struct responses_body *body)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *to = json_object();
    const struct flo_wire_generate *in = &body->request->params.message.generate;
    struct echo echo = {body, to};
    struct flo_buf *out = &body->state->echo;
    const json_t *effort = json_object_get(flo_responses_field(body, "reasoning"), "effort");

    set(&echo, "background", json_false());
    set(&echo, "frequency_penalty", json_real(in->frequency_penalty));
    set(&echo, "instructions", given(&echo, "instructions"));
    set(&echo, "max_tool_calls", given(&echo, "max_tool_calls"));
    set(&echo, "metadata", given_or(&echo, "metadata", json_object()));
    set(&echo, "parallel_tool_calls", json_boolean(!in->one_call));
    set(&echo, "presence_penalty", json_real(in->presence_penalty));
    set(&echo, "previous_response_id", given(&echo, "previous_response_id"));
    set(&echo, "prompt_cache_key", given(&echo, "prompt_cache_key"));
    set(&echo, "reasoning", json_pack("{s:O?,s:n}", "effort", effort, "summary"));
    set(&echo, "safety_identifier", given(&echo, "safety_identifier"));
    set(&echo, "service_tier", tier_of(&echo));
    set(&echo, "temperature", json_real(in->temperature));
    set(&echo, "text", text_of(&echo));
    set(&echo, "tool_choice", given_or(&echo, "tool_choice", json_string("auto")));
    set(&echo, "tools", tools_of(&echo));
    set(&echo, "top_logprobs", json_integer(0));
    set(&echo, "top_p", json_real(in->top_p));
    set(&echo, "truncation", given_or(&echo, "truncation", json_string("disabled")));
    set(&echo, "user", given(&echo, "user"));
    if (json_array_size(body->skipped) > 0) {
        set(&echo, "skipped_tools", json_incref(body->skipped));
    }
    out->bytes_max = ECHO_BYTES_MAX;
    flo_json_dump(to, out);
    return body->failed || out->failed ? flo_fail(body->err, FLO_E_MEMORY, "no memory for the body")
                                       : 0;
}

/* Tools: converts the tools of a body, and the choice among them, to OpenAI's
 * chat.
 *
 * Clients send tools by default that a vendor would run (`web_search`, `mcp`).
 * Those are left out, and the answer lists them. */
#include <string.h>

#include "agent/serve/responses/body.h"

/* largest number of bytes of a tool's type that the answer shows */
#define SKIPPED_BYTES_MAX 64

/* Tells whether the choice `allowed_tools` contains this tool.  Any other kind
 * of choice allows all tools. */
static bool is_allowed(const struct responses_body *body, const json_t *name)
{
    const json_t *choice = flo_responses_field(body, "tool_choice");
    const json_t *tools = json_object_get(choice, "tools");
    const json_t *tool;
    size_t i;

    if (!flo_reader_is(json_object_get(choice, "type"), "allowed_tools")) {
        return true;
    }
    json_array_foreach(tools, i, tool)
    {
        if (json_string_length(name) > 0 && json_equal(json_object_get(tool, "name"), name)) {
            return true;
        }
    }
    return false;
}

static void skip(struct responses_body *body, const json_t *type)
{
    char text[SKIPPED_BYTES_MAX];

    flo_text_clean(json_string_value(type), json_string_length(type), text, sizeof(text));
    body->failed |= json_array_append_new(body->skipped, json_string(text)) < 0;
}

static int read_tool(struct responses_body *body, size_t i, const json_t *tool, json_t *list)
{
    static const char *const members[] = {"name", "description", "parameters"};
    struct responses_state *state = body->state;
    const json_t *type = json_object_get(tool, "type");
    json_t *function;

    if (!json_is_string(type)) {
        return flo_responses_refuse(body, "tools", "[%zu] must have a type", i);
    }
    if (!flo_reader_is(type, "function")) {
        skip(body, type);
        return 0;
    }
    if (!is_allowed(body, json_object_get(tool, "name"))) {
        return 0;
    }
    function = json_object();
    for (size_t at = 0; at < FLO_COUNT(members); at++) {
        json_t *value = json_object_get(tool, members[at]);
        if (value != NULL) {
            body->failed |= json_object_set(function, members[at], value) < 0;
        }
    }
    body->failed |= json_array_append_new(
                        list, json_pack("{s:s,s:o}", "type", "function", "function", function)) < 0;
    state->tool_of[state->n_tools++] = (uint16_t)i;
    return 0;
}

static int read_list(struct responses_body *body)
{
    const json_t *tools = flo_responses_field(body, "tools");
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();
    const json_t *tool;
    size_t i;

    if (tools != NULL && (!json_is_array(tools) || json_array_size(tools) > RESPONSES_TOOLS_MAX)) {
        return flo_responses_refuse(body, "tools", "must be a list of at most %d tools",
                                    RESPONSES_TOOLS_MAX);
    }
    json_array_foreach(tools, i, tool)
    {
        FLO_TRY(read_tool(body, i, tool, list));
    }
    flo_responses_put(body, "tools", json_incref(list));
    return 0;
}

static int read_choice(struct responses_body *body)
{
    static const char field[] = "tool_choice";
    json_t *choice = flo_responses_field(body, field);
    json_t *type = json_object_get(choice, "type");
    json_t *name = json_object_get(choice, "name");
    json_t *mode = json_object_get(choice, "mode");

    if (choice == NULL) {
        return 0;
    }
    if (json_is_string(choice)) {
        flo_responses_put(body, field, json_incref(choice));
        return 0;
    }
    if (flo_reader_is(type, "function") && json_is_string(name)) {
        flo_responses_put(body, field,
                          json_pack("{s:s,s:{s:O}}", "type", "function", "function", "name", name));
        return 0;
    }
    if (flo_reader_is(type, "allowed_tools") && json_is_array(json_object_get(choice, "tools")) &&
        json_array_size(json_object_get(choice, "tools")) <= RESPONSES_TOOLS_MAX &&
        (mode == NULL || flo_reader_is(mode, "auto") || flo_reader_is(mode, "required"))) {
        flo_responses_put(body, field, mode == NULL ? json_string("auto") : json_incref(mode));
        return 0;
    }
    return flo_responses_refuse(
        body, field,
        "must be none, auto, required, {\"type\":\"function\",\"name\":...}, "
        "or "
        "allowed_tools with at most %d tools and the mode auto or required",
        RESPONSES_TOOLS_MAX);
}

int flo_responses_read_tools(struct responses_body *body)
{
    json_t *parallel = flo_responses_field(body, "parallel_tool_calls");

    FLO_TRY(read_choice(body));
    FLO_TRY(read_list(body));
    if (parallel != NULL) {
        flo_responses_put(body, "parallel_tool_calls", json_incref(parallel));
    }
    return 0;
}

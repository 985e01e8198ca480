/* History: converts a conversation of blocks to OpenAI's messages.
 *
 * Tool results become messages of their own, before the text of their message.
 * Text blocks stay parts of a message, which the reader joins with line
 * ends. */
#include "agent/serve/anthropic/history.h"

#include <stdarg.h>
#include <string.h>

#include "agent/serve/params/images.h"
#include "agent/serve/params/reader.h"

struct history {
    struct anthropic_body *body;
    json_t *list; /* OpenAI's messages */
    json_t *ids;  /* ids of the calls in earlier messages */
    size_t at;    /* the client's message */
};

/* Parts of the client's message that is being converted. */
struct parts {
    json_t *texts, *calls;
    struct flo_buf thoughts;
};

static int refuse(const struct history *history, const char *format, ...) FLO_PRINTF(2, 3);

static int refuse(const struct history *history, const char *format, ...)
{
    char text[256];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    return flo_fail(history->body->err, FLO_E_INFER_PARAM, "messages[%zu] %s", history->at, text);
}

static void add_message(struct history *history, json_t *message)
{
    struct anthropic_state *state = history->body->state;

    history->body->failed |= json_array_append_new(history->list, message) < 0;
    if (state->n_messages < FLO_COUNT(state->came_from)) {
        state->came_from[state->n_messages++] = (uint16_t)history->at;
    }
}

/* Adds a text block to the list.  Returns false when the block has no text. */
static bool add_text(struct history *history, const json_t *block, json_t *list)
{
    json_t *text = json_object_get(block, "text");

    if (!json_is_string(text)) {
        return false;
    }
    history->body->failed |=
        json_array_append_new(list, json_pack("{s:s,s:O}", "type", "text", "text", text)) < 0;
    return true;
}

static int refuse_block(const struct history *history, const json_t *block)
{
    const char *type = json_string_value(json_object_get(block, "type"));

    return type == NULL ? refuse(history, "has a content block without a type")
                        : refuse(history,
                                 "has a content block of type \"%.64s\" that is not "
                                 "built, or lacks its text",
                                 type);
}

/* ---- users ---- */

/* Adds the result of a tool, which is a text or a list of blocks.  The result
 * of a tool that failed begins with "Error:" for the model. */
static int add_result_parts(struct history *history, const json_t *result, json_t *list)
{
    json_t *content = json_object_get(result, "content");
    bool is_error = json_is_true(json_object_get(result, "is_error"));
    const json_t *block;
    size_t i;

    if (is_error) {
        history->body->failed |= json_array_append_new(list, json_pack("{s:s,s:s}", "type", "text",
                                                                       "text", "Error:")) < 0;
    }
    if (json_is_string(content)) {
        history->body->failed |= json_array_append_new(list, json_pack("{s:s,s:O}", "type", "text",
                                                                       "text", content)) < 0;
        return 0;
    }
    if (content != NULL && !json_is_null(content) && !json_is_array(content)) {
        return refuse(history, "has a tool_result whose content is no text and "
                               "no list of blocks");
    }
    json_array_foreach(content, i, block)
    {
        if (!flo_reader_is(json_object_get(block, "type"), "text") ||
            !add_text(history, block, list)) {
            return refuse_block(history, block);
        }
    }
    return 0;
}

static int add_result(struct history *history, const json_t *result)
{
    json_t *id = json_object_get(result, "tool_use_id");
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();

    if (!json_is_string(id)) {
        return refuse(history, "has a tool_result without a tool_use_id");
    }
    if (json_object_get(history->ids, json_string_value(id)) == NULL) {
        return refuse(history,
                      "has tool_use_id \"%.64s\", which no earlier message "
                      "uses",
                      json_string_value(id));
    }
    FLO_TRY(add_result_parts(history, result, list));
    add_message(history,
                json_pack("{s:s,s:O,s:O}", "role", "tool", "tool_call_id", id, "content", list));
    return 0;
}

/* Adds an image from the bytes in its block.  The reader later checks its
 * type. */
static int add_image(struct history *history, const json_t *block, json_t *list)
{
    const json_t *source = json_object_get(block, "source");
    FLO_CLEANUP(flo_json_cleanup)
    json_t *part = flo_image_part(json_string_value(json_object_get(source, "media_type")),
                                  json_string_value(json_object_get(source, "data")));

    if (flo_reader_is(json_object_get(source, "type"), "base64") && part != NULL) {
        history->body->failed |= json_array_append(list, part) < 0;
        return 0;
    }
    return refuse(history, "has a content block of type \"image\" without a "
                           "source of type base64: a device fetches nothing "
                           "for a prompt");
}

static int add_user_block(struct history *history, const json_t *block, struct parts *parts)
{
    const json_t *type = json_object_get(block, "type");

    if (flo_reader_is(type, "tool_result")) {
        return add_result(history, block);
    }
    if (flo_reader_is(type, "image")) {
        return add_image(history, block, parts->texts);
    }
    return flo_reader_is(type, "text") && add_text(history, block, parts->texts)
               ? 0
               : refuse_block(history, block);
}

/* ---- assistants ---- */

static int add_use(struct history *history, const json_t *use, json_t *list)
{
    json_t *id = json_object_get(use, "id");
    json_t *name = json_object_get(use, "name");
    json_t *input = json_object_get(use, "input");

    if (!json_is_string(id) || !json_is_string(name) || !json_is_object(input)) {
        return refuse(history, "has a tool_use without an id, a name, or an "
                               "input as an object");
    }
    history->body->failed |=
        json_object_set_new(history->ids, json_string_value(id), json_true()) < 0 ||
        json_array_append_new(list, json_pack("{s:O,s:s,s:{s:O,s:O}}", "id", id, "type", "function",
                                              "function", "name", name, "arguments", input)) < 0;
    return 0;
}

static int add_assistant_block(struct history *history, const json_t *block, struct parts *parts)
{
    const json_t *type = json_object_get(block, "type");
    const json_t *thought = json_object_get(block, "thinking");

    if (flo_reader_is(type, "tool_use")) {
        return add_use(history, block, parts->calls);
    }
    if (flo_reader_is(type, "redacted_thinking")) {
        return 0; /* encrypted thoughts cannot be read on this device, so they are dropped */
    }
    if (flo_reader_is(type, "thinking") && json_is_string(thought)) {
        flo_buf_text(&parts->thoughts, parts->thoughts.bytes > 0 ? "\n" : "");
        flo_buf_add(&parts->thoughts, json_string_value(thought), json_string_length(thought));
        return 0;
    }
    return flo_reader_is(type, "text") && add_text(history, block, parts->texts)
               ? 0
               : refuse_block(history, block);
}

/* ---- messages ---- */

static void end_message(struct history *history, bool is_assistant, struct parts *parts)
{
    struct anthropic_body *body = history->body;
    json_t *message = json_pack("{s:s,s:O}", "role", is_assistant ? "assistant" : "user", "content",
                                parts->texts);

    if (json_array_size(parts->calls) > 0) {
        body->failed |= json_object_set(message, "tool_calls", parts->calls) < 0;
    }
    if (parts->thoughts.bytes > 0) {
        body->failed |=
            json_object_set_new(message, "reasoning_content",
                                json_stringn(parts->thoughts.data, parts->thoughts.bytes)) < 0;
    }
    body->failed |= parts->thoughts.failed;
    add_message(history, message);
}

static int read_blocks(struct history *history, const json_t *blocks, bool is_assistant)
{
    struct parts parts = {json_array(), json_array(), {.bytes_max = 2 * PARAMS_BODY_BYTES_MAX}};
    size_t before = json_array_size(history->list);
    const json_t *block;
    size_t i;
    int rv = 0;

    json_array_foreach(blocks, i, block)
    {
        if (rv == 0) {
            rv = is_assistant ? add_assistant_block(history, block, &parts)
                              : add_user_block(history, block, &parts);
        }
    }
    /* A user's message that has only tool results needs no message of its own,
     * because each result has become one. */
    if (rv == 0 && (json_array_size(parts.texts) > 0 || is_assistant ||
                    json_array_size(history->list) == before)) {
        end_message(history, is_assistant, &parts);
    }
    json_decref(parts.texts);
    json_decref(parts.calls);
    flo_buf_deinit(&parts.thoughts);
    return rv;
}

static int read_message(struct history *history, const json_t *message)
{
    json_t *role = json_object_get(message, "role");
    json_t *content = json_object_get(message, "content");
    bool is_assistant = flo_reader_is(role, "assistant");

    if (!is_assistant && !flo_reader_is(role, "user")) {
        return refuse(history, "must have the role user or assistant");
    }
    if (json_is_array(content)) {
        return read_blocks(history, content, is_assistant);
    }
    if (!json_is_string(content)) {
        return refuse(history, "must have a content: a text or a list of "
                               "blocks");
    }
    add_message(history, json_pack("{s:O,s:O}", "role", role, "content", content));
    return 0;
}

static int read_system(struct history *history)
{
    json_t *system = json_object_get(history->body->from, "system");
    const json_t *block;
    size_t i;

    if (system == NULL || json_is_null(system)) {
        return 0;
    }
    FLO_CLEANUP(flo_json_cleanup)
    json_t *parts = json_is_string(system) ? json_incref(system) : json_array();
    json_array_foreach(system, i, block)
    {
        if (!flo_reader_is(json_object_get(block, "type"), "text") ||
            !add_text(history, block, parts)) {
            return flo_fail(history->body->err, FLO_E_INFER_PARAM,
                            "system[%zu] must be a block of type text", i);
        }
    }
    if (!json_is_string(system) && !json_is_array(system)) {
        return flo_fail(history->body->err, FLO_E_INFER_PARAM,
                        "system must be a text or a list of text blocks");
    }
    add_message(history, json_pack("{s:s,s:O}", "role", "system", "content", parts));
    return 0;
}

int flo_anthropic_history(struct anthropic_body *body)
{
    const json_t *messages = json_object_get(body->from, "messages");
    FLO_CLEANUP(flo_json_cleanup) json_t *ids = json_object();
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();
    struct history history = {body, list, ids, 0};
    const json_t *message;

    if (json_array_size(messages) == 0) {
        return flo_fail(body->err, FLO_E_INFER_PARAM, "messages must be a list of 1 to %d messages",
                        FLO_WIRE_MESSAGES_MAX);
    }
    FLO_TRY(read_system(&history));
    json_array_foreach(messages, history.at, message)
    {
        FLO_TRY(read_message(&history, message));
    }
    body->failed |= json_object_set(body->to, "messages", list) < 0;
    return 0;
}

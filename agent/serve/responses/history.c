/* History: converts the items of a conversation to OpenAI's messages.
 *
 * The reasoning, the text and the calls of an assistant are items here and one
 * message there.  Reasoning is dropped if the assistant said nothing after
 * it. */
#include <stdlib.h>
#include <string.h>

#include "agent/serve/responses/body.h"

struct history {
    struct responses_body *body;
    json_t *list; /* OpenAI's messages */
    /* message of the assistant that is being made, and not in the list yet */
    json_t *open;
    struct flo_buf thoughts; /* thoughts of the item */
    size_t at;               /* the item */
};

static json_t *list_of(json_t *message, const char *key)
{
    json_t *list = json_object_get(message, key);

    if (list == NULL) {
        list = json_array();
        if (json_object_set_new(message, key, list) < 0) {
            return NULL;
        }
    }
    return list;
}

static void add_message(struct history *history, json_t *message)
{
    struct responses_state *state = history->body->state;
    size_t before = history->body->n_before;

    history->body->failed |= json_array_append_new(history->list, message) < 0;
    state->item_of[state->n_messages++] =
        history->at < before || history->at - before >= RESPONSES_BEFORE
            ? RESPONSES_BEFORE
            : (uint16_t)(history->at - before);
}

/* Adds the assistant's message to the list.  In errors, the message has the
 * index of its last item. */
static void end_assistant(struct history *history)
{
    json_t *open = history->open;

    if (open == NULL) {
        return;
    }
    history->open = NULL;
    if (history->thoughts.bytes > 0) {
        history->body->failed |=
            json_object_set_new(open, "reasoning_content",
                                json_stringn(history->thoughts.data, history->thoughts.bytes)) < 0;
    }
    history->body->failed |= history->thoughts.failed;
    flo_buf_deinit(&history->thoughts);
    history->thoughts.bytes_max = 2 * PARAMS_BODY_BYTES_MAX;
    if (json_object_get(open, "content") == NULL && json_object_get(open, "tool_calls") == NULL) {
        json_decref(open);
        return;
    }
    history->at--;
    add_message(history, open);
    history->at++;
}

/* Returns the assistant's message that is being made.  If that message
 * already has the member `without` or `and_without`, it is ended and a new
 * one begun. */
static json_t *assistant(struct history *history, const char *without, const char *and_without)
{
    if (history->open != NULL && (json_object_get(history->open, without) != NULL ||
                                  json_object_get(history->open, and_without) != NULL)) {
        end_assistant(history);
    }
    if (history->open == NULL) {
        history->open = json_pack("{s:s}", "role", "assistant");
    }
    return history->open;
}

static json_t *image_part(const json_t *part)
{
    return json_pack("{s:s,s:{s:O,s:O}}", "type", "image_url", "image_url", "url",
                     json_object_get(part, "image_url"), "detail", json_object_get(part, "detail"));
}

/* Converts the parts of a content.  An image stays an image, any other part
 * becomes text. */
static void add_parts(struct history *history, const json_t *from, json_t *to)
{
    const json_t *part;
    size_t i;

    json_array_foreach(from, i, part)
    {
        json_t *text = json_object_get(part, "text");
        text = text == NULL ? json_object_get(part, "refusal") : text;
        json_t *made =
            text == NULL ? image_part(part) : json_pack("{s:s,s:O}", "type", "text", "text", text);
        history->body->failed |= json_array_append_new(to, made) < 0;
    }
}

static json_t *parts_of(struct history *history, const json_t *from)
{
    json_t *list = json_array();

    add_parts(history, from, list);
    return list;
}

/* ---- kinds of items ---- */

static void add_reasoning(struct history *history, const json_t *item)
{
    const json_t *from = json_object_get(item, "content");
    struct flo_buf *out = &history->thoughts;
    const json_t *part;
    size_t i;

    assistant(history, "content", "tool_calls");
    if (json_array_size(from) == 0) {
        from = json_object_get(item, "summary");
    }
    json_array_foreach(from, i, part)
    {
        const json_t *more = json_object_get(part, "text");
        flo_buf_text(out, out->bytes > 0 ? "\n" : "");
        flo_buf_add(out, json_string_value(more), json_string_length(more));
    }
}

static void add_call(struct history *history, const json_t *item)
{
    json_t *message = assistant(history, "", "");

    history->body->failed |=
        json_array_append_new(list_of(message, "tool_calls"),
                              json_pack("{s:O,s:s,s:{s:O,s:O}}", "id",
                                        json_object_get(item, "call_id"), "type", "function",
                                        "function", "name", json_object_get(item, "name"),
                                        "arguments", json_object_get(item, "arguments"))) < 0;
}

static void add_output(struct history *history, const json_t *item)
{
    end_assistant(history);
    add_message(history, json_pack("{s:s,s:O,s:o}", "role", "tool", "tool_call_id",
                                   json_object_get(item, "call_id"), "content",
                                   parts_of(history, json_object_get(item, "output"))));
}

/* Tells whether the item becomes part of the instructions.  Templates accept
 * only one system message, so system items right after the instructions are
 * joined to them. */
static bool joins_instructions(const struct history *history, const json_t *role)
{
    return flo_responses_field(history->body, "instructions") != NULL &&
           json_array_size(history->list) == 1 && history->open == NULL &&
           (flo_reader_is(role, "system") || flo_reader_is(role, "developer"));
}

static void add_said(struct history *history, const json_t *item)
{
    json_t *role = json_object_get(item, "role");
    const json_t *content = json_object_get(item, "content");

    if (flo_reader_is(role, "assistant")) {
        json_t *message = assistant(history, "content", "tool_calls");
        history->body->failed |=
            json_object_set_new(message, "content", parts_of(history, content)) < 0;
        return;
    }
    if (joins_instructions(history, role)) {
        add_parts(history, content, list_of(json_array_get(history->list, 0), "content"));
        return;
    }
    end_assistant(history);
    add_message(history,
                json_pack("{s:O,s:o}", "role", role, "content", parts_of(history, content)));
}

void flo_responses_add_messages(struct responses_body *body)
{
    struct history history = {
        .body = body,
        .list = json_array(),
        .thoughts.bytes_max = 2 * PARAMS_BODY_BYTES_MAX,
    };
    json_t *instructions = flo_responses_field(body, "instructions");
    const json_t *item;

    /* Each item becomes one message at most, and so do the instructions, so
     * this size is enough. */
    body->state->item_of =
        calloc(json_array_size(body->items) + 1, sizeof(body->state->item_of[0]));
    if (body->state->item_of == NULL) {
        body->failed = true;
        json_decref(history.list);
        return;
    }
    if (instructions != NULL) {
        add_message(&history, json_pack("{s:s,s:[{s:s,s:O}]}", "role", "system", "content", "type",
                                        "text", "text", instructions));
    }
    json_array_foreach(body->items, history.at, item)
    {
        const json_t *type = json_object_get(item, "type");
        if (flo_reader_is(type, "reasoning")) {
            add_reasoning(&history, item);
        } else if (flo_reader_is(type, "function_call")) {
            add_call(&history, item);
        } else if (flo_reader_is(type, "function_call_output")) {
            add_output(&history, item);
        } else {
            add_said(&history, item);
        }
    }
    end_assistant(&history);
    flo_responses_put(body, "messages", history.list);
}

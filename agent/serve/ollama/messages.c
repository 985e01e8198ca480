/* Messages: converts a conversation of Ollama's API to OpenAI's messages.
 *
 * Calls in Ollama's messages may lack ids.  They get ids in order; a tool's
 * message answers the first unanswered call of its name. */
#include "agent/serve/ollama/ollama.h"

#include <string.h>

#include "agent/serve/params/images.h"

struct history {
    struct flo_err *err;
    size_t at;    /* the message */
    size_t calls; /* number of calls so far that got their id from this file */
    json_t *open; /* list of [id, name] of the calls that no message has answered yet */
};

static int refuse(const struct history *history, const char *what)
{
    return flo_fail(history->err, FLO_E_INFER_PARAM, "messages[%zu] %s", history->at, what);
}

static int set(const struct history *history, json_t *out, const char *key, json_t *value)
{
    return json_object_set_new(out, key, value) < 0
               ? flo_fail(history->err, FLO_E_MEMORY, "no memory for messages")
               : 0;
}

/* ---- calls ---- */

static int add_call(struct history *history, const json_t *call, json_t *list)
{
    json_t *function = json_object_get(call, "function");
    json_t *name = json_object_get(function, "name");
    json_t *arguments = json_object_get(function, "arguments");
    const char *id = json_string_value(json_object_get(call, "id"));
    char made[32];

    if (!json_is_string(name)) {
        return refuse(history, "has a call without a function's name");
    }
    snprintf(made, sizeof(made), "call_%zu", history->calls++);
    id = id == NULL || id[0] == '\0' ? made : id;
    arguments =
        arguments == NULL || json_is_null(arguments) ? json_object() : json_incref(arguments);
    if (json_array_append_new(history->open, json_pack("[sO]", id, name)) < 0 ||
        json_array_append_new(list, json_pack("{ss ss s{sO so}}", "id", id, "type", "function",
                                              "function", "name", name, "arguments", arguments)) <
            0) {
        return flo_fail(history->err, FLO_E_MEMORY, "no memory for messages");
    }
    return 0;
}

static int add_calls(struct history *history, const json_t *calls, json_t *out)
{
    json_t *list = json_array();
    const json_t *call;
    size_t i;

    FLO_TRY(set(history, out, "tool_calls", list));
    if (!json_is_array(calls)) {
        return refuse(history, "has tool_calls that are no list");
    }
    json_array_foreach(calls, i, call)
    {
        FLO_TRY(add_call(history, call, list));
    }
    return 0;
}

/* Returns the index of the first unanswered call whose id or name (element
 * `place`) is `text`; NULL: of the first unanswered call. */
static size_t find_open(const struct history *history, size_t place, const char *text)
{
    size_t i = 0;

    while (text != NULL && i < json_array_size(history->open) &&
           strcmp(json_string_value(json_array_get(json_array_get(history->open, i), place)),
                  text) != 0) {
        i++;
    }
    return i;
}

static int add_answer(struct history *history, const json_t *message, json_t *out)
{
    const char *id = json_string_value(json_object_get(message, "tool_call_id"));
    const char *name = json_string_value(json_object_get(message, "tool_name"));

    if (name == NULL) {
        name = json_string_value(json_object_get(message, "name"));
    }
    size_t i = id != NULL ? find_open(history, 0, id) : find_open(history, 1, name);
    if (i == json_array_size(history->open)) {
        const char *said = id != NULL ? id : name != NULL ? name : "";
        return flo_fail(history->err, FLO_E_INFER_PARAM,
                        "messages[%zu] has the answer of a tool \"%.64s\", "
                        "which no earlier message calls",
                        history->at, said);
    }
    json_t *call = json_array_get(history->open, i);
    int rv = set(history, out, "tool_call_id", json_incref(json_array_get(call, 0)));
    json_array_remove(history->open, i);
    return rv;
}

/* ---- messages ---- */

static json_t *image_part(const json_t *image)
{
    struct flo_wire_text text = {json_string_value(image), json_string_length(image)};

    return flo_image_part(flo_image_type(text), text.data);
}

json_t *flo_ollama_content(json_t *text, const json_t *images)
{
    json_t *list;
    const json_t *image;
    size_t i;
    bool failed = false;

    if (json_array_size(images) == 0) {
        return json_incref(text);
    }
    list = json_array();
    json_array_foreach(images, i, image)
    {
        failed |= json_array_append_new(list, image_part(image)) < 0;
    }
    if (json_string_length(text) > 0) {
        failed |=
            json_array_append_new(list, json_pack("{s:s,s:O}", "type", "text", "text", text)) < 0;
    }
    if (failed) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* Adds the images of a message to its content. */
static int add_images(const struct history *history, const json_t *message, json_t *out)
{
    json_t *content =
        flo_ollama_content(json_object_get(message, "content"), json_object_get(message, "images"));

    return content == NULL ? refuse(history, "has an image that is no base64 of a PNG, "
                                             "JPEG, WebP or GIF")
                           : set(history, out, "content", content);
}

static int add_message(struct history *history, const json_t *message, json_t *out)
{
    static const struct {
        const char *from, *to;
    } same[] = {{"role", "role"}, {"content", "content"}, {"thinking", "reasoning_content"}};
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *calls = json_object_get(message, "tool_calls");
    const json_t *images = json_object_get(message, "images");

    for (size_t i = 0; i < FLO_COUNT(same); i++) {
        json_t *value = json_object_get(message, same[i].from);
        FLO_TRY(value == NULL ? 0 : set(history, out, same[i].to, json_incref(value)));
    }
    if (images != NULL && !json_is_null(images) && !json_is_array(images)) {
        return refuse(history, "has images that are no list");
    }
    if (json_array_size(images) > 0) {
        FLO_TRY(add_images(history, message, out));
    }
    if (calls != NULL && !json_is_null(calls)) {
        FLO_TRY(add_calls(history, calls, out));
    }
    if (role != NULL && strcmp(role, "tool") == 0) {
        FLO_TRY(add_answer(history, message, out));
    }
    return 0;
}

int flo_ollama_messages(const json_t *given, json_t *out, struct flo_err *err)
{
    struct history history = {.err = err, .open = json_array()};
    const json_t *message;
    int rv = 0;

    json_array_foreach(given, history.at, message)
    {
        json_t *made = json_object();
        rv = json_array_append_new(out, made) < 0
                 ? flo_fail(err, FLO_E_MEMORY, "no memory for messages")
                 : add_message(&history, message, made);
        if (rv < 0) {
            break;
        }
    }
    json_decref(history.open);
    return rv;
}

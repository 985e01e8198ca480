/* Messages: reads the text to continue, which is a conversation or a prompt.
 *
 * A message has a role and a content.  A JSON object next to them has an
 * assistant's calls and thoughts, or names the call that a tool answers.  This
 * object is the same for all forms in which OpenAI's API writes calls. */
#include "agent/serve/params/reader.h"

#include <stdarg.h>
#include <string.h>

#include "agent/serve/params/images.h"
#include "agent/serve/params/tools.h"

#define ID_BYTES_MAX 256 /* limit of the bytes of a call's id, which the client chose */

/* State of a conversation that is being read. */
struct history {
    struct params_reader *reader;
    size_t at; /* the message */
    /* object from the id of an earlier call to [its name, its message's
     * index] */
    json_t *calls;
    json_t *functions; /* object from a name to the id of the last `function_call` with that name */
};

static int refuse(const struct history *history, const char *format, ...) FLO_PRINTF(2, 3);

static int refuse(const struct history *history, const char *format, ...)
{
    char text[256], field[32];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(field, sizeof(field), "messages[%zu]", history->at);
    int rv = flo_reader_refuse(history->reader, field, "%s", text);
    strcpy(history->reader->params->param, "messages");
    return rv;
}

static int no_memory(const struct history *history)
{
    return flo_fail(history->reader->err, FLO_E_MEMORY, "no memory for messages");
}

/* ---- content ---- */

static int read_detail(const struct history *history, const json_t *detail, uint32_t *out)
{
    static const char *const words[FLO_WIRE_DETAILS] = {
        [FLO_WIRE_DETAIL_UNSAID] = "",
        [FLO_WIRE_DETAIL_AUTO] = "auto",
        [FLO_WIRE_DETAIL_LOW] = "low",
        [FLO_WIRE_DETAIL_HIGH] = "high",
    };

    *out = FLO_WIRE_DETAIL_UNSAID;
    if (detail == NULL || json_is_null(detail)) {
        return 0;
    }
    for (uint32_t i = FLO_WIRE_DETAIL_AUTO; i < FLO_WIRE_DETAILS; i++) {
        if (flo_reader_is(detail, words[i])) {
            *out = i;
            return 0;
        }
    }
    return refuse(history, "has an image whose detail is none of auto, low and "
                           "high");
}

/* Adds an image that comes after `at` bytes of the message's text. */
static int add_image(const struct history *history, const json_t *message, const json_t *image,
                     size_t at)
{
    struct flo_wire_generate *out = &history->reader->params->message.generate;
    const json_t *url = json_object_get(image, "url");
    struct flo_err why = {0};
    uint32_t detail;

    if (!json_is_string(url)) {
        return refuse(history, "has an image without an image_url that has a "
                               "url");
    }
    if (!flo_reader_is(json_object_get(message, "role"), "user")) {
        return refuse(history, "has an image, which only a user's message may "
                               "have");
    }
    if (out->n_images == FLO_WIRE_IMAGES_MAX) {
        return refuse(history, "has one image more than the %d of a request", FLO_WIRE_IMAGES_MAX);
    }
    if (flo_image_check(flo_reader_text(url), &why) < 0) {
        return refuse(history, "%s", why.what);
    }
    int rv = read_detail(history, json_object_get(image, "detail"), &detail);
    out->images[out->n_images].message = out->n_messages;
    out->images[out->n_images].at = (uint32_t)at;
    out->images[out->n_images].detail = detail;
    out->images[out->n_images++].url = flo_reader_text(url);
    return rv;
}

static int add_part(const struct history *history, const json_t *message, const json_t *part,
                    bool follows_text, struct flo_buf *text)
{
    const json_t *type = json_object_get(part, "type");
    const json_t *value = json_object_get(part, "text");

    if (flo_reader_is(type, "image_url")) {
        return add_image(history, message, json_object_get(part, "image_url"), text->bytes);
    }
    if (!flo_reader_is(type, "text") || !json_is_string(value)) {
        return refuse(history, "has a content part that is not text");
    }
    flo_buf_text(text, follows_text ? "\n" : "");
    flo_buf_add(text, json_string_value(value), json_string_length(value));
    return 0;
}

/* Joins the parts of a content to one text, and records where its images are.
 * Line ends join only texts that are next to each other. */
static int join_parts(const struct history *history, const json_t *message, const json_t *parts,
                      struct flo_wire_text *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = 2 * PARAMS_BODY_BYTES_MAX};
    const json_t *before = NULL;
    const json_t *part;
    size_t i;

    json_array_foreach(parts, i, part)
    {
        FLO_TRY(add_part(history, message, part,
                         flo_reader_is(json_object_get(before, "type"), "text"), &text));
        before = part;
    }
    return text.bytes == 0 && !text.failed ? 0 : flo_reader_keep(history->reader, &text, out);
}

static int read_content(const struct history *history, const json_t *message, bool is_assistant,
                        struct flo_wire_text *out)
{
    const json_t *content = json_object_get(message, "content");

    *out = (struct flo_wire_text){"", 0};
    if (json_is_array(content)) {
        return join_parts(history, message, content, out);
    }
    if (json_is_string(content)) {
        *out = flo_reader_text(content);
        return 0;
    }
    return is_assistant && (content == NULL || json_is_null(content))
               ? 0
               : refuse(history, "has no content as text");
}

/* ---- calls ---- */

/* Reads the arguments of a call: a JSON object, or a text of one.  Some models
 * make calls without arguments. */
static int read_arguments(const struct history *history, const json_t *function,
                          struct flo_buf *out)
{
    static const char none[] = "{}";
    const json_t *given = json_object_get(function, "arguments");
    const char *text = json_string_value(given);
    size_t bytes = json_string_length(given);
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;

    out->bytes_max = 2 * PARAMS_BODY_BYTES_MAX;
    if (json_is_object(given)) {
        flo_json_dump(given, out);
        return 0;
    }
    if (json_is_string(given) && bytes == 0) {
        text = none;
        bytes = sizeof(none) - 1;
    }
    if (text == NULL || flo_json_parse(text, bytes, PARAMS_BODY_BYTES_MAX, &tree, NULL) < 0 ||
        !json_is_object(tree)) {
        return refuse(history, "has arguments of a call that are no JSON "
                               "object");
    }
    flo_buf_add(out, text, bytes);
    return 0;
}

/* Adds a call to the list, and records its id for the message that answers
 * it. */
static int add_call(const struct history *history, const char *id, const json_t *function,
                    json_t *list)
{
    const char *name = json_string_value(json_object_get(function, "name"));
    const json_t *before = json_object_get(history->calls, id);
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf arguments = {0};

    if (!flo_tools_name_is_valid(json_object_get(function, "name"))) {
        return refuse(history, "has a call without a function's name");
    }
    if (before != NULL &&
        json_integer_value(json_array_get(before, 1)) == (json_int_t)history->at) {
        return refuse(history, "has two calls with the id \"%.64s\"", id);
    }
    FLO_TRY(read_arguments(history, function, &arguments));
    if (arguments.failed ||
        json_object_set_new(history->calls, id, json_pack("[sI]", name, (json_int_t)history->at)) <
            0 ||
        json_array_append_new(list, json_pack("{ss ss s{ss ss%}}", "id", id, "type", "function",
                                              "function", "name", name, "arguments", arguments.data,
                                              arguments.bytes)) < 0) {
        return no_memory(history);
    }
    return 0;
}

static int read_call(const struct history *history, const json_t *call, json_t *list)
{
    const json_t *id = json_object_get(call, "id");
    const json_t *type = json_object_get(call, "type");

    if (json_string_length(id) == 0 || json_string_length(id) > ID_BYTES_MAX) {
        return refuse(history, "has a call without an id of 1 to %d bytes", ID_BYTES_MAX);
    }
    if (type != NULL &&
        (!json_is_string(type) || strcmp(json_string_value(type), "function") != 0)) {
        return refuse(history, "has a call that is not of type function");
    }
    return add_call(history, json_string_value(id), json_object_get(call, "function"), list);
}

/* Reads a call in OpenAI's older form, which allows one call per message and
 * has no id. */
static int read_function_call(const struct history *history, const json_t *function, json_t *list)
{
    const char *name = json_string_value(json_object_get(function, "name"));
    char id[32];

    snprintf(id, sizeof(id), "call_%zu", history->at);
    FLO_TRY(add_call(history, id, function, list));
    if (json_object_set_new(history->functions, name, json_string(id)) < 0) {
        return no_memory(history);
    }
    return 0;
}

static int read_calls(const struct history *history, const json_t *message, json_t *list)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    const json_t *function = json_object_get(message, "function_call");
    const json_t *call;
    size_t i;

    if (calls != NULL && !json_is_null(calls) && !json_is_array(calls)) {
        return refuse(history, "has tool_calls that are no list");
    }
    json_array_foreach(calls, i, call)
    {
        FLO_TRY(read_call(history, call, list));
    }
    if (function == NULL || json_is_null(function)) {
        return 0;
    }
    return json_array_size(list) > 0 ? refuse(history, "has both tool_calls and function_call")
                                     : read_function_call(history, function, list);
}

/* ---- the rest of a message ---- */

static int read_assistant(const struct history *history, const json_t *message, json_t *more)
{
    static const char *const fields[] = {"reasoning_content", "reasoning"};
    FLO_CLEANUP(flo_json_cleanup) json_t *calls = json_array();
    const json_t *thoughts = NULL;

    FLO_TRY(read_calls(history, message, calls));
    if (json_array_size(calls) > 0 && json_object_set(more, "tool_calls", calls) < 0) {
        return no_memory(history);
    }
    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const json_t *value = json_object_get(message, fields[i]);
        if (value != NULL && !json_is_null(value) && !json_is_string(value)) {
            return refuse(history, "has %s that is no text", fields[i]);
        }
        thoughts = json_string_length(thoughts) == 0 ? value : thoughts;
    }
    if (json_string_length(thoughts) > 0 &&
        json_object_set_new(
            more, fields[0],
            json_stringn(json_string_value(thoughts), json_string_length(thoughts))) < 0) {
        return no_memory(history);
    }
    return 0;
}

/* Finds the call that the message of a tool answers. */
static int read_answer(const struct history *history, const json_t *message, bool is_function,
                       json_t *more)
{
    const char *name = json_string_value(json_object_get(message, "name"));
    const char *id = json_string_value(json_object_get(message, "tool_call_id"));

    if (is_function) {
        id = name == NULL ? NULL : json_string_value(json_object_get(history->functions, name));
        if (id == NULL) {
            return refuse(history, "has no name of a function that an earlier "
                                   "message calls");
        }
    }
    const json_t *call = id == NULL ? NULL : json_object_get(history->calls, id);
    if (call == NULL) {
        return refuse(history,
                      id == NULL ? "has no tool_call_id"
                                 : "has tool_call_id \"%.64s\", which no "
                                   "earlier message calls",
                      id);
    }
    if (!flo_tools_name_is_valid(json_object_get(message, "name"))) {
        name = json_string_value(json_array_get(call, 0));
    }
    return json_object_set_new(more, "tool_call_id", json_string(id)) < 0 ||
                   json_object_set_new(more, "name", json_string(name)) < 0
               ? no_memory(history)
               : 0;
}

static int keep_more(const struct history *history, const json_t *more, struct flo_wire_text *out)
{
    struct flo_buf text = {.bytes_max = 4 * PARAMS_BODY_BYTES_MAX};

    if (json_object_size(more) == 0) {
        return 0;
    }
    flo_json_dump(more, &text);
    return flo_reader_keep(history->reader, &text, out);
}

/* Returns the role for the engine.  OpenAI has two names for two of the
 * roles. */
static struct flo_wire_text role_of(const json_t *role)
{
    if (flo_reader_is(role, "developer")) {
        return (struct flo_wire_text){"system", 6};
    }
    return flo_reader_is(role, "function") ? (struct flo_wire_text){"tool", 4}
                                           : flo_reader_text(role);
}

static bool has_calls(const json_t *message)
{
    return json_array_size(json_object_get(message, "tool_calls")) > 0 ||
           json_object_size(json_object_get(message, "function_call")) > 0;
}

/* Reads a message into the next entry.  `is_left_out`: the message is only
 * checked. */
static int read_message(const struct history *history, const json_t *message, bool is_left_out)
{
    struct flo_wire_generate *out = &history->reader->params->message.generate;
    uint32_t at = out->n_messages, n_images = out->n_images;
    const json_t *role = json_object_get(message, "role");
    FLO_CLEANUP(flo_json_cleanup) json_t *more = json_object();

    if (!json_is_string(role)) {
        return refuse(history, "has no role");
    }
    bool is_assistant = flo_reader_is(role, "assistant");
    out->messages[at].more = (struct flo_wire_text){0};
    int rv = read_content(history, message, is_assistant, &out->messages[at].content);
    if (rv == 0 && is_assistant) {
        rv = read_assistant(history, message, more);
    } else if (rv == 0 && (flo_reader_is(role, "tool") || flo_reader_is(role, "function"))) {
        rv = read_answer(history, message, flo_reader_is(role, "function"), more);
    } else if (rv == 0 && has_calls(message)) {
        rv = refuse(history, "has calls, which are an assistant's");
    }
    if (rv == 0) {
        rv = keep_more(history, more, &out->messages[at].more);
    }
    out->messages[at].role = role_of(role);
    out->n_messages += !is_left_out;
    out->n_images = is_left_out ? n_images : out->n_images;
    return rv;
}

static bool is_systems(const json_t *messages, size_t i)
{
    return flo_json_says(json_array_get(messages, i), "role", "system") ||
           flo_json_says(json_array_get(messages, i), "role", "developer");
}

/* Returns the index of the first message to keep.  It is a message of the user,
 * from which on all messages fit, together with the system messages before it.
 * Returns 0 when there is none. */
static size_t first_turn(const json_t *messages, size_t count)
{
    size_t systems = 0, i = 0;

    while (i < count && !(flo_json_says(json_array_get(messages, i), "role", "user") &&
                          systems + count - i <= FLO_WIRE_MESSAGES_MAX)) {
        systems += is_systems(messages, i);
        i++;
    }
    return i < count ? i : 0;
}

static int read_messages(struct params_reader *reader)
{
    const json_t *messages = flo_reader_field(reader, "messages");
    size_t count = json_array_size(messages);
    struct history history = {.reader = reader};
    size_t begin = 0;
    int rv = 0;

    if (!json_is_array(messages) || count == 0) {
        return flo_reader_refuse(reader, "messages", "must be a list of 1 to %d messages",
                                 FLO_WIRE_MESSAGES_MAX);
    }
    if (count > FLO_WIRE_MESSAGES_MAX && reader->params->drops_turns) {
        begin = first_turn(messages, count);
    }
    if (count > FLO_WIRE_MESSAGES_MAX && begin == 0) {
        return flo_reader_refuse(reader, "messages", "are %zu, at most %d", count,
                                 FLO_WIRE_MESSAGES_MAX);
    }
    history.calls = json_object();
    history.functions = json_object();
    for (; rv == 0 && history.at < count; history.at++) {
        rv = read_message(&history, json_array_get(messages, history.at),
                          history.at < begin && !is_systems(messages, history.at));
    }
    json_decref(history.calls);
    json_decref(history.functions);
    return rv;
}

int flo_params_take_prompt(struct params_reader *reader, const json_t *prompt)
{
    struct flo_wire_generate *out = &reader->params->message.generate;

    if (json_is_string(prompt)) {
        out->prompt = flo_reader_text(prompt);
        return out->prompt.bytes > 0 ? 0 : flo_reader_refuse(reader, "prompt", "is empty");
    }
    if (json_is_integer(json_array_get(prompt, 0))) {
        return flo_reader_ids(reader, "prompt", prompt, &out->tokens);
    }
    return flo_reader_refuse(reader, "prompt",
                             "must be a text, a list of token ids, or a list of at most %d of "
                             "these, none empty",
                             SERVE_CHOICES_MAX);
}

/* Reads the prompt.  Several prompts stay JSON until flo_params_choice() reads
 * each of them. */
static int read_prompt(struct params_reader *reader)
{
    struct serve_params *params = reader->params;
    json_t *prompt = flo_reader_field(reader, "prompt");

    FLO_TRY(flo_reader_bool(reader, "parse_special", &params->message.generate.reads_special));
    if (json_is_array(prompt) && json_array_size(prompt) > 0 &&
        !json_is_integer(json_array_get(prompt, 0))) {
        size_t count = json_array_size(prompt);
        if (count > SERVE_CHOICES_MAX) {
            return flo_reader_refuse(reader, "prompt", "has %zu prompts, at most %d", count,
                                     SERVE_CHOICES_MAX);
        }
        params->prompts = count > 1 ? json_incref(prompt) : NULL;
        prompt = json_array_get(prompt, 0);
    }
    return flo_params_take_prompt(reader, prompt);
}

int flo_params_read_text(enum request_kind kind, struct params_reader *reader)
{
    return kind == REQUEST_CHAT ? read_messages(reader) : read_prompt(reader);
}

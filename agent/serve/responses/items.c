/* Items: checks the items of an input, and completes them for the answer and
 * for storage.
 *
 * A complete item has an id and a status, and its content is a list of parts.
 * An item without a type counts as a message. */
#include <stdarg.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "agent/serve/responses/body.h"
#include "agent/serve/responses/store.h"

struct reading {
    struct responses_body *body;
    size_t at;   /* the item */
    json_t *ids; /* ids of the calls in earlier items */
    /* items of the stored responses that were parsed so far, by the ids of the
     * items */
    json_t *kept;
};

static int refuse(const struct reading *reading, const char *format, ...) FLO_PRINTF(2, 3);

static int refuse(const struct reading *reading, const char *format, ...)
{
    char text[256], field[32];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(field, sizeof(field), "input[%zu]", reading->at);
    int rv = flo_responses_refuse(reading->body, field, "%s", text);
    strcpy(reading->body->request->params.param, "input");
    return rv;
}

/* Returns the id of an item, or a new one if it has none. */
static json_t *id_of(const struct reading *reading, const json_t *item, const char *prefix)
{
    json_t *id = json_object_get(item, "id");
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    if (json_string_length(id) > 0) {
        return json_incref(id);
    }
    flo_responses_add_id(reading->body->request, prefix, 'i', reading->at, &text);
    return text.failed ? NULL : json_string(text.data);
}

static void add(const struct reading *reading, json_t *item)
{
    reading->body->failed |= json_array_append_new(reading->body->items, item) < 0;
}

/* ---- parts of a content ---- */

static const char *why_unread(const json_t *type)
{
    return flo_reader_is(type, "input_file") || flo_reader_is(type, "input_audio")
               ? "the model reads text alone"
               : "only text is read";
}

static json_t *text_part(const char *type, json_t *text)
{
    return strcmp(type, "output_text") == 0 ? json_pack("{s:s,s:O,s:[],s:[]}", "type", type, "text",
                                                        text, "annotations", "logprobs")
                                            : json_pack("{s:s,s:O}", "type", type, "text", text);
}

/* Adds an image to the list of parts.  Its URL is checked later, with the
 * message. */
static int read_image(const struct reading *reading, const json_t *part, json_t *list)
{
    json_t *url = json_object_get(part, "image_url");
    json_t *detail = json_object_get(part, "detail");

    if (!json_is_string(url)) {
        return refuse(reading, "has an input_image without an image_url as a "
                               "text: no file is kept here that an id could "
                               "name");
    }
    detail = detail == NULL || json_is_null(detail) ? json_string("auto") : json_incref(detail);
    reading->body->failed |=
        json_array_append_new(list, json_pack("{s:s,s:O,s:o}", "type", "input_image", "image_url",
                                              url, "detail", detail)) < 0;
    return 0;
}

static int read_part(const struct reading *reading, const json_t *part, const char *text_type,
                     json_t *list)
{
    const json_t *type = json_object_get(part, "type");
    bool is_refusal = flo_reader_is(type, "refusal");
    json_t *text = json_object_get(part, is_refusal ? "refusal" : "text");

    if (!json_is_string(type)) {
        return refuse(reading, "has a content part without a type");
    }
    if (flo_reader_is(type, "input_image")) {
        return read_image(reading, part, list);
    }
    if (!json_is_string(text) ||
        (!is_refusal && !flo_reader_is(type, "input_text") && !flo_reader_is(type, "output_text") &&
         !flo_reader_is(type, "text"))) {
        return refuse(reading, "has a content part of type \"%.64s\": %s", json_string_value(type),
                      why_unread(type));
    }
    reading->body->failed |=
        json_array_append_new(list, is_refusal
                                        ? json_pack("{s:s,s:O}", "type", "refusal", "refusal", text)
                                        : text_part(text_type, text)) < 0;
    return 0;
}

/* Reads a content, which is a text or a list of parts. */
static int read_content(const struct reading *reading, const json_t *item, const char *field,
                        const char *text_type, json_t *list)
{
    json_t *content = json_object_get(item, field);
    const json_t *part;
    size_t i;

    if (json_is_string(content)) {
        reading->body->failed |= json_array_append_new(list, text_part(text_type, content)) < 0;
        return 0;
    }
    if (!json_is_array(content)) {
        return refuse(reading, "has no %s as a text or a list of parts", field);
    }
    json_array_foreach(content, i, part)
    {
        FLO_TRY(read_part(reading, part, text_type, list));
    }
    return 0;
}

/* ---- kinds of items ---- */

static int read_message(const struct reading *reading, const json_t *item)
{
    static const char *const roles[] = {"user", "assistant", "system", "developer"};
    json_t *role = json_object_get(item, "role");
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();
    size_t i = 0;

    while (i < FLO_COUNT(roles) && !flo_reader_is(role, roles[i])) {
        i++;
    }
    if (i == FLO_COUNT(roles)) {
        return refuse(reading, "must have the role user, assistant, system or developer");
    }
    FLO_TRY(read_content(reading, item, "content", i == 1 ? "output_text" : "input_text", list));
    add(reading, json_pack("{s:o?,s:s,s:s,s:O,s:O}", "id", id_of(reading, item, "msg_"), "type",
                           "message", "status", "completed", "role", role, "content", list));
    return 0;
}

static int read_call(const struct reading *reading, const json_t *item)
{
    json_t *call_id = json_object_get(item, "call_id");
    json_t *name = json_object_get(item, "name");
    json_t *arguments = json_object_get(item, "arguments");

    if (json_string_length(call_id) == 0 || !json_is_string(name) || !json_is_string(arguments)) {
        return refuse(reading, "must have a call_id, a name, and arguments as "
                               "a text");
    }
    reading->body->failed |=
        json_object_set_new(reading->ids, json_string_value(call_id), json_true()) < 0;
    add(reading, json_pack("{s:o?,s:s,s:s,s:O,s:O,s:O}", "id", id_of(reading, item, "fc_"), "type",
                           "function_call", "status", "completed", "call_id", call_id, "name", name,
                           "arguments", arguments));
    return 0;
}

static int read_output(const struct reading *reading, const json_t *item)
{
    json_t *call_id = json_object_get(item, "call_id");
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();

    if (!json_is_string(call_id)) {
        return refuse(reading, "must have a call_id");
    }
    if (json_object_get(reading->ids, json_string_value(call_id)) == NULL) {
        return refuse(reading, "has call_id \"%.64s\", which no earlier item calls",
                      json_string_value(call_id));
    }
    FLO_TRY(read_content(reading, item, "output", "input_text", list));
    add(reading, json_pack("{s:o?,s:s,s:s,s:O,s:O}", "id", id_of(reading, item, "fco_"), "type",
                           "function_call_output", "status", "completed", "call_id", call_id,
                           "output", list));
    return 0;
}

static void add_texts(struct responses_body *body, const json_t *from, const char *type, json_t *to)
{
    const json_t *part;
    size_t i;

    json_array_foreach(from, i, part)
    {
        json_t *text = json_object_get(part, "text");
        if (json_is_string(text)) {
            body->failed |= json_array_append_new(to, text_part(type, text)) < 0;
        }
    }
}

/* Reads an item of reasoning.  Encrypted parts are a vendor's, and cannot be
 * read here. */
static int read_reasoning(const struct reading *reading, const json_t *item)
{
    json_t *summary = json_array();
    json_t *content = json_array();

    add_texts(reading->body, json_object_get(item, "summary"), "summary_text", summary);
    add_texts(reading->body, json_object_get(item, "content"), "reasoning_text", content);
    add(reading, json_pack("{s:o?,s:s,s:o,s:o}", "id", id_of(reading, item, "rs_"), "type",
                           "reasoning", "summary", summary, "content", content));
    return 0;
}

/* ---- items of kept responses ---- */

static void remember_call(const struct reading *reading, const json_t *item)
{
    if (flo_reader_is(json_object_get(item, "type"), "function_call")) {
        reading->body->failed |=
            json_object_set_new(reading->ids, json_string_value(json_object_get(item, "call_id")),
                                json_true()) < 0;
    }
}

/* Finds an item of a stored response by its id.  Each stored response is parsed
 * only once; its items are then in reading->kept. */
static json_t *find_kept(const struct reading *reading, const char *id)
{
    const struct serve_request *request = reading->body->request;
    json_t *found = json_object_get(reading->kept, id);
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    json_t *item;
    size_t i;

    if (found != NULL) {
        return found;
    }
    const struct responses_stored *one =
        flo_responses_find_item(request->serve, request->party.number, id);
    if (one == NULL ||
        flo_json_parse(one->items.data, one->items.bytes, one->items.bytes, &items, NULL) < 0) {
        return NULL;
    }
    json_array_foreach(items, i, item)
    {
        reading->body->failed |=
            json_object_set(reading->kept, json_string_value(json_object_get(item, "id")), item) <
            0;
    }
    return json_object_get(reading->kept, id);
}

static int read_reference(const struct reading *reading, const json_t *item)
{
    struct flo_err *err = reading->body->err;
    const json_t *id = json_object_get(item, "id");
    const char *text = json_is_string(id) ? json_string_value(id) : "";
    json_t *found = find_kept(reading, text);

    if (found != NULL) {
        remember_call(reading, found);
        add(reading, json_incref(found));
        return 0;
    }
    refuse(reading, "refers to \"%.64s\", an item of no stored response", text);
    flo_err_fix(err, "send the item itself, or set `store` to true in the "
                     "request that makes it");
    return err->code = FLO_E_REST_NOT_FOUND;
}

/* ---- all of them ---- */

static int read_item(const struct reading *reading, const json_t *item)
{
    static const struct {
        const char *type;
        int (*read)(const struct reading *reading, const json_t *item);
    } rows[] = {
        {"message", read_message},
        {"function_call", read_call},
        {"function_call_output", read_output},
        {"reasoning", read_reasoning},
        {"item_reference", read_reference},
    };
    const json_t *type = json_object_get(item, "type");

    if (type == NULL && json_object_get(item, "role") != NULL) {
        return read_message(reading, item);
    }
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (flo_reader_is(type, rows[i].type)) {
            return rows[i].read(reading, item);
        }
    }
    return json_is_string(type) ? refuse(reading,
                                         "has the type \"%.64s\", which is not built: send "
                                         "messages, function_call, function_call_output and "
                                         "reasoning",
                                         json_string_value(type))
                                : refuse(reading, "must be an item with a type, or a message");
}

/* Reads the conversation of the previous response, and the ids of its calls. */
static int read_before(const struct reading *reading)
{
    struct responses_body *body = reading->body;
    static const char field[] = "previous_response_id";
    const struct serve_request *request = body->request;
    const json_t *id = flo_responses_field(body, field);
    const json_t *item;
    size_t i;

    if (id == NULL) {
        body->items = json_array();
        return 0;
    }
    if (!json_is_string(id)) {
        return flo_responses_refuse(body, field, "must be the id of a response");
    }
    const struct responses_stored *before =
        flo_responses_find(request->serve, request->party.number, json_string_value(id), body->err);
    if (before == NULL) {
        strcpy(body->request->params.param, field);
        return body->err->code;
    }
    if (flo_json_parse(before->items.data, before->items.bytes, before->items.bytes, &body->items,
                       body->err) < 0) {
        return body->err->code = FLO_E_INFER_PARAM;
    }
    json_array_foreach(body->items, i, item)
    {
        remember_call(reading, item);
    }
    body->n_before = json_array_size(body->items);
    return 0;
}

int flo_responses_read_items(struct responses_body *body)
{
    json_t *input = flo_responses_field(body, "input");
    FLO_CLEANUP(flo_json_cleanup) json_t *ids = json_object();
    FLO_CLEANUP(flo_json_cleanup) json_t *kept = json_object();
    struct reading reading = {body, 0, ids, kept};
    const json_t *item;

    FLO_TRY(read_before(&reading));
    if (json_is_string(input)) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *message = json_pack("{s:s,s:O}", "role", "user", "content", input);
        return read_message(&reading, message);
    }
    if (input != NULL && !json_is_array(input)) {
        return flo_responses_refuse(body, "input", "must be a text, or a list of items");
    }
    json_array_foreach(input, reading.at, item)
    {
        FLO_TRY(read_item(&reading, item));
    }
    return json_array_size(body->items) == 0
               ? flo_responses_refuse(body, "input", "must be a text, or a list of items")
               : 0;
}

/* Parameters of a request: OpenAI's JSON to a message for the engine.
 *
 * Every number has a range, and a sentence that names field, value and range.
 * What would change the answer but is not built is refused, never ignored;
 * fields that nobody here knows are passed over, as clients send many. */
#include "agent/serve/internal.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define BODY_BYTES_MAX (1u << 20)
#define TOKENS_MAX 1048576
#define TEMPERATURE_DEFAULT 0.8

struct reader {
    const json_t *body;
    struct serve_params *params;
    struct flo_err *err;
};

static int refuse(struct reader *reader, const char *field, const char *format,
                  ...) FLO_PRINTF(3, 4);

static int refuse(struct reader *reader, const char *field, const char *format,
                  ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(reader->params->param, sizeof(reader->params->param), "%s", field);
    return flo_fail(reader->err, FLO_E_INFER_PARAM, "%s %s", field, text);
}

/* The field, or NULL when it is absent or null. */
static json_t *field_of(const struct reader *reader, const char *field)
{
    json_t *value = json_object_get(reader->body, field);
    return json_is_null(value) ? NULL : value;
}

static int read_real(struct reader *reader, const char *field, double min,
                     double max, double *out)
{
    json_t *value = field_of(reader, field);
    if (value == NULL) {
        return 0;
    }
    if (!json_is_number(value)) {
        return refuse(reader, field, "must be a number from %g to %g", min,
                      max);
    }
    double number = json_number_value(value);
    if (!(number >= min && number <= max)) {
        return refuse(reader, field, "is %g, must be from %g to %g", number,
                      min, max);
    }
    *out = number;
    return 0;
}

static int read_whole(struct reader *reader, const char *field, int64_t min,
                      int64_t max, int64_t *out)
{
    json_t *value = field_of(reader, field);
    if (value == NULL) {
        return 0;
    }
    if (!json_is_integer(value)) {
        return refuse(reader, field, "must be a whole number from %lld to %lld",
                      (long long)min, (long long)max);
    }
    int64_t number = json_integer_value(value);
    if (number < min || number > max) {
        return refuse(reader, field, "is %lld, must be from %lld to %lld",
                      (long long)number, (long long)min, (long long)max);
    }
    *out = number;
    return 0;
}

static int read_bool(struct reader *reader, const char *field, bool *out)
{
    json_t *value = field_of(reader, field);
    if (value != NULL && !json_is_boolean(value)) {
        return refuse(reader, field, "must be true or false");
    }
    if (value != NULL) {
        *out = json_is_true(value);
    }
    return 0;
}

static struct flo_wire_text text_of(const json_t *value)
{
    return (struct flo_wire_text){json_string_value(value),
                                  json_string_length(value)};
}

/* ---- what to continue -------------------------------------------- */

/* [{"type":"text","text":"..."}] -> one string, owned by the message. */
static int join_parts(struct reader *reader, json_t *message,
                      const json_t *parts)
{
    struct flo_buf text = {.bytes_max = 2 * BODY_BYTES_MAX};
    json_t *part;
    size_t i;
    int rv = 0;
    json_array_foreach(parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *value = json_object_get(part, "text");
        if (type == NULL || strcmp(type, "text") != 0 ||
            !json_is_string(value)) {
            rv = refuse(reader, "messages",
                        "have a content part that is not text");
            break;
        }
        flo_buf_add(&text, json_string_value(value), json_string_length(value));
    }
    if (rv == 0 &&
        (text.failed ||
         json_object_set_new(
             message, "content",
             json_stringn(text.bytes > 0 ? text.data : "", text.bytes)) < 0)) {
        rv = flo_fail(reader->err, FLO_E_MEMORY, "no memory for messages");
    }
    flo_buf_deinit(&text);
    return rv;
}

static int read_message(struct reader *reader, json_t *message, size_t i)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    const json_t *role = json_object_get(message, "role");
    json_t *content = json_object_get(message, "content");
    if (!json_is_string(role)) {
        return refuse(reader, "messages", "[%zu] has no role", i);
    }
    if (json_is_array(content)) {
        int rv = join_parts(reader, message, content);
        if (rv < 0) {
            return rv;
        }
        content = json_object_get(message, "content");
    }
    if (!json_is_string(content)) {
        return refuse(reader, "messages", "[%zu] has no content as text", i);
    }
    out->messages[i].role = text_of(role);
    /* OpenAI's newer name for the same thing. */
    if (strcmp(json_string_value(role), "developer") == 0) {
        out->messages[i].role = (struct flo_wire_text){"system", 6};
    }
    out->messages[i].content = text_of(content);
    out->n_messages++;
    return 0;
}

static int read_messages(struct reader *reader)
{
    json_t *messages = field_of(reader, "messages");
    json_t *message;
    size_t i;
    size_t count = json_array_size(messages);
    if (!json_is_array(messages) || count == 0) {
        return refuse(reader, "messages", "must be a list of 1 to %d messages",
                      FLO_WIRE_MESSAGES_MAX);
    }
    if (count > FLO_WIRE_MESSAGES_MAX) {
        return refuse(reader, "messages", "are %zu, at most %d", count,
                      FLO_WIRE_MESSAGES_MAX);
    }
    json_array_foreach(messages, i, message)
    {
        int rv = read_message(reader, message, i);
        if (rv < 0) {
            return rv;
        }
    }
    return 0;
}

static int read_token_ids(struct reader *reader, const json_t *list)
{
    struct serve_params *params = reader->params;
    const json_t *value;
    size_t i;
    params->parts.bytes_max = 4 * BODY_BYTES_MAX;
    json_array_foreach(list, i, value)
    {
        uint8_t id[4];
        int64_t number =
            json_is_integer(value) ? json_integer_value(value) : -1;
        if (number < 0 || number > INT32_MAX) {
            return refuse(reader, "prompt",
                          "[%zu] must be a token id of 0 or more", i);
        }
        flo_put_u32(id, (uint32_t)number);
        flo_buf_add(&params->parts, id, sizeof(id));
    }
    if (params->parts.failed) {
        return flo_fail(reader->err, FLO_E_MEMORY, "no memory for tokens");
    }
    params->message.generate.tokens =
        (struct flo_wire_text){params->parts.data, params->parts.bytes};
    return 0;
}

static int read_prompt(struct reader *reader)
{
    const json_t *prompt = field_of(reader, "prompt");
    struct flo_wire_generate *out = &reader->params->message.generate;
    int rv = read_bool(reader, "parse_special", &out->reads_special);
    if (rv < 0) {
        return rv;
    }
    if (json_array_size(prompt) == 1 &&
        json_is_string(json_array_get(prompt, 0))) {
        prompt = json_array_get(prompt, 0);
    }
    if (json_is_string(prompt)) {
        out->prompt = text_of(prompt);
        return out->prompt.bytes > 0 ? 0 : refuse(reader, "prompt", "is empty");
    }
    if (json_array_size(prompt) > 0) {
        return read_token_ids(reader, prompt);
    }
    return refuse(reader, "prompt", "must be one text or a list of token ids");
}

/* ---- how --------------------------------------------------------- */

static int add_stop(struct reader *reader, const json_t *value)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    size_t bytes = json_string_length(value);
    if (!json_is_string(value) || bytes == 0 ||
        bytes > FLO_WIRE_STOP_BYTES_MAX || out->n_stops == 4) {
        return refuse(reader, "stop",
                      "must be at most 4 texts of 1 to %d bytes",
                      FLO_WIRE_STOP_BYTES_MAX);
    }
    out->stops[out->n_stops++] = text_of(value);
    return 0;
}

static int read_stop(struct reader *reader)
{
    const json_t *stop = field_of(reader, "stop");
    const json_t *value;
    size_t i;
    if (stop == NULL) {
        return 0;
    }
    if (!json_is_array(stop)) {
        return add_stop(reader, stop);
    }
    json_array_foreach(stop, i, value)
    {
        int rv = add_stop(reader, value);
        if (rv < 0) {
            return rv;
        }
    }
    return 0;
}

static int read_sampling(struct reader *reader)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    int64_t top_k = 0, seed = 0;
    double repeat = 1;
    out->temperature = TEMPERATURE_DEFAULT;
    out->top_p = 1;
    flo_random(&seed, sizeof(seed));
    int rv = read_real(reader, "temperature", 0, 2, &out->temperature);
    rv = rv < 0 ? rv : read_real(reader, "top_p", 0, 1, &out->top_p);
    rv = rv < 0 ? rv : read_real(reader, "min_p", 0, 1, &out->min_p);
    rv = rv < 0 ? rv : read_real(reader, "repeat_penalty", 0.5, 2, &repeat);
    rv = rv < 0 ? rv : read_whole(reader, "top_k", 0, TOKENS_MAX, &top_k);
    rv = rv < 0 ? rv : read_whole(reader, "seed", INT64_MIN, INT64_MAX, &seed);
    if (rv == 0 && out->top_p == 0) {
        out->temperature = 0; /* the smallest nucleus is the best token */
        out->top_p = 1;
    }
    out->repeat_penalty = repeat;
    out->top_k = (uint32_t)top_k;
    out->seed = (uint64_t)seed;
    return rv;
}

static int read_length(struct reader *reader)
{
    int64_t tokens = 0;
    int rv = read_bool(reader, "ignore_eos",
                       &reader->params->message.generate.ignores_end);
    rv = rv < 0 ? rv : read_whole(reader, "max_tokens", 1, TOKENS_MAX, &tokens);
    rv = rv < 0 ? rv
                : read_whole(reader, "max_completion_tokens", 1, TOKENS_MAX,
                             &tokens);
    reader->params->message.generate.max_tokens = (uint32_t)tokens;
    return rv;
}

/* What OpenAI has and we have not: only values that ask for nothing. */
static int read_not_built(struct reader *reader)
{
    static const char *const lists[] = {"tools", "functions", "logit_bias"};
    int64_t one = 1;
    double zero = 0;
    bool off = false;
    int rv = read_whole(reader, "n", 1, 1, &one);
    rv = rv < 0 ? rv : read_whole(reader, "best_of", 1, 1, &one);
    rv = rv < 0 ? rv : read_real(reader, "presence_penalty", 0, 0, &zero);
    rv = rv < 0 ? rv : read_real(reader, "frequency_penalty", 0, 0, &zero);
    rv = rv < 0 ? rv : read_bool(reader, "echo", &off);
    if (rv < 0) {
        return rv;
    }
    if (off) {
        return refuse(reader, "echo", "is not built yet");
    }
    const json_t *logprobs = field_of(reader, "logprobs");
    if (logprobs != NULL && !json_is_false(logprobs)) {
        return refuse(reader, "logprobs", "are not built yet");
    }
    if (field_of(reader, "suffix") != NULL) {
        return refuse(reader, "suffix", "is not built yet");
    }
    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        const json_t *list = field_of(reader, lists[i]);
        if (json_array_size(list) > 0 || json_object_size(list) > 0) {
            return refuse(reader, lists[i], "are not built yet");
        }
    }
    const json_t *format = field_of(reader, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (format != NULL && (type == NULL || strcmp(type, "text") != 0)) {
        return refuse(reader, "response_format",
                      "other than text is not built yet");
    }
    return 0;
}

static int read_model(struct reader *reader)
{
    const json_t *model = field_of(reader, "model");
    struct serve_params *params = reader->params;
    if (model == NULL) {
        return 0;
    }
    if (!json_is_string(model) ||
        json_string_length(model) >= sizeof(params->model)) {
        return refuse(reader, "model", "must be a name of at most %zu bytes",
                      sizeof(params->model) - 1);
    }
    strcpy(params->model, json_string_value(model));
    return 0;
}

static int read_stream(struct reader *reader)
{
    struct serve_params *params = reader->params;
    const json_t *options = field_of(reader, "stream_options");
    int rv = read_bool(reader, "stream", &params->is_stream);
    if (rv < 0) {
        return rv;
    }
    if (options != NULL && !json_is_object(options)) {
        return refuse(reader, "stream_options", "must be an object");
    }
    params->wants_usage =
        json_is_true(json_object_get(options, "include_usage"));
    return 0;
}

/* ---- whole bodies ------------------------------------------------ */

static int read_generate(enum request_kind kind, struct reader *reader)
{
    reader->params->message.type = FLO_WIRE_GENERATE;
    int rv = kind == REQUEST_CHAT ? read_messages(reader) : read_prompt(reader);
    rv = rv < 0 ? rv : read_model(reader);
    rv = rv < 0 ? rv : read_stream(reader);
    rv = rv < 0 ? rv : read_length(reader);
    rv = rv < 0 ? rv
                : read_bool(reader, "ignore_eos",
                            &reader->params->message.generate.ignores_end);
    rv = rv < 0 ? rv : read_sampling(reader);
    rv = rv < 0 ? rv : read_stop(reader);
    return rv < 0 ? rv : read_not_built(reader);
}

static int read_tokenise(struct reader *reader)
{
    struct flo_wire_tokenise *out = &reader->params->message.tokenise;
    const json_t *text = field_of(reader, "content");
    reader->params->message.type = FLO_WIRE_TOKENISE;
    if (!json_is_string(text) || json_string_length(text) > 65536) {
        return refuse(reader, "content",
                      "must be a text of at most 65536 "
                      "bytes");
    }
    out->text = text_of(text);
    int rv = read_bool(reader, "parse_special", &out->reads_special);
    return rv < 0 ? rv : read_model(reader);
}

int flo_params_read(enum request_kind kind, const char *body, size_t bytes,
                    struct serve_params *params, struct flo_err *err)
{
    memset(params, 0, sizeof(*params));
    int rv = flo_json_parse(body, bytes, BODY_BYTES_MAX, &params->json, err);
    if (rv < 0) {
        if (err != NULL) {
            err->code = FLO_E_REST_SCHEMA;
        }
        return FLO_E_REST_SCHEMA;
    }
    struct reader reader = {params->json, params, err};
    if (!json_is_object(params->json)) {
        rv = flo_fail(err, FLO_E_REST_SCHEMA, "the body is no JSON object");
    } else {
        rv = kind == REQUEST_TOKENISE ? read_tokenise(&reader)
                                      : read_generate(kind, &reader);
    }
    if (rv < 0) {
        flo_params_deinit(params);
    }
    return rv;
}

void flo_params_deinit(struct serve_params *params)
{
    json_decref(params->json);
    params->json = NULL;
    flo_buf_deinit(&params->parts);
}

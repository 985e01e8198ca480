/* Parameters of a request: OpenAI's JSON to a message for the engine.
 *
 * Every number has a range, and a sentence that names field, value and range.
 * A field that would change the answer but is not built is refused, never
 * ignored.  Unknown fields are passed over, as clients send many. */
#include "agent/serve/openai/format.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BODY_BYTES_MAX (1u << 20)
#define TOKENS_MAX 1048576
#define DIMENSIONS_MAX 1048576
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

/* OpenAI lets clients choose; here one value is built. */
static int refuse_other(struct reader *reader, const char *field, double only)
{
    return refuse(reader, field, "can only be %g: other values are not built",
                  only);
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
    if (min == max &&
        (!json_is_integer(value) || json_integer_value(value) != min)) {
        return refuse_other(reader, field, (double)min);
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

/* ---- what to continue ---- */

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
        flo_buf_text(&text, i > 0 ? "\n" : "");
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

static bool has_parts(const json_t *value)
{
    return json_array_size(value) > 0 || json_object_size(value) > 0;
}

static int read_message(struct reader *reader, json_t *message, size_t i)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    const json_t *role = json_object_get(message, "role");
    json_t *content = json_object_get(message, "content");
    if (!json_is_string(role)) {
        return refuse(reader, "messages", "[%zu] has no role", i);
    }
    if (has_parts(json_object_get(message, "tool_calls")) ||
        has_parts(json_object_get(message, "function_call"))) {
        return refuse(reader, "messages", "[%zu] has tool_calls: not built yet",
                      i);
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

/* Add ids after those that params->parts holds already. */
static int add_ids(struct reader *reader, const char *field, const json_t *list)
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
            return refuse(reader, field,
                          "[%zu] must be a token id of 0 or more", i);
        }
        flo_put_u32(id, (uint32_t)number);
        flo_buf_add(&params->parts, id, sizeof(id));
    }
    return params->parts.failed
               ? flo_fail(reader->err, FLO_E_MEMORY, "no memory for tokens")
               : 0;
}

static int read_token_ids(struct reader *reader, const char *field,
                          const json_t *list, struct flo_wire_text *out)
{
    const struct flo_buf *parts = &reader->params->parts;
    int rv = add_ids(reader, field, list);
    if (rv == 0) {
        *out = (struct flo_wire_text){parts->data, parts->bytes};
    }
    return rv;
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
    if (json_is_integer(json_array_get(prompt, 0))) {
        return read_token_ids(reader, "prompt", prompt, &out->tokens);
    }
    return refuse(reader, "prompt", "must be one text or a list of token ids");
}

/* ---- how ---- */

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

/* {"50256":-100}, behind the token ids that may stand in `parts`. */
static int read_biases(struct reader *reader)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    struct flo_buf *parts = &reader->params->parts;
    json_t *biases = field_of(reader, "logit_bias");
    const char *key;
    json_t *value;
    size_t at = parts->bytes;

    if (json_is_array(biases) && json_array_size(biases) == 0) {
        return 0;
    }
    if (biases != NULL && (!json_is_object(biases) ||
                           json_object_size(biases) > FLO_WIRE_BIASES_MAX)) {
        return refuse(reader, "logit_bias",
                      "must be an object of at most %d token ids",
                      FLO_WIRE_BIASES_MAX);
    }
    json_object_foreach(biases, key, value)
    {
        size_t digits = strspn(key, "0123456789");
        unsigned long long token = strtoull(key, NULL, 10);
        double bias = json_number_value(value);
        if (digits == 0 || key[digits] != '\0' || token > INT32_MAX ||
            (key[0] == '0' && digits > 1)) {
            return refuse(reader, "logit_bias",
                          "has `%.20s`, which is no token id", key);
        }
        if (!json_is_number(value) || !(bias >= -100 && bias <= 100)) {
            return refuse(reader, "logit_bias",
                          "of token %s must be a number from -100 to 100", key);
        }
        flo_wire_bias_add(parts, (int32_t)token, (float)bias);
    }
    if (parts->failed) {
        return flo_fail(reader->err, FLO_E_MEMORY, "no memory for biases");
    }
    out->biases.bytes = parts->bytes - at;
    flo_format_parts(reader->params);
    return 0;
}

static int read_sampling(struct reader *reader)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    int64_t top_k = 0, seed = 0, repeat_last = -1; /* the sampler's own */
    double repeat = 1;
    out->temperature = TEMPERATURE_DEFAULT;
    out->top_p = 1;
    flo_random(&seed, sizeof(seed));
    int rv = read_real(reader, "temperature", 0, 2, &out->temperature);
    rv = rv < 0 ? rv : read_real(reader, "top_p", 0, 1, &out->top_p);
    rv = rv < 0 ? rv : read_real(reader, "min_p", 0, 1, &out->min_p);
    rv = rv < 0 ? rv : read_real(reader, "repeat_penalty", 0.5, 2, &repeat);
    rv = rv < 0 ? rv
                : read_whole(reader, "repeat_last_n", 0,
                             FLO_WIRE_REPEAT_LAST_MAX, &repeat_last);
    rv = rv < 0 ? rv
                : read_real(reader, "presence_penalty", -2, 2,
                            &out->presence_penalty);
    rv = rv < 0 ? rv
                : read_real(reader, "frequency_penalty", -2, 2,
                            &out->frequency_penalty);
    rv = rv < 0 ? rv : read_biases(reader);
    rv = rv < 0 ? rv : read_whole(reader, "top_k", 0, TOKENS_MAX, &top_k);
    rv = rv < 0 ? rv : read_whole(reader, "seed", INT64_MIN, INT64_MAX, &seed);
    if (rv == 0 && (float)out->top_p == 0) { /* as the sampler has it */
        out->temperature = 0; /* the smallest nucleus is the best token */
        out->top_p = 1;
    }
    out->repeat_penalty = repeat_last == 0 ? 1 : repeat;
    out->repeat_last = repeat_last < 0 ? 0 : (uint32_t)repeat_last;
    out->top_k = (uint32_t)top_k;
    out->seed = (uint64_t)seed;
    return rv;
}

static int read_length(struct reader *reader)
{
    int64_t tokens = 0, predict = -1;
    int rv = read_bool(reader, "ignore_eos",
                       &reader->params->message.generate.ignores_end);
    rv = rv < 0 ? rv : read_whole(reader, "max_tokens", 1, TOKENS_MAX, &tokens);
    rv = rv < 0 ? rv
                : read_whole(reader, "max_completion_tokens", 1, TOKENS_MAX,
                             &tokens);
    rv =
        rv < 0 ? rv : read_whole(reader, "n_predict", -1, TOKENS_MAX, &predict);
    if (rv == 0 && predict == 0) {
        return refuse(reader, "n_predict", "is 0, must be -1 or from 1 to %d",
                      TOKENS_MAX);
    }
    tokens = predict > 0 ? predict : tokens;
    reader->params->message.generate.max_tokens = (uint32_t)tokens;
    return rv;
}

/* A chat says whether, and of how many; a completion says of how many. */
static int read_logprobs(enum request_kind kind, struct reader *reader)
{
    bool wants = false;
    int64_t count = -1;
    int rv;
    if (kind == REQUEST_TEXT) {
        rv = read_whole(reader, "logprobs", 0, FLO_WIRE_LOGPROBS_MAX, &count);
    } else {
        rv = read_bool(reader, "logprobs", &wants);
        rv = rv < 0 ? rv
                    : read_whole(reader, "top_logprobs", 0,
                                 FLO_WIRE_LOGPROBS_MAX, &count);
        if (rv == 0 && count > 0 && !wants) {
            return refuse(reader, "top_logprobs", "needs logprobs to be true");
        }
        count = !wants ? -1 : count < 0 ? 0 : count;
    }
    reader->params->message.generate.logprobs = (uint32_t)(count + 1);
    return rv;
}

/* OpenAI's tiers: `flex` is cheaper there, and later.  A client that says
 * `priority` says more. */
static int read_tier(struct reader *reader, const char **priority)
{
    static const char *const tiers[] = {"auto", "default", "priority", "scale",
                                        "flex"};
    const json_t *tier = field_of(reader, "service_tier");
    const char *name = json_string_value(tier);
    size_t i = 0;

    while (tier != NULL && i < FLO_COUNT(tiers) &&
           (name == NULL || strcmp(name, tiers[i]) != 0)) {
        i++;
    }
    if (i == FLO_COUNT(tiers)) {
        return refuse(reader, "service_tier",
                      "must be auto, default, priority, scale or flex");
    }
    *priority = i == FLO_COUNT(tiers) - 1 ? "batch" : "interactive";
    return 0;
}

/* Priority, a context that fills, and guesses of next tokens. */
static int read_serving(struct reader *reader)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    const json_t *priority = field_of(reader, "priority");
    const char *by_tier = "interactive";
    int rv = read_tier(reader, &by_tier);
    if (rv < 0) {
        return rv;
    }
    const char *name = priority == NULL ? by_tier : json_string_value(priority);
    bool is_batch = name != NULL && strcmp(name, "batch") == 0;
    bool guesses = true;
    if (!is_batch && (name == NULL || strcmp(name, "interactive") != 0)) {
        return refuse(reader, "priority",
                      "must be \"interactive\" or \"batch\"");
    }
    out->priority = is_batch ? FLO_WIRE_BATCH : FLO_WIRE_USER;
    rv = read_bool(reader, "context_shift", &out->shifts);
    rv = rv < 0 ? rv : read_bool(reader, "speculative", &guesses);
    out->no_drafts = !guesses;
    return rv;
}

/* Fields of OpenAI that are not built: only values that ask for nothing. */
static int read_not_built(struct reader *reader)
{
    static const char *const lists[] = {"tools", "functions"};
    static const char *const choices[] = {"tool_choice", "function_call"};
    int64_t one = 1;
    bool off = false;
    int rv = read_whole(reader, "n", 1, 1, &one);
    rv = rv < 0 ? rv : read_whole(reader, "best_of", 1, 1, &one);
    rv = rv < 0 ? rv : read_bool(reader, "echo", &off);
    if (rv < 0) {
        return rv;
    }
    if (off) {
        return refuse(reader, "echo", "is not built yet");
    }
    if (field_of(reader, "suffix") != NULL) {
        return refuse(reader, "suffix", "is not built yet");
    }
    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        const json_t *list = field_of(reader, lists[i]);
        bool is_empty =
            (json_is_array(list) || json_is_object(list)) && !has_parts(list);
        if (list != NULL && !is_empty) {
            return refuse(reader, lists[i], "are not built yet");
        }
    }
    for (size_t i = 0; i < FLO_COUNT(choices); i++) {
        const json_t *choice = field_of(reader, choices[i]);
        const char *name = json_string_value(choice);
        if (choice != NULL && (name == NULL || (strcmp(name, "none") != 0 &&
                                                strcmp(name, "auto") != 0))) {
            return refuse(reader, choices[i], "needs tools: not built yet");
        }
    }
    return flo_format_read(reader->body, reader->params, reader->err);
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

/* OpenAI's name for the person behind a request, the newer one first.  Only
 * a hash of it is kept. */
static void read_user(struct reader *reader)
{
    static const char *const fields[] = {"safety_identifier", "user"};

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const json_t *user = field_of(reader, fields[i]);
        if (json_string_length(user) > 0) {
            reader->params->user =
                1 + (uint64_t)flo_crc32c(0, json_string_value(user),
                                         json_string_length(user));
            return;
        }
    }
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
    const json_t *usage = json_object_get(options, "include_usage");
    if (usage != NULL && !json_is_null(usage) && !json_is_boolean(usage)) {
        return refuse(reader, "stream_options",
                      "has an include_usage that is not true or false");
    }
    params->wants_usage = json_is_true(usage);
    return 0;
}

/* ---- whole bodies ---- */

static int read_generate(enum request_kind kind, struct reader *reader)
{
    reader->params->message.type = FLO_WIRE_GENERATE;
    int rv = kind == REQUEST_CHAT ? read_messages(reader) : read_prompt(reader);
    rv = rv < 0 ? rv : read_model(reader);
    read_user(reader);
    rv = rv < 0 ? rv : read_stream(reader);
    rv = rv < 0 ? rv : read_length(reader);
    rv = rv < 0 ? rv : read_serving(reader);
    rv = rv < 0 ? rv : read_sampling(reader);
    rv = rv < 0 ? rv : read_stop(reader);
    rv = rv < 0 ? rv : read_logprobs(kind, reader);
    return rv < 0 ? rv : read_not_built(reader);
}

static int read_tokenise(struct reader *reader)
{
    struct flo_wire_tokenise *out = &reader->params->message.tokenise;
    const json_t *text = field_of(reader, "content");
    reader->params->message.type = FLO_WIRE_TOKENISE;
    if (!json_is_string(text) ||
        json_string_length(text) > FLO_WIRE_TOKENISE_MAX) {
        return refuse(reader, "content", "must be a text of at most %d bytes",
                      FLO_WIRE_TOKENISE_MAX);
    }
    out->text = text_of(text);
    int rv = read_bool(reader, "parse_special", &out->reads_special);
    rv = rv < 0 ? rv : read_bool(reader, "add_special", &out->adds_ends);
    return rv < 0 ? rv : read_model(reader);
}

static int read_detokenise(struct reader *reader)
{
    const json_t *tokens = field_of(reader, "tokens");
    reader->params->message.type = FLO_WIRE_DETOKENISE;
    if (!json_is_array(tokens) ||
        json_array_size(tokens) > FLO_WIRE_TOKENISE_MAX) {
        return refuse(reader, "tokens",
                      "must be a list of at most %d token ids",
                      FLO_WIRE_TOKENISE_MAX);
    }
    int rv = read_token_ids(reader, "tokens", tokens,
                            &reader->params->message.tokens.tokens);
    return rv < 0 ? rv : read_model(reader);
}

/* ---- embeddings ---- */

/* One of several inputs.  Ids are only counted in data.bytes: they stand in
 * params->parts, one input after the other. */
static int add_input(struct reader *reader, const json_t *value)
{
    struct flo_wire_embed *out = &reader->params->message.embed;
    if (out->n_inputs == FLO_WIRE_INPUTS_MAX) {
        return refuse(reader, "input", "has more than %d texts",
                      FLO_WIRE_INPUTS_MAX);
    }
    uint32_t i = out->n_inputs++;
    if (json_is_string(value) && json_string_length(value) > 0) {
        out->inputs[i].data = text_of(value);
        return 0;
    }
    if (json_array_size(value) == 0) {
        return refuse(reader, "input",
                      "must be a text, a list of token ids, or a list of at "
                      "most %d of these, none empty",
                      FLO_WIRE_INPUTS_MAX);
    }
    out->inputs[i].is_tokens = true;
    out->inputs[i].data.bytes = 4 * json_array_size(value);
    return add_ids(reader, "input", value);
}

static void place_ids(struct serve_params *params)
{
    struct flo_wire_embed *out = &params->message.embed;
    const char *at = params->parts.data;
    for (uint32_t i = 0; i < out->n_inputs; i++) {
        if (out->inputs[i].is_tokens) {
            out->inputs[i].data.data = at;
            at += out->inputs[i].data.bytes;
        }
    }
}

static int read_inputs(struct reader *reader)
{
    const json_t *input = field_of(reader, "input");
    const json_t *value;
    size_t i;
    int rv = 0;
    if (!json_is_array(input) || json_is_integer(json_array_get(input, 0))) {
        rv = add_input(reader, input);
    } else if (json_array_size(input) == 0) {
        rv = refuse(reader, "input", "is empty");
    } else {
        json_array_foreach(input, i, value)
        {
            rv = rv < 0 ? rv : add_input(reader, value);
        }
    }
    if (rv == 0) {
        place_ids(reader->params);
    }
    return rv;
}

/* A text out of two; absent: the first. */
static int read_choice(struct reader *reader, const char *field,
                       const char *first, const char *second, bool *is_second)
{
    const json_t *value = field_of(reader, field);
    const char *text = value == NULL ? first : json_string_value(value);
    *is_second = text != NULL && strcmp(text, second) == 0;
    return *is_second || (text != NULL && strcmp(text, first) == 0)
               ? 0
               : refuse(reader, field, "must be \"%s\" or \"%s\"", first,
                        second);
}

static int read_embed(struct reader *reader)
{
    struct serve_params *params = reader->params;
    int64_t dimensions = 0;
    params->message.type = FLO_WIRE_EMBED;
    int rv = read_inputs(reader);
    rv = rv < 0 ? rv
                : read_choice(reader, "encoding_format", "float", "base64",
                              &params->is_base64);
    rv = rv < 0 ? rv
                : read_choice(reader, "pooling", "mean", "last",
                              &params->message.embed.takes_last);
    rv = rv < 0
             ? rv
             : read_whole(reader, "dimensions", 1, DIMENSIONS_MAX, &dimensions);
    params->dimensions = (uint32_t)dimensions;
    return rv < 0 ? rv : read_model(reader);
}

static int read_kind(enum request_kind kind, struct reader *reader)
{
    switch (kind) {
    case REQUEST_TOKENISE:
        return read_tokenise(reader);
    case REQUEST_DETOKENISE:
        return read_detokenise(reader);
    case REQUEST_EMBED:
        return read_embed(reader);
    default:
        return read_generate(kind, reader);
    }
}

/* A request may be held for long.  Only its frame for the engine stays: a JSON
 * tree can have 80 times the bytes of its text. */
int flo_params_keep(struct serve_params *params, struct flo_err *err)
{
    struct flo_buf frame = {0};
    int rv = flo_wire_write(&frame, &params->message, err);
    json_decref(params->json);
    params->json = NULL;
    flo_buf_deinit(&params->parts);
    params->parts = frame;
    if (rv == 0 &&
        flo_wire_read(frame.data, frame.bytes, &params->message, err) < 0) {
        rv = flo_fail(err, FLO_E_INTERNAL, "a frame that cannot be read back");
    }
    return rv;
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
        rv = read_kind(kind, &reader);
    }
    rv = rv < 0 ? rv : flo_params_keep(params, err);
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

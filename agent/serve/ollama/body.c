/* Body: converts bodies of Ollama's API to OpenAI's.
 *
 * The ranges are those of OpenAI's parameters.  An unsupported field that would
 * change the answer is refused here.  Fields about the machine, such as num_ctx
 * and keep_alive, are ignored. */
#include "agent/serve/ollama/ollama.h"

#include <math.h>
#include <string.h>

#include <flotilla/rows.h>

#define BODY_BYTES_MAX (1u << 20)

/* State of a body that is being converted. */
struct turn {
    const json_t *in;
    json_t *out;
    struct flo_err *err;
};

/* Fields of Ollama's body, with OpenAI's names for them. */
static const struct name {
    const char *ours, *openais;
} names[] = {
    {"options.temperature", "temperature"},
    {"options.top_p", "top_p"},
    {"options.top_k", "top_k"},
    {"options.min_p", "min_p"},
    {"options.seed", "seed"},
    {"options.num_predict", "max_tokens"},
    {"options.stop", "stop"},
    {"options.repeat_penalty", "repeat_penalty"},
    {"options.repeat_last_n", "repeat_last_n"},
    {"options.presence_penalty", "presence_penalty"},
    {"options.frequency_penalty", "frequency_penalty"},
    {"format", "response_format"},
    {"think", "reasoning_effort"},
    {"think", "chat_template_kwargs"},
};

const char *flo_ollama_named(const char *param)
{
    const struct name *row = FLO_FIND_WORD(param, names, FLO_COUNT(names), openais);

    return row == NULL ? param : row->ours;
}

static int refuse(const struct turn *turn, const char *field, const char *what)
{
    return flo_fail(turn->err, FLO_E_INFER_PARAM, "%s %s", field, what);
}

static int set(const struct turn *turn, const char *key, json_t *value)
{
    return json_object_set_new(turn->out, key, value) < 0
               ? flo_fail(turn->err, FLO_E_MEMORY, "no memory for a body")
               : 0;
}

static int copy(const struct turn *turn, const char *from, const char *to)
{
    json_t *value = flo_json_member(turn->in, from);

    return value == NULL ? 0 : set(turn, to, json_incref(value));
}

/* ---- options ---- */

/* Refuses sampler options that are not supported, except with the numbers that
 * turn them off. */
static int refuse_options(const struct turn *turn, const json_t *options)
{
    static const struct {
        const char *name;
        double off;
    } rows[] = {{"mirostat", 0}, {"typical_p", 1}, {"tfs_z", 1}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const json_t *value = flo_json_member(options, rows[i].name);
        if (value != NULL && json_number_value(value) != rows[i].off) {
            char name[64];
            snprintf(name, sizeof(name), "options.%s", rows[i].name);
            return refuse(turn, name, "is not built");
        }
    }
    return 0;
}

/* Makes an integer of a whole number that is written as 40.0. */
static json_t *number_of(json_t *value)
{
    double real = json_real_value(value);

    return json_is_real(value) && fabs(real) < 1e15 && real == trunc(real)
               ? json_integer((json_int_t)real)
               : json_incref(value);
}

static int read_options(const struct turn *turn)
{
    static const char prefix[] = "options.";
    const json_t *options = flo_json_member(turn->in, "options");
    int rv = 0;

    if (options == NULL) {
        return 0;
    }
    if (!json_is_object(options)) {
        return refuse(turn, "options", "must be an object");
    }
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(names); i++) {
        bool is_option = strncmp(names[i].ours, prefix, 8) == 0;
        json_t *value = is_option ? flo_json_member(options, names[i].ours + 8) : NULL;
        bool is_length = strcmp(names[i].openais, "max_tokens") == 0;

        if (value != NULL && is_length && json_is_integer(value) &&
            (json_integer_value(value) == -1 || json_integer_value(value) == -2)) {
            continue; /* -1 (no limit) and -2 (until the context is full) need no max_tokens */
        }
        rv = value == NULL ? 0 : set(turn, names[i].openais, number_of(value));
    }
    FLO_TRY(rv);
    return refuse_options(turn, options);
}

/* ---- form and thoughts ---- */

static int read_format(const struct turn *turn)
{
    json_t *format = flo_json_member(turn->in, "format");
    const char *word = json_string_value(format);

    if (format == NULL || (word != NULL && word[0] == '\0')) {
        return 0;
    }
    if (json_is_object(format)) {
        return set(turn, "response_format",
                   json_pack("{ss s{sO}}", "type", "json_schema", "json_schema", "schema", format));
    }
    return word == NULL || strcmp(word, "json") != 0
               ? refuse(turn, "format", "must be \"json\" or a JSON schema")
               : set(turn, "response_format", json_pack("{ss}", "type", "json_object"));
}

static int read_think(const struct turn *turn)
{
    json_t *think = flo_json_member(turn->in, "think");
    const char *word = json_string_value(think);

    if (think == NULL) {
        return 0;
    }
    if (json_is_boolean(think)) {
        return set(turn, "chat_template_kwargs", json_pack("{sO}", "enable_thinking", think));
    }
    if (word == NULL ||
        (strcmp(word, "low") != 0 && strcmp(word, "medium") != 0 && strcmp(word, "high") != 0)) {
        return refuse(turn, "think", "must be true, false, \"low\", \"medium\" or \"high\"");
    }
    return set(turn, "reasoning_effort", json_incref(think));
}

/* ---- what all have ---- */

static int read_model(const struct turn *turn)
{
    static const char tail[] = ":latest";
    const json_t *model = flo_json_member(turn->in, "model");
    const char *name = json_string_value(model);
    size_t bytes = json_string_length(model), cut = sizeof(tail) - 1;

    if (name == NULL || bytes == 0) {
        return refuse(turn, "model", "must be a name");
    }
    if (bytes > cut && strcmp(name + bytes - cut, tail) == 0) {
        bytes -= cut;
    }
    return set(turn, "model", json_stringn(name, bytes));
}

/* Refuses fields that are not supported and would change the answer. */
static int refuse_fields(const struct turn *turn)
{
    static const char *const fields[] = {"suffix", "template", "context", "logprobs",
                                         "top_logprobs"};

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const json_t *value = flo_json_member(turn->in, fields[i]);
        bool asks = json_string_length(value) > 0 || json_array_size(value) > 0 ||
                    json_is_true(value) || json_integer_value(value) != 0;
        if (asks) {
            return refuse(turn, fields[i], "is not built");
        }
    }
    return 0;
}

static int read_stream(const struct turn *turn)
{
    json_t *stream = flo_json_member(turn->in, "stream");

    return set(turn, "stream", stream == NULL ? json_true() : json_incref(stream));
}

static int read_answering(const struct turn *turn)
{
    FLO_TRY(refuse_fields(turn));
    FLO_TRY(read_stream(turn));
    FLO_TRY(read_options(turn));
    FLO_TRY(read_format(turn));
    return read_think(turn);
}

/* ---- each kind ---- */

/* Makes a request that only loads the model.  It computes one token, which is
 * not sent. */
static int read_load(const struct turn *turn, bool *is_load)
{
    *is_load = true;
    json_object_del(turn->out, "tools");
    FLO_TRY(set(turn, "max_tokens", json_integer(1)));
    return set(turn, "messages", json_pack("[{ssss}]", "role", "user", "content", "."));
}

/* Converts the body of a chat.  Too many messages are passed on unchanged, so
 * that the reader refuses them. */
static int read_chat(const struct turn *turn, bool *is_load)
{
    json_t *given = flo_json_member(turn->in, "messages");

    FLO_TRY(read_answering(turn));
    FLO_TRY(copy(turn, "tools", "tools"));
    if (given == NULL || (json_is_array(given) && json_array_size(given) == 0)) {
        return read_load(turn, is_load);
    }
    if (!json_is_array(given) || json_array_size(given) > FLO_WIRE_MESSAGES_MAX) {
        return set(turn, "messages", json_incref(given));
    }
    json_t *messages = json_array();
    FLO_TRY(set(turn, "messages", messages));
    return flo_ollama_messages(given, messages, turn->err);
}

static int add_asked(const struct turn *turn, json_t *prompt, const json_t *images,
                     json_t *messages)
{
    json_t *content = flo_ollama_content(prompt, images);

    if (content == NULL) {
        return refuse(turn, "images", "must be base64 of PNG, JPEG, WebP or GIF files");
    }
    return json_array_append_new(messages,
                                 json_pack("{ss so}", "role", "user", "content", content)) < 0
               ? flo_fail(turn->err, FLO_E_MEMORY, "no memory for a body")
               : 0;
}

static int read_generate(const struct turn *turn, enum request_kind *kind, bool *is_load)
{
    json_t *prompt = flo_json_member(turn->in, "prompt");
    json_t *system = flo_json_member(turn->in, "system");
    const json_t *raw = flo_json_member(turn->in, "raw");
    const json_t *images = flo_json_member(turn->in, "images");

    FLO_TRY(read_answering(turn));
    if (raw != NULL && !json_is_boolean(raw)) {
        return refuse(turn, "raw", "must be true or false");
    }
    if (images != NULL && !json_is_array(images)) {
        return refuse(turn, "images", "must be a list");
    }
    if (prompt != NULL && !json_is_string(prompt)) {
        return refuse(turn, "prompt", "must be a text");
    }
    if (system != NULL && !json_is_string(system)) {
        return refuse(turn, "system", "must be a text");
    }
    if (json_string_length(prompt) == 0 && json_array_size(images) == 0) {
        return read_load(turn, is_load);
    }
    if (json_is_true(raw) && json_array_size(images) > 0) {
        return refuse(turn, "images", "need a chat: leave `raw` out");
    }
    if (json_is_true(raw)) {
        *kind = REQUEST_TEXT;
        json_object_del(turn->out, "chat_template_kwargs");
        json_object_del(turn->out, "reasoning_effort");
        return set(turn, "prompt", json_incref(prompt));
    }
    json_t *messages = json_array();
    FLO_TRY(set(turn, "messages", messages));
    if (json_string_length(system) > 0 &&
        json_array_append_new(messages, json_pack("{ss sO}", "role", "system", "content", system)) <
            0) {
        return flo_fail(turn->err, FLO_E_MEMORY, "no memory for a body");
    }
    return add_asked(turn, prompt, images, messages);
}

static int translate(enum ollama_ask ask, const struct turn *turn, enum request_kind *kind,
                     bool *is_load)
{
    FLO_TRY(read_model(turn));
    switch (ask) {
    case OLLAMA_CHAT:
        return read_chat(turn, is_load);
    case OLLAMA_GENERATE:
        return read_generate(turn, kind, is_load);
    case OLLAMA_EMBED:
        *kind = REQUEST_EMBED;
        FLO_TRY(copy(turn, "input", "input"));
        return copy(turn, "dimensions", "dimensions");
    default:
        *kind = REQUEST_EMBED;
        return json_is_string(flo_json_member(turn->in, "prompt"))
                   ? copy(turn, "prompt", "input")
                   : refuse(turn, "prompt", "must be a text");
    }
}

int flo_ollama_read(enum ollama_ask ask, const struct serve_body *body, struct serve_params *params,
                    bool *is_load, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *in = NULL;
    enum request_kind kind = REQUEST_CHAT;
    struct turn turn = {.out = json_object(), .err = err};
    int rv = flo_json_body(body->data, body->bytes, BODY_BYTES_MAX, &in, err);

    memset(params, 0, sizeof(*params));
    *is_load = false;
    turn.in = in;
    if (rv == 0) {
        rv = translate(ask, &turn, &kind, is_load);
    }
    if (rv < 0) {
        json_decref(turn.out);
        return rv;
    }
    return flo_params_read_tree(kind, turn.out, params, err);
}

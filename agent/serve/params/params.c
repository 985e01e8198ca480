/* Params: converts a request's parameters from OpenAI's JSON to a message for
 * the engine.
 *
 * Every number has a range, and an error text with field, value and range.  A
 * field that is not supported and would change the answer is refused, never
 * ignored.  Unknown fields are ignored, because clients send many. */
#include "agent/serve/params/format.h"
#include "agent/serve/params/reader.h"
#include "agent/serve/params/tools.h"

#include <string.h>

#include <flotilla/errors/rest.h>
#include <flotilla/grammar.h>

/* ---- how it is served ---- */

/* Reads the tier of a request.  `flex` is cheaper and slower at OpenAI, so it
 * means batch priority here.  An explicit `priority` overrides it. */
static int read_tier(struct params_reader *reader, const char **priority)
{
    static const char *const tiers[] = {"auto", "default", "priority", "scale", "flex"};
    const json_t *tier = flo_reader_field(reader, "service_tier");
    const char *name = json_string_value(tier);
    size_t i = 0;

    while (tier != NULL && i < FLO_COUNT(tiers) && (name == NULL || strcmp(name, tiers[i]) != 0)) {
        i++;
    }
    if (i == FLO_COUNT(tiers)) {
        return flo_reader_refuse(reader, "service_tier",
                                 "must be auto, default, priority, scale or flex");
    }
    *priority = i == FLO_COUNT(tiers) - 1 ? "batch" : "interactive";
    return 0;
}

/* Reads the fields about priority, context shifts and speculative drafts. */
static int read_serving(struct params_reader *reader)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    const json_t *priority = flo_reader_field(reader, "priority");
    const char *by_tier = "interactive";
    FLO_TRY(read_tier(reader, &by_tier));
    const char *name = priority == NULL ? by_tier : json_string_value(priority);
    bool is_batch = name != NULL && strcmp(name, "batch") == 0;
    bool guesses = true;
    if (!is_batch && (name == NULL || strcmp(name, "interactive") != 0)) {
        return flo_reader_refuse(reader, "priority", "must be \"interactive\" or \"batch\"");
    }
    out->priority = is_batch ? FLO_WIRE_BATCH : FLO_WIRE_USER;
    FLO_TRY(flo_reader_bool(reader, "context_shift", &out->shifts));
    FLO_TRY(flo_reader_bool(reader, "speculative", &guesses));
    out->no_drafts = !guesses;
    return 0;
}

static int read_model(struct params_reader *reader)
{
    const json_t *model = flo_reader_field(reader, "model");
    struct serve_params *params = reader->params;
    if (model == NULL) {
        return 0;
    }
    if (!json_is_string(model) || json_string_length(model) >= sizeof(params->model)) {
        return flo_reader_refuse(reader, "model", "must be a name of at most %zu bytes",
                                 sizeof(params->model) - 1);
    }
    strcpy(params->model, json_string_value(model));
    return 0;
}

/* Reads the person for whom a client asks, from OpenAI's newer or older field.
 * Only a hash of it is stored. */
static int read_user(struct params_reader *reader)
{
    static const char *const fields[] = {"safety_identifier", "user"};

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const json_t *user = flo_reader_field(reader, fields[i]);
        if (user != NULL && !json_is_string(user)) {
            return flo_reader_refuse(reader, fields[i], "must be a text");
        }
        if (reader->params->user == 0 && json_string_length(user) > 0) {
            reader->params->user =
                1 + (uint64_t)flo_crc32c(0, json_string_value(user), json_string_length(user));
        }
    }
    return 0;
}

static int read_stream(struct params_reader *reader)
{
    struct serve_params *params = reader->params;
    const json_t *options = flo_reader_field(reader, "stream_options");
    FLO_TRY(flo_reader_bool(reader, "stream", &params->is_stream));
    if (options != NULL && !json_is_object(options)) {
        return flo_reader_refuse(reader, "stream_options", "must be an object");
    }
    const json_t *usage = json_object_get(options, "include_usage");
    if (usage != NULL && !json_is_null(usage) && !json_is_boolean(usage)) {
        return flo_reader_refuse(reader, "stream_options",
                                 "has an include_usage that is not true or false");
    }
    params->wants_usage = json_is_true(usage);
    return 0;
}

/* ---- whole bodies ---- */

/* Reads the number of answers to each prompt.  All of them are returned, so
 * best_of may not be higher. */
static int read_choices(struct params_reader *reader)
{
    struct serve_params *params = reader->params;
    int64_t n = 1, best = 1;

    FLO_TRY(flo_reader_whole(reader, "n", 1, SERVE_N_MAX, &n));
    FLO_TRY(flo_reader_whole(reader, "best_of", 1, SERVE_N_MAX, &best));
    if (best != 1 && best != n) {
        return flo_reader_refuse(reader, "best_of",
                                 "is %lld, can only be 1 or n (%lld): all answers are told",
                                 (long long)best, (long long)n);
    }
    params->n = (uint32_t)n;
    if (flo_params_choices(params) > SERVE_CHOICES_MAX) {
        return flo_reader_refuse(reader, "n",
                                 "is %lld for %zu prompts, at most %d answers together",
                                 (long long)n, json_array_size(params->prompts), SERVE_CHOICES_MAX);
    }
    return 0;
}

static int read_echo(struct params_reader *reader)
{
    struct serve_params *params = reader->params;
    const struct flo_wire_generate *in = &params->message.generate;

    FLO_TRY(flo_reader_bool(reader, "echo", &params->echoes));
    if (params->echoes && in->logprobs > 0) {
        return flo_reader_refuse(reader, "echo", "with logprobs is not built yet: leave one out");
    }
    if (params->echoes && in->tokens.bytes > 0) {
        return flo_reader_refuse(reader, "echo", "of token ids is not built yet: send a text");
    }
    if (flo_reader_field(reader, "suffix") != NULL) {
        return flo_reader_refuse(reader, "suffix",
                                 "is not built yet: a prompt's end is where the "
                                 "answer begins");
    }
    return 0;
}

static int read_form(struct params_reader *reader)
{
    struct serve_params *params = reader->params;

    FLO_TRY(flo_format_read(reader->body, params, reader->err));
    if (params->message.generate.grammar_kind == FLO_GRAMMAR_GBNF &&
        params->message.generate.tools.bytes > 0) {
        return flo_reader_refuse(reader, params->form, "with tools is not built yet");
    }
    return 0;
}

/* Reads `truncation` before the messages, because it may drop some of them. */
static int read_truncation(struct params_reader *reader)
{
    const json_t *value = flo_reader_field(reader, "truncation");
    const char *name = value == NULL ? "disabled" : json_string_value(value);
    bool is_auto = name != NULL && strcmp(name, "auto") == 0;

    if (!is_auto && (name == NULL || strcmp(name, "disabled") != 0)) {
        return flo_reader_refuse(reader, "truncation", "must be auto or disabled");
    }
    reader->params->drops_turns = is_auto;
    return 0;
}

static int read_generate(enum request_kind kind, struct params_reader *reader)
{
    reader->params->message.type = FLO_WIRE_GENERATE;
    FLO_TRY(kind == REQUEST_CHAT ? read_truncation(reader) : 0);
    FLO_TRY(flo_params_read_text(kind, reader));
    FLO_TRY(flo_tools_read(kind, reader));
    if (kind == REQUEST_CHAT) {
        FLO_TRY(flo_thinking_read(reader));
    }
    FLO_TRY(read_user(reader));
    FLO_TRY(read_stream(reader));
    FLO_TRY(read_serving(reader));
    FLO_TRY(flo_params_read_sampling(kind, reader));
    FLO_TRY(read_choices(reader));
    if (kind == REQUEST_TEXT) {
        FLO_TRY(read_echo(reader));
    }
    return read_form(reader);
}

static int read_kind(enum request_kind kind, struct params_reader *reader)
{
    switch (kind) {
    case REQUEST_TOKENISE:
        return flo_params_read_tokenise(reader);
    case REQUEST_DETOKENISE:
        return flo_params_read_detokenise(reader);
    case REQUEST_EMBED:
        return flo_params_read_embed(reader);
    default:
        return read_generate(kind, reader);
    }
}

static void drop_trees(struct serve_params *params)
{
    json_decref(params->json);
    json_decref(params->made);
    params->json = params->made = NULL;
}

static size_t conversation_bytes(const struct flo_wire_generate *in)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < in->n_messages; i++) {
        bytes += in->messages[i].content.bytes + in->messages[i].more.bytes;
    }
    for (uint32_t i = 0; i < in->n_images; i++) {
        bytes += in->images[i].url.bytes;
    }
    return bytes;
}

/* Writes the frame for the engine.  Drops turns that do not fit, if the client
 * allowed it. */
static int write_frame(struct serve_params *params, struct flo_buf *frame, struct flo_err *err)
{
    const struct flo_wire_generate *in = &params->message.generate;
    int rv;

    while (params->drops_turns && conversation_bytes(in) > FLO_WIRE_PAYLOAD_BYTES_MAX &&
           flo_params_drop_turn(params)) {
    }
    do {
        rv = flo_wire_write(frame, &params->message, err);
    } while (rv == FLO_E_REST_TOO_LARGE && params->drops_turns && flo_params_drop_turn(params));
    return rv;
}

/* Stores only the frame for the engine, because a request may wait for long and
 * a JSON tree can take 80 times the bytes of its text. */
int flo_params_keep(struct serve_params *params, struct flo_err *err)
{
    struct flo_buf frame = {0};
    int rv = write_frame(params, &frame, err);
    drop_trees(params);
    flo_buf_deinit(&params->parts);
    params->parts = frame;
    if (rv == 0 && flo_wire_read(frame.data, frame.bytes, &params->message, err) < 0) {
        rv = flo_fail(err, FLO_E_INTERNAL, "a frame that cannot be read back");
    }
    return rv;
}

int flo_params_read_tree(enum request_kind kind, json_t *body, struct serve_params *params,
                         struct flo_err *err)
{
    struct params_reader reader = {body, params, err};
    int rv;

    memset(params, 0, sizeof(*params));
    params->json = body;
    if (!json_is_object(body)) {
        rv = flo_fail(err, FLO_E_REST_SCHEMA, "the body is no JSON object");
    } else {
        rv = read_kind(kind, &reader);
    }
    if (rv == 0) {
        rv = read_model(&reader);
    }
    if (rv == 0) {
        rv = flo_params_keep(params, err);
    }
    if (rv < 0) {
        flo_params_deinit(params);
    }
    return rv;
}

int flo_params_read(enum request_kind kind, const char *body, size_t bytes,
                    struct serve_params *params, struct flo_err *err)
{
    json_t *tree = NULL;

    memset(params, 0, sizeof(*params));
    FLO_TRY(flo_json_body(body, bytes, PARAMS_BODY_BYTES_MAX, &tree, err));
    return flo_params_read_tree(kind, tree, params, err);
}

void flo_params_deinit(struct serve_params *params)
{
    drop_trees(params);
    flo_buf_deinit(&params->parts);
    flo_buf_deinit(&params->callable);
    json_decref(params->prompts);
    params->prompts = NULL;
}

/* ---- several answers to one body ---- */

uint32_t flo_params_choices(const struct serve_params *params)
{
    size_t prompts = params->prompts == NULL ? 1 : json_array_size(params->prompts);

    return (params->n == 0 ? 1 : params->n) * (uint32_t)prompts;
}

int flo_params_choice(const struct serve_params *asked, uint32_t choice, struct serve_params *out,
                      struct flo_err *err)
{
    uint32_t n = asked->n == 0 ? 1 : asked->n;
    struct flo_wire_generate *generate = &out->message.generate;
    struct params_reader reader = {NULL, out, err};
    int rv = 0;

    *out = *asked;
    out->parts = out->callable = (struct flo_buf){0};
    out->prompts = NULL;
    if (asked->prompts != NULL) {
        generate->prompt = generate->tokens = (struct flo_wire_text){0};
        rv = flo_params_take_prompt(&reader, json_array_get(asked->prompts, choice / n));
    }
    if (rv == 0 && out->echoes && generate->tokens.bytes > 0) {
        rv = flo_reader_refuse(&reader, "echo", "of token ids is not built yet: send a text");
    }
    generate->seed += choice % n;
    if (n > 1) { /* a release's seed would make all answers equal */
        out->given |= 1u << PARAMS_GIVES_seed;
    }
    flo_buf_add(&out->callable, asked->callable.data, asked->callable.bytes);
    if (rv == 0 && out->callable.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory for a choice");
    }
    if (rv == 0) {
        rv = flo_params_keep(out, err);
    }
    if (rv < 0) {
        flo_params_deinit(out);
    }
    return rv;
}

/* ---- shorter prompts ---- */

bool flo_params_is_role(const struct flo_wire_generate *in, uint32_t i, const char *name)
{
    const struct flo_wire_text *role = &in->messages[i].role;

    return role->bytes == strlen(name) && memcmp(role->data, name, role->bytes) == 0;
}

/* Removes the images of the messages from `begin` to `end` - 1.  Images of
 * later messages move with them. */
static void drop_images(struct flo_wire_generate *out, uint32_t begin, uint32_t end)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < out->n_images; i++) {
        if (out->images[i].message >= end) {
            out->images[count] = out->images[i];
            out->images[count++].message -= end - begin;
        }
    }
    out->n_images = count;
}

bool flo_params_drop_turn(struct serve_params *params)
{
    struct flo_wire_generate *out = &params->message.generate;
    uint32_t begin = 0;

    while (begin < out->n_messages && flo_params_is_role(out, begin, "system")) {
        begin++;
    }
    uint32_t end = begin + 1;
    while (end < out->n_messages && !flo_params_is_role(out, end, "user")) {
        end++;
    }
    if (end >= out->n_messages) {
        return false;
    }
    for (uint32_t i = begin; i < end; i++) {
        if (flo_params_is_role(out, i, "system")) { /* system messages are never dropped */
            out->messages[begin++] = out->messages[i];
        }
    }
    drop_images(out, begin, end);
    memmove(&out->messages[begin], &out->messages[end],
            (out->n_messages - end) * sizeof(out->messages[0]));
    out->n_messages -= end - begin;
    return true;
}

/* ---- questions about what was read ---- */

bool flo_params_may_call(const struct serve_params *params, struct flo_wire_text name)
{
    char text[FLO_TOOLS_NAME_BYTES_MAX + 3];

    if (name.bytes == 0 || name.bytes > FLO_TOOLS_NAME_BYTES_MAX || params->callable.bytes == 0 ||
        memchr(name.data, '\n', name.bytes) != NULL) {
        return false;
    }
    snprintf(text, sizeof(text), "\n%.*s\n", (int)name.bytes, name.data);
    return strlen(text) == name.bytes + 2 && strstr(params->callable.data, text) != NULL;
}

const char *flo_params_param(const struct serve_params *params, const struct flo_err *err)
{
    const char *form = flo_format_param(params, err);

    return form != NULL ? form : params->param;
}

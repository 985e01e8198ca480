/* Apps: limits how much an app may ask for, and how often.  An app is a client
 * with a token of its own. */
#include "agent/serve/requests/apps.h"

#include "agent/serve/front/choices.h"

#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/plural.h>

#define BYTES_OF_TOKEN 4
/* Number of tokens that an image in a prompt counts for, whatever its size. */
#define IMAGE_TOKENS 1024

static struct serve_token *app_of(const struct serve_request *request)
{
    return request->party.token < 0 ? NULL : &request->serve->tokens[request->party.token];
}

/* ---- one request ---- */

static uint32_t lower(uint32_t wanted, uint32_t most)
{
    return most > 0 && (wanted == 0 || wanted > most) ? most : wanted;
}

/* Finds the longest beginning of the system message that the device's owner lets
 * all parties share. */
static void share_prefix(const struct flo_serve *serve, struct flo_wire_generate *in)
{
    const struct flo_wire_text *content = &in->messages[0].content;

    if (in->n_messages == 0 || !flo_params_is_role(in, 0, "system")) {
        return;
    }
    for (size_t i = 0; i < json_array_size(serve->shared_prefixes); i++) {
        const json_t *text = json_array_get(serve->shared_prefixes, i);
        size_t bytes = json_string_length(text);
        if (bytes > in->public_bytes && bytes <= content->bytes &&
            memcmp(content->data, json_string_value(text), bytes) == 0) {
            in->public_bytes = (uint32_t)bytes;
        }
    }
}

void flo_app_bind(struct serve_request *request)
{
    const struct serve_token *app = app_of(request);
    struct flo_wire_message *message = &request->params.message;
    struct flo_wire_generate *in = &message->generate;

    if (message->type == FLO_WIRE_GENERATE) {
        share_prefix(request->serve, in);
    }
    if (app == NULL) {
        return;
    }
    if (message->type == FLO_WIRE_EMBED) {
        message->embed.prompt_max = app->bounds.prompt_tokens_max;
    }
    if (message->type != FLO_WIRE_GENERATE) {
        return;
    }
    in->priority = app->bounds.is_batch ? FLO_WIRE_BATCH : in->priority;
    in->prompt_max = app->bounds.prompt_tokens_max;
    if (request->front->kind != REQUEST_AUDIO || in->audio.bytes == 0) {
        in->max_tokens = lower(in->max_tokens, app->bounds.answer_tokens_max);
    }
}

static size_t prompt_bytes(const struct flo_wire_generate *in)
{
    size_t bytes = in->prompt.bytes + in->tokens.bytes + in->tools.bytes +
                   (size_t)in->n_images * IMAGE_TOKENS * BYTES_OF_TOKEN;

    for (uint32_t i = 0; i < in->n_messages; i++) {
        bytes += in->messages[i].content.bytes + in->messages[i].more.bytes;
    }
    return bytes;
}

static size_t longest_input(const struct flo_wire_embed *in)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < in->n_inputs; i++) {
        bytes = in->inputs[i].data.bytes > bytes ? in->inputs[i].data.bytes : bytes;
    }
    return bytes;
}

int flo_app_check_prompt(struct serve_request *request, const struct serve_engine *engine,
                         struct flo_err *err)
{
    const struct serve_token *app = app_of(request);
    const struct flo_wire_message *message = &request->params.message;
    bool is_embed = message->type == FLO_WIRE_EMBED;

    if (app == NULL || app->bounds.prompt_tokens_max == 0 || engine->runtime[0] == '\0' ||
        (!is_embed && message->type != FLO_WIRE_GENERATE)) {
        return 0;
    }
    size_t bytes = is_embed ? longest_input(&message->embed) : prompt_bytes(&message->generate);
    size_t most = (size_t)app->bounds.prompt_tokens_max * BYTES_OF_TOKEN;
    if (bytes <= most) {
        return 0;
    }
    strcpy(request->params.param, is_embed                               ? "input"
                                  : request->front->kind == REQUEST_CHAT ? "messages"
                                                                         : "prompt");
    flo_fail(err, FLO_E_INFER_TOO_LONG,
             "the prompt has %zu bytes, app %s may send %u tokens of %d bytes", bytes, app->name,
             app->bounds.prompt_tokens_max, BYTES_OF_TOKEN);
    return flo_err_fix(err, "shorten it, or raise prompt_tokens_max");
}

/* ---- many ---- */

/* Writes a duration in OpenAI's form, such as "1h2m3s". */
static void duration_text(uint64_t ms, char *out, size_t out_bytes)
{
    unsigned long long s = (ms + 999) / 1000;

    if (s < 60) {
        snprintf(out, out_bytes, "%llus", s);
    } else if (s < 3600) {
        snprintf(out, out_bytes, "%llum%llus", s / 60, s % 60);
    } else {
        snprintf(out, out_bytes, "%lluh%llum%llus", s / 3600, s / 60 % 60, s % 60);
    }
}

static void add_headers(struct serve_request *request, struct flo_quota *quota, uint64_t now_ms)
{
    static const char *const things[] = {"requests", "tokens"};
    struct serve_sink *sink = &flo_choices_asker(request)->sink;
    struct flo_quota_state state;
    char name[48], value[32];

    for (int i = 0; i < 2; i++) {
        if (!flo_quota_look(quota, now_ms, i == 1, &state)) {
            continue;
        }
        uint64_t left = state.used < state.limit ? state.limit - state.used : 0;
        snprintf(name, sizeof(name), "x-ratelimit-limit-%s", things[i]);
        snprintf(value, sizeof(value), "%llu", (unsigned long long)state.limit);
        flo_sink_header(sink, name, value);
        snprintf(name, sizeof(name), "x-ratelimit-remaining-%s", things[i]);
        snprintf(value, sizeof(value), "%llu", (unsigned long long)left);
        flo_sink_header(sink, name, value);
        snprintf(name, sizeof(name), "x-ratelimit-reset-%s", things[i]);
        duration_text(state.whole_ms, value, sizeof(value));
        flo_sink_header(sink, name, value);
    }
}

/* Returns how many requests this one counts for.  A body may ask for several
 * answers (choices); the first one counts for all of them, the others for 0. */
static uint32_t requests_of(const struct serve_request *request)
{
    return request->asker == NULL ? 1 : request->index == 0 ? request->asker->choices->count : 0;
}

int flo_app_take(struct serve_request *request, struct flo_err *err)
{
    struct serve_token *app = app_of(request);
    uint32_t count = requests_of(request);
    uint64_t now_ms = flo_now_ms();
    struct flo_quota_state state;

    if (app == NULL || count == 0) {
        return 0;
    }
    bool is_taken = flo_quota_take(&app->quota, now_ms, count, &state);
    add_headers(request, &app->quota, now_ms);
    if (is_taken) {
        app->requests += count;
        return 0;
    }
    app->refused++;
    /* no pipeline is set, so that the error names the app and no stage of the
     * pipeline */
    request->pipeline = NULL;
    /* a wait does not help, so the error is not 429, after which clients
     * retry */
    if (state.wait_ms == 0) {
        strcpy(request->params.param, request->asker->params.n > 1 ? "n" : "prompt");
        flo_fail(err, FLO_E_INFER_PARAM,
                 "%u answers are as many requests, and app %s may send %llu %s", count, app->name,
                 (unsigned long long)state.limit, flo_quota_words(state.kind));
        return flo_err_fix(err, "ask for fewer answers at once");
    }
    uint64_t wait_s = (state.wait_ms + 999) / 1000;
    request->retry_after_s = (uint32_t)wait_s;
    return flo_fail(err, FLO_E_INFER_QUOTA,
                    "app %s: %llu of %llu %s are used; there is room again in "
                    "%llu second%s",
                    app->name, (unsigned long long)state.used, (unsigned long long)state.limit,
                    flo_quota_words(state.kind), (unsigned long long)wait_s, flo_s(wait_s));
}

void flo_app_spend(const struct serve_request *request, uint32_t tokens_in, uint32_t tokens_out)
{
    struct serve_token *app = app_of(request);

    if (app != NULL) {
        app->tokens_in += tokens_in;
        app->tokens_out += tokens_out;
        flo_quota_spend(&app->quota, flo_now_ms(), (uint64_t)tokens_in + tokens_out);
    }
}

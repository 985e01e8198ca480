/* Answers in OpenAI's shapes: whole, or as server-sent events.
 *
 * Before the engine's first token nothing goes to a client.  Until then an
 * error has its own HTTP status, and the request can move to another engine. */
#include "agent/core/trouble.h"
#include "agent/serve/openai/format.h"
#include "agent/serve/openai/openai.h"

#include <string.h>

#define BACKLOG_BYTES_MAX 262144 /* of a client that reads slowly */
#define TEXT_BYTES_MAX (16u << 20)

/* ---- errors ---- */

static const char *error_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 429:
        return "rate_limit_error";
    case 503:
        return "overloaded_error";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

/* OpenAI's name where clients act on it. */
static const char *error_code(int code)
{
    return code == FLO_E_INFER_TOO_LONG ? "context_length_exceeded"
           : code == FLO_E_INFER_QUOTA  ? "rate_limit_exceeded"
                                        : flo_error_id(code);
}

static void error_body(const struct flo_err *err, int status, const char *param,
                       struct flo_buf *out)
{
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    flo_buf_text(out, "{\"error\":{\"message\":");
    flo_answer_add_text(out,
                        (struct flo_wire_text){err->what, strlen(err->what)});
    flo_buf_printf(out, ",\"type\":\"%s\",\"code\":\"%s\",\"param\":",
                   error_type(status), error_code(err->code));
    if (param != NULL && param[0] != '\0') {
        flo_answer_add_text(out, (struct flo_wire_text){param, strlen(param)});
    } else {
        flo_buf_text(out, "null");
    }
    flo_buf_text(out, ",\"fix\":");
    flo_answer_add_text(out, (struct flo_wire_text){fix, strlen(fix)});
    flo_buf_text(out, "}}");
}

/* Clients of other APIs than OpenAI's show an error where they find a text of
 * theirs; these paths are never ours. */
static bool foreign_body(const char *path, const struct flo_err *err,
                         struct flo_buf *out)
{
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    bool is_ollamas = strncmp(path, "/api/", 5) == 0;
    bool is_anthropics = strncmp(path, "/v1/messages", 12) == 0 ||
                         strcmp(path, "/v1/complete") == 0;
    char text[sizeof(err->what) + sizeof(err->fix) + 4];
    int chars = snprintf(text, sizeof(text), "%s; %s", err->what, fix);

    if (!is_ollamas && !is_anthropics) {
        return false;
    }
    flo_buf_text(out, is_ollamas ? "{\"error\":"
                                 : "{\"type\":\"error\",\"error\":{\"type\":"
                                   "\"not_found_error\",\"message\":");
    flo_answer_add_text(
        out, (struct flo_wire_text){text, chars < 0 ? 0 : strlen(text)});
    flo_buf_text(out, is_ollamas ? "}" : "}}");
    return true;
}

void flo_answer_error_body(const struct flo_httpd_request *request,
                           const struct flo_err *err, int status,
                           struct flo_buf *body)
{
    const char *path = flo_httpd_path(request);

    if (status != 404 || path == NULL || !foreign_body(path, err, body)) {
        error_body(err, status, NULL, body);
    }
    flo_buf_text(body, "\n");
}

void flo_answer_fail(struct serve_request *request, const struct flo_err *err)
{
    struct flo_httpd_request *http = request->http;
    struct flo_buf out = {.bytes_max = 65536};
    int status = flo_httpd_status_of(err->code);
    if (err->code == FLO_E_ENGINE_CRASH || err->code == FLO_E_ENGINE_KILLED ||
        err->code == FLO_E_ENGINE_HANG || err->code == FLO_E_INFER_CANCELLED ||
        err->code == FLO_E_STATE || flo_trouble_is_read(err->code)) {
        status = 503; /* another try can help */
    }
    const char *param = flo_format_param(&request->params, err);
    if (http == NULL) {
        return;
    }
    param = param != NULL ? param : request->params.param;
    request->http = NULL;
    flo_httpd_set_user(http, NULL, NULL);
    if (request->has_begun) {
        flo_buf_text(&out, "data: ");
        error_body(err, status, param, &out);
        flo_buf_text(&out, "\n\n");
        flo_httpd_stream_chunk(http, out.data, out.bytes, SIZE_MAX / 2);
        flo_httpd_stream_end(http);
    } else {
        if (status == 503 || status == 429) {
            char seconds[16];
            snprintf(seconds, sizeof(seconds), "%u",
                     request->retry_after_s > 0 ? request->retry_after_s : 1);
            flo_httpd_add_header(http, "Retry-After", seconds);
        }
        error_body(err, status, param, &out);
        flo_buf_text(&out, "\n");
        flo_httpd_answer(http, status, "application/json", out.data, out.bytes);
    }
    flo_buf_deinit(&out);
}

/* ---- parts of an answer ---- */

static void add_head(const struct serve_request *request, const char *object,
                     struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%llu,"
                   "\"model\":\"%s\",\"system_fingerprint\":null,",
                   request->id, object, (unsigned long long)request->created_s,
                   request->model_name);
}

static void add_usage(const struct serve_request *request,
                      const struct flo_wire_done *done, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,"
                   "\"total_tokens\":%llu,"
                   "\"prompt_tokens_details\":{\"cached_tokens\":%u}},",
                   done->tokens_in, done->tokens_out,
                   (unsigned long long)done->tokens_in + done->tokens_out,
                   done->cached_tokens);
    flo_buf_printf(out,
                   "\"timings\":{\"queue_ms\":%.3f,\"load_ms\":%.3f,"
                   "\"prompt_ms\":%.3f,"
                   "\"first_token_ms\":%.3f,\"per_token_ms\":%.3f,"
                   "\"guessed\":%u,\"guessed_right\":%u}",
                   (double)done->queue_us / 1e3, (double)request->load_us / 1e3,
                   (double)done->prompt_wall_us / 1e3,
                   (double)done->first_us / 1e3,
                   done->tokens_out < 2
                       ? 0.0
                       : (double)done->answer_us / 1e3 / (done->tokens_out - 1),
                   done->guessed, done->guessed_right);
}

static const char *finish_of(const struct flo_wire_done *done)
{
    return done->reason == FLO_WIRE_LENGTH ? "length" : "stop";
}

/* A client that wants the usage has it in every event, null but in the last
 * one. */
static void end_event(const struct serve_request *request, struct flo_buf *out)
{
    flo_buf_text(out, request->params.wants_usage ? "}],\"usage\":null}\n\n"
                                                  : "}]}\n\n");
}

/* One event, with the log-probabilities that are kept; finish NULL: not the
 * last one. */
static void add_event(struct serve_request *request, struct flo_wire_text text,
                      const char *finish, struct flo_buf *out)
{
    bool is_chat = request->kind == REQUEST_CHAT;
    flo_buf_text(out, "data: ");
    add_head(request, is_chat ? "chat.completion.chunk" : "text_completion",
             out);
    flo_buf_text(out, "\"choices\":[{\"index\":0,");
    if (!is_chat) {
        flo_buf_text(out, "\"text\":");
        flo_answer_add_text(out, text);
    } else if (text.bytes > 0 || request->logprobs.bytes > 0) {
        flo_buf_text(out, "\"delta\":{\"content\":");
        flo_answer_add_text(out, text);
        flo_buf_text(out, "}");
    } else {
        flo_buf_text(out, "\"delta\":{}");
    }
    flo_buf_text(out, ",\"logprobs\":");
    flo_answer_logprobs_put(request, out);
    flo_buf_text(out, ",\"finish_reason\":");
    flo_buf_printf(out, finish == NULL ? "null" : "\"%s\"", finish);
    end_event(request, out);
}

static void begin(struct serve_request *request, struct flo_buf *out)
{
    if (request->has_begun) {
        return;
    }
    request->has_begun = true;
    flo_httpd_add_header(request->http, "X-Flotilla-Release",
                         request->model_name);
    if (request->params.is_stream) {
        flo_httpd_add_header(request->http, "Cache-Control", "no-cache");
        flo_httpd_stream_begin(request->http, 200,
                               "text/event-stream; charset=utf-8");
        if (request->kind == REQUEST_CHAT) {
            flo_buf_text(out, "data: ");
            add_head(request, "chat.completion.chunk", out);
            flo_buf_text(out,
                         "\"choices\":[{\"index\":0,\"delta\":{\"role\":"
                         "\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                         "\"finish_reason\":null");
            end_event(request, out);
        }
    }
}

/* ---- streams ---- */

bool flo_answer_token(struct serve_request *request,
                      const struct flo_wire_token *token)
{
    if (request->http == NULL) {
        return true;
    }
    if (token->logprobs.bytes > 0) {
        flo_answer_logprobs_add(request, token);
    }
    if (!request->params.is_stream) {
        request->text.bytes_max = TEXT_BYTES_MAX;
        flo_buf_add(&request->text, token->text.data, token->text.bytes);
        return true;
    }
    struct flo_buf out = {.bytes_max = 4 * FLO_WIRE_PAYLOAD_BYTES_MAX};
    begin(request, &out);
    if (token->text.bytes > 0 || request->logprobs.bytes > 0) {
        add_event(request, token->text, NULL, &out);
    }
    bool is_taken =
        !out.failed && flo_httpd_stream_chunk(request->http, out.data,
                                              out.bytes, BACKLOG_BYTES_MAX);
    flo_buf_deinit(&out);
    if (!is_taken) {
        flo_httpd_set_user(request->http, NULL, NULL);
        flo_httpd_stream_abort(request->http);
        request->http = NULL;
    }
    return is_taken;
}

static void end_stream(struct serve_request *request,
                       const struct flo_wire_done *done)
{
    struct flo_buf out = {.bytes_max = 4 * FLO_WIRE_PAYLOAD_BYTES_MAX};
    begin(request, &out);
    if (done->text.bytes > 0) {
        add_event(request, done->text, NULL, &out);
    }
    add_event(request, (struct flo_wire_text){0}, finish_of(done), &out);
    if (request->params.wants_usage) {
        flo_buf_text(&out, "data: ");
        add_head(request,
                 request->kind == REQUEST_CHAT ? "chat.completion.chunk"
                                               : "text_completion",
                 &out);
        flo_buf_text(&out, "\"choices\":[],");
        add_usage(request, done, &out);
        flo_buf_text(&out, "}\n\n");
    }
    flo_buf_text(&out, "data: [DONE]\n\n");
    flo_httpd_stream_chunk(request->http, out.data, out.bytes, SIZE_MAX / 2);
    flo_httpd_stream_end(request->http);
    flo_buf_deinit(&out);
}

/* ---- whole answers ---- */

static void answer_whole(struct serve_request *request,
                         const struct flo_wire_done *done)
{
    bool is_chat = request->kind == REQUEST_CHAT;
    struct flo_buf out = {.bytes_max = 8 * TEXT_BYTES_MAX};
    begin(request, &out);
    flo_buf_add(&request->text, done->text.data, done->text.bytes);
    struct flo_wire_text text = {request->text.data, request->text.bytes};
    add_head(request, is_chat ? "chat.completion" : "text_completion", &out);
    flo_buf_text(&out, "\"choices\":[{\"index\":0,");
    if (is_chat) {
        flo_buf_text(&out, "\"message\":{\"role\":\"assistant\",\"content\":");
        flo_answer_add_text(&out, text);
        flo_buf_text(&out, ",\"refusal\":null}");
    } else {
        flo_buf_text(&out, "\"text\":");
        flo_answer_add_text(&out, text);
    }
    if (request->params.message.generate.n_stops > 0 &&
        done->reason == FLO_WIRE_STOP) {
        flo_answer_logprobs_cut(request, text.bytes);
    }
    flo_buf_text(&out, ",\"logprobs\":");
    flo_answer_logprobs_put(request, &out);
    flo_buf_printf(&out, ",\"finish_reason\":\"%s\"}],", finish_of(done));
    add_usage(request, done, &out);
    flo_buf_text(&out, "}\n");
    if (out.failed || request->text.failed || request->logprobs.failed) {
        struct flo_err err = {0};
        flo_fail(&err, FLO_E_MEMORY, "no memory for the answer");
        flo_httpd_answer_err(request->http, &err);
    } else {
        flo_httpd_answer(request->http, 200, "application/json", out.data,
                         out.bytes);
    }
    flo_buf_deinit(&out);
}

void flo_answer_done(struct serve_request *request,
                     const struct flo_wire_done *done)
{
    if (request->http == NULL) {
        return;
    }
    flo_httpd_set_user(request->http, NULL, NULL);
    if (request->kind == REQUEST_AUDIO) {
        begin(request, NULL);
        flo_buf_add(&request->text, done->text.data, done->text.bytes);
        flo_answer_speech(request);
    } else if (request->params.is_stream) {
        end_stream(request, done);
    } else {
        answer_whole(request, done);
    }
    request->http = NULL;
}

/* Shapes: writes heads, numbers, events and errors for all fronts of OpenAI's
 * API. */
#include "agent/serve/openai/openai.h"

#include <string.h>

#include <flotilla/errors/infer.h>

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

/* Returns the error code for clients: OpenAI's own code where clients depend on
 * it. */
static const char *error_code(int code)
{
    return code == FLO_E_INFER_TOO_LONG ? "context_length_exceeded"
           : code == FLO_E_INFER_QUOTA  ? "rate_limit_exceeded"
                                        : flo_error_id(code);
}

static void add_text(struct flo_buf *out, const char *text)
{
    flo_answer_add_text(out, (struct flo_wire_text){text, strlen(text)});
}

void flo_openai_fail(struct serve_failure *failure, struct flo_buf *out)
{
    const struct flo_err *err = failure->err;

    flo_buf_text(out, failure->is_in_stream ? "data: " : "");
    flo_buf_text(out, "{\"error\":{\"message\":");
    add_text(out, err->what);
    flo_buf_printf(out, ",\"type\":\"%s\",\"code\":\"%s\",\"param\":", error_type(failure->status),
                   error_code(err->code));
    if (failure->param != NULL) {
        add_text(out, failure->param);
    } else {
        flo_buf_text(out, "null");
    }
    flo_buf_text(out, ",\"fix\":");
    add_text(out, err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code));
    flo_buf_text(out, failure->is_in_stream ? "}}\n\n" : "}}\n");
}

/* ---- parts of an answer ---- */

void flo_openai_add_head(const struct serve_request *request, const char *object,
                         struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%llu,"
                   "\"model\":\"%s\",\"system_fingerprint\":null,",
                   request->id, object, (unsigned long long)request->created_s,
                   request->model_name);
    flo_answer_add_served(request, out);
}

void flo_openai_add_choices(struct serve_request *request, const struct flo_wire_done *done,
                            struct flo_buf *out)
{
    const struct serve_choices *choices = request->choices;

    flo_buf_text(out, "\"choices\":[");
    if (choices == NULL) {
        request->front->choice(request, done, out);
    }
    for (uint32_t i = 0; choices != NULL && i < choices->count; i++) {
        flo_buf_text(out, i == 0 ? "" : ",");
        flo_buf_add(out, choices->each[i].text.data, choices->each[i].text.bytes);
    }
    flo_buf_text(out, "],");
}

void flo_openai_add_usage(const struct serve_request *request, const struct flo_wire_done *done,
                          struct flo_buf *out)
{
    flo_buf_printf(out,
                   "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,"
                   "\"total_tokens\":%llu,"
                   "\"prompt_tokens_details\":{\"cached_tokens\":%u}},",
                   done->tokens_in, done->tokens_out,
                   (unsigned long long)done->tokens_in + done->tokens_out, done->cached_tokens);
    flo_buf_printf(out,
                   "\"timings\":{\"queue_ms\":%.3f,\"load_ms\":%.3f,"
                   "\"prompt_ms\":%.3f,"
                   "\"first_token_ms\":%.3f,\"per_token_ms\":%.3f,"
                   "\"guessed\":%u,\"guessed_right\":%u}",
                   (double)done->queue_us / 1e3, (double)request->load_us / 1e3,
                   (double)done->prompt_wall_us / 1e3, (double)done->first_us / 1e3,
                   done->tokens_out < 2 ? 0.0
                                        : (double)done->answer_us / 1e3 / (done->tokens_out - 1),
                   done->guessed, done->guessed_right);
}

/* ---- streams ---- */

/* Ends an event.  If a client wants the usage, each event has that member,
 * which is null except in the last event. */
void flo_openai_end_event(struct serve_request *request, const char *finish, struct flo_buf *out)
{
    flo_buf_text(out, ",\"logprobs\":");
    flo_openai_add_logprobs(request, out);
    flo_buf_printf(out, finish == NULL ? ",\"finish_reason\":null" : ",\"finish_reason\":\"%s\"",
                   finish);
    flo_buf_text(out, request->params.wants_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

void flo_openai_end_stream(const struct serve_request *request, const char *object,
                           const struct flo_wire_done *done, struct flo_buf *out)
{
    done = flo_choices_sum(request, done);
    if (done == NULL) {
        return;
    }
    if (request->params.wants_usage) {
        flo_buf_text(out, "data: ");
        flo_openai_add_head(request, object, out);
        flo_buf_text(out, "\"choices\":[],");
        flo_openai_add_usage(request, done, out);
        flo_buf_text(out, "}\n\n");
    }
    flo_buf_text(out, "data: [DONE]\n\n");
}

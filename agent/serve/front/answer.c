/* Answer: checks an engine's frames and passes them to a front.
 *
 * Nothing is sent to a client before the engine's first token.  Until then an
 * error has its own HTTP status, and the request can move to another engine. */
#include "agent/core/trouble.h"
#include "agent/serve/front/choices.h"
#include "base/host/httpd.h"

#include <string.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/infer.h>
#include <flotilla/errors/worker.h>

/* largest number of bytes that a front writes for one frame */
#define PIECES_BYTES_MAX (4 * FLO_WIRE_PAYLOAD_BYTES_MAX)
#define WHOLE_BYTES_MAX (8 * SERVE_KEPT_BYTES_MAX)

/* ---- errors ---- */

static int status_of(int code)
{
    if (code == FLO_E_ENGINE_CRASH || code == FLO_E_ENGINE_KILLED || code == FLO_E_ENGINE_HANG ||
        code == FLO_E_INFER_CANCELLED || code == FLO_E_STATE || flo_trouble_is_read(code)) {
        return 503; /* a retry can help, so the status is 503 */
    }
    return flo_httpd_status_of(code);
}

void flo_answer_fail(struct serve_request *request, const struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = WHOLE_BYTES_MAX};
    struct serve_request *asker = flo_choices_asker(request);
    const char *param = flo_params_param(&request->params, err);
    struct serve_failure failure = {
        .err = err,
        .param = param[0] != '\0' ? param : NULL,
        .status = status_of(err->code),
        .is_in_stream = asker->has_begun,
        .request = request,
    };

    flo_choices_end(request);
    if (flo_sink_is_gone(&asker->sink)) {
        return;
    }
    bool can_come_again = failure.status == 503 || failure.status == 429;
    request->front->fail(&failure, &out);
    if (asker->has_begun) {
        flo_sink_end(&asker->sink, &out);
    } else {
        if (can_come_again) {
            char seconds[16];
            snprintf(seconds, sizeof(seconds), "%u",
                     request->retry_after_s > 0 ? request->retry_after_s : 1);
            flo_sink_header(&asker->sink, "Retry-After", seconds);
        }
        flo_sink_whole(&asker->sink, failure.status, "application/json", &out);
    }
}

static int break_protocol(const char *what, struct flo_err *err)
{
    return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s", what);
}

/* ---- pieces ---- */

static bool is_stream(const struct serve_request *request)
{
    return request->params.is_stream && !request->is_guarded && request->front->piece != NULL &&
           request->front->end != NULL;
}

static bool keeps(const struct serve_request *request)
{
    return !is_stream(request) || request->front->keeps;
}

static void keep(struct serve_request *request, struct flo_buf *kept, struct flo_wire_text text)
{
    if (keeps(request)) {
        kept->bytes_max = SERVE_KEPT_BYTES_MAX;
        flo_buf_add(kept, text.data, text.bytes);
    }
}

static void keep_arguments(struct serve_request *request, struct flo_wire_text text)
{
    struct serve_kept *kept = &request->kept;
    struct flo_buf *out = &kept->calls[kept->n_calls - 1].arguments;

    keep(request, out, text);
    if (keeps(request)) {
        kept->arguments_bytes += text.bytes;
        out->failed |= kept->arguments_bytes > SERVE_KEPT_BYTES_MAX;
    }
}

static uint32_t token_number(const struct serve_request *request)
{
    return request->tokens_out == 0 ? 1 : request->tokens_out;
}

/* Counts a token that belongs to the model's thoughts.  A token in several
 * pieces is counted once. */
static void count_thought(struct serve_request *request)
{
    struct serve_kept *kept = &request->kept;
    uint32_t at = token_number(request);

    kept->thought_tokens += at != kept->thought_at;
    kept->thought_at = at;
}

static int begin_call(struct serve_request *request, struct flo_wire_text name, struct flo_err *err)
{
    if (!flo_params_may_call(&request->params, name)) {
        return break_protocol("a call of a tool that may not be called", err);
    }
    if (request->params.message.generate.one_call && request->kept.n_calls > 0) {
        return break_protocol("a second call where one is allowed", err);
    }
    int rv = flo_kept_add_call(&request->kept, name, err);
    if (rv == FLO_E_INFER_PARAM) {
        strcpy(request->params.param, "tools");
    }
    return rv;
}

/* Stores a piece of the answer, and passes it to the front if the client gets a
 * stream. */
static int take_piece(struct serve_request *request, enum serve_piece_kind kind,
                      struct flo_wire_text text, struct flo_buf *out, struct flo_err *err)
{
    struct serve_kept *kept = &request->kept;
    struct serve_piece piece = {.kind = kind, .text = text};
    int rv = 0;

    if (kind == SERVE_PIECE_TEXT) {
        keep(request, &kept->text, text);
    } else if (kind == SERVE_PIECE_THOUGHT) {
        keep(request, &kept->thoughts, text);
        count_thought(request);
    } else if (kind == SERVE_PIECE_CALL) {
        rv = begin_call(request, text, err);
    } else if (kept->n_calls == 0) {
        rv = break_protocol("arguments without a call", err);
    } else {
        keep_arguments(request, text);
    }
    FLO_TRY(rv);
    if (kind == SERVE_PIECE_CALL || kind == SERVE_PIECE_ARGUMENTS) {
        piece.call_index = kept->n_calls - 1;
        piece.call = &kept->calls[piece.call_index];
    }
    if (is_stream(request)) {
        request->front->piece(request, &piece, out);
    }
    return 0;
}

static int take_part(struct serve_request *request, const struct flo_wire_part *part,
                     struct flo_buf *out, struct flo_err *err)
{
    static const enum serve_piece_kind kinds[] = {
        [FLO_WIRE_PART_THOUGHT] = SERVE_PIECE_THOUGHT,
        [FLO_WIRE_PART_CALL] = SERVE_PIECE_CALL,
        [FLO_WIRE_PART_ARGUMENTS] = SERVE_PIECE_ARGUMENTS,
    };
    bool is_known = part->kind >= FLO_WIRE_PART_THOUGHT && part->kind <= FLO_WIRE_PART_ARGUMENTS;

    if (!is_known || (part->text.bytes == 0 && part->kind != FLO_WIRE_PART_CALL)) {
        return 0;
    }
    return take_piece(request, kinds[part->kind], part->text, out, err);
}

/* Takes the pieces of a frame in their order: thoughts, text, calls. */
static int take_all(struct serve_request *request, struct flo_wire_text text,
                    struct flo_wire_text parts, struct flo_buf *out, struct flo_err *err)
{
    struct flo_wire_part part;
    bool is_text_due = text.bytes > 0;

    if (parts.bytes > 0 && !request->params.message.generate.tells_parts) {
        return break_protocol("parts that nobody asked for", err);
    }
    while (flo_wire_part_next(&parts, &part)) {
        if (is_text_due && part.kind != FLO_WIRE_PART_THOUGHT) {
            FLO_TRY(take_piece(request, SERVE_PIECE_TEXT, text, out, err));
            is_text_due = false;
        }
        FLO_TRY(take_part(request, &part, out, err));
    }
    if (parts.bytes > 0) {
        return break_protocol("parts that are no list", err);
    }
    return is_text_due ? take_piece(request, SERVE_PIECE_TEXT, text, out, err) : 0;
}

/* Adds the headers that name the release that answers.  If the client's name
 * has a route, they also say why another target answers. */
static void add_names(struct serve_request *asker, const struct serve_request *request)
{
    flo_sink_header(&asker->sink, "X-Flotilla-Release", asker->model_name);
    if (request->detour.route != NULL) {
        char text[sizeof(request->model_name) + 32];
        snprintf(text, sizeof(text), "%s%s%s", request->model_name,
                 request->detour.has_left ? "; reason=" : "",
                 request->detour.has_left ? flo_fallback_word(request->detour.reason) : "");
        flo_sink_header(&asker->sink, "X-Flotilla-Served-By", text);
    }
}

void flo_answer_add_served(const struct serve_request *request, struct flo_buf *out)
{
    if (request->detour.route == NULL) {
        return;
    }
    flo_buf_printf(out, "\"flotilla\":{\"served_by\":\"%s\",\"reason\":%s%s%s},",
                   request->model_name, request->detour.has_left ? "\"" : "",
                   request->detour.has_left ? flo_fallback_word(request->detour.reason) : "null",
                   request->detour.has_left ? "\"" : "");
}

/* ---- streams ---- */

/* Writes the front's output for a frame.  The beginning of the stream goes
 * before the first frame.  If the front refuses the first frame, nothing is
 * sent, so that the error has an HTTP status of its own. */
static int tell(struct serve_request *request, struct flo_wire_text text,
                struct flo_wire_text parts, struct flo_buf *out, struct flo_err *err)
{
    struct serve_request *asker = flo_choices_asker(request);

    if (!request->has_begun && request->front->begin != NULL) {
        request->front->begin(request, out);
    }
    FLO_TRY(take_all(request, text, parts, out, err));
    if (!asker->has_begun) {
        add_names(asker, request);
        flo_sink_header(&asker->sink, "Cache-Control", "no-cache");
        flo_sink_begin(&asker->sink, 200, request->front->stream_type);
    }
    request->has_begun = asker->has_begun = true;
    return 0;
}

static int send_chunk(struct serve_request *request, const struct flo_buf *out, struct flo_err *err)
{
    struct serve_sink *sink = &flo_choices_asker(request)->sink;

    if (flo_sink_chunk(sink, out)) {
        return 0;
    }
    flo_sink_abort(sink);
    flo_choices_end(request);
    return flo_fail(err, FLO_E_INFER_CANCELLED, "the client reads too slowly");
}

/* Streams a token.  Its log-probabilities go with its first piece, or with an
 * empty piece if the token has no text. */
static int stream_token(struct serve_request *request, const struct flo_wire_token *token,
                        struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = PIECES_BYTES_MAX};
    int rv = tell(request, token->text, token->parts, &out, err);

    if (rv == 0 && request->kept.logprobs.bytes > 0) {
        rv = take_piece(request, SERVE_PIECE_TEXT, (struct flo_wire_text){0}, &out, err);
    }
    request->kept.logprobs.bytes = 0;
    FLO_TRY(rv);
    return send_chunk(request, &out, err);
}

int flo_answer_token(struct serve_request *request, const struct flo_wire_token *token,
                     struct flo_err *err)
{
    if (token->logprobs.bytes > 0) {
        flo_kept_add_logprobs(&request->kept, token);
    }
    FLO_TRY(is_stream(request) ? stream_token(request, token, err)
                               : take_all(request, token->text, token->parts, NULL, err));
    if (flo_kept_has_failed(&request->kept)) {
        strcpy(request->params.param, "max_tokens");
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "an answer of %u tokens is too long to be kept; \"stream\" "
                        "has no limit",
                        request->tokens_out);
    }
    return 0;
}

/* ---- ends ---- */

static void send_whole(struct serve_request *request, struct flo_buf *out)
{
    if (out->failed || flo_kept_has_failed(&request->kept)) {
        struct flo_err err = {0};
        flo_fail(&err, FLO_E_MEMORY, "no memory for the answer");
        flo_answer_fail(request, &err);
        return;
    }
    add_names(request, request);
    flo_sink_whole(&request->sink, 200,
                   request->params.is_plain ? "text/plain; charset=utf-8" : "application/json",
                   out);
}

static int end_stream(struct serve_request *request, const struct flo_wire_done *done,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = WHOLE_BYTES_MAX};

    FLO_TRY(tell(request, done->text, done->parts, &out, err));
    bool is_last = flo_choices_told(request, done);
    request->front->end(request, done, &out);
    if (out.failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the answer");
    }
    if (!is_last) {
        return send_chunk(request, &out, err);
    }
    flo_sink_end(&flo_choices_asker(request)->sink, &out);
    return 0;
}

/* Drops the log-probabilities of the tokens in a stop text, which is not part
 * of the answer. */
static void cut_logprobs(struct serve_request *request, const struct flo_wire_done *done)
{
    struct serve_kept *kept = &request->kept;

    if (request->params.message.generate.n_stops > 0 && done->reason == FLO_WIRE_STOP &&
        kept->n_calls == 0 && kept->thoughts.bytes == 0) {
        flo_kept_cut_logprobs(kept, kept->text.bytes);
    }
}

/* Ends one of several choices.  Its answer is stored until all choices have
 * ended. */
static int end_choice(struct serve_request *request, const struct flo_wire_done *done,
                      struct flo_err *err)
{
    struct serve_request *asker = request->asker;
    struct flo_buf *text = &asker->choices->each[request->index].text;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = WHOLE_BYTES_MAX};

    text->bytes_max = WHOLE_BYTES_MAX;
    request->front->choice(request, done, text);
    if (text->failed || flo_kept_has_failed(&request->kept)) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the answer");
    }
    if (flo_choices_told(request, done)) {
        FLO_TRY(request->front->whole(asker, &asker->choices->sum, &out, err));
        send_whole(asker, &out);
    }
    return 0;
}

static int end_whole(struct serve_request *request, const struct flo_wire_done *done,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = WHOLE_BYTES_MAX};
    int rv = 0;

    if (request->kind == REQUEST_EMBED) {
        rv = flo_answer_check_dimensions(request, err);
    } else {
        rv = take_all(request, done->text, done->parts, NULL, err);
        cut_logprobs(request, done);
    }
    FLO_TRY(rv);
    if (request->asker != NULL) {
        return end_choice(request, done, err);
    }
    FLO_TRY(request->front->whole == NULL ? break_protocol("an end of another kind", err)
                                          : request->front->whole(request, done, &out, err));
    send_whole(request, &out);
    return 0;
}

int flo_answer_done(struct serve_request *request, const struct flo_wire_done *done,
                    struct flo_err *err)
{
    struct flo_wire_done last = *done;

    if (request->is_guarded) { /* the request was cancelled before a guard allowed its answer */
        flo_answer_forget(request);
        request->is_guarded = false;
        last.text = last.parts = (struct flo_wire_text){0};
    }
    return is_stream(request) ? end_stream(request, &last, err) : end_whole(request, &last, err);
}

void flo_answer_frame(struct serve_request *request, const struct flo_wire_message *frame)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = WHOLE_BYTES_MAX};

    if (frame->type == FLO_WIRE_EMBEDDING && request->front->frame != NULL) {
        request->kept.text.bytes_max = SERVE_VECTORS_BYTES_MAX;
        request->front->frame(request, frame, &request->kept.text);
        return;
    }
    if (request->front->frame != NULL) {
        request->front->frame(request, frame, &out);
    }
    send_whole(request, &out);
}

int flo_answer_collect(struct serve_request *request, const struct flo_wire_done *done,
                       struct flo_err *err)
{
    FLO_TRY(take_all(request, done->text, done->parts, NULL, err));
    return flo_kept_has_failed(&request->kept)
               ? flo_fail(err, FLO_E_MEMORY, "no memory for the answer")
               : 0;
}

void flo_answer_let_go(struct serve_request *request, struct flo_buf *text, struct flo_buf *parts)
{
    uint32_t thought_tokens = request->kept.thought_tokens;

    flo_kept_take(&request->kept, text, parts);
    request->is_guarded = false;
    request->kept.thought_tokens = thought_tokens; /* already counted */
    request->kept.thought_at = token_number(request);
}

void flo_answer_forget(struct serve_request *request)
{
    flo_kept_deinit(&request->kept);
}

/* Chat: the fronts of /api/chat and /api/generate, which write lines of JSON.
 *
 * A call is sent as an object when its arguments are complete: when the next
 * call begins, or at the end.  A call that the token limit cut off is left
 * out. */
#include "agent/serve/ollama/ollama.h"

#include <stdlib.h>

struct state {
    uint32_t told; /* number of calls that were sent so far */
    bool is_load;
};

static int read_as(enum ollama_ask ask, struct serve_request *request,
                   const struct serve_body *body, struct flo_err *err)
{
    struct state *state = calloc(1, sizeof(*state));

    if (state == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a request");
    }
    request->state = state;
    int rv = flo_ollama_read(ask, body, &request->params, &state->is_load, err);
    request->params.is_untold = request->params.is_unasked = state->is_load;
    return rv;
}

static int read_chat(struct serve_request *request, const struct serve_body *body,
                     struct flo_err *err)
{
    return read_as(OLLAMA_CHAT, request, body, err);
}

static int read_generate(struct serve_request *request, const struct serve_body *body,
                         struct flo_err *err)
{
    return read_as(OLLAMA_GENERATE, request, body, err);
}

/* ---- parts of a line ---- */

static bool is_chat(const struct serve_request *request)
{
    return request->front == &flo_ollama_chat;
}

static void add_head(const struct serve_request *request, struct flo_buf *out)
{
    char now[25];

    flo_time_text(flo_wall_ms(), now);
    flo_buf_printf(out, "{\"model\":\"%s\",\"created_at\":\"%s\",", request->model_name, now);
}

/* Writes the text of the answer and its thoughts.  /api/chat has them in the
 * object "message", /api/generate in the line itself. */
static void begin_message(const struct serve_request *request, struct flo_wire_text text,
                          struct flo_wire_text thoughts, struct flo_buf *out)
{
    flo_buf_text(out, is_chat(request) ? "\"message\":{\"role\":\"assistant\"," : "");
    flo_answer_add_member(out, is_chat(request) ? "content" : "response", text);
    if (thoughts.bytes > 0) {
        flo_buf_text(out, ",");
        flo_answer_add_member(out, "thinking", thoughts);
    }
}

static void end_message(const struct serve_request *request, struct flo_buf *out)
{
    flo_buf_text(out, is_chat(request) ? "}," : ",");
}

/* Adds a call to the list.  Returns false when its arguments are no complete
 * JSON object. */
static bool add_call(const struct serve_tool_call *call, uint32_t index, const char *before,
                     struct flo_buf *out)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;
    const struct flo_buf *arguments = &call->arguments;

    if (arguments->bytes > 0 &&
        (flo_json_parse(arguments->data, arguments->bytes, SERVE_KEPT_BYTES_MAX, &tree, NULL) < 0 ||
         !json_is_object(tree))) {
        return false;
    }
    flo_buf_printf(out,
                   "%s{\"id\":\"%s\",\"function\":{\"index\":%u,\"name\":"
                   "\"%s\",\"arguments\":",
                   before, call->id, index, call->name);
    if (tree == NULL) {
        flo_buf_text(out, "{}");
    } else {
        flo_json_dump(tree, out);
    }
    flo_buf_text(out, "}}");
    return true;
}

/* Adds a member with the calls from index `told` to index `until` - 1, if there
 * are any. */
static void add_calls(const struct serve_request *request, uint32_t told, uint32_t until,
                      struct flo_buf *out)
{
    static const char first[] = ",\"tool_calls\":[";
    const char *before = first;

    for (uint32_t i = told; i < until; i++) {
        if (add_call(&request->kept.calls[i], i, before, out)) {
            before = ",";
        }
    }
    flo_buf_text(out, before == first ? "" : "]");
}

static void add_end(const struct serve_request *request, const struct flo_wire_done *done,
                    struct flo_buf *out)
{
    const struct state *state = request->state;
    uint64_t load_us = request->load_us;
    uint64_t total_us = load_us + done->first_us + done->answer_us;

    flo_buf_printf(out,
                   "\"done\":true,\"done_reason\":\"%s\","
                   "\"total_duration\":%llu,\"load_duration\":%llu,",
                   state->is_load                    ? "load"
                   : done->reason == FLO_WIRE_LENGTH ? "length"
                                                     : "stop",
                   (unsigned long long)total_us * 1000, (unsigned long long)load_us * 1000);
    flo_buf_printf(out,
                   "\"prompt_eval_count\":%u,\"prompt_eval_duration\":%llu,"
                   "\"eval_count\":%u,\"eval_duration\":%llu}\n",
                   done->tokens_in, (unsigned long long)done->prompt_wall_us * 1000,
                   done->tokens_out, (unsigned long long)done->answer_us * 1000);
}

/* ---- streams ---- */

static void tell_calls(const struct serve_request *request, uint32_t until, struct flo_buf *out)
{
    const struct flo_wire_text none = {0};
    struct state *state = request->state;

    if (state->told >= until) {
        return;
    }
    add_head(request, out);
    begin_message(request, none, none, out);
    add_calls(request, state->told, until, out);
    end_message(request, out);
    flo_buf_text(out, "\"done\":false}\n");
    state->told = until;
}

static void piece(struct serve_request *request, const struct serve_piece *piece,
                  struct flo_buf *out)
{
    const struct flo_wire_text none = {0};
    const struct state *state = request->state;

    if (state->is_load || piece->kind == SERVE_PIECE_ARGUMENTS) {
        return;
    }
    if (piece->kind == SERVE_PIECE_CALL) {
        tell_calls(request, piece->call_index, out);
        return;
    }
    tell_calls(request, request->kept.n_calls, out);
    add_head(request, out);
    begin_message(request, piece->kind == SERVE_PIECE_TEXT ? piece->text : none,
                  piece->kind == SERVE_PIECE_TEXT ? none : piece->text, out);
    end_message(request, out);
    flo_buf_text(out, "\"done\":false}\n");
}

static void end(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out)
{
    const struct flo_wire_text none = {0};

    tell_calls(request, request->kept.n_calls, out);
    add_head(request, out);
    begin_message(request, none, none, out);
    end_message(request, out);
    add_end(request, done, out);
}

/* ---- whole answers ---- */

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    const struct serve_kept *kept = &request->kept;
    const struct state *state = request->state;
    const struct flo_wire_text none = {0};

    (void)err;
    add_head(request, out);
    begin_message(request, state->is_load ? none : flo_answer_text_of(&kept->text),
                  state->is_load ? none : flo_answer_text_of(&kept->thoughts), out);
    add_calls(request, 0, state->is_load ? 0 : kept->n_calls, out);
    end_message(request, out);
    add_end(request, done, out);
    return 0;
}

const struct serve_front flo_ollama_chat = {
    .kind = REQUEST_CHAT,
    .id_prefix = "ollama-",
    .stream_type = "application/x-ndjson",
    .tells_parts = true,
    .keeps = true,
    .read = read_chat,
    .piece = piece,
    .end = end,
    .whole = whole,
    .fail = flo_ollama_fail,
    .drop = free,
};

const struct serve_front flo_ollama_generate = {
    .kind = REQUEST_CHAT,
    .id_prefix = "ollama-",
    .stream_type = "application/x-ndjson",
    .tells_parts = true,
    .keeps = true,
    .read = read_generate,
    .piece = piece,
    .end = end,
    .whole = whole,
    .fail = flo_ollama_fail,
    .drop = free,
};

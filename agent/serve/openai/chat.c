/* Chat: the front of /v1/chat/completions.
 *
 * The deltas of a stream add up to the message of a whole answer.  If the
 * request has tools, the first content is null, because the answer may be only
 * calls.  A client that used `functions` gets one `function_call`. */
#include "agent/serve/openai/openai.h"

#include <string.h>

static const char object[] = "chat.completion.chunk";

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    return flo_params_read(REQUEST_CHAT, body->data, body->bytes, &request->params, err);
}

static const char *finish_of(const struct serve_request *request, const struct flo_wire_done *done)
{
    if (done->reason == FLO_WIRE_LENGTH) {
        return "length";
    }
    if (request->kept.n_calls == 0) {
        return "stop";
    }
    return request->params.is_function_call ? "function_call" : "tool_calls";
}

/* {"name":...,"arguments":...} */
static void add_function(const struct serve_tool_call *call, struct flo_wire_text arguments,
                         struct flo_buf *out)
{
    flo_buf_printf(out, "{\"name\":\"%s\",", call->name);
    flo_answer_add_member(out, "arguments", arguments);
    flo_buf_text(out, "}");
}

/* "id":...,"type":"function","function":{...} */
static void add_call(const struct serve_tool_call *call, struct flo_wire_text arguments,
                     struct flo_buf *out)
{
    flo_buf_printf(out, "\"id\":\"%s\",\"type\":\"function\",\"function\":", call->id);
    add_function(call, arguments, out);
}

/* ---- streams ---- */

static void begin_event(struct serve_request *request, struct flo_buf *out)
{
    flo_buf_text(out, "data: ");
    flo_openai_add_head(request, object, out);
    flo_buf_printf(out, "\"choices\":[{\"index\":%u,\"delta\":{", request->index);
}

static void end_event(struct serve_request *request, const char *finish, struct flo_buf *out)
{
    flo_buf_text(out, "}");
    flo_openai_end_event(request, finish, out);
}

/* Writes the first event of a stream.  The first token's log-probabilities come
 * in the next event. */
static void begin(struct serve_request *request, struct flo_buf *out)
{
    bool has_tools = request->params.message.generate.tools.bytes > 0;

    begin_event(request, out);
    flo_buf_printf(out,
                   "\"role\":\"assistant\",\"content\":%s},"
                   "\"logprobs\":null,\"finish_reason\":null%s",
                   has_tools ? "null" : "\"\"",
                   request->params.wants_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

static void add_call_delta(const struct serve_request *request, const struct serve_piece *piece,
                           struct flo_buf *out)
{
    const struct flo_wire_text none = {0};
    bool is_old = request->params.is_function_call;

    flo_buf_text(out, is_old ? "\"function_call\":" : "\"tool_calls\":[{");
    if (!is_old) {
        flo_buf_printf(out, "\"index\":%u,", piece->call_index);
    }
    if (piece->kind == SERVE_PIECE_ARGUMENTS) {
        flo_buf_text(out, is_old ? "{" : "\"function\":{");
        flo_answer_add_member(out, "arguments", piece->text);
        flo_buf_text(out, "}");
    } else if (is_old) {
        add_function(piece->call, none, out);
    } else {
        add_call(piece->call, none, out);
    }
    flo_buf_text(out, is_old ? "" : "}]");
}

static void piece(struct serve_request *request, const struct serve_piece *piece,
                  struct flo_buf *out)
{
    begin_event(request, out);
    if (piece->kind == SERVE_PIECE_TEXT) {
        flo_answer_add_member(out, "content", piece->text);
    } else if (piece->kind == SERVE_PIECE_THOUGHT) {
        flo_answer_add_member(out, "reasoning_content", piece->text);
    } else {
        add_call_delta(request, piece, out);
    }
    end_event(request, NULL, out);
}

static void end(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out)
{
    begin_event(request, out);
    end_event(request, finish_of(request, done), out);
    flo_openai_end_stream(request, object, done, out);
}

/* ---- whole answers ---- */

static void add_calls(const struct serve_request *request, struct flo_buf *out)
{
    const struct serve_kept *kept = &request->kept;

    if (request->params.is_function_call) {
        flo_buf_text(out, ",\"function_call\":");
        add_function(&kept->calls[0], flo_answer_text_of(&kept->calls[0].arguments), out);
        return;
    }
    flo_buf_text(out, ",\"tool_calls\":[");
    for (uint32_t i = 0; i < kept->n_calls; i++) {
        flo_buf_text(out, i == 0 ? "{" : ",{");
        add_call(&kept->calls[i], flo_answer_text_of(&kept->calls[i].arguments), out);
        flo_buf_text(out, "}");
    }
    flo_buf_text(out, "]");
}

static void choice(struct serve_request *request, const struct flo_wire_done *done,
                   struct flo_buf *out)
{
    const struct serve_kept *kept = &request->kept;

    flo_buf_printf(out, "{\"index\":%u,\"message\":{\"role\":\"assistant\",", request->index);
    if (kept->n_calls > 0 && kept->text.bytes == 0) {
        flo_buf_text(out, "\"content\":null");
    } else {
        flo_answer_add_member(out, "content", flo_answer_text_of(&kept->text));
    }
    flo_buf_text(out, ",\"refusal\":null");
    if (kept->thoughts.bytes > 0) {
        flo_buf_text(out, ",");
        flo_answer_add_member(out, "reasoning_content", flo_answer_text_of(&kept->thoughts));
    }
    if (kept->n_calls > 0) {
        add_calls(request, out);
    }
    flo_buf_text(out, "},\"logprobs\":");
    flo_openai_add_logprobs(request, out);
    flo_buf_printf(out, ",\"finish_reason\":\"%s\"}", finish_of(request, done));
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    (void)err;
    flo_openai_add_head(request, "chat.completion", out);
    flo_openai_add_choices(request, done, out);
    flo_openai_add_usage(request, done, out);
    flo_buf_text(out, "}\n");
    return 0;
}

const struct serve_front flo_openai_chat = {
    .kind = REQUEST_CHAT,
    .id_prefix = "chatcmpl-",
    .stream_type = "text/event-stream; charset=utf-8",
    .tells_parts = true,
    .read = read,
    .begin = begin,
    .piece = piece,
    .end = end,
    .whole = whole,
    .choice = choice,
    .fail = flo_openai_fail,
};

/* Answer: the front of /v1/messages.
 *
 * An answer is a list of blocks.  In a stream each block has an index, a
 * beginning, deltas and an end.  A block ends when the next piece is of another
 * kind. */
#include "agent/serve/anthropic/anthropic.h"

#include <stdlib.h>
#include <string.h>

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    return flo_anthropic_read(request, body, false, err);
}

/* Writes the "stop_reason", and the stop text that ended the answer, if one
 * did. */
static void add_stop(const struct serve_request *request, const struct flo_wire_done *done,
                     struct flo_buf *out)
{
    const struct flo_wire_generate *asked = &request->params.message.generate;
    bool is_stop = done->reason == FLO_WIRE_STOP && done->stop > 0 && done->stop <= asked->n_stops;
    const char *reason = done->reason == FLO_WIRE_LENGTH ? "max_tokens"
                         : is_stop                       ? "stop_sequence"
                         : request->kept.n_calls > 0     ? "tool_use"
                                                         : "end_turn";

    flo_buf_printf(out, "\"stop_reason\":\"%s\",", reason);
    if (is_stop) {
        flo_answer_add_member(out, "stop_sequence", asked->stops[done->stop - 1]);
    } else {
        flo_buf_text(out, "\"stop_sequence\":null");
    }
}

/* Writes the members of an answer before its content. */
static void add_head(const struct serve_request *request, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\","
                   "\"model\":\"%s\",\"content\":[",
                   request->id, request->model_name);
}

/* Writes the numbers of tokens.  In Anthropic's API the input's tokens do not
 * include cached ones. */
static void add_usage(const struct flo_wire_done *done, struct flo_buf *out)
{
    uint32_t cached = done->cached_tokens < done->tokens_in ? done->cached_tokens : done->tokens_in;

    flo_buf_printf(out,
                   "\"usage\":{\"input_tokens\":%u,\"output_tokens\":%u,"
                   "\"cache_creation_input_tokens\":0,"
                   "\"cache_read_input_tokens\":%u}",
                   done->tokens_in - cached, done->tokens_out, cached);
}

/* Writes the beginning of a block of type "tool_use", up to its input. */
static void add_use(const struct serve_tool_call *call, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":\"%s\","
                   "\"input\":",
                   call->id, call->name);
}

/* ---- streams ---- */

static void begin_event(const char *type, struct flo_buf *out)
{
    flo_buf_printf(out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static void end_event(struct flo_buf *out)
{
    flo_buf_text(out, "}\n\n");
}

static void begin_indexed(const char *type, uint32_t index, struct flo_buf *out)
{
    begin_event(type, out);
    flo_buf_printf(out, ",\"index\":%u", index);
}

/* Begins a stream.  Its number of input tokens is 0, because it is known only
 * at the end. */
static void begin(struct serve_request *request, struct flo_buf *out)
{
    static const struct flo_wire_done none;
    struct anthropic_state *state = request->state;

    state->is_open = false;
    state->n_blocks = 0;
    begin_event("message_start", out);
    flo_buf_text(out, ",\"message\":");
    add_head(request, out);
    flo_buf_text(out, "],\"stop_reason\":null,\"stop_sequence\":null,");
    add_usage(&none, out);
    flo_buf_text(out, "}");
    end_event(out);
}

static void add_delta(uint32_t index, const char *type, const char *member,
                      struct flo_wire_text text, struct flo_buf *out)
{
    begin_indexed("content_block_delta", index, out);
    flo_buf_printf(out, ",\"delta\":{\"type\":\"%s\",", type);
    flo_answer_add_member(out, member, text);
    flo_buf_text(out, "}");
    end_event(out);
}

static void end_block(struct anthropic_state *state, struct flo_buf *out)
{
    if (!state->is_open) {
        return;
    }
    if (state->kind == SERVE_PIECE_THOUGHT) {
        add_delta(state->n_blocks, "signature_delta", "signature", (struct flo_wire_text){0}, out);
    }
    begin_indexed("content_block_stop", state->n_blocks, out);
    end_event(out);
    state->is_open = false;
    state->n_blocks++;
}

static void begin_block(struct anthropic_state *state, const struct serve_piece *piece,
                        struct flo_buf *out)
{
    end_block(state, out);
    state->is_open = true;
    state->kind = piece->kind;
    begin_indexed("content_block_start", state->n_blocks, out);
    flo_buf_text(out, ",\"content_block\":");
    if (piece->kind == SERVE_PIECE_CALL) {
        state->call_block = state->n_blocks;
        add_use(piece->call, out);
        flo_buf_text(out, "{}}");
    } else {
        flo_buf_text(out, piece->kind == SERVE_PIECE_TEXT
                              ? "{\"type\":\"text\",\"text\":\"\"}"
                              : "{\"type\":\"thinking\",\"thinking\":\"\","
                                "\"signature\":\"\"}");
    }
    end_event(out);
}

static void piece(struct serve_request *request, const struct serve_piece *piece,
                  struct flo_buf *out)
{
    struct anthropic_state *state = request->state;
    bool is_text = piece->kind == SERVE_PIECE_TEXT;

    if (piece->kind == SERVE_PIECE_ARGUMENTS) {
        add_delta(state->call_block, "input_json_delta", "partial_json", piece->text, out);
        return;
    }
    if (piece->kind == SERVE_PIECE_CALL) {
        begin_block(state, piece, out);
        return;
    }
    if (!state->is_open || state->kind != piece->kind) {
        begin_block(state, piece, out);
    }
    add_delta(state->n_blocks, is_text ? "text_delta" : "thinking_delta",
              is_text ? "text" : "thinking", piece->text, out);
}

static void end(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out)
{
    end_block(request->state, out);
    begin_event("message_delta", out);
    flo_buf_text(out, ",\"delta\":{");
    add_stop(request, done, out);
    flo_buf_text(out, "},");
    add_usage(done, out);
    end_event(out);
    begin_event("message_stop", out);
    end_event(out);
}

/* ---- whole answers ---- */

/* Writes the input of a call.  If max_tokens cut off the arguments, they are no
 * JSON object, and the input is an empty one. */
static int add_input(struct serve_request *request, const struct serve_tool_call *call, bool is_cut,
                     struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;
    const struct flo_buf *arguments = &call->arguments;
    bool is_object =
        arguments->bytes > 0 &&
        flo_json_parse(arguments->data, arguments->bytes, arguments->bytes, &tree, NULL) == 0 &&
        json_is_object(tree);

    if (is_object) {
        flo_buf_add(out, arguments->data, arguments->bytes);
    } else if (arguments->bytes == 0 || is_cut) {
        flo_buf_text(out, "{}");
    } else {
        strcpy(request->params.param, "tools");
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "tools: the model called `%s` with an input that is no "
                        "JSON object of a depth of at most %d",
                        call->name, FLO_JSON_DEPTH_MAX);
    }
    return 0;
}

static int add_uses(struct serve_request *request, const struct flo_wire_done *done,
                    const char *comma, struct flo_buf *out, struct flo_err *err)
{
    const struct serve_kept *kept = &request->kept;
    bool is_cut = done->reason == FLO_WIRE_LENGTH;
    int rv = 0;

    for (uint32_t i = 0; rv == 0 && i < kept->n_calls; i++) {
        flo_buf_text(out, i == 0 ? comma : ",");
        add_use(&kept->calls[i], out);
        rv = add_input(request, &kept->calls[i], is_cut, out, err);
        flo_buf_text(out, "}");
    }
    return rv;
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    const struct serve_kept *kept = &request->kept;
    const char *comma = "";

    add_head(request, out);
    if (kept->thoughts.bytes > 0) {
        flo_buf_text(out, "{\"type\":\"thinking\",");
        flo_answer_add_member(out, "thinking", flo_answer_text_of(&kept->thoughts));
        flo_buf_text(out, ",\"signature\":\"\"}");
        comma = ",";
    }
    if (kept->text.bytes > 0) {
        flo_buf_printf(out, "%s{\"type\":\"text\",", comma);
        flo_answer_add_member(out, "text", flo_answer_text_of(&kept->text));
        flo_buf_text(out, "}");
        comma = ",";
    }
    int rv = add_uses(request, done, comma, out, err);
    flo_buf_text(out, "],");
    add_stop(request, done, out);
    flo_buf_text(out, ",");
    add_usage(done, out);
    flo_buf_text(out, "}\n");
    return rv;
}

const struct serve_front flo_anthropic_messages = {
    .kind = REQUEST_CHAT,
    .id_prefix = "msg_",
    .stream_type = "text/event-stream; charset=utf-8",
    .tells_parts = true,
    .read = read,
    .begin = begin,
    .piece = piece,
    .end = end,
    .whole = whole,
    .frame = NULL,
    .fail = flo_anthropic_fail,
    .drop = free,
};

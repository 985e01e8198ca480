/* Object: writes the object of a response, and its items. */
#include "agent/serve/responses/responses.h"

#include <string.h>

void flo_responses_add_id(const struct serve_request *request, const char *prefix, char mark,
                          size_t index, struct flo_buf *out)
{
    flo_buf_printf(out, "%s%s%c%zu", prefix, request->id + strlen(request->front->id_prefix), mark,
                   index);
}

/* ---- items ---- */

void flo_responses_add_item_id(const struct serve_request *request, uint32_t i, struct flo_buf *out)
{
    static const char *const prefixes[] = {
        [SERVE_PIECE_TEXT] = "msg_",
        [SERVE_PIECE_THOUGHT] = "rs_",
        [SERVE_PIECE_CALL] = "fc_",
    };
    const struct responses_state *state = request->state;

    flo_responses_add_id(request, prefixes[state->items[i].kind], 'o', i, out);
}

struct flo_wire_text flo_responses_text(const struct serve_request *request, uint32_t i)
{
    const struct responses_state *state = request->state;
    const struct responses_item *item = &state->items[i];
    const struct serve_kept *kept = &request->kept;
    const struct flo_buf *from = &kept->text;

    if (item->kind == SERVE_PIECE_CALL) {
        return flo_answer_text_of(&kept->calls[item->call].arguments);
    }
    if (item->kind == SERVE_PIECE_THOUGHT) {
        from = &kept->thoughts;
    }
    bool grows = state->is_open && i + 1 == state->n_items;
    size_t end = grows ? from->bytes : item->end;
    return end > item->begin ? (struct flo_wire_text){from->data + item->begin, end - item->begin}
                             : (struct flo_wire_text){0};
}

void flo_responses_add_part(enum serve_piece_kind kind, struct flo_wire_text text,
                            struct flo_buf *out)
{
    bool is_text = kind == SERVE_PIECE_TEXT;

    flo_buf_printf(out, "{\"type\":\"%s\",", is_text ? "output_text" : "reasoning_text");
    flo_answer_add_member(out, "text", text);
    flo_buf_text(out, is_text ? ",\"annotations\":[],\"logprobs\":[]}" : "}");
}

static void add_call(const struct serve_request *request, uint32_t i, const char *status,
                     struct flo_buf *out)
{
    const struct responses_state *state = request->state;
    const struct serve_tool_call *call = &request->kept.calls[state->items[i].call];

    flo_buf_printf(out,
                   "\"type\":\"function_call\",\"status\":\"%s\","
                   "\"call_id\":\"%s\",\"name\":\"%s\",",
                   status == NULL ? "in_progress" : status, call->id, call->name);
    flo_answer_add_member(out, "arguments",
                          status == NULL ? (struct flo_wire_text){0}
                                         : flo_responses_text(request, i));
    flo_buf_text(out, "}");
}

void flo_responses_add_item(const struct serve_request *request, uint32_t i, const char *status,
                            struct flo_buf *out)
{
    const struct responses_state *state = request->state;
    enum serve_piece_kind kind = state->items[i].kind;

    flo_buf_text(out, "{\"id\":\"");
    flo_responses_add_item_id(request, i, out);
    flo_buf_text(out, "\",");
    if (kind == SERVE_PIECE_CALL) {
        add_call(request, i, status, out);
        return;
    }
    if (kind == SERVE_PIECE_TEXT) {
        flo_buf_printf(out,
                       "\"type\":\"message\",\"status\":\"%s\","
                       "\"role\":\"assistant\",\"content\":[",
                       status == NULL ? "in_progress" : status);
    } else {
        flo_buf_text(out, "\"type\":\"reasoning\",\"summary\":[],\"content\":[");
    }
    if (status != NULL) {
        flo_responses_add_part(kind, flo_responses_text(request, i), out);
    }
    flo_buf_text(out, "]}");
}

/* ---- the object ---- */

static const char *status_of(const struct flo_wire_done *done)
{
    return done->reason == FLO_WIRE_STOP     ? "completed"
           : done->reason == FLO_WIRE_LENGTH ? "incomplete"
                                             : "cancelled";
}

/* A limit or a cancel cuts off the last item; all others are complete. */
const char *flo_responses_item_status(const struct serve_request *request, uint32_t i,
                                      const struct flo_wire_done *done)
{
    const struct responses_state *state = request->state;

    return i + 1 == state->n_items && (done == NULL || done->reason != FLO_WIRE_STOP) ? "incomplete"
                                                                                      : "completed";
}

/* Writes the numbers of tokens, which are known only for completed answers. */
static void add_usage(const struct serve_request *request, const struct flo_wire_done *done,
                      struct flo_buf *out)
{
    if (done == NULL || done->reason >= FLO_WIRE_CANCELLED) {
        flo_buf_text(out, "\"usage\":null,");
        return;
    }
    flo_buf_printf(out,
                   "\"usage\":{\"input_tokens\":%u,"
                   "\"input_tokens_details\":{\"cached_tokens\":%u},"
                   "\"output_tokens\":%u,"
                   "\"output_tokens_details\":{\"reasoning_tokens\":%u},"
                   "\"total_tokens\":%llu},",
                   done->tokens_in, done->cached_tokens, done->tokens_out,
                   request->kept.thought_tokens,
                   (unsigned long long)done->tokens_in + done->tokens_out);
}

static void add_error(const struct flo_err *err, struct flo_buf *out)
{
    if (err == NULL) {
        flo_buf_text(out, "\"error\":null,");
        return;
    }
    flo_buf_printf(out, "\"error\":{\"code\":\"%s\",", flo_error_id(err->code));
    flo_answer_add_member(out, "message", (struct flo_wire_text){err->what, strlen(err->what)});
    flo_buf_text(out, "},");
}

static void add_output(const struct serve_request *request, const struct flo_wire_done *done,
                       struct flo_buf *out)
{
    const struct responses_state *state = request->state;

    flo_buf_text(out, "\"output\":[");
    for (uint32_t i = 0; i < state->n_items; i++) {
        flo_buf_text(out, i == 0 ? "" : ",");
        flo_responses_add_item(request, i, flo_responses_item_status(request, i, done), out);
    }
    flo_buf_text(out, "],");
}

void flo_responses_add_object(const struct serve_request *request, const struct flo_wire_done *done,
                              const struct flo_err *err, struct flo_buf *out)
{
    const struct responses_state *state = request->state;
    uint32_t tokens_max = request->params.message.generate.max_tokens;
    bool is_over = done != NULL && done->reason == FLO_WIRE_STOP;

    flo_buf_printf(out,
                   "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%llu,"
                   "\"status\":\"%s\",",
                   request->id, (unsigned long long)request->created_s,
                   err != NULL    ? "failed"
                   : done == NULL ? "in_progress"
                                  : status_of(done));
    if (is_over) {
        flo_buf_printf(out, "\"completed_at\":%llu,", (unsigned long long)flo_wall_ms() / 1000);
    } else {
        flo_buf_text(out, "\"completed_at\":null,");
    }
    add_error(err, out);
    flo_buf_printf(out, "\"incomplete_details\":%s,\"model\":\"%s\",",
                   done != NULL && done->reason == FLO_WIRE_LENGTH
                       ? "{\"reason\":\"max_output_tokens\"}"
                       : "null",
                   request->model_name);
    add_output(request, done, out);
    add_usage(request, done, out);
    flo_buf_printf(out, "\"store\":%s,", state->is_stored ? "true" : "false");
    /* An app's limit is shown here if it is lower than the limit that the
     * client asked for. */
    flo_buf_printf(out,
                   tokens_max > 0 ? "\"max_output_tokens\":%u," : "\"max_output_tokens\":null,",
                   tokens_max);
    /* The members that repeat the request follow, without the opening bracket
     * of their object. */
    flo_buf_add(out, state->echo.data + 1, state->echo.bytes - 1);
}

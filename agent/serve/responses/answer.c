/* Answer: the front of /v1/responses.
 *
 * An answer is a list of items.  In a stream each item is added, grows and is
 * finished; it ends when the next piece is of another kind.  The events of one
 * item come one after the other, and the last event of a stream has the whole
 * object. */
#include <string.h>

#include "agent/serve/responses/responses.h"

#include <stdlib.h>

#include "agent/serve/responses/store.h"

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    return flo_responses_read(request, body, false, err);
}

/* ---- items ---- */

/* Appends an item to the answer.  Returns false when memory is lacking. */
static bool add_item(struct responses_state *state, const struct responses_item *item)
{
    struct responses_item *grown = realloc(state->items, (state->n_items + 1) * sizeof(*grown));

    if (grown == NULL) {
        return false;
    }
    state->items = grown;
    state->items[state->n_items++] = *item;
    return true;
}

/* Makes the items of a whole answer: thoughts, text, then each call. */
static bool list_items(struct serve_request *request)
{
    struct responses_state *state = request->state;
    const struct serve_kept *kept = &request->kept;
    struct responses_item item = {SERVE_PIECE_THOUGHT, 0, kept->thoughts.bytes, 0};
    bool is_listed = true;

    state->n_items = 0;
    state->is_open = false;
    if (kept->thoughts.bytes > 0) {
        is_listed = add_item(state, &item);
    }
    if (kept->text.bytes > 0 || (kept->thoughts.bytes == 0 && kept->n_calls == 0)) {
        item = (struct responses_item){SERVE_PIECE_TEXT, 0, kept->text.bytes, 0};
        is_listed = is_listed && add_item(state, &item);
    }
    item = (struct responses_item){.kind = SERVE_PIECE_CALL};
    for (; item.call < kept->n_calls; item.call++) {
        is_listed = is_listed && add_item(state, &item);
    }
    return is_listed;
}

/* ---- events ---- */

static void begin_event(struct responses_state *state, const char *type, struct flo_buf *out)
{
    flo_buf_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%llu,", type, type,
                   (unsigned long long)state->sequence++);
}

static void end_event(struct flo_buf *out)
{
    flo_buf_text(out, "}\n\n");
}

static void tell_object(const struct serve_request *request, const char *type,
                        const struct flo_wire_done *done, struct flo_buf *out)
{
    begin_event(request->state, type, out);
    flo_buf_text(out, "\"response\":");
    flo_responses_add_object(request, done, NULL, out);
    end_event(out);
}

/* Writes an event that contains the item that was added last. */
static void tell_item(const struct serve_request *request, const char *type, const char *status,
                      struct flo_buf *out)
{
    struct responses_state *state = request->state;

    begin_event(state, type, out);
    flo_buf_printf(out, "\"output_index\":%u,\"item\":", state->n_items - 1);
    flo_responses_add_item(request, state->n_items - 1, status, out);
    end_event(out);
}

/* Writes the beginning of an event about the item that was added last, up to
 * the event's own members. */
static void begin_inner(const struct serve_request *request, const char *type, struct flo_buf *out)
{
    struct responses_state *state = request->state;
    uint32_t i = state->n_items - 1;
    enum serve_piece_kind kind = state->items[i].kind;

    begin_event(state, type, out);
    flo_buf_text(out, "\"item_id\":\"");
    flo_responses_add_item_id(request, i, out);
    flo_buf_printf(out, "\",\"output_index\":%u,%s", i,
                   kind == SERVE_PIECE_CALL ? "" : "\"content_index\":0,");
}

static void tell_part(const struct serve_request *request, const char *type,
                      enum serve_piece_kind kind, struct flo_wire_text text, struct flo_buf *out)
{
    begin_inner(request, type, out);
    flo_buf_text(out, "\"part\":");
    flo_responses_add_part(kind, text, out);
    end_event(out);
}

/* Writes an event with a delta, or with the whole text, of the item that was
 * added last. */
static void tell_text(const struct serve_request *request, const char *type, const char *member,
                      struct flo_wire_text text, struct flo_buf *out)
{
    const struct responses_state *state = request->state;

    begin_inner(request, type, out);
    flo_answer_add_member(out, member, text);
    if (state->items[state->n_items - 1].kind == SERVE_PIECE_TEXT) {
        flo_buf_text(out, ",\"logprobs\":[]");
    }
    end_event(out);
}

/* ---- streams ---- */

static void begin(struct serve_request *request, struct flo_buf *out)
{
    struct responses_state *state = request->state;

    state->sequence = 0;
    state->n_items = 0;
    state->is_open = false;
    tell_object(request, "response.created", NULL, out);
    tell_object(request, "response.in_progress", NULL, out);
}

static size_t kept_bytes(const struct serve_request *request, enum serve_piece_kind kind)
{
    return kind == SERVE_PIECE_TEXT      ? request->kept.text.bytes
           : kind == SERVE_PIECE_THOUGHT ? request->kept.thoughts.bytes
                                         : 0;
}

/* Ends the item that was added last.  `done` NULL: another item follows. */
static void end_item(struct serve_request *request, const struct flo_wire_done *done,
                     struct flo_buf *out)
{
    static const struct flo_wire_done more = {.reason = FLO_WIRE_STOP};
    struct responses_state *state = request->state;
    uint32_t i = state->n_items - 1;

    if (!state->is_open) {
        return;
    }
    enum serve_piece_kind kind = state->items[i].kind;
    state->is_open = false;
    state->items[i].end = kept_bytes(request, kind);
    struct flo_wire_text text = flo_responses_text(request, i);
    if (kind == SERVE_PIECE_CALL) {
        tell_text(request, "response.function_call_arguments.done", "arguments", text, out);
    } else {
        tell_text(request,
                  kind == SERVE_PIECE_TEXT ? "response.output_text.done"
                                           : "response.reasoning_text.done",
                  "text", text, out);
        tell_part(request, "response.content_part.done", kind, text, out);
    }
    tell_item(request, "response.output_item.done",
              flo_responses_item_status(request, i, done == NULL ? &more : done), out);
}

static bool begin_item(struct serve_request *request, const struct serve_piece *piece,
                       struct flo_buf *out)
{
    struct responses_state *state = request->state;
    struct responses_item item = {
        .kind = piece->kind,
        .begin = piece->kind == SERVE_PIECE_CALL
                     ? 0
                     : kept_bytes(request, piece->kind) - piece->text.bytes,
        .call = piece->call_index,
    };

    end_item(request, NULL, out);
    if (!add_item(state, &item)) {
        return false;
    }
    state->is_open = true;
    tell_item(request, "response.output_item.added", NULL, out);
    if (piece->kind != SERVE_PIECE_CALL) {
        tell_part(request, "response.content_part.added", piece->kind, (struct flo_wire_text){0},
                  out);
    }
    return true;
}

static void piece(struct serve_request *request, const struct serve_piece *piece,
                  struct flo_buf *out)
{
    struct responses_state *state = request->state;
    bool is_call = piece->kind == SERVE_PIECE_CALL;
    enum serve_piece_kind kind =
        piece->kind == SERVE_PIECE_ARGUMENTS ? SERVE_PIECE_CALL : piece->kind;
    bool goes_on = state->is_open && !is_call && state->items[state->n_items - 1].kind == kind;

    if (piece->kind == SERVE_PIECE_TEXT && piece->text.bytes == 0) {
        return;
    }
    if (!goes_on && !begin_item(request, piece, out)) {
        out->failed = true;
        return;
    }
    if (!is_call) {
        tell_text(request,
                  piece->kind == SERVE_PIECE_TEXT      ? "response.output_text.delta"
                  : piece->kind == SERVE_PIECE_THOUGHT ? "response.reasoning_text.delta"
                                                       : "response.function_call_arguments.delta",
                  "delta", piece->text, out);
    }
}

/* ---- ends ---- */

/* Stores the response.  If it is too long, it is not stored, and the object
 * says so. */
static void keep(struct serve_request *request, const struct flo_wire_done *done)
{
    struct responses_state *state = request->state;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf items = state->context;
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf object = {.bytes_max = RESPONSES_STORED_ONE_BYTES_MAX};

    state->context = (struct flo_buf){0};
    items.bytes_max = RESPONSES_STORED_ONE_BYTES_MAX;
    items.bytes--; /* removes the closing bracket, so that items can be appended */
    for (uint32_t i = 0; i < state->n_items; i++) {
        const char *status = flo_responses_item_status(request, i, done);
        /* An incomplete call is not stored, because a model cannot get it in a
         * later conversation. */
        if (state->items[i].kind == SERVE_PIECE_CALL && strcmp(status, "completed") != 0) {
            continue;
        }
        flo_buf_text(&items, items.bytes == 1 ? "" : ",");
        flo_responses_add_item(request, i, status, &items);
    }
    flo_buf_text(&items, "]");
    flo_responses_add_object(request, done, NULL, &object);
    if (items.failed || object.failed || !flo_responses_fits(items.bytes + object.bytes)) {
        state->is_stored = false;
    } else {
        flo_responses_keep(request->serve, request->party.number, request->id, &object, &items,
                           state->n_context);
    }
}

static void end(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out)
{
    struct responses_state *state = request->state;
    const struct serve_piece empty = {.kind = SERVE_PIECE_TEXT};

    if (state->n_items == 0 && !begin_item(request, &empty, out)) {
        out->failed = true;
        return;
    }
    end_item(request, done, out);
    if (state->is_stored) {
        keep(request, done);
    }
    tell_object(request,
                done->reason == FLO_WIRE_STOP ? "response.completed" : "response.incomplete", done,
                out);
    flo_buf_text(out, "data: [DONE]\n\n");
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    const struct responses_state *state = request->state;

    if (!list_items(request)) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the answer");
    }
    if (state->is_stored) {
        keep(request, done);
    }
    flo_responses_add_object(request, done, NULL, out);
    flo_buf_text(out, "\n");
    return 0;
}

const struct serve_front flo_responses = {
    .kind = REQUEST_CHAT,
    .id_prefix = "resp_",
    .stream_type = "text/event-stream; charset=utf-8",
    .tells_parts = true,
    .keeps = true,
    .read = read,
    .begin = begin,
    .piece = piece,
    .end = end,
    .whole = whole,
    .fail = flo_responses_fail,
    .drop = flo_responses_drop,
};

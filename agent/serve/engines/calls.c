/* Calls: keeps an engine's calls in order, and sends their frames.
 *
 * A frame waits here until the engine has room for another one of its kind. */
#include "agent/serve/engines/engines.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>

#define OUTPUT_BYTES_MAX (64u << 20)

struct serve_call **flo_serve_call_place(struct serve_engine *engine, uint32_t id)
{
    struct serve_call **place = &engine->calls;
    while (*place != NULL && (*place)->id != id) {
        place = &(*place)->next;
    }
    return place;
}

bool flo_serve_call_waits(const struct serve_call *call)
{
    return call->frame.bytes > 0;
}

static void count_waiting(struct serve_call *call, size_t bytes)
{
    call->engine->bytes_waiting[call->kind] += bytes - call->bytes_waiting;
    call->bytes_waiting = bytes;
}

/* Sends the frames for which the engine has room: those of a kind in the order
 * in which they came. */
static void send_waiting(struct serve_engine *engine)
{
    struct evbuffer *output = bufferevent_get_output(engine->bev);
    bool is_full[CALL_KINDS] = {false};
    for (struct serve_call *call = engine->calls; call != NULL; call = call->next) {
        size_t bytes = call->frame.bytes;
        if (!flo_serve_call_waits(call) || is_full[call->kind]) {
            continue;
        }
        if (engine->bytes_waiting[call->kind] + bytes > FLO_WIRE_FRAME_BYTES_MAX) {
            is_full[call->kind] = true;
            continue;
        }
        evbuffer_add(output, call->frame.data, bytes);
        count_waiting(call, bytes);
        flo_buf_deinit(&call->frame);
    }
}

void flo_serve_call_begun(struct serve_engine *engine, struct serve_call *call)
{
    if (call->bytes_waiting > 0) {
        count_waiting(call, 0);
        send_waiting(engine);
    }
}

void flo_serve_call_unlist(struct serve_engine *engine, struct serve_call *call)
{
    struct serve_call **place = flo_serve_call_place(engine, call->id);
    *place = call->next;
    engine->n_calls--;
    flo_buf_deinit(&call->frame);
    if (engine->bev != NULL) {
        flo_serve_call_begun(engine, call);
    }
    call->next = NULL;
    call->engine = NULL;
}

int flo_serve_engine_say(struct serve_engine *engine, const struct flo_wire_message *message,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = 2 * FLO_WIRE_PAYLOAD_BYTES_MAX};
    struct evbuffer *output = bufferevent_get_output(engine->bev);
    FLO_TRY(flo_wire_write(&out, message, err));
    if (evbuffer_get_length(output) + out.bytes > OUTPUT_BYTES_MAX) {
        return flo_fail(err, FLO_E_INFER_BUSY, "the engine reads too slowly");
    }
    evbuffer_add(output, out.data, out.bytes);
    return 0;
}

void flo_serve_engine_ask_stats(struct serve_engine *engine)
{
    const struct flo_wire_message ask = {.type = FLO_WIRE_STATS};
    struct flo_err err = {0};
    engine->has_stats = false;
    if (engine->state == ENGINE_READY && flo_serve_engine_say(engine, &ask, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    }
}

/* Returns the largest number of TOKEN or EMBEDDING frames that may answer the
 * message. */
static uint32_t parts_max(const struct serve_engine *engine, const struct flo_wire_message *message)
{
    const struct flo_wire_generate *in = &message->generate;
    uint32_t max = engine->context + 1;
    if (message->type == FLO_WIRE_EMBED) {
        return FLO_WIRE_INPUTS_MAX;
    }
    if (message->type == FLO_WIRE_GENERATE && in->shifts && in->max_tokens > max) {
        /* a context shift drops the oldest tokens, so with shifts an answer may
         * be longer than the context */
        return in->max_tokens;
    }
    return max;
}

void flo_serve_call_list(struct serve_engine *engine, struct serve_call *call, uint32_t id)
{
    call->id = id;
    call->engine = engine;
    call->tokens = 0;
    call->bytes_waiting = 0;
    call->next = NULL;
    /* the id is new, so the call is added at the end of the list */
    *flo_serve_call_place(engine, id) = call;
    engine->n_calls++;
}

enum call_kind flo_serve_call_kind(const struct flo_wire_message *message)
{
    if (message->type == FLO_WIRE_EMBED) {
        return CALL_VECTORS;
    }
    return message->type == FLO_WIRE_GENERATE && message->generate.priority == FLO_WIRE_BATCH
               ? CALL_BATCH
               : CALL_USER;
}

int flo_serve_engine_call(struct serve_engine *engine, struct serve_call *call,
                          struct flo_wire_message *message, struct flo_err *err)
{
    if (engine->state != ENGINE_READY) {
        return flo_fail(err, FLO_E_INFER_BUSY, "the engine is not ready");
    }
    bool is_embed = message->type == FLO_WIRE_EMBED;
    bool is_answer = message->type == FLO_WIRE_GENERATE;
    message->request = ++engine->next_id;
    /* the buffer needs no limit, because flo_wire_write() checks the size of
     * the frame */
    call->frame = (struct flo_buf){0};
    int rv = is_embed || is_answer ? flo_wire_write(&call->frame, message, err)
                                   : flo_serve_engine_say(engine, message, err);
    if (rv < 0) {
        flo_buf_deinit(&call->frame);
        return rv;
    }
    call->kind = flo_serve_call_kind(message);
    call->may_guess =
        is_answer && !message->generate.no_drafts && message->generate.priority != FLO_WIRE_PROBE;
    call->tokens_max = parts_max(engine, message);
    struct flo_wire_text adapter = flo_wire_adapter_of(message);
    strcpy(call->adapter, adapter.bytes > 0 ? adapter.data : "");
    flo_serve_call_list(engine, call, message->request);
    send_waiting(engine);
    return 0;
}

static bool is_list(struct flo_wire_text logprobs)
{
    struct flo_wire_logprob one;
    while (flo_wire_logprob_next(&logprobs, &one)) {
    }
    return logprobs.bytes == 0;
}

bool flo_serve_call_part_fits(struct serve_call *call, const struct flo_wire_message *message,
                              uint32_t *index)
{
    const struct flo_wire_token *token = &message->token;
    const struct flo_wire_embedding *embedding = &message->embedding;
    bool fits = true;
    if (message->type == FLO_WIRE_TOKEN) {
        *index = token->index;
        fits = is_list(token->logprobs);
    } else {
        *index = embedding->index;
        fits = embedding->vector.bytes > 0 && embedding->vector.bytes % 4 == 0;
    }
    return fits && *index == call->tokens && call->tokens++ < call->tokens_max;
}

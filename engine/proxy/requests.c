/* Requests: translates GENERATE and EMBED from frames to HTTP and back.
 *
 * Users' requests go first, then probes, then batch requests, each kind in
 * order of arrival.  At most the runtime's `sessions` run at once.  A runtime
 * may send any number of pieces; the agent gets at most one piece more than the
 * context has tokens.  The text of an answer with a form is held until the
 * whole answer has been checked. */
#include "engine/proxy/proxy.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/runtime.h>
#include <flotilla/errors/worker.h>

#define PIECES_PER_TOKEN 64 /* most pieces of a token, as a server may send each byte alone */
#define PIECES_SPARE 1024
#define ANSWER_BYTES_MAX (4u << 20)
#define ERROR_BYTES_MAX 4096

/* Returns the bytes of a request that waits. */
static size_t bytes_of(const struct flo_proxy_request *request)
{
    return request->exchange.out.bytes + request->form.schema.bytes;
}

static void request_free(struct flo_proxy *proxy, struct flo_proxy_request *request)
{
    struct flo_proxy_request **place = &proxy->requests;

    while (*place != request) {
        place = &(*place)->next;
    }
    *place = request->next;
    if (request->began_us > 0) {
        proxy->n_running--;
    } else {
        proxy->waiting_bytes -= bytes_of(request);
    }
    flo_exchange_end(&request->exchange);
    flo_events_deinit(&request->events);
    flo_buf_deinit(&request->body);
    flo_buf_deinit(&request->held);
    flo_tree_deinit(&request->tree);
    flo_calls_deinit(&request->calls);
    flo_proxy_form_deinit(&request->form);
    free(request);
}

void flo_proxy_forget_all(struct flo_proxy *proxy)
{
    while (proxy->requests != NULL) {
        request_free(proxy, proxy->requests);
    }
}

/* ---- the end ---- */

static void send_done(struct flo_proxy *proxy, struct flo_proxy_request *request, uint32_t reason)
{
    struct flo_wire_message message = {
        .type = FLO_WIRE_DONE, .request = request->id, .done = request->done};
    struct flo_wire_done *done = &message.done;
    uint64_t now_us = flo_now_us();
    uint64_t first_us = request->first_us > 0 ? request->first_us : now_us;
    uint64_t began_us = request->began_us > 0 ? request->began_us : now_us;

    done->reason = reason;
    done->tokens_out = request->has_usage ? done->tokens_out : request->pieces;
    done->queue_us = began_us - request->came_us;
    done->first_us = first_us - request->came_us;
    done->prompt_wall_us = first_us - began_us;
    done->answer_us = now_us - first_us;
    proxy->tokens_in += done->tokens_in;
    proxy->tokens_out += done->tokens_out;
    flo_proxy_put(proxy, &message);
    request_free(proxy, request);
}

static void fail(struct flo_proxy *proxy, struct flo_proxy_request *request,
                 const struct flo_err *err)
{
    flo_proxy_fail(proxy, request->id, err);
    request_free(proxy, request);
}

static struct flo_proxy_request *find(const struct flo_proxy *proxy, uint32_t id)
{
    struct flo_proxy_request *request = proxy->requests;

    while (request != NULL && request->id != id) {
        request = request->next;
    }
    return request;
}

/* Cancels a request by closing its connection.  A server can notice that and
 * stop. */
void flo_proxy_cancel(struct flo_proxy *proxy, uint32_t id)
{
    struct flo_proxy_request *request = find(proxy, id);

    if (request != NULL) {
        send_done(proxy, request, FLO_WIRE_CANCELLED);
        flo_proxy_begin(proxy);
    }
}

/* ---- pieces ---- */

static void send_piece(struct flo_proxy_request *request, struct flo_wire_text text,
                       const struct flo_buf *parts)
{
    struct flo_wire_message message = {.type = FLO_WIRE_TOKEN, .request = request->id};
    uint64_t now_us = flo_now_us();

    message.token.index = request->frames++;
    message.token.text = text;
    message.token.parts = (struct flo_wire_text){parts->data, parts->bytes};
    message.token.begin = (uint32_t)request->answer_bytes;
    message.token.is_finite = true;
    message.token.wall_us = now_us - (request->last_us > 0 ? request->last_us : request->began_us);
    request->answer_bytes += text.bytes;
    request->last_us = now_us;
    request->first_us = request->first_us > 0 ? request->first_us : now_us;
    flo_proxy_put(request->proxy, &message);
}

/* Keeps text for the end of the answer. */
static void hold(struct flo_proxy_request *request, struct flo_wire_text text)
{
    request->first_us = request->first_us > 0 ? request->first_us : flo_now_us();
    request->held.bytes_max = ANSWER_BYTES_MAX;
    flo_buf_add(&request->held, text.data, text.bytes);
}

/* Sends a piece of the answer, or holds its text: of an answer with a form, and
 * after the most pieces were sent. */
static int take_piece(struct flo_proxy_request *request, struct flo_wire_text text,
                      const struct flo_buf *parts, struct flo_err *err)
{
    bool has_room = request->frames + 1 < request->frames_max;
    struct flo_wire_text now =
        has_room && !request->form.is_asked ? text : (struct flo_wire_text){NULL, 0};

    if (parts->failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for parts");
    }
    if (text.bytes == 0 && parts->bytes == 0) {
        return 0;
    }
    request->parts_bytes += parts->bytes;
    if (++request->pieces > request->pieces_max ||
        request->answer_bytes + request->parts_bytes + request->held.bytes + text.bytes >
            ANSWER_BYTES_MAX) {
        return flo_fail(err, FLO_E_RUNTIME_ANSWER,
                        "the runtime sent more than %u pieces or %u bytes", request->pieces_max,
                        ANSWER_BYTES_MAX);
    }
    if (parts->bytes > 0 && !has_room) {
        return flo_fail(err, FLO_E_RUNTIME_ANSWER,
                        "the runtime sent calls or thoughts in more than %u "
                        "pieces",
                        request->frames_max);
    }
    if (now.bytes + parts->bytes > 0) {
        send_piece(request, now, parts);
    }
    if (now.bytes < text.bytes) {
        hold(request, text);
    }
    return 0;
}

static void add_part(struct flo_buf *out, uint32_t kind, struct flo_wire_text text)
{
    if (text.bytes > 0) {
        flo_wire_part_add(out, &(struct flo_wire_part){kind, text});
    }
}

static const char *name_of(const struct flo_proxy_request *request)
{
    return request->proxy->runtime.name;
}

static int take_parts(struct flo_proxy_request *request, const struct flo_answer_part *part,
                      struct flo_buf *out, struct flo_err *err)
{
    const struct flo_tree_node *entry = part->calls;

    if (!request->tells_parts) {
        return 0;
    }
    add_part(out, FLO_WIRE_PART_THOUGHT, part->thought);
    while (entry != NULL) {
        struct flo_answer_call call;
        FLO_TRY(flo_answer_call(&entry, &call, err));
        FLO_TRY(flo_calls_take(&request->calls, name_of(request), &call, out, err));
    }
    return part->has_finish && part->reason == FLO_WIRE_STOP
               ? flo_calls_end(&request->calls, name_of(request), out, err)
               : 0;
}

/* Checks the text of an answer whose form was asked for.  An answer that the
 * token limit has cut off, or that consists of calls, is not checked. */
static int check_form(const struct flo_proxy_request *request, struct flo_err *err)
{
    if (request->done.reason != FLO_WIRE_STOP || request->calls.count > 0) {
        return 0;
    }
    return flo_proxy_form_check(&request->form, name_of(request),
                                (struct flo_wire_text){request->held.data, request->held.bytes},
                                err);
}

/* Sends the text that was held back, in pieces that fit a frame. */
static int send_held(struct flo_proxy_request *request, struct flo_err *err)
{
    const size_t most = FLO_WIRE_PAYLOAD_BYTES_MAX / 2;
    const char *at = request->held.data;
    size_t left = request->held.bytes, n;

    for (; left > 0; at += n, left -= n) {
        n = left <= most ? left : flo_utf8_valid(at, most);
        if (request->frames == request->frames_max) {
            return flo_fail(err, FLO_E_RUNTIME_ANSWER, "the runtime sent more than %u pieces",
                            request->frames_max);
        }
        send_piece(request, (struct flo_wire_text){at, n}, &(struct flo_buf){0});
    }
    return 0;
}

static int take_event(void *context, char *data, size_t bytes, struct flo_err *err)
{
    struct flo_proxy_request *request = context;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf parts = {0};
    struct flo_answer_part part;

    FLO_TRY(flo_answer_read(data, bytes, &request->tree, &part, err));
    FLO_TRY(take_parts(request, &part, &parts, err));
    if (part.has_finish) {
        request->done.reason = part.reason;
    }
    if (part.has_usage) {
        request->has_usage = true;
        request->done.tokens_in = part.tokens_in;
        request->done.tokens_out = part.tokens_out;
    }
    return take_piece(request, part.text, &parts, err);
}

static int take_body(void *context, const char *data, size_t bytes, struct flo_err *err)
{
    struct flo_proxy_request *request = context;
    const struct flo_reply_reader *reader = &request->exchange.reader;
    bool is_good = reader->status == 200;

    if (is_good && reader->is_stream && !request->is_embed) {
        return flo_events_read(&request->events, data, bytes, take_event, request, err);
    }
    request->body.bytes_max = request->is_embed ? FLO_ANSWER_BYTES_MAX : FLO_EVENT_BYTES_MAX;
    if (!is_good && request->body.bytes + bytes > ERROR_BYTES_MAX) {
        return 0; /* the first bytes of an error's body are enough */
    }
    flo_buf_add(&request->body, data, bytes);
    return request->body.failed
               ? flo_fail(err, FLO_E_RUNTIME_ANSWER,
                          "the runtime's answer is longer than %zu bytes", request->body.bytes_max)
               : 0;
}

/* ---- whole answers ---- */

static void send_vector(void *context, uint32_t index, const float *vector, uint32_t length)
{
    struct flo_proxy_request *request = context;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf bytes = {0};
    struct flo_wire_message message = {.type = FLO_WIRE_EMBEDDING, .request = request->id};

    for (uint32_t i = 0; i < length; i++) {
        uint8_t number[4];
        uint32_t bits;
        memcpy(&bits, &vector[i], sizeof(bits));
        flo_put_u32(number, bits);
        flo_buf_add(&bytes, number, sizeof(number));
    }
    message.embedding.index = index;
    message.embedding.vector = (struct flo_wire_text){bytes.data, bytes.bytes};
    flo_proxy_put(request->proxy, &message);
}

/* Returns the error that an HTTP status means.  A status such as 400 blames the
 * request, 401 and 403 the key, 429 and 503 mean that the runtime is busy. */
static int fail_status(const struct flo_proxy_request *request, struct flo_err *err)
{
    int status = request->exchange.reader.status;
    char text[200];
    bool is_requests = status == 400 || status == 413 || status == 415 || status == 422;
    int code = is_requests                      ? FLO_E_INFER_PARAM
               : status == 401 || status == 403 ? FLO_E_RUNTIME_REFUSED
               : status == 429 || status == 503 ? FLO_E_INFER_BUSY
                                                : FLO_E_RUNTIME_ANSWER;

    flo_text_clean(request->body.data != NULL ? request->body.data : "", request->body.bytes, text,
                   sizeof(text));
    return flo_fail(err, code, "the runtime answered %d: %s", status, text);
}

/* Handles the body of an answer that did not arrive as a stream. */
static int take_whole(struct flo_proxy_request *request, struct flo_err *err)
{
    struct flo_buf *body = &request->body;
    enum flo_runtime_api api = request->proxy->runtime.api;

    flo_buf_text(body, "");
    if (request->is_embed) {
        return flo_answer_vectors(body->data, body->bytes, request->n_inputs, send_vector, request,
                                  &request->done.tokens_in, err);
    }
    if (api == FLO_RUNTIME_OPENAI) {
        return take_event(request, body->data, body->bytes, err);
    }
    if (flo_utf8_valid(body->data, body->bytes) != body->bytes ||
        memchr(body->data, '\0', body->bytes) != NULL) {
        return flo_fail(err, FLO_E_RUNTIME_ANSWER, "the runtime's answer is no text in UTF-8");
    }
    return take_piece(request, (struct flo_wire_text){body->data, body->bytes},
                      &(struct flo_buf){0}, err);
}

/* Ends the call that began last, as a stream may end without a reason. */
static int end_calls(struct flo_proxy_request *request, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf parts = {0};

    if (request->done.reason != FLO_WIRE_STOP) {
        return 0; /* the answer was cut off, perhaps in its last call */
    }
    FLO_TRY(flo_calls_end(&request->calls, name_of(request), &parts, err));
    return take_piece(request, (struct flo_wire_text){NULL, 0}, &parts, err);
}

static int take_end(struct flo_proxy_request *request, struct flo_err *err)
{
    const struct flo_reply_reader *reader = &request->exchange.reader;

    if (reader->status != 200) {
        return fail_status(request, err);
    }
    if (reader->is_stream && !request->is_embed) {
        if (!request->events.is_done && request->pieces == 0 && !request->has_usage) {
            return flo_fail(err, FLO_E_RUNTIME_ANSWER,
                            "the runtime's stream ended without an answer");
        }
        return end_calls(request, err);
    }
    return take_whole(request, err);
}

/* Ends an answer: its text is checked where a form was asked for, and what was
 * held of it is sent. */
static int end_answer(struct flo_proxy_request *request, struct flo_err *err)
{
    FLO_TRY(take_end(request, err));
    FLO_TRY(check_form(request, err));
    return send_held(request, err);
}

void flo_proxy_go_on(struct flo_proxy *proxy, struct flo_proxy_request *request)
{
    struct flo_err err = {0};
    int rv = flo_exchange_go_on(&request->exchange, take_body, request, &err);
    bool is_done = rv == 1 || (rv == 0 && request->events.is_done);

    if (is_done) {
        rv = end_answer(request, &err);
    }
    if (rv < 0) {
        fail(proxy, request, &err);
    } else if (is_done) {
        send_done(proxy, request, request->done.reason);
    }
}

/* ---- the beginning ---- */

static struct flo_proxy_request *next(const struct flo_proxy *proxy)
{
    struct flo_proxy_request *best = NULL;

    for (struct flo_proxy_request *r = proxy->requests; r != NULL; r = r->next) {
        if (r->began_us == 0 && (best == NULL || r->priority < best->priority)) {
            best = r;
        }
    }
    return best;
}

void flo_proxy_begin(struct flo_proxy *proxy)
{
    struct flo_proxy_request *request;
    struct flo_err err = {0};

    while (proxy->n_running < proxy->runtime.sessions && (request = next(proxy)) != NULL) {
        proxy->waiting_bytes -= bytes_of(request);
        request->began_us = flo_now_us();
        proxy->n_running++;
        if (flo_guard_connect(proxy, &request->exchange, &err) < 0) {
            fail(proxy, request, &err);
        }
    }
}

/* Sets the most frames and pieces that the answer may have. */
static void bound(struct flo_proxy_request *request, uint32_t context, uint32_t max_tokens)
{
    uint64_t most = max_tokens > 0 && max_tokens < context ? max_tokens : context;

    request->frames_max = context + 1;
    most = most * PIECES_PER_TOKEN + PIECES_SPARE;
    request->pieces_max = most > UINT32_MAX ? UINT32_MAX : (uint32_t)most;
}

static int check(const struct flo_proxy *proxy, const struct flo_wire_message *message,
                 struct flo_err *err)
{
    const char *param = "";
    const char *lack = flo_wire_lacks(message, proxy->runtime.abilities, &param);

    if (lack != NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT, "`%s`: the runtime %s does not have this: %s", param,
                        proxy->runtime.name, lack);
    }
    if (find(proxy, message->request) != NULL) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "request %u is under way", message->request);
    }
    return 0;
}

/* Keeps what the answer is checked against. */
static int expect(struct flo_proxy_request *request, const struct flo_wire_generate *in,
                  struct flo_err *err)
{
    FLO_TRY(flo_calls_expect(&request->calls, in, err));
    return flo_proxy_form_expect(&request->form, in, err);
}

void flo_proxy_take(struct flo_proxy *proxy, const struct flo_wire_message *message)
{
    struct flo_proxy_request *request = calloc(1, sizeof(*request));
    struct flo_proxy_request **place = &proxy->requests;
    struct flo_err err = {0};
    int rv =
        request == NULL ? flo_fail(&err, FLO_E_MEMORY, "a request") : check(proxy, message, &err);

    if (rv == 0 && message->type == FLO_WIRE_GENERATE) {
        rv = expect(request, &message->generate, &err);
    }
    if (rv == 0) {
        flo_exchange_init(&request->exchange, &flo_proxy_peer);
        flo_body_write(&proxy->runtime, message, &request->exchange.out);
        if (request->exchange.out.failed ||
            proxy->waiting_bytes + bytes_of(request) > 2 * FLO_WIRE_WAITING_BYTES_MAX) {
            flo_buf_deinit(&request->exchange.out);
            rv = flo_fail(&err, FLO_E_INFER_BUSY, "the requests that wait are too large");
        }
    }
    if (rv < 0) {
        if (request != NULL) {
            flo_calls_deinit(&request->calls);
            flo_proxy_form_deinit(&request->form);
        }
        free(request);
        flo_proxy_fail(proxy, message->request, &err);
        return;
    }
    request->events.peer = &flo_proxy_peer;
    request->proxy = proxy;
    request->id = message->request;
    request->is_embed = message->type == FLO_WIRE_EMBED;
    request->n_inputs = request->is_embed ? message->embed.n_inputs : 0;
    request->tells_parts = !request->is_embed && message->generate.tells_parts;
    request->priority = request->is_embed ? FLO_WIRE_BATCH : message->generate.priority;
    request->came_us = flo_now_us();
    bound(request, proxy->runtime.context, request->is_embed ? 0 : message->generate.max_tokens);
    proxy->waiting_bytes += bytes_of(request);
    proxy->n_requests++;
    while (*place != NULL) {
        place = &(*place)->next;
    }
    *place = request;
    flo_proxy_begin(proxy);
}

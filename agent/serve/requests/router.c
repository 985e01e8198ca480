/* Router: chooses the engine for each request, and handles the loss of an
 * engine.
 *
 * New requests go to the model's live engine, or are held while none is live.
 * A request that has sent nothing to its client survives one crash of its
 * engine.  So no crash and no change of the live engine loses a request. */
#include "agent/serve/requests/requests.h"

#include "agent/serve/fallback/fallback.h"
#include "agent/serve/guard/guard.h"
#include "agent/serve/requests/apps.h"
#include "agent/serve/requests/choices.h"
#include "agent/serve/requests/demand.h"
#include "agent/serve/requests/ends.h"
#include "agent/serve/requests/judged.h"
#include "agent/serve/requests/lists.h"
#include "agent/serve/requests/match.h"
#include "agent/serve/requests/names.h"
#include "agent/serve/requests/pipeline.h"
#include "agent/serve/requests/split.h"
#include "agent/serve/requests/turns.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/errors/probe.h>
#include <flotilla/errors/worker.h>
#include <flotilla/plural.h>

static void request_dispatch(struct serve_request *request);
static void send_answer(struct serve_request *request, const struct flo_wire_done *done);

void flo_router_next_turn(struct flo_serve *serve)
{
    if (!serve->is_closing) {
        event_active(serve->turn, 0, 0);
    }
}

/* ---- the end of a request ---- */

/* Ends a request.  It leaves its lists first, because callbacks may unload its
 * engine. */
static void request_end(struct serve_request *request, uint32_t tokens_in, int error)
{
    flo_router_next_turn(request->serve);
    flo_guard_cancel(request);
    flo_fallback_cancel(request);
    flo_lists_leave(request);
    flo_serve_engine_cancel(&request->call);
    request->place->used_ms = flo_now_ms();
    flo_event_drop(&request->hold);
    flo_event_drop(&request->detour.patience);
    flo_ends_tell(request, tokens_in, error);
    flo_fallback_end(request, tokens_in, error);
    flo_request_free(request);
}

static void request_fail(struct serve_request *request, const struct flo_err *err)
{
    struct flo_err told = *err;

    flo_pipeline_blame(request, &told);
    flo_answer_fail(request, &told);
    request_end(request, request->tokens_in, told.code);
}

void flo_router_abandon(struct serve_request *request)
{
    request->sink = (struct serve_sink){0};
    if (request->choices != NULL) {
        request->choices->is_over = true; /* the loop ends and frees the choices later */
        flo_router_next_turn(request->serve);
        return;
    }
    request_end(request, 0, FLO_E_INFER_CANCELLED);
}

/* ---- frames ---- */

static void first_token(struct serve_request *request, const struct serve_engine *engine)
{
    struct serve_place *place = request->place;
    request->first_us = flo_now_us();
    if (!place->awaits_first_answer || engine != flo_serve_engine_live(place)) {
        return;
    }
    place->awaits_first_answer = false;
    flo_news_first_answer(request->serve->news, place->model, &request->release,
                          flo_now_ms() - place->flip_ms);
}

static void on_token(struct serve_request *request, const struct flo_wire_token *token)
{
    uint64_t before_us = request->last_us;
    if (request->first_us == 0) {
        first_token(request, request->call.engine);
    }
    request->last_us = flo_now_us();
    if (before_us > 0 && !flo_ends_is_batch(request)) {
        uint64_t took_us = request->last_us - before_us;
        flo_timing_add(&request->serve->counters.token, took_us);
        flo_timing_add(&request->place->numbers.token, took_us);
    }
    request->tokens_out++;
    struct flo_err err = {0};
    int rv = flo_answer_token(request, token, &err);
    if (rv == FLO_E_INFER_CANCELLED) {
        flo_request_log(request, FLO_LOG_INFO, "serve", &err);
        request_end(request, 0, rv);
    } else if (rv < 0) {
        request_fail(request, &err);
    }
}

/* Counts the answer of a pipeline's stage for its model, and asks the next
 * model. */
static void go_on(struct serve_request *request, const struct flo_wire_done *done, int error)
{
    struct flo_err err = {0};

    struct flo_buf *text = &request->kept.text;

    flo_buf_add(text, done->text.data, done->text.bytes);
    flo_ends_tell(request, done->tokens_in, error);
    request->tokens_in = 0;
    flo_router_next_turn(request->serve);
    if (text->failed) {
        flo_fail(&err, FLO_E_MEMORY, "no memory for an answer");
    }
    if (err.code != 0 || flo_pipeline_next(request, &err) < 0) {
        request_fail(request, &err);
        return;
    }
    flo_app_bind(request);
    request->looked_at = NULL;
    flo_lists_leave(request);
    flo_lists_run(request);
    request_dispatch(request);
}

static void on_done(struct serve_request *request, struct flo_wire_done *done)
{
    struct flo_err err = {0};
    done->cached_tokens *= flo_party_is_told(request->party.number);
    if (done->reason >= FLO_WIRE_CANCELLED) {
        flo_fail(&err, FLO_E_INFER_CANCELLED, "the engine gave up");
        request_fail(request, &err);
        return;
    }
    request->tokens_in = done->tokens_in;
    request->detour.tokens_out = done->tokens_out;
    request->guessed = done->guessed;
    request->guessed_right = done->guessed_right;
    request->queue_us += done->queue_us;
    request->prompt_us = done->prompt_wall_us;
    request->answer_us = done->answer_us;
    if (done->nonfinite > 0) {
        flo_fail(&err, FLO_E_PROBE_NONFINITE, "%u of %u tokens came from NaN or infinity",
                 done->nonfinite, request->tokens_out);
        flo_request_log(request, FLO_LOG_WARN, "serve", &err);
    }
    if (request->is_guarded) {
        flo_guard_answer(request, done);
    } else {
        send_answer(request, done);
    }
}

static void send_answer(struct serve_request *request, const struct flo_wire_done *done)
{
    int error = done->nonfinite > 0 ? FLO_E_PROBE_NONFINITE : 0;
    if (flo_pipeline_goes_on(request)) {
        go_on(request, done, error);
        return;
    }
    struct flo_err err = {0};
    if (flo_answer_done(request, done, &err) < 0) {
        request_fail(request, &err);
        return;
    }
    if (error == 0 && !flo_guard_asks(request)) {
        flo_judged_note(request);
    }
    request_end(request, done->tokens_in, error);
}

static void begin_again(struct serve_request *request)
{
    request->tokens_in = request->tokens_out = request->guessed = request->guessed_right = 0;
    request->first_us = 0;
    request->last_us = 0;
    flo_guard_cancel(request);
    flo_answer_forget(request);
    flo_lists_leave(request);
    flo_lists_run(request);
    request_dispatch(request);
}

/* Handles a failure of the engine that has the request.  The request begins
 * again, perhaps at another target of its route, or ends with the error. */
static void fail_or_go_on(struct serve_request *request, struct flo_err *err)
{
    struct serve_detour *detour = &request->detour;
    enum flo_fallback_reason reason =
        err->code == FLO_E_INFER_TOO_LONG ? FLO_FALLBACK_LONG : FLO_FALLBACK_FORM;

    if (detour->has_left) {
        if (flo_fallback_failed(request, err)) {
            begin_again(request);
            return;
        }
    } else if (!request->has_begun &&
               (err->code == FLO_E_INFER_TOO_LONG || err->code == FLO_E_INFER_FORM)) {
        detour->own = *err;
        if (reason == FLO_FALLBACK_FORM && detour->forms++ == 0) {
            begin_again(request);
            return;
        }
        if (flo_fallback_take(request, reason, err)) {
            begin_again(request);
            return;
        }
    }
    request_fail(request, err);
}

static void on_failed(struct serve_request *request, const struct flo_wire_failed *failed)
{
    /* Fields that an engine's error can be about, by the kind of the request.
     * The agent has already checked all other fields. */
    static const char *const texts[REQUEST_KINDS] = {
        [REQUEST_CHAT] = "messages",     [REQUEST_TEXT] = "prompt",
        [REQUEST_TOKENISE] = "content",  [REQUEST_EMBED] = "input",
        [REQUEST_DETOKENISE] = "tokens", [REQUEST_AUDIO] = "file",
    };
    struct flo_err err = {0};
    flo_serve_engine_failure(failed, &err);
    if (err.code == FLO_E_INFER_TOO_LONG && request->params.drops_turns &&
        flo_params_drop_turn(&request->params)) {
        begin_again(request);
        return;
    }
    if (err.code == FLO_E_INFER_PARAM || err.code == FLO_E_INFER_TOO_LONG) {
        strcpy(request->params.param, texts[request->kind]);
    }
    fail_or_go_on(request, &err);
}

/* Tells whether a frame of this type answers a request of this kind. */
static bool is_answer(enum request_kind kind, enum flo_wire_type type)
{
    static const enum flo_wire_type parts[REQUEST_KINDS] = {
        [REQUEST_CHAT] = FLO_WIRE_TOKEN,      [REQUEST_TEXT] = FLO_WIRE_TOKEN,
        [REQUEST_TOKENISE] = FLO_WIRE_TOKENS, [REQUEST_DETOKENISE] = FLO_WIRE_TEXT,
        [REQUEST_EMBED] = FLO_WIRE_EMBEDDING, [REQUEST_AUDIO] = FLO_WIRE_TOKEN,
    };
    bool has_done = kind != REQUEST_TOKENISE && kind != REQUEST_DETOKENISE;
    return type == parts[kind] || type == FLO_WIRE_FAILED || (type == FLO_WIRE_DONE && has_done);
}

static void on_frame(void *context, const struct flo_wire_message *message)
{
    struct serve_request *request = context;
    struct flo_wire_done done;
    struct flo_err err = {0};
    if (!is_answer(request->kind, message->type)) {
        flo_fail(&err, FLO_E_WORKER_PROTOCOL, "an answer of another kind");
        request_fail(request, &err);
        return;
    }
    switch (message->type) {
    case FLO_WIRE_TOKEN:
        on_token(request, &message->token);
        break;
    case FLO_WIRE_EMBEDDING:
        flo_answer_frame(request, message);
        break;
    case FLO_WIRE_DONE:
        done = message->done;
        on_done(request, &done);
        break;
    case FLO_WIRE_TOKENS:
    case FLO_WIRE_TEXT:
        flo_answer_frame(request, message);
        request_end(request, 0, 0);
        break;
    default:
        on_failed(request, &message->failed);
        break;
    }
}

static void on_lost(void *context, const struct flo_err *err)
{
    struct serve_request *request = context;
    struct flo_err told = *err;
    bool is_over = request->has_begun || request->serve->is_closing;

    if (!is_over &&
        (request->detour.has_left
             ? flo_fallback_failed(request, &told)
             : request->was_retried && flo_fallback_take(request, FLO_FALLBACK_DOWN, &told))) {
        begin_again(request);
        return;
    }
    if (is_over || request->was_retried) {
        request->serve->counters.lost++;
        request_fail(request, &told);
        return;
    }
    request->was_retried = true;
    begin_again(request);
}

#define PUT_OFF_S 60 /* seconds after which a client may repeat a batch request */

/* ---- dispatch ---- */

/* Tells whether a batch request must wait until memory pressure ends. */
static bool is_put_off(const struct serve_request *request)
{
    return request->serve->limits.holds_batch && flo_ends_is_batch(request);
}

/* Ends a request that has waited too long. */
static void refuse_held(struct serve_request *request)
{
    struct flo_err err = {0};
    unsigned long long ms = request->serve->hold_ms_max;
    if (is_put_off(request)) {
        request->retry_after_s = PUT_OFF_S;
        flo_fail(&err, FLO_E_INFER_BUSY,
                 "the device is under strain: batch requests wait, this one "
                 "for %llu ms",
                 ms);
    } else if (ms > 0) {
        flo_fail(&err, FLO_E_INFER_BUSY, "no model was ready for %llu ms", ms);
    } else {
        flo_fail(&err, FLO_E_INFER_BUSY, "no model is ready, and requests do not wait (hold)");
    }
    request_fail(request, &err);
}

static void on_hold_end(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    refuse_held(context);
}

/* Moves a request from another target back to the model that it named. */
static void leave(struct serve_request *request)
{
    if (request->detour.has_left) {
        flo_fallback_home(request);
    } else {
        flo_split_leave(request);
    }
}

/* Sends a waiting request to another target of its route.  false: there is none,
 * and it waits on. */
static bool go_elsewhere(struct serve_request *request, enum flo_fallback_reason reason)
{
    struct serve_place *before = request->place;
    struct serve_place *after;

    if (!flo_fallback_take(request, reason, NULL)) {
        return false;
    }
    after = request->place;
    request->place = before; /* the list of held requests counts for this place */
    flo_lists_leave(request);
    request->place = after;
    flo_lists_run(request);
    flo_event_drop(&request->hold);
    request->is_waiting = false;
    request_dispatch(request);
    return true;
}

/* The request has waited so long that its queue is a reason to leave it. */
static void on_patience(evutil_socket_t fd, short what, void *context)
{
    struct serve_request *request = context;
    (void)fd, (void)what;

    if (request->is_held || request->is_waiting) {
        (void)go_elsewhere(request, FLO_FALLBACK_QUEUE);
    }
}

/* Starts the timer after which the queue is a reason to leave the model. */
static void begin_patience(struct serve_request *request)
{
    uint64_t ms = flo_fallback_queue_ms(request);

    if (ms == 0 || request->detour.patience != NULL) {
        return;
    }
    request->detour.patience = evtimer_new(request->serve->base, on_patience, request);
    if (request->detour.patience != NULL) {
        const struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
        event_add(request->detour.patience, &tv);
    }
}

static void request_hold(struct serve_request *request)
{
    struct flo_serve *serve = request->serve;
    flo_lists_leave(request);
    if (request->meant != NULL) {
        /* a held request waits at the model that it named */
        leave(request);
    }
    begin_patience(request);
    flo_lists_hold(request);
    request->is_waiting = false;
    if (request->place->route.state == FLO_ROUTE_ON_DEMAND) {
        request->held_us = flo_now_us();
    }
    if (!is_put_off(request) && flo_demand_wait(request)) {
        flo_router_next_turn(serve);
    }
    if (request->hold == NULL) {
        uint64_t ms = serve->hold_ms_max;
        struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                             .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
        request->hold = evtimer_new(serve->base, on_hold_end, request);
        if (request->hold != NULL) {
            event_add(request->hold, &tv);
        }
    }
}

static void refuse_name(struct serve_request *request)
{
    struct flo_err err = {0};
    const struct serve_place *gone =
        flo_names_gone(request->serve, request->params.model, request->party.token);
    strcpy(request->params.param, "model");
    if (gone != NULL) {
        flo_names_gone_error(gone, FLO_E_INFER_MODEL, &err);
    } else {
        (void)flo_names_unknown(request->params.model, &err);
    }
    request_fail(request, &err);
}

/* ---- turns ---- */

static void begin_choices(struct flo_serve *serve)
{
    struct serve_request *request;
    while ((request = flo_choices_next(serve)) != NULL) {
        flo_router_submit(request);
    }
}

/* Sends a place the requests that it has room for.  A callback at the end of a
 * request may remove the engine, so it is looked up each time. */
static void dispatch_turns(const struct serve_place *place)
{
    struct serve_request *request;
    while (flo_serve_engine_live(place) != NULL &&
           (request = flo_turns_choose(flo_serve_engine_live(place))) != NULL) {
        request_dispatch(request);
    }
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    struct flo_serve *serve = context;
    struct serve_request *request;
    (void)fd, (void)what;
    while ((request = flo_choices_unwanted(serve)) != NULL) {
        flo_router_abandon(request);
    }
    begin_choices(serve);
    flo_choices_free(serve, false);
    request = serve->running;
    while (request != NULL) {
        struct serve_request *next = request->next;
        if (request->is_waiting && flo_split_is_over(request)) {
            leave(request);
        }
        if (request->is_waiting &&
            (flo_serve_engine_live(request->place) == NULL || is_put_off(request))) {
            request_hold(request);
        }
        request = next;
    }
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        dispatch_turns(&serve->places[i]);
    }
    const struct serve_place *endpoint;
    for (size_t i = 0; (endpoint = flo_fallback_place(serve, i)) != NULL; i++) {
        dispatch_turns(endpoint);
    }
    flo_demand_tell(serve);
}

int flo_router_open(struct flo_serve *serve, struct flo_err *err)
{
    serve->turn = event_new(serve->base, -1, 0, on_turn, serve);
    return serve->turn != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "no event");
}

/* Makes room for a new request by refusing one of the client that has most.
 * Returns false when no client has more than the new request's client. */
static bool make_place(struct flo_serve *serve, const struct serve_request *newcomer)
{
    uint32_t most;
    struct serve_request *found = flo_turns_give_up(serve, newcomer, &most);
    struct flo_err err = {0};
    if (found == NULL) {
        return false;
    }
    flo_fail(&err, FLO_E_INFER_BUSY, "%u request%s of this client %s here, and others ask as well",
             most, flo_s(most), flo_plural(most, "is", "are"));
    request_fail(found, &err);
    return true;
}

static void refuse_removed(struct serve_request *request)
{
    struct flo_err err = {0};
    flo_names_gone_error(request->place,
                         request->is_leaving ? FLO_E_INFER_CANCELLED : FLO_E_INFER_MODEL, &err);
    request_fail(request, &err);
}

static void wait_for_model(struct serve_request *request)
{
    struct flo_err err = request->place->down;
    bool is_on_demand =
        request->place->has_route && request->place->route.state == FLO_ROUTE_ON_DEMAND;
    bool is_refused =
        err.code != 0 || (!is_put_off(request) && flo_demand_admit(request, &err) < 0);

    /* Another target takes requests for a model that is down or slow to
     * load. */
    if (!is_put_off(request) && (is_refused || !is_on_demand) &&
        flo_fallback_take(request, is_on_demand ? FLO_FALLBACK_LOADING : FLO_FALLBACK_DOWN,
                          is_refused ? &err : NULL)) {
        request_dispatch(request);
    } else if (is_refused) {
        request_fail(request, &err);
    } else if (request->serve->hold_ms_max == 0) {
        refuse_held(request);
    } else {
        request_hold(request);
    }
}

/* Moves a request to the model that it names.  It waited for a loading model,
 * which turned out to have another name. */
static bool moves_on(struct serve_request *request)
{
    const char *name = request->params.model, *adapter;
    struct serve_place *other;
    if (request->meant != NULL || name[0] == '\0' ||
        flo_names_match(request->place, name, &adapter)) {
        return false;
    }
    other = flo_names_place(request->serve, name, request->party.token);
    if (other == NULL || other == request->place) {
        return false;
    }
    request->place = other;
    return true;
}

/* Sets the release that answers: the route's, or else the engine's. */
static void take_label(struct serve_request *request, const struct serve_engine *engine)
{
    const struct serve_place *place = request->place;
    if (!place->has_route || place->model == FLO_SERVE_MODELS_MAX) {
        request->release = engine->release;
        memcpy(request->model_name, engine->name, sizeof(request->model_name));
        return;
    }
    request->release = place->route.release;
    snprintf(request->model_name, sizeof(request->model_name), "%s@%s", place->route.model,
             place->route.version);
}

static void refuse_silent(struct serve_request *request)
{
    struct flo_err err = {0};
    strcpy(request->params.param, "model");
    flo_fail(&err, FLO_E_INFER_NO_API,
             "model \"%s\" has no API: its program reads it through a link",
             request->place->route.model);
    request_fail(request, &err);
}

/* Sends a waiting request to the live engine, or holds it until one is live. */
static void request_dispatch(struct serve_request *request)
{
    struct serve_engine *engine = flo_serve_engine_live(request->place);
    struct flo_err err = {0};
    if (flo_split_is_over(request)) {
        leave(request);
        engine = flo_serve_engine_live(request->place);
    }
    if (request->place->is_removed) {
        refuse_removed(request);
        return;
    }
    if (flo_names_is_silent(request->place)) {
        refuse_silent(request);
        return;
    }
    if (engine == NULL || is_put_off(request)) {
        wait_for_model(request);
        return;
    }
    if (moves_on(request)) {
        request_dispatch(request);
        return;
    }
    if (flo_match_prepare(request, engine, &err) < 0) {
        request_fail(request, &err);
        return;
    }
    if (flo_guard_prompt(request)) {
        return;
    }
    if (flo_fallback_prepare(request)) {
        return;
    }
    if (!request->is_due && !flo_turns_have_place(request, engine)) {
        request->is_waiting = true;
        begin_patience(request);
        return;
    }
    request->is_waiting = false;
    request->queue_us = flo_now_us() - request->came_us;
    take_label(request, engine);
    request->call.context = request;
    request->call.on_frame = on_frame;
    request->call.on_lost = on_lost;
    if (flo_serve_engine_call(engine, &request->call, &request->params.message, &err) < 0) {
        request_fail(request, &err);
    }
}

void flo_router_send_all(struct serve_place *place, enum flo_serve_role role, const char *adapter)
{
    struct serve_engine *engine = flo_serve_engine_live(place);
    struct serve_request *request = place->serve->running;
    while (request != NULL && engine != NULL && engine == flo_serve_engine_live(place) &&
           engine == place->roles[role]) {
        const char *named = NULL;
        if (request->is_waiting && request->place == place &&
            flo_names_match(place, request->params.model, &named) && named != NULL &&
            strcmp(named, adapter) == 0) {
            request->is_due = true;
            request->is_waiting = false;
            request_dispatch(request);
            /* the search begins again, because the request and others may have
             * been freed */
            request = place->serve->running;
        } else {
            request = request->next;
        }
    }
}

static struct serve_request *first_held(const struct serve_place *place)
{
    struct serve_request *request = place->serve->held;
    while (request != NULL && request->place != place) {
        request = request->next;
    }
    return request;
}

/* Returns the first request that waits for the model and may continue now;
 * NULL: there is none. */
static struct serve_request *first_ready(const struct serve_place *place)
{
    struct serve_request *request = place->serve->held;
    while (request != NULL && (request->place != place || is_put_off(request))) {
        request = request->next;
    }
    return request;
}

void flo_router_release_held(struct serve_place *place)
{
    struct serve_request *request;
    while (flo_serve_engine_live(place) != NULL && (request = first_ready(place)) != NULL) {
        if (request->held_us > 0) {
            request->load_us += flo_now_us() - request->held_us;
            request->held_us = 0;
        }
        flo_lists_leave(request);
        flo_lists_run(request);
        if (request->hold != NULL) {
            event_del(request->hold);
            event_free(request->hold);
            request->hold = NULL;
        }
        request_dispatch(request);
    }
}

void flo_router_want_again(struct serve_place *place)
{
    for (struct serve_request *r = place->serve->held; r != NULL; r = r->next) {
        if (r->place == place && !is_put_off(r) && flo_demand_wait(r)) {
            flo_router_next_turn(place->serve);
        }
    }
}

uint32_t flo_router_held_batch(const struct serve_place *place)
{
    uint32_t count = 0;
    for (const struct serve_request *r = place->serve->held; r != NULL; r = r->next) {
        count += r->place == place && is_put_off(r);
    }
    return count;
}

void flo_router_limits_changed(struct flo_serve *serve)
{
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        flo_router_release_held(&serve->places[i]);
        flo_router_want_again(&serve->places[i]);
    }
    flo_router_next_turn(serve);
}

void flo_router_fail_held(struct serve_place *place, const struct flo_err *err)
{
    struct serve_request *request;
    while ((request = first_held(place)) != NULL) {
        request_fail(request, err);
    }
}

static struct serve_request *first_running(const struct serve_place *place, bool is_waiting,
                                           bool is_leaving)
{
    struct serve_request *r = place->serve->running;
    while (r != NULL &&
           !(r->place == place && r->is_waiting == is_waiting && r->is_leaving == is_leaving)) {
        r = r->next;
    }
    return r;
}

void flo_router_remove(struct serve_place *place, const struct flo_err *err)
{
    struct serve_request *request;
    while ((request = first_running(place, false, false)) != NULL) {
        request->is_leaving = true;
    }
    while ((request = first_running(place, true, false)) != NULL) {
        if (flo_split_is_over(request)) {
            leave(request); /* this model had only a share of the named one's requests */
            flo_router_next_turn(place->serve);
        } else {
            request_fail(request, err);
        }
    }
    flo_router_fail_held(place, err);
}

void flo_router_fail_leaving(struct serve_place *place, const struct flo_err *err)
{
    struct serve_request *request;
    while ((request = first_running(place, false, true)) != NULL) {
        if (flo_split_is_over(request)) {
            flo_serve_engine_cancel(&request->call);
            begin_again(request);
        } else {
            request_fail(request, err);
        }
    }
}

void flo_router_submit(struct serve_request *request)
{
    struct flo_serve *serve = request->serve;
    struct flo_err err = {0};
    uint32_t present = serve->n_held + serve->n_running;
    uint32_t most = serve->requests_max;
    if (request->choices != NULL) {
        flo_choices_add(request);
        begin_choices(serve);
        return;
    }
    flo_app_bind(request);
    if (flo_serve_call_kind(&request->params.message) != CALL_USER) {
        /* requests for which no user waits get three quarters of the room */
        most -= most / 4;
    }
    request->came_us = flo_now_us();
    if (request->params.message.type == FLO_WIRE_GENERATE) {
        request->params.message.generate.client = request->party.prefixes;
        request->params.message.generate.now_ms = request->created_s * 1000;
    }
    int rv = flo_pipeline_begin(request, &err);
    flo_fallback_begin(request);
    struct serve_place *place = flo_names_place(serve, request->params.model, request->party.token);
    if (place == NULL && request->detour.route != NULL) {
        place = flo_fallback_nowhere(request);
    }
    request->place = place == NULL ? &serve->places[0] : place;
    flo_lists_run(request);
    if (rv < 0) {
        request_fail(request, &err);
        return;
    }
    if (place == NULL) {
        refuse_name(request);
        return;
    }
    if (flo_app_take(request, &err) < 0) {
        request_fail(request, &err);
        return;
    }
    if (present >= most && !flo_guard_asks(request) && !make_place(serve, request)) {
        flo_fail(&err, FLO_E_INFER_BUSY, "%u request%s %s under way, at most %u", present,
                 flo_s(present), flo_plural(present, "is", "are"), most);
        request_fail(request, &err);
        return;
    }
    flo_split_take(request);
    if (request->detour.escalates) {
        (void)flo_fallback_take(request, FLO_FALLBACK_APP, NULL);
    }
    request_dispatch(request);
}

void flo_router_close(struct flo_serve *serve)
{
    struct flo_err err = {0};
    flo_fail(&err, FLO_E_INFER_BUSY, "the agent stops");
    while (serve->held != NULL) {
        request_fail(serve->held, &err);
    }
    for (struct serve_request *r = serve->running; r != NULL;) {
        if (r->is_waiting || r->guarding != NULL || r->detour.redaction != NULL) {
            request_fail(r, &err);
            /* the search begins again, because a guard's own request may have
             * been freed too */
            r = serve->running;
        } else {
            r = r->next;
        }
    }
}

const struct guard_router flo_router_of_guards = {
    .go_on = request_dispatch,
    .send = send_answer,
    .fail = request_fail,
    .submit = flo_router_submit,
    .drop = flo_router_abandon,
};

/* Handles a request that was not sent, because its redaction failed. */
static void refuse_redaction(struct serve_request *request, const struct flo_err *err)
{
    struct flo_err told = *err;

    fail_or_go_on(request, &told);
}

/* An endpoint became ready: requests whose model is down may go there. */
static void endpoint_ready(struct flo_serve *serve)
{
    struct serve_request *request = serve->held;

    flo_router_next_turn(serve);
    while (request != NULL) {
        bool is_on_demand = request->place->route.state == FLO_ROUTE_ON_DEMAND;
        bool may_go =
            !is_put_off(request) && !is_on_demand && flo_serve_engine_live(request->place) == NULL;
        /* The list changes when a request goes. */
        request = may_go && go_elsewhere(request, FLO_FALLBACK_DOWN) ? serve->held : request->next;
    }
}

const struct fallback_router flo_router_of_fallbacks = {
    .go_on = request_dispatch,
    .refuse = refuse_redaction,
    .ready = endpoint_ready,
};

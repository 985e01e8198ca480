/* Fallback: finds a request's route, sends it to the target that the core
 * chooses, and brings it back; see fallback.h. */
#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/rows.h>

#include "agent/serve/fallback/endpoint.h"
#include "agent/serve/requests/names.h"

#define CHILDREN_MAX 16 /* redactions that run at the same time; further requests stay here */

/* ---- the route of a request ---- */

static struct fallback *find(struct flo_serve *serve, const char *name)
{
    struct fallbacks *fallbacks = serve->fallbacks;

    return fallbacks == NULL ? NULL
                             : FLO_FIND_TEXT(name, fallbacks->all, fallbacks->count, is.name);
}

/* Returns the place of a model of this device; NULL: there is none, or the
 * request's token may not use it. */
static struct serve_place *model_place(const struct serve_request *request, const char *name)
{
    struct serve_place *place = flo_names_place(request->serve, name, request->party.token);
    const char *adapter;

    return place != NULL && flo_names_match(place, name, &adapter) ? place : NULL;
}

/* Tells whether the request's token may use the route: it may use one of the
 * route's models, or names the route or one of its models itself.  A model that
 * is not on the device cannot be asked who may use it. */
static bool may_use(const struct serve_request *request, const struct fallback *route)
{
    const struct flo_serve *serve = request->serve;
    const struct flo_serve_bounds *bounds;

    if (request->party.token < 0) {
        return true;
    }
    bounds = &serve->tokens[request->party.token].bounds;
    for (uint32_t i = 0; i < bounds->n_models; i++) {
        if (strcmp(bounds->models[i], route->is.name) == 0) {
            return true;
        }
    }
    for (uint32_t t = 0; t < route->is.n_to; t++) {
        if (route->endpoints[t] == NULL && model_place(request, route->is.to[t]) != NULL) {
            return true;
        }
    }
    return false;
}

void flo_fallback_begin(struct serve_request *request)
{
    struct serve_detour *detour = &request->detour;
    bool is_open = request->params.message.type == FLO_WIRE_GENERATE ||
                   request->params.message.type == FLO_WIRE_EMBED;

    _Static_assert(sizeof(request->params.model) > FLO_NAME_MAX, "a model's name fits");
    detour->route =
        is_open && request->pipeline == NULL ? find(request->serve, request->params.model) : NULL;
    if (detour->route != NULL && !may_use(request, detour->route)) {
        detour->route = NULL;
    }
    if (detour->route != NULL) {
        strcpy(request->params.model, detour->route->absent.route.model);
    }
}

struct serve_place *flo_fallback_nowhere(const struct serve_request *request)
{
    return &request->detour.route->absent;
}

const struct serve_place *flo_fallback_place(const struct flo_serve *serve, size_t i)
{
    const struct fallbacks *all = serve->fallbacks;

    return all != NULL && i < all->n_endpoints ? &all->endpoints[i].place : NULL;
}

/* Returns the request's own model, wherever it is now. */
static struct serve_place *home_of(const struct serve_request *request)
{
    return request->meant != NULL ? request->meant : request->place;
}

/* Returns whether a target outside this device has the request. */
static bool is_away(const struct serve_request *request)
{
    const struct serve_detour *detour = &request->detour;

    return detour->has_left && detour->route->endpoints[detour->at] != NULL;
}

uint64_t flo_fallback_queue_ms(const struct serve_request *request)
{
    const struct serve_detour *detour = &request->detour;
    bool has = detour->route != NULL && !detour->has_left &&
               (detour->route->is.reasons & 1u << FLO_FALLBACK_QUEUE) != 0;

    return has ? detour->route->is.queue_ms + 1 : 0;
}

/* ---- targets ---- */

/* Returns the kind of a target; `endpoint` NULL: a model of this device. */
static enum flo_fallback_kind kind_of(const struct endpoint *endpoint)
{
    return endpoint == NULL ? FLO_TARGET_MODEL : endpoint->is.kind;
}

/* Returns the place of a target; NULL: the device has no such model. */
static struct serve_place *place_of(const struct serve_request *request, uint32_t target)
{
    struct fallback *route = request->detour.route;

    return route->endpoints[target] != NULL ? &route->endpoints[target]->place
                                            : model_place(request, route->is.to[target]);
}

static struct flo_spend_amount amount_of(const struct flo_serve_endpoint *endpoint,
                                         uint64_t tokens_in, uint64_t tokens_out)
{
    return (struct flo_spend_amount){
        .tokens = tokens_in + tokens_out,
        .cost = flo_spend_cost(tokens_in, endpoint->price_in, tokens_out, endpoint->price_out),
    };
}

/* Returns the tokens that the target may take at most: half of the prompt's
 * bytes, and the answer's limit. */
static struct flo_spend_amount claim_of(const struct serve_request *request,
                                        const struct flo_serve_endpoint *endpoint)
{
    const struct flo_wire_generate *in = &request->params.message.generate;
    bool is_embed = request->params.message.type == FLO_WIRE_EMBED;
    uint64_t tokens_in = request->params.parts.bytes / 2 + 16;
    uint64_t tokens_out = is_embed ? 0 : endpoint->answer_tokens_max;

    if (!is_embed && in->max_tokens > 0 && in->max_tokens < tokens_out) {
        tokens_out = in->max_tokens;
    }
    return amount_of(endpoint, tokens_in, tokens_out);
}

/* Does the request have parts that a redaction cannot read? */
static bool has_media(const struct serve_request *request)
{
    const struct flo_wire_message *message = &request->params.message;

    if (message->type == FLO_WIRE_EMBED) {
        for (uint32_t i = 0; i < message->embed.n_inputs; i++) {
            if (message->embed.inputs[i].is_tokens) {
                return true;
            }
        }
        return false;
    }
    return message->generate.n_images > 0 || message->generate.audio.bytes > 0 ||
           message->generate.tokens.bytes > 0;
}

/* For a prompt that is too long, only a longer context helps. */
static bool is_able(const struct serve_request *request, const struct serve_engine *engine,
                    enum flo_fallback_reason reason)
{
    const struct serve_engine *home = flo_serve_engine_live(home_of(request));
    const char *param;

    if (engine == NULL) {
        return true; /* without an engine the abilities are unknown, and nothing is ready */
    }
    if (reason == FLO_FALLBACK_LONG && home != NULL && engine->context <= home->context) {
        return false;
    }
    return flo_wire_lacks(&request->params.message, engine->abilities, &param) == NULL;
}

static struct flo_fallback_target look_at(const struct serve_request *request, uint32_t target,
                                          enum flo_fallback_reason reason)
{
    struct fallback *route = request->detour.route;
    struct endpoint *endpoint = route->endpoints[target];
    const struct serve_place *place = place_of(request, target);
    const struct serve_engine *engine = place == NULL ? NULL : flo_serve_engine_live(place);
    struct flo_fallback_target out = {
        .kind = kind_of(endpoint),
        .is_named = place == home_of(request),
        .was_tried = (request->detour.tried & 1u << target) != 0,
        .is_ready = engine != NULL,
        .is_allowed = place != NULL,
        .is_able = is_able(request, engine, reason),
        .fits_budget = true,
    };

    if (endpoint != NULL) {
        flo_spend_begin(&route->spend, flo_budget_day());
        out.is_ready = flo_endpoint_is_ready(endpoint);
        out.fits_budget = flo_spend_fits(&route->spend, claim_of(request, &endpoint->is));
    } else if (place != NULL && (place->is_removed || flo_names_is_silent(place))) {
        out.is_ready = false;
    }
    return out;
}

static bool is_app_allowed(const struct serve_request *request)
{
    const struct flo_serve_fallback *route = &request->detour.route->is;

    if (!route->has_apps) {
        return true;
    }
    for (uint32_t i = 0; request->party.token >= 0 && i < route->n_apps; i++) {
        if (strcmp(route->apps[i], request->serve->tokens[request->party.token].name) == 0) {
            return true;
        }
    }
    return false;
}

static struct flo_fallback_ask ask_of(const struct serve_request *request,
                                      enum flo_fallback_reason reason)
{
    const struct flo_serve_fallback *route = &request->detour.route->is;
    bool is_batch = flo_serve_call_kind(&request->params.message) == CALL_BATCH;

    return (struct flo_fallback_ask){
        .reason = reason,
        .is_off = request->serve->limits.keeps_prompts,
        .is_from_site = request->detour.is_from_site,
        .is_app_allowed = is_app_allowed(request),
        .is_never = is_batch ? route->keeps_batch : route->keeps_interactive,
        .needs_redaction = route->n_words > 0,
        .has_media = has_media(request),
    };
}

/* Says why no target took the request, each by its name. */
static void explain(const struct fallback *route, enum flo_fallback_reason reason,
                    const enum flo_fallback_refusal *refusals, struct flo_err *why)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = 400};

    for (uint32_t i = 0; i < route->is.n_to; i++) {
        flo_buf_printf(&text, "%s%s: %s", i == 0 ? "" : "; ", route->is.to[i],
                       flo_fallback_refusal_words(refusals[i]));
    }
    flo_err_why(why, "route %s (%s): %s", route->is.name, flo_fallback_word(reason),
                text.data == NULL ? "" : text.data);
}

/* ---- away and back ---- */

bool flo_fallback_take(struct serve_request *request, enum flo_fallback_reason reason,
                       struct flo_err *why)
{
    struct serve_detour *detour = &request->detour;
    struct flo_fallback_target targets[FLO_FALLBACK_TARGETS_MAX];
    enum flo_fallback_refusal refusals[FLO_FALLBACK_TARGETS_MAX];

    if (detour->route == NULL || (detour->route->is.reasons & 1u << reason) == 0) {
        return false;
    }
    uint32_t count = detour->route->is.n_to;
    const struct flo_fallback_ask ask = ask_of(request, reason);
    for (uint32_t i = 0; i < count; i++) {
        targets[i] = look_at(request, i, reason);
    }
    uint32_t at = flo_fallback_choose(&ask, targets, count, refusals);
    if (at == count) {
        detour->route->refused++;
        if (why != NULL) {
            explain(detour->route, reason, refusals, why);
        }
        return false;
    }
    struct serve_place *place = place_of(request, at);
    flo_fallback_home(request);
    request->meant = home_of(request);
    request->place = place;
    detour->has_left = true;
    detour->at = at;
    detour->reason = reason;
    detour->tried |= 1u << at;
    return true;
}

/* Ends the claim of a target: `used` is what it took. */
static void settle(struct serve_request *request, struct flo_spend_amount used)
{
    struct serve_detour *detour = &request->detour;

    if (detour->has_claim) {
        flo_spend_settle(&detour->route->spend, detour->claim_day, detour->claim, used);
        detour->has_claim = false;
    }
}

static void restore(struct serve_request *request)
{
    struct serve_detour *detour = &request->detour;

    if (detour->message == NULL) {
        return;
    }
    if (detour->parts.data != NULL) {
        flo_buf_deinit(&request->params.parts);
        request->params.parts = detour->parts;
        detour->parts = (struct flo_buf){0};
    }
    request->params.message = *detour->message;
    free(detour->message);
    detour->message = NULL;
}

void flo_fallback_home(struct serve_request *request)
{
    struct serve_detour *detour = &request->detour;

    if (!detour->has_left) {
        return;
    }
    flo_fallback_cancel(request);
    settle(request, (struct flo_spend_amount){0});
    restore(request);
    if (request->meant != NULL) {
        request->place = request->meant;
        request->meant = NULL;
    }
    detour->has_left = false;
    detour->is_sent = false;
}

/* Tells whether the request was refused before the endpoint got it. */
static bool is_unsent(int error)
{
    return error == FLO_E_INFER_SCHEMA;
}

/* Returns what an endpoint took of a request that failed there.  An endpoint
 * that refuses takes nothing; another one may have read the prompt.  An answer
 * without its form was held back, so its length is not known. */
static struct flo_spend_amount taken(const struct serve_request *request, int error)
{
    const struct serve_detour *detour = &request->detour;
    const struct flo_serve_endpoint *is = &detour->route->endpoints[detour->at]->is;
    uint64_t tokens_in = request->params.parts.bytes / 4;

    if (error == FLO_E_INFER_BUSY || error == FLO_E_INFER_PARAM || is_unsent(error)) {
        return (struct flo_spend_amount){0};
    }
    if (error == FLO_E_INFER_FORM) {
        return detour->claim;
    }
    return amount_of(is, tokens_in, request->tokens_out);
}

/* Tells whether a signed order, and no failure, ends the request's detour to an
 * endpoint, which got nothing. */
static bool is_kept(const struct serve_request *request)
{
    return is_away(request) && !request->detour.is_sent && request->serve->limits.keeps_prompts;
}

/* Counts how the detour's target ended the request. */
static void count_end(struct serve_request *request, bool has_failed)
{
    const struct serve_detour *detour = &request->detour;

    detour->route->counts[detour->at][detour->reason].failed += has_failed;
    flo_news_fallback(request->serve->news, home_of(request)->model,
                      kind_of(detour->route->endpoints[detour->at]), detour->reason, has_failed);
}

bool flo_fallback_failed(struct serve_request *request, struct flo_err *err)
{
    struct serve_detour *detour = &request->detour;
    enum flo_fallback_reason reason = detour->reason;

    if (!detour->has_left || request->has_begun) {
        return false;
    }
    flo_request_log(request, FLO_LOG_INFO, "routes", err);
    if (!is_kept(request)) {
        count_end(request, true);
    }
    if (detour->is_sent) {
        settle(request, taken(request, err->code));
        flo_endpoint_ended(detour->route->endpoints[detour->at], err->code);
    }
    flo_fallback_home(request);
    request->tokens_in = request->tokens_out = 0;
    request->guessed = request->guessed_right = 0;
    if (flo_fallback_take(request, reason, NULL)) {
        return true;
    }
    if (reason == FLO_FALLBACK_LONG || reason == FLO_FALLBACK_FORM) {
        *err = detour->own;
        return false;
    }
    return true;
}

/* ---- before it leaves ---- */

/* Claims the budget, and limits the answer as the endpoint's owner wants. */
static int claim(struct serve_request *request, struct flo_err *err)
{
    struct serve_detour *detour = &request->detour;
    struct fallback *route = detour->route;
    const struct flo_serve_endpoint *is = &route->endpoints[detour->at]->is;
    struct flo_wire_generate *in = &request->params.message.generate;

    detour->message = malloc(sizeof(*detour->message));
    if (detour->message == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a request");
    }
    *detour->message = request->params.message;
    detour->claim = claim_of(request, is);
    if (is->kind == FLO_TARGET_ENDPOINT) {
        flo_spend_begin(&route->spend, flo_budget_day());
        if (!flo_spend_claim(&route->spend, detour->claim)) {
            return flo_fail(err, FLO_E_INFER_QUOTA, "the day's budget of route %s is used",
                            route->is.name); /* by others, while a guard looked at the prompt */
        }
        detour->claim_day = route->spend.day;
        detour->has_claim = true;
        if (!flo_budget_keep(request->serve->fallbacks, route)) {
            return flo_fail(err, FLO_E_DISK_FULL, "the cost of route %s cannot be kept",
                            route->is.name);
        }
    }
    if (request->params.message.type == FLO_WIRE_GENERATE &&
        (in->max_tokens == 0 || in->max_tokens > is->answer_tokens_max)) {
        in->max_tokens = is->answer_tokens_max;
    }
    return 0;
}

bool flo_fallback_prepare(struct serve_request *request)
{
    struct fallbacks *fallbacks = request->serve->fallbacks;
    struct serve_detour *detour = &request->detour;
    struct flo_err err = {0};

    if (!is_away(request) || detour->redaction != NULL) {
        return detour->redaction != NULL;
    }
    /* the order may have come while the request waited or was redacted */
    int rv = request->serve->limits.keeps_prompts
                 ? flo_fail(&err, FLO_E_INFER_BUSY, "a signed order keeps prompts on this device")
                 : 0;
    if (rv == 0 && detour->message == NULL) {
        rv = claim(request, &err);
    }
    detour->is_sent = rv == 0 && (detour->route->is.n_words == 0 || detour->parts.data != NULL);
    if (detour->is_sent) {
        return false;
    }
    if (rv == 0 && fallbacks->pool.count >= CHILDREN_MAX) {
        rv = flo_fail(&err, FLO_E_INFER_BUSY, "%u redactions run at once", fallbacks->pool.count);
    }
    if (rv == 0) {
        rv = flo_redact_start(fallbacks, request, &err);
    }
    if (rv < 0) {
        fallbacks->router->refuse(request, &err);
    }
    return true;
}

void flo_fallback_cancel(struct serve_request *request)
{
    flo_serve_child_cancel(request->detour.redaction);
    request->detour.redaction = NULL;
}

/* ---- the end ---- */

void flo_fallback_end(struct serve_request *request, uint32_t tokens_in, int error)
{
    struct serve_detour *detour = &request->detour;
    struct fallback *route = detour->route;
    bool has_failed = error != 0 && error != FLO_E_INFER_CANCELLED;

    if (route == NULL) {
        return;
    }
    if (!detour->has_left) {
        route->at_home++;
        route->home_failed += has_failed;
        return;
    }
    struct endpoint *endpoint = route->endpoints[detour->at];
    route->counts[detour->at][detour->reason].requests++;
    count_end(request, has_failed);
    if (endpoint != NULL) {
        /* An endpoint may join tokens in a piece, and so counts more than came. */
        uint32_t tokens_out =
            detour->tokens_out > request->tokens_out ? detour->tokens_out : request->tokens_out;
        struct flo_spend_amount used = amount_of(&endpoint->is, tokens_in, tokens_out);
        /* An answer without usage counts as what was claimed for it. */
        settle(request, error != 0 ? taken(request, error) : tokens_in == 0 ? detour->claim : used);
        flo_endpoint_ended(endpoint, error);
    }
    flo_fallback_cancel(request);
    restore(request);
}

/* ---- opening ---- */

static void open_place(struct flo_serve *serve, struct serve_place *place)
{
    *place = (struct serve_place){.serve = serve, .model = FLO_SERVE_MODELS_MAX};
}

static int open_endpoints(struct fallbacks *fallbacks, const struct flo_serve_options *options,
                          struct flo_err *err)
{
    for (uint32_t i = 0; i < options->n_endpoints; i++) {
        struct endpoint *endpoint = &fallbacks->endpoints[i];
        endpoint->is = options->endpoints[i];
        open_place(fallbacks->serve, &endpoint->place);
        fallbacks->n_endpoints++;
        endpoint->start = flo_endpoint_timer(endpoint);
        if (endpoint->start == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "no event");
        }
    }
    return 0;
}

/* Gives the absent model's place the name that clients ask for, so that guards of
 * this model check the prompt. */
static void open_absent(struct flo_serve *serve, struct fallback *fallback)
{
    const char *name = fallback->is.name;

    for (uint32_t t = fallback->is.n_to; t-- > 0;) {
        name = fallback->endpoints[t] == NULL ? fallback->is.to[t] : name;
    }
    open_place(serve, &fallback->absent);
    fallback->absent.has_route = true;
    strcpy(fallback->absent.route.model, name);
}

static void open_routes(struct fallbacks *fallbacks, const struct flo_serve_options *options)
{
    for (uint32_t i = 0; i < options->n_fallbacks; i++) {
        struct fallback *fallback = &fallbacks->all[i];
        fallback->is = options->fallbacks[i];
        fallback->spend.most = fallback->is.most;
        for (uint32_t t = 0; t < fallback->is.n_to; t++) {
            fallback->endpoints[t] = FLO_FIND_TEXT(fallback->is.to[t], fallbacks->endpoints,
                                                   fallbacks->n_endpoints, is.name);
        }
        open_absent(fallbacks->serve, fallback);
        fallbacks->count++;
    }
}

int flo_fallbacks_open(struct flo_serve *serve, const struct flo_serve_options *options,
                       const struct fallback_router *router, struct flo_err *err)
{
    if (options->n_fallbacks == 0) {
        return 0;
    }
    if (options->n_endpoints > FLO_SERVE_ENDPOINTS_MAX ||
        options->n_fallbacks > FLO_SERVE_FALLBACKS_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%u endpoints and %u routes, at most %d and %d",
                        options->n_endpoints, options->n_fallbacks, FLO_SERVE_ENDPOINTS_MAX,
                        FLO_SERVE_FALLBACKS_MAX);
    }
    struct fallbacks *fallbacks = serve->fallbacks = calloc(1, sizeof(*fallbacks));
    if (fallbacks == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for routes");
    }
    fallbacks->serve = serve;
    fallbacks->router = router;
    fallbacks->pool = (struct serve_child_pool){.base = serve->base};
    if (options->spent_file != NULL) {
        fallbacks->spent_file = strdup(options->spent_file);
        if (fallbacks->spent_file == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "no memory for routes");
        }
    }
    FLO_TRY(open_endpoints(fallbacks, options, err));
    open_routes(fallbacks, options);
    flo_budget_open(fallbacks);
    for (uint32_t i = 0; i < fallbacks->n_endpoints; i++) {
        flo_endpoint_start(&fallbacks->endpoints[i]);
    }
    return 0;
}

void flo_fallbacks_close(struct flo_serve *serve)
{
    struct fallbacks *fallbacks = serve->fallbacks;

    if (fallbacks == NULL) {
        return;
    }
    flo_serve_child_pool_close(&fallbacks->pool);
    for (uint32_t i = 0; i < fallbacks->n_endpoints; i++) {
        flo_event_drop(&fallbacks->endpoints[i].start);
    }
    free(fallbacks->spent_file);
    free(fallbacks);
    serve->fallbacks = NULL;
}

/* Routes: sets the names of a model, the release that answers under them, and
 * who may use it. */
#include "agent/serve/requests/demand.h"
#include "agent/serve/requests/names.h"
#include "agent/serve/requests/requests.h"

#include <assert.h>
#include <event2/event.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "base/host/httpd.h"

const char *flo_serve_route_word(enum flo_serve_route_state state)
{
    static const char *const words[] = {[FLO_ROUTE_LOADING] = "loading",
                                        [FLO_ROUTE_READY] = "ready",
                                        [FLO_ROUTE_ON_DEMAND] = "on-demand"};
    return words[state];
}

static bool are_names(const char (*names)[FLO_NAME_MAX + 1], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!flo_name_is_valid(names[i])) {
            return false;
        }
    }
    return true;
}

static int check(const struct flo_serve_route *route, struct flo_err *err)
{
    if (!flo_name_is_valid(route->model) || !flo_name_is_valid(route->version)) {
        return flo_fail(err, FLO_E_META_NAME, "a route's model or version");
    }
    if (route->n_aliases > FLO_SERVE_ALIASES_MAX || route->n_tokens > FLO_SERVE_TOKENS_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%s: %u aliases and %u tokens, at most %d and %d",
                        route->model, route->n_aliases, route->n_tokens, FLO_SERVE_ALIASES_MAX,
                        FLO_SERVE_TOKENS_MAX);
    }
    if (!are_names(route->aliases, route->n_aliases) ||
        !are_names(route->tokens, route->n_tokens)) {
        return flo_fail(err, FLO_E_META_NAME, "%s: an alias or a token's name", route->model);
    }
    return 0;
}

int flo_serve_route_set(struct flo_serve *serve, unsigned model,
                        const struct flo_serve_route *route, struct flo_err *err)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    FLO_INSIDE(serve);
    struct serve_place *place = &serve->places[model];
    FLO_TRY(check(route, err));
    if (place->has_route && flo_serve_engine_live(place) != NULL &&
        !flo_digest_equal(&place->route.release, &route->release)) {
        place->flip_ms = flo_now_ms();
        place->awaits_first_answer = true;
    }
    place->route = *route;
    place->has_route = true;
    flo_names_take(place);
    serve->had_route = true;
    flo_router_release_held(place);
    flo_router_want_again(place);
    return 0;
}

static void on_removal(evutil_socket_t fd, short what, void *context)
{
    struct serve_place *place = context;
    struct flo_err err = {0};
    (void)fd, (void)what;
    flo_names_gone_error(place, FLO_E_INFER_CANCELLED, &err);
    flo_router_fail_leaving(place, &err);
}

void flo_serve_route_clear(struct flo_serve *serve, unsigned model, enum flo_serve_gone gone)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    FLO_INSIDE(serve);
    struct serve_place *place = &serve->places[model];
    uint64_t ms = serve->removal_ms;
    const struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                               .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    struct flo_err err = {0};
    if (!flo_names_is_used(place)) {
        return;
    }
    place->gone = gone;
    flo_names_gone_error(place, FLO_E_INFER_MODEL, &err);
    place->has_route = false;
    place->is_removed = true;
    flo_demand_met(place);
    flo_router_remove(place, &err);
    if (place->removal == NULL) {
        place->removal = evtimer_new(serve->base, on_removal, place);
    }
    if (place->removal == NULL || event_add(place->removal, &tv) < 0) {
        on_removal(-1, 0, place);
    }
}

void flo_serve_wanted_failed(struct flo_serve *serve, unsigned model, const struct flo_err *err)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    FLO_INSIDE(serve);
    struct serve_place *place = &serve->places[model];
    flo_demand_failed(place, err);
    flo_router_fail_held(place, err);
}

void flo_serve_down(struct flo_serve *serve, unsigned model, const struct flo_err *err)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    assert(err->code != 0);
    FLO_INSIDE(serve);
    serve->places[model].down = *err;
    flo_router_fail_held(&serve->places[model], err);
}

void flo_serve_lost(struct flo_serve *serve, unsigned model, int error)
{
    assert(model < FLO_SERVE_MODELS_MAX && error != 0);
    FLO_INSIDE(serve);
    serve->places[model].lost = error;
}

int flo_serve_room(const struct flo_serve *serve, uint64_t *refused, struct flo_err *err)
{
    FLO_INSIDE(serve);
    return flo_httpd_room(serve->httpd, refused, err);
}

void flo_serve_degraded(struct flo_serve *serve, const struct flo_err *err)
{
    FLO_INSIDE(serve);
    memset(&serve->degraded, 0, sizeof(serve->degraded));
    if (err != NULL) {
        serve->degraded = *err;
    }
}

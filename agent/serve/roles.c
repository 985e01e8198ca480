/* Roles: keeps the engines of a model's current release and of its candidate.
 * One of the two is live, which means that it gets new requests.
 *
 * The agent loads, unloads and promotes engines, and makes one live.  Engines
 * report when they are ready, idle or gone.  A change of the live engine never
 * ends a request. */
#include "agent/serve/probe/probe.h"
#include "agent/serve/requests/demand.h"
#include "agent/serve/requests/names.h"
#include "agent/serve/requests/requests.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

/* ---- engines come and go ---- */

static void engine_ready(struct serve_engine *engine)
{
    struct serve_place *place = engine->place;
    place->numbers.loads++;
    flo_router_next_turn(place->serve);
    if (engine->has_role) {
        flo_news_loaded(place->serve->news, place->model, engine->role,
                        flo_now_ms() - engine->started_ms, NULL);
    }
    flo_router_release_held(place);
}

static void engine_gone(struct serve_engine *engine)
{
    struct serve_place *place = engine->place;
    for (int role = 0; role < FLO_ROLE_COUNT; role++) {
        if (!engine->has_role || place->roles[role] != engine) {
            continue;
        }
        place->roles[role] = NULL;
        if (place->is_live && place->live == (enum flo_serve_role)role) {
            /* no engine is live now, so requests wait until the agent acts */
            place->is_live = false;
            flo_router_next_turn(place->serve);
        }
    }
}

static void engine_ended(struct serve_engine *engine)
{
    struct flo_serve *serve = engine->serve;
    unsigned model = engine->place->model;
    if (serve->is_closing) {
        return;
    }
    if (engine->was_live && engine->drains) {
        engine->was_live = false;
        flo_news_drained(serve->news, model, &engine->release);
    }
    if (engine->is_expected) {
        return;
    }
    serve->counters.engines_lost++;
    flo_log_err(FLO_LOG_WARN, "serve", &engine->end);
    if (!engine->has_role) {
        return; /* a draining engine has no role, so its end is not reported */
    }
    if (engine->context == 0) { /* never ready */
        if (engine->end.code != FLO_E_PACKED && engine->role == FLO_ROLE_CURRENT &&
            engine->place->demand.is_asked) {
            flo_serve_wanted_failed(serve, model, &engine->end);
        }
        flo_news_loaded(serve->news, model, engine->role, 0, &engine->end);
    } else {
        flo_news_lost(serve->news, model, engine->role, &engine->end);
        if (engine->is_shared) {
            flo_news_lost(serve->news, model, FLO_ROLE_CANDIDATE, &engine->end);
        }
    }
}

static void end_quietly(struct serve_engine *engine, int code, const char *why)
{
    struct flo_err err = {0};
    engine->is_expected = true;
    flo_fail(&err, code, "%s", why);
    flo_serve_engine_kill(engine, &err);
}

static void take_away(struct serve_engine *engine)
{
    end_quietly(engine, FLO_E_INFER_BUSY, "the model is being taken away");
}

static void engine_idle(struct serve_engine *engine)
{
    struct flo_serve *serve = engine->serve;
    if (engine->was_live) {
        engine->was_live = false;
        flo_news_drained(serve->news, engine->place->model, &engine->release);
    }
    if (engine->drains && engine->state != ENGINE_DYING) {
        end_quietly(engine, FLO_E_STATE, "its work is done");
    }
}

/* Removes an engine from its role.  It ends now or, with `drain`, when it is
 * idle. */
static void engine_let_go(struct serve_engine *engine, bool drain)
{
    engine->place->roles[engine->role] = NULL;
    engine->has_role = false;
    engine->drains = true;
    if (!drain) {
        take_away(engine);
    } else if (engine->n_calls == 0) {
        engine_idle(engine);
    }
}

/* Removes one of the two roles from an engine that has both. */
static void leave_shared(struct serve_engine *engine, enum flo_serve_role role)
{
    engine->is_shared = false;
    engine->role = role == FLO_ROLE_CURRENT ? FLO_ROLE_CANDIDATE : FLO_ROLE_CURRENT;
}

/* Removes the role from an engine that has ended, so that its loss is reported
 * only once. */
static struct serve_engine *take_dead(const struct serve_place *place, enum flo_serve_role role)
{
    struct serve_engine *engine = flo_serve_engine_dead(place, role);
    if (engine != NULL && engine->is_shared) {
        leave_shared(engine, role);
    } else if (engine != NULL) {
        engine->has_role = false;
    }
    return engine;
}

static const struct serve_engine_events events = {
    .ready = engine_ready, .gone = engine_gone, .idle = engine_idle, .ended = engine_ended};

/* ---- the agent's calls ---- */

static struct serve_place *place_of(struct flo_serve *serve, unsigned model)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    return &serve->places[model];
}

/* Makes the role (current or candidate) free for a new engine.  Waiting events
 * about the engine that had this role are dropped. */
static int take_role(struct serve_place *place, enum flo_serve_role role, struct flo_err *err)
{
    FLO_INSIDE(place->serve);
    (void)take_dead(place, role);
    flo_news_drop(place->serve->news, place->model, role);
    flo_names_take(place);
    return place->roles[role] == NULL
               ? 0
               : flo_fail(err, FLO_E_STATE, "%s is loaded there already", place->roles[role]->name);
}

void flo_serve_model_close(const struct flo_serve_model *model)
{
    const int fds[] = {model->fd, model->packed_fd, model->draft_fd, model->prefix_fd};

    for (size_t i = 0; i < FLO_COUNT(fds); i++) {
        if (fds[i] > 0) {
            close(fds[i]);
        }
    }
    for (uint32_t i = 0; i < model->n_adapters; i++) {
        close(model->adapters[i].fd);
    }
}

int flo_serve_load(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                   const struct flo_serve_model *source, struct flo_err *err)
{
    struct serve_place *place = place_of(serve, model);
    int rv = take_role(place, role, err);
    if (rv == 0) {
        rv = flo_serve_engine_start(place, role, source, &events, &place->roles[role], err);
    }
    flo_serve_model_close(source);
    return rv;
}

static void set_live(struct serve_place *place, bool is_live, enum flo_serve_role role)
{
    struct serve_engine *before = flo_serve_engine_live(place);
    place->is_live = is_live;
    place->live = role;
    struct serve_engine *now = flo_serve_engine_live(place);
    if (before == now) {
        return;
    }
    flo_router_next_turn(place->serve);
    if (now != NULL) {
        place->down.code = 0;
        place->lost = 0;
        flo_demand_met(place);
        now->was_live = false;
        place->flip_ms = flo_now_ms();
        place->awaits_first_answer = true;
    }
    if (before != NULL) {
        before->was_live = true;
        if (before->n_calls == 0) {
            engine_idle(before);
        }
    }
}

/* Checks that the role's engine is ready.  If it has ended, its loss is
 * returned here and not reported again. */
static int check_ready(struct serve_place *place, enum flo_serve_role role, struct flo_err *err)
{
    const struct serve_engine *engine = place->roles[role];
    if (engine != NULL && engine->state == ENGINE_READY) {
        return 0;
    }
    int rv = flo_serve_engine_loss(place, role, err);
    if (rv < 0) {
        (void)take_dead(place, role);
        flo_news_drop(place->serve->news, place->model, role);
        return rv;
    }
    return flo_fail(err, FLO_E_STATE, "no model is ready to be live");
}

int flo_serve_flip(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                   struct flo_err *err)
{
    struct serve_place *place = place_of(serve, model);
    FLO_INSIDE(serve);
    FLO_TRY(check_ready(place, role, err));
    set_live(place, true, role);
    flo_router_release_held(place);
    return 0;
}

int flo_serve_route_flip(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                         const struct flo_serve_route *route, struct flo_err *err)
{
    struct serve_place *place = place_of(serve, model);
    FLO_INSIDE(serve);
    bool was_live = place->is_live;
    bool is_news = !flo_digest_equal(&place->route.release, &route->release);
    FLO_TRY(check_ready(place, role, err));
    /* no engine is live until the call of flo_serve_flip() below, so new
     * requests wait for the new route */
    place->is_live = false;
    int rv = flo_serve_route_set(serve, model, route, err);
    place->is_live = was_live;
    FLO_TRY(rv);
    FLO_TRY(flo_serve_flip(serve, model, role, err));
    /* The release is new to the model, but its engine was live already.  Its
     * first answer is reported all the same. */
    if (is_news && !place->awaits_first_answer) {
        place->flip_ms = flo_now_ms();
        place->awaits_first_answer = true;
    }
    return 0;
}

void flo_serve_hold(struct flo_serve *serve, unsigned model)
{
    FLO_INSIDE(serve);
    set_live(place_of(serve, model), false, FLO_ROLE_CURRENT);
}

static void end_drains(struct serve_place *place, enum flo_serve_role role)
{
    for (struct serve_engine *engine = place->serve->engines; engine != NULL;
         engine = engine->next) {
        if (engine->drains && engine->place == place && engine->role == role &&
            engine->state != ENGINE_DYING) {
            take_away(engine);
        }
    }
}

bool flo_serve_is_ending(const struct flo_serve *serve)
{
    FLO_INSIDE(serve);
    const struct serve_engine *engine = serve->engines;

    while (engine != NULL && engine->has_role) {
        engine = engine->next;
    }
    return engine != NULL;
}

static void unload(struct serve_place *place, enum flo_serve_role role, bool drain)
{
    struct flo_serve *serve = place->serve;
    struct serve_engine *engine = place->roles[role];
    if (engine == NULL) {
        if (!drain) {
            end_drains(place, role);
        }
        return;
    }
    if (place->is_live && place->live == role) {
        set_live(place, false, FLO_ROLE_CURRENT);
    }
    if (engine->is_shared) {
        place->roles[role] = NULL;
        leave_shared(engine, role);
        return;
    }
    if (role == FLO_ROLE_CANDIDATE && flo_probe_is_of(serve->probe, place)) {
        flo_probe_close(serve->probe); /* the verdict of the probe is not needed any more */
    }
    engine_let_go(engine, drain && engine->state == ENGINE_READY);
}

void flo_serve_unload(struct flo_serve *serve, unsigned model, enum flo_serve_role role, bool drain)
{
    FLO_INSIDE(serve);
    unload(place_of(serve, model), role, drain);
    flo_news_drop(serve->news, model, role);
}

void flo_serve_promote(struct flo_serve *serve, unsigned model)
{
    FLO_INSIDE(serve);
    struct serve_place *place = place_of(serve, model);
    struct serve_engine *candidate = place->roles[FLO_ROLE_CANDIDATE];
    struct serve_engine *current = place->roles[FLO_ROLE_CURRENT];
    struct serve_engine *dead = flo_serve_engine_dead(place, FLO_ROLE_CANDIDATE);
    if (dead != NULL) {
        /* The loss of the candidate's engine is reported as that of the current
         * one. */
        dead->role = FLO_ROLE_CURRENT;
        dead->is_shared = false;
    }
    if (place->is_live && place->live == FLO_ROLE_CURRENT) {
        set_live(place, candidate != NULL && candidate->state == ENGINE_READY, FLO_ROLE_CANDIDATE);
    }
    if (current != NULL && current != candidate) {
        engine_let_go(current, current->state == ENGINE_READY);
    }
    place->roles[FLO_ROLE_CANDIDATE] = NULL;
    place->roles[FLO_ROLE_CURRENT] = candidate;
    if (candidate != NULL) {
        candidate->role = FLO_ROLE_CURRENT;
        candidate->is_shared = false;
    }
    place->live = FLO_ROLE_CURRENT;
    flo_news_promote(serve->news, model);
    flo_router_release_held(place);
}

int flo_serve_share(struct flo_serve *serve, unsigned model, struct flo_err *err)
{
    FLO_INSIDE(serve);
    struct serve_place *place = place_of(serve, model);
    struct serve_engine *candidate = place->roles[FLO_ROLE_CANDIDATE];
    struct serve_engine *current = place->roles[FLO_ROLE_CURRENT];
    if (current == NULL || current->state != ENGINE_READY) {
        return flo_fail(err, FLO_E_STATE, "no engine is ready to be shared");
    }
    if (candidate == current) {
        return 0;
    }
    if (candidate != NULL) {
        if (flo_probe_is_of(serve->probe, place)) {
            flo_probe_close(serve->probe);
        }
        engine_let_go(candidate, candidate->state == ENGINE_READY);
    }
    flo_news_drop(serve->news, model, FLO_ROLE_CANDIDATE);
    place->roles[FLO_ROLE_CANDIDATE] = current;
    current->is_shared = true;
    current->was_live = false;
    flo_router_next_turn(serve);
    return 0;
}

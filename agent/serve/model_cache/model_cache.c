/* Model cache: loads and unloads models as the memory plan and the requests
 * require. */
#include "agent/serve/model_cache/model_cache.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

/* time between two checks whether an engine that ends has freed its memory */
#define ENDING_MS 5
#define BUSY_MS 50 /* time between two checks whether an idle model can be unloaded */

enum place_state { PLACE_OUT, PLACE_LOADING, PLACE_IN };

struct place {
    struct flo_model_cache_model model;
    enum place_state state;
    uint32_t rung; /* degradation level at which the model is loaded */
    bool is_wanted;
    uint64_t wanted_ms; /* wanted since then */
    uint64_t load_ms;   /* time that the model's last load took; 0: it has not been loaded */
    uint32_t failures;  /* in a row */
    uint64_t retry_ms;
};

struct flo_model_cache {
    struct flo_serve *serve;
    struct flo_model_cache_calls calls;
    struct event *timer;
    bool has_plan;
    struct flo_memory_plan plan;
    size_t count;
    struct place places[FLO_SERVE_MODELS_MAX];
};

_Static_assert(FLO_SERVE_MODELS_MAX == FLO_MEMORY_MODELS_MAX, "one index");

static void step(struct flo_model_cache *model_cache);

/* ---- time ---- */

static void look_in(struct flo_model_cache *model_cache, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    struct timeval set, now, left;
    if (evtimer_pending(model_cache->timer, &set)) {
        event_base_gettimeofday_cached(event_get_base(model_cache->timer), &now);
        evutil_timersub(&set, &now, &left);
        if (evutil_timercmp(&left, &tv, <)) {
            return; /* the timer is already set to an earlier time */
        }
    }
    event_add(model_cache->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    step(context);
}

/* ---- routes ---- */

static bool stays(const struct flo_model_cache *model_cache, size_t index)
{
    return model_cache->plan.models[index].is_resident;
}

static void tell_route(struct flo_model_cache *model_cache, size_t index)
{
    struct place *place = &model_cache->places[index];
    struct flo_serve_route route = place->model.route;
    struct flo_err err = {0};
    route.state = !stays(model_cache, index) ? FLO_ROUTE_ON_DEMAND
                  : place->state == PLACE_IN ? FLO_ROUTE_READY
                                             : FLO_ROUTE_LOADING;
    route.load_ms = flo_memory_load_ms(0, 0, place->load_ms, 0);
    if (flo_serve_route_set(model_cache->serve, (unsigned)index, &route, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "residence", &err);
    }
}

/* ---- loads ---- */

static void failed(struct flo_model_cache *model_cache, size_t index)
{
    struct place *place = &model_cache->places[index];
    uint64_t ms = flo_memory_backoff_ms(++place->failures);
    place->state = PLACE_OUT;
    place->is_wanted = false;
    place->retry_ms = flo_now_ms() + ms;
    if (stays(model_cache, index)) {
        look_in(model_cache, ms);
    }
}

static void load(struct flo_model_cache *model_cache, size_t index)
{
    struct place *place = &model_cache->places[index];
    struct flo_err err = {0};
    place->rung = model_cache->plan.models[index].rung;
    place->state = PLACE_LOADING;
    if (model_cache->calls.load(model_cache->calls.context, (unsigned)index,
                                &place->model.rungs[place->rung], &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "residence", &err);
        if (!stays(model_cache, index)) {
            flo_serve_wanted_failed(model_cache->serve, (unsigned)index, &err);
        }
        failed(model_cache, index);
    }
}

static void unload(struct flo_model_cache *model_cache, size_t index)
{
    flo_serve_unload(model_cache->serve, (unsigned)index, FLO_ROLE_CURRENT, true);
    model_cache->places[index].state = PLACE_OUT;
}

/* ---- on demand ---- */

static void look_at_hosts(const struct flo_model_cache *model_cache, struct flo_memory_host *hosts)
{
    for (size_t i = 0; i < model_cache->count; i++) {
        const struct place *place = &model_cache->places[i];
        struct flo_serve_status status;
        flo_serve_get_status(model_cache->serve, (unsigned)i, &status);
        hosts[i] = (struct flo_memory_host){
            .is_loaded = place->state != PLACE_OUT,
            .requests = place->state == PLACE_LOADING
                            ? 1
                            : status.roles[FLO_ROLE_CURRENT].requests + status.held,
            .loaded_ms = status.loaded_ms,
            .used_ms = status.used_ms,
            .load_ms = place->load_ms,
        };
    }
}

/* Loads a model that requests wait for, if memory is free.  If memory is not
 * free, unloads other models and tries again later. */
static void pending(struct flo_model_cache *model_cache, size_t index)
{
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
    struct flo_memory_host hosts[FLO_MEMORY_MODELS_MAX];
    struct flo_serve_status status;
    struct flo_memory_room room;
    flo_serve_get_status(model_cache->serve, (unsigned)index, &status);
    if (!status.is_wanted) { /* no request waits for this model any more */
        model_cache->places[index].is_wanted = false;
        return;
    }
    for (size_t i = 0; i < model_cache->count; i++) {
        models[i] = model_cache->places[i].model.memory;
    }
    look_at_hosts(model_cache, hosts);
    flo_memory_room(models, model_cache->count, &model_cache->plan, hosts, index,
                    status.is_wanted_softly, flo_now_ms(), &room);
    for (uint32_t i = 0; i < room.n_evict; i++) {
        unload(model_cache, room.evict[i]);
    }
    if (!room.has_room) {
        bool is_short = room.wait_ms > 0 && room.wait_ms < BUSY_MS;
        look_in(model_cache, is_short ? room.wait_ms : BUSY_MS);
    } else if (flo_serve_is_ending(model_cache->serve)) {
        look_in(model_cache, ENDING_MS);
    } else {
        model_cache->places[index].is_wanted = false;
        load(model_cache, index);
    }
}

/* Returns the index of the model for which requests have waited longest;
 * `count`: there is none. */
static size_t first_wanted(const struct flo_model_cache *model_cache)
{
    size_t first = model_cache->count;
    for (size_t i = 0; i < model_cache->count; i++) {
        const struct place *place = &model_cache->places[i];
        if (place->is_wanted && place->state == PLACE_OUT && !stays(model_cache, i) &&
            (first == model_cache->count ||
             place->wanted_ms < model_cache->places[first].wanted_ms)) {
            first = i;
        }
    }
    return first;
}

static void step(struct flo_model_cache *model_cache)
{
    uint64_t now = flo_now_ms();
    size_t wanted;
    for (size_t i = 0; i < model_cache->count; i++) {
        const struct place *place = &model_cache->places[i];
        if (!stays(model_cache, i) || place->state != PLACE_OUT) {
            continue;
        }
        if (flo_serve_is_ending(model_cache->serve)) {
            look_in(model_cache, ENDING_MS);
        } else if (now < place->retry_ms) {
            look_in(model_cache, place->retry_ms - now);
        } else {
            load(model_cache, i);
        }
    }
    /* Models are loaded one at a time, in the order in which requests asked for
     * them. */
    while ((wanted = first_wanted(model_cache)) < model_cache->count) {
        pending(model_cache, wanted);
        if (model_cache->places[wanted].is_wanted) {
            return; /* this model waits for memory, and later models wait behind it */
        }
    }
}

/* ---- what happens ---- */

void flo_model_cache_loaded(struct flo_model_cache *model_cache, unsigned model, uint64_t load_ms,
                            const struct flo_err *err)
{
    struct place *place = &model_cache->places[model];
    struct flo_err own = {0};
    assert(model < model_cache->count);
    if (err == NULL && flo_serve_flip(model_cache->serve, model, FLO_ROLE_CURRENT, &own) < 0) {
        err = &own;
    }
    if (err != NULL) {
        failed(model_cache, model);
        return;
    }
    place->state = PLACE_IN;
    place->load_ms = load_ms > 0 ? load_ms : 1;
    place->failures = 0;
    tell_route(model_cache, model);
    step(model_cache);
}

void flo_model_cache_lost(struct flo_model_cache *model_cache, unsigned model)
{
    assert(model < model_cache->count);
    model_cache->places[model].state = PLACE_OUT;
    tell_route(model_cache, model);
    if (stays(model_cache, model)) {
        failed(model_cache, model);
    }
}

void flo_model_cache_wanted(struct flo_model_cache *model_cache, unsigned model)
{
    struct place *place = &model_cache->places[model];
    assert(model < model_cache->count);
    if (!place->is_wanted) {
        place->is_wanted = true;
        place->wanted_ms = flo_now_ms();
    }
    step(model_cache);
}

/* ---- the plan ---- */

int flo_model_cache_set(struct flo_model_cache *model_cache,
                        const struct flo_model_cache_model *models, size_t count, uint64_t budget,
                        struct flo_err *err)
{
    struct flo_memory_model memory[FLO_MEMORY_MODELS_MAX];
    struct flo_memory_plan plan;
    assert(count <= FLO_SERVE_MODELS_MAX);
    for (size_t i = 0; i < count; i++) {
        memory[i] = models[i].memory;
    }
    FLO_TRY(flo_memory_plan(memory, count, budget, &plan, err));
    for (size_t i = count; i < model_cache->count; i++) {
        flo_serve_route_clear(model_cache->serve, (unsigned)i, FLO_GONE_REMOVED);
        unload(model_cache, i);
        model_cache->places[i] = (struct place){0};
    }
    model_cache->plan = plan;
    model_cache->has_plan = true;
    model_cache->count = count;
    for (size_t i = 0; i < count; i++) {
        struct place *place = &model_cache->places[i];
        bool is_other = !flo_digest_equal(&place->model.route.release, &models[i].route.release);
        place->model = models[i];
        if (place->state != PLACE_OUT && (is_other || place->rung != plan.models[i].rung)) {
            unload(model_cache, i);
        }
        tell_route(model_cache, i);
    }
    step(model_cache);
    return 0;
}

const struct flo_memory_plan *flo_model_cache_plan(const struct flo_model_cache *model_cache)
{
    return model_cache->has_plan ? &model_cache->plan : NULL;
}

int flo_model_cache_open(struct event_base *base, struct flo_serve *serve,
                         const struct flo_model_cache_calls *calls, struct flo_model_cache **out,
                         struct flo_err *err)
{
    struct flo_model_cache *model_cache = calloc(1, sizeof(*model_cache));
    if (model_cache == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for models");
    }
    model_cache->serve = serve;
    model_cache->calls = *calls;
    model_cache->timer = evtimer_new(base, on_timer, model_cache);
    if (model_cache->timer == NULL) {
        free(model_cache);
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    *out = model_cache;
    return 0;
}

void flo_model_cache_close(struct flo_model_cache *model_cache)
{
    if (model_cache != NULL) {
        event_free(model_cache->timer);
        free(model_cache);
    }
}

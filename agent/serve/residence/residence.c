/* Residence: loads and unloads models as the plan and the requests require. */
#include "agent/serve/residence/residence.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

#define ENDING_MS 5 /* between two checks whether memory is free */
#define BUSY_MS 50  /* ... whether an idle model can be evicted */

enum place_state { PLACE_OUT, PLACE_LOADING, PLACE_IN };

struct place {
    struct flo_residence_model model;
    enum place_state state;
    uint32_t rung; /* level at which it is loaded */
    bool is_wanted;
    uint64_t wanted_ms; /* wanted since then */
    uint64_t load_ms;   /* duration of its last load; 0: none */
    uint32_t failures;  /* in a row */
    uint64_t retry_ms;
};

struct flo_residence {
    struct flo_serve *serve;
    struct flo_residence_calls calls;
    struct event *timer;
    bool has_plan;
    struct flo_memory_plan plan;
    size_t count;
    struct place places[FLO_SERVE_MODELS_MAX];
};

_Static_assert(FLO_SERVE_MODELS_MAX == FLO_MEMORY_MODELS_MAX, "one index");

static void step(struct flo_residence *residence);

/* ---- time ---- */

static void look_in(struct flo_residence *residence, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    struct timeval set, now, left;
    if (evtimer_pending(residence->timer, &set)) {
        event_base_gettimeofday_cached(event_get_base(residence->timer), &now);
        evutil_timersub(&set, &now, &left);
        if (evutil_timercmp(&left, &tv, <)) {
            return; /* the check comes earlier anyway */
        }
    }
    event_add(residence->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    step(context);
}

/* ---- routes ---- */

static bool stays(const struct flo_residence *residence, size_t index)
{
    return residence->plan.models[index].is_resident;
}

static void tell_route(struct flo_residence *residence, size_t index)
{
    struct place *place = &residence->places[index];
    struct flo_serve_route route = place->model.route;
    struct flo_err err = {0};
    route.state = !stays(residence, index)   ? FLO_ROUTE_ON_DEMAND
                  : place->state == PLACE_IN ? FLO_ROUTE_READY
                                             : FLO_ROUTE_LOADING;
    route.load_ms = flo_memory_load_ms(0, 0, place->load_ms, 0);
    if (flo_serve_route_set(residence->serve, (unsigned)index, &route, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "residence", &err);
    }
}

/* ---- loads ---- */

static void failed(struct flo_residence *residence, size_t index)
{
    struct place *place = &residence->places[index];
    uint64_t ms = flo_memory_backoff_ms(++place->failures);
    place->state = PLACE_OUT;
    place->is_wanted = false;
    place->retry_ms = flo_now_ms() + ms;
    if (stays(residence, index)) {
        look_in(residence, ms);
    }
}

static void load(struct flo_residence *residence, size_t index)
{
    struct place *place = &residence->places[index];
    struct flo_err err = {0};
    place->rung = residence->plan.models[index].rung;
    place->state = PLACE_LOADING;
    if (residence->calls.load(residence->calls.context, (unsigned)index,
                              &place->model.rungs[place->rung], &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "residence", &err);
        if (!stays(residence, index)) {
            flo_serve_wanted_failed(residence->serve, (unsigned)index, &err);
        }
        failed(residence, index);
    }
}

static void unload(struct flo_residence *residence, size_t index)
{
    flo_serve_unload(residence->serve, (unsigned)index, FLO_ROLE_CURRENT, true);
    residence->places[index].state = PLACE_OUT;
}

/* ---- on demand ---- */

static void look_at_hosts(const struct flo_residence *residence, struct flo_memory_host *hosts)
{
    for (size_t i = 0; i < residence->count; i++) {
        const struct place *place = &residence->places[i];
        struct flo_serve_status status;
        flo_serve_get_status(residence->serve, (unsigned)i, &status);
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

/* Loads a wanted model if there is room, or evicts others to make room. */
static void seat(struct flo_residence *residence, size_t index)
{
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
    struct flo_memory_host hosts[FLO_MEMORY_MODELS_MAX];
    struct flo_serve_status status;
    struct flo_memory_room room;
    flo_serve_get_status(residence->serve, (unsigned)index, &status);
    if (!status.is_wanted) { /* nobody waits any more */
        residence->places[index].is_wanted = false;
        return;
    }
    for (size_t i = 0; i < residence->count; i++) {
        models[i] = residence->places[i].model.memory;
    }
    look_at_hosts(residence, hosts);
    flo_memory_room(models, residence->count, &residence->plan, hosts, index,
                    status.is_wanted_softly, flo_now_ms(), &room);
    for (uint32_t i = 0; i < room.n_evict; i++) {
        unload(residence, room.evict[i]);
    }
    if (!room.has_room) {
        bool is_short = room.wait_ms > 0 && room.wait_ms < BUSY_MS;
        look_in(residence, is_short ? room.wait_ms : BUSY_MS);
    } else if (flo_serve_is_ending(residence->serve)) {
        look_in(residence, ENDING_MS);
    } else {
        residence->places[index].is_wanted = false;
        load(residence, index);
    }
}

/* Returns the model that has been wanted longest; `count`: none. */
static size_t first_wanted(const struct flo_residence *residence)
{
    size_t first = residence->count;
    for (size_t i = 0; i < residence->count; i++) {
        const struct place *place = &residence->places[i];
        if (place->is_wanted && place->state == PLACE_OUT && !stays(residence, i) &&
            (first == residence->count || place->wanted_ms < residence->places[first].wanted_ms)) {
            first = i;
        }
    }
    return first;
}

static void step(struct flo_residence *residence)
{
    uint64_t now = flo_now_ms();
    size_t wanted;
    for (size_t i = 0; i < residence->count; i++) {
        const struct place *place = &residence->places[i];
        if (!stays(residence, i) || place->state != PLACE_OUT) {
            continue;
        }
        if (flo_serve_is_ending(residence->serve)) {
            look_in(residence, ENDING_MS);
        } else if (now < place->retry_ms) {
            look_in(residence, place->retry_ms - now);
        } else {
            load(residence, i);
        }
    }
    /* One at a time, in the order in which they were wanted. */
    while ((wanted = first_wanted(residence)) < residence->count) {
        seat(residence, wanted);
        if (residence->places[wanted].is_wanted) {
            return; /* that model waits for memory */
        }
    }
}

/* ---- what happens ---- */

void flo_residence_loaded(struct flo_residence *residence, unsigned model, uint64_t load_ms,
                          const struct flo_err *err)
{
    struct place *place = &residence->places[model];
    struct flo_err own = {0};
    assert(model < residence->count);
    if (err == NULL && flo_serve_flip(residence->serve, model, FLO_ROLE_CURRENT, &own) < 0) {
        err = &own;
    }
    if (err != NULL) {
        failed(residence, model);
        return;
    }
    place->state = PLACE_IN;
    place->load_ms = load_ms > 0 ? load_ms : 1;
    place->failures = 0;
    tell_route(residence, model);
    step(residence);
}

void flo_residence_lost(struct flo_residence *residence, unsigned model)
{
    assert(model < residence->count);
    residence->places[model].state = PLACE_OUT;
    tell_route(residence, model);
    if (stays(residence, model)) {
        failed(residence, model);
    }
}

void flo_residence_wanted(struct flo_residence *residence, unsigned model)
{
    struct place *place = &residence->places[model];
    assert(model < residence->count);
    if (!place->is_wanted) {
        place->is_wanted = true;
        place->wanted_ms = flo_now_ms();
    }
    step(residence);
}

/* ---- the plan ---- */

int flo_residence_set(struct flo_residence *residence, const struct flo_residence_model *models,
                      size_t count, uint64_t budget, struct flo_err *err)
{
    struct flo_memory_model memory[FLO_MEMORY_MODELS_MAX];
    struct flo_memory_plan plan;
    assert(count <= FLO_SERVE_MODELS_MAX);
    for (size_t i = 0; i < count; i++) {
        memory[i] = models[i].memory;
    }
    FLO_TRY(flo_memory_plan(memory, count, budget, &plan, err));
    for (size_t i = count; i < residence->count; i++) {
        flo_serve_route_clear(residence->serve, (unsigned)i, FLO_GONE_REMOVED);
        unload(residence, i);
        residence->places[i] = (struct place){0};
    }
    residence->plan = plan;
    residence->has_plan = true;
    residence->count = count;
    for (size_t i = 0; i < count; i++) {
        struct place *place = &residence->places[i];
        bool is_other = !flo_digest_equal(&place->model.route.release, &models[i].route.release);
        place->model = models[i];
        if (place->state != PLACE_OUT && (is_other || place->rung != plan.models[i].rung)) {
            unload(residence, i);
        }
        tell_route(residence, i);
    }
    step(residence);
    return 0;
}

const struct flo_memory_plan *flo_residence_plan(const struct flo_residence *residence)
{
    return residence->has_plan ? &residence->plan : NULL;
}

int flo_residence_open(struct event_base *base, struct flo_serve *serve,
                       const struct flo_residence_calls *calls, struct flo_residence **out,
                       struct flo_err *err)
{
    struct flo_residence *residence = calloc(1, sizeof(*residence));
    if (residence == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for models");
    }
    residence->serve = serve;
    residence->calls = *calls;
    residence->timer = evtimer_new(base, on_timer, residence);
    if (residence->timer == NULL) {
        free(residence);
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    *out = residence;
    return 0;
}

void flo_residence_close(struct flo_residence *residence)
{
    if (residence != NULL) {
        event_free(residence->timer);
        free(residence);
    }
}

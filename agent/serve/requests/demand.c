/* Demand: records which on-demand models requests wait for, and when a load may
 * be tried again. */
#include "agent/serve/requests/demand.h"

#include <flotilla/plural.h>

#include "agent/serve/requests/names.h"
#include "proto/memory/memory.h"

/* seconds after which a client may retry that was refused because the battery
 * is nearly empty */
#define LOADS_AGAIN_S 60

static bool is_on_demand(const struct serve_place *place)
{
    return place->has_route && place->route.state == FLO_ROUTE_ON_DEMAND;
}

static bool is_soft(const struct serve_request *request)
{
    return flo_serve_call_kind(&request->params.message) != CALL_USER;
}

/* Tells whether the server has other models, with which this one shares the
 * largest number of requests. */
static bool has_neighbours(const struct serve_place *place)
{
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        const struct serve_place *other = &place->serve->places[i];
        if (other != place && flo_names_is_used(other)) {
            return true;
        }
    }
    return false;
}

/* ---- may it wait? ---- */

static uint32_t seconds_up(uint64_t ms)
{
    return ms < 1000 ? 1 : (uint32_t)((ms + 999) / 1000);
}

/* Returns the time until the model is loaded, by the load in progress or by one
 * that begins now. */
static uint64_t load_left_ms(const struct serve_place *place, uint64_t now_ms)
{
    uint64_t ms = place->route.load_ms;
    uint64_t since = place->demand.is_asked ? now_ms - place->demand.asked_ms : 0;
    return ms > since ? ms - since : 0;
}

int flo_demand_admit(struct serve_request *request, struct flo_err *err)
{
    const struct serve_place *place = request->place;
    uint64_t now_ms = flo_now_ms(), hold_ms = place->serve->hold_ms_max;
    if (place->n_held >= SERVE_WAITING_MAX && has_neighbours(place)) {
        return flo_fail(err, FLO_E_INFER_BUSY, "%llu request%s %s for this model, at most %d",
                        (unsigned long long)place->n_held, flo_s(place->n_held),
                        flo_plural(place->n_held, "waits", "wait"), SERVE_WAITING_MAX);
    }
    if (!is_on_demand(place)) {
        return 0;
    }
    if (now_ms < place->demand.next_ms) {
        uint64_t left_ms = place->demand.next_ms - now_ms;
        request->retry_after_s = seconds_up(left_ms);
        flo_fail(err, FLO_E_INFER_BUSY, "%s could not be loaded, the next try is in %llu ms",
                 place->route.model, (unsigned long long)left_ms);
        flo_err_why(err, "%s", place->demand.failure.what);
        return err->code;
    }
    if (place->serve->limits.refuses_loads && !place->demand.is_asked) {
        request->retry_after_s = LOADS_AGAIN_S;
        return flo_fail(err, FLO_E_INFER_BUSY,
                        "%s is not in memory, and the battery is nearly empty: "
                        "no model is loaded",
                        place->route.model);
    }
    uint64_t load_ms = load_left_ms(place, now_ms);
    if (load_ms > hold_ms) {
        request->retry_after_s = seconds_up(load_ms);
        return flo_fail(err, FLO_E_INFER_BUSY,
                        "%s is loaded in about %llu ms, a request waits %llu "
                        "at most",
                        place->route.model, (unsigned long long)load_ms,
                        (unsigned long long)hold_ms);
    }
    return 0;
}

/* ---- the spec ---- */

bool flo_demand_wait(const struct serve_request *request)
{
    struct serve_place *place = request->place;
    struct serve_demand *demand = &place->demand;
    bool softens = demand->is_asked && demand->is_soft && !is_soft(request);
    if (!is_on_demand(place) || (demand->is_asked && !softens)) {
        return false;
    }
    demand->is_soft = is_soft(request);
    demand->asked_ms = demand->is_asked ? demand->asked_ms : flo_now_ms();
    demand->is_asked = true;
    demand->is_told = false;
    return true;
}

void flo_demand_tell(struct flo_serve *serve)
{
    for (unsigned i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        struct serve_demand *demand = &serve->places[i].demand;
        if (!demand->is_asked || demand->is_told) {
            continue;
        }
        demand->is_told = true;
        if (serve->places[i].n_held == 0) {
            demand->is_asked = false; /* no request waits for the model any more */
        } else {
            flo_news_wanted(serve->news, i);
        }
    }
}

/* ---- its end ---- */

void flo_demand_met(struct serve_place *place)
{
    place->demand = (struct serve_demand){0};
}

void flo_demand_failed(struct serve_place *place, const struct flo_err *err)
{
    struct serve_demand *demand = &place->demand;
    demand->is_asked = false;
    demand->failures++;
    demand->next_ms = flo_now_ms() + flo_memory_backoff_ms(demand->failures);
    demand->failure = *err;
}

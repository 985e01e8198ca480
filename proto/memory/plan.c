/* Memory plan: chooses degradation levels and residency of all models within
 * the budget. */
#include "proto/memory/set.h"

#include <assert.h>

#define CONTEXT_STANDARD 2048
#define SESSIONS_STANDARD 4

/* ---- rungs ---- */

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void flo_memory_rungs(uint32_t context, uint32_t sessions,
                      struct flo_memory_rung out[FLO_MEMORY_RUNGS])
{
    static const struct flo_memory_rung table[FLO_MEMORY_RUNGS] = {
        {UINT32_MAX, UINT32_MAX, FLO_MEMORY_CACHE_F16},
        {2048, 4, FLO_MEMORY_CACHE_Q8_0},
        {2048, 2, FLO_MEMORY_CACHE_Q8_0},
        {1024, 2, FLO_MEMORY_CACHE_Q8_0},
        {512, 1, FLO_MEMORY_CACHE_Q8_0},
    };
    context = context > 0 ? context : CONTEXT_STANDARD;
    sessions = sessions > 0 ? sessions : SESSIONS_STANDARD;
    for (size_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        out[i].context = smaller(context, table[i].context);
        out[i].sessions = smaller(sessions, table[i].sessions);
        out[i].cache = table[i].cache;
    }
}

/* ---- what a plan costs ---- */

/* Returns the bytes of the memory pool that all on-demand models share: as much
 * as the largest of them needs. */
static uint64_t pool_of(const struct flo_memory_set *resident)
{
    uint64_t pool = 0;
    for (size_t i = 0; i < resident->count; i++) {
        const struct flo_memory_model *model = &resident->models[i];
        uint64_t bytes = resident->is_in[i]
                             ? 0
                             : flo_memory_cost_new(resident, model, flo_memory_last_rung(model));
        pool = bytes > pool ? bytes : pool;
    }
    return pool;
}

/* Returns the bytes of a set.  A file that several models have counts once, for
 * the first of them. */
static uint64_t cost_of(const struct flo_memory_set *resident, const struct flo_memory_plan *plan)
{
    struct flo_memory_set before = {.models = resident->models, .count = resident->count};
    uint64_t bytes = 0;
    for (size_t i = 0; i < resident->count; i++) {
        if (resident->is_in[i]) {
            bytes = flo_memory_add(
                bytes, flo_memory_cost_new(&before, &resident->models[i], plan->models[i].rung));
            before.is_in[i] = true;
        }
    }
    return bytes;
}

/* ---- the plan ---- */

static void weigh(const struct flo_memory_set *resident, struct flo_memory_plan *plan)
{
    assert(resident->count <= FLO_MEMORY_MODELS_MAX);
    plan->pool = pool_of(resident);
    plan->planned = flo_memory_add(cost_of(resident, plan), plan->pool);
}

/* Gives all resident models their best degradation level, which has the largest
 * cache.  Then lowers one level after the other, each for the least important
 * model first, until the plan fits.  Returns whether it fits. */
static bool step_down(const struct flo_memory_set *resident, const size_t *order,
                      struct flo_memory_plan *plan)
{
    const struct flo_memory_model *models = resident->models;
    for (size_t i = 0; i < resident->count; i++) {
        uint32_t last = flo_memory_last_rung(&models[i]);
        plan->models[i].is_resident = resident->is_in[i];
        plan->models[i].rung = resident->is_in[i] ? smaller(models[i].rung_min, last) : last;
    }
    weigh(resident, plan);
    for (uint32_t rung = 1; rung < FLO_MEMORY_RUNGS; rung++) {
        for (size_t i = resident->count; i-- > 0;) {
            size_t at = order[i];
            if (plan->planned <= plan->budget) {
                return true;
            }
            if (resident->is_in[at] && plan->models[at].rung < rung &&
                rung <= flo_memory_last_rung(&models[at])) {
                plan->models[at].rung = rung;
                weigh(resident, plan);
            }
        }
    }
    return plan->planned <= plan->budget;
}

/* Makes the least important resident model without a pin on-demand.  Returns
 * false when there is none. */
static bool demote(struct flo_memory_set *resident, const size_t *order)
{
    for (size_t i = resident->count; i-- > 0;) {
        size_t at = order[i];
        if (resident->is_in[at] && !resident->models[at].is_pinned) {
            resident->is_in[at] = false;
            return true;
        }
    }
    return false;
}

int flo_memory_plan(const struct flo_memory_model *models, size_t count, uint64_t budget,
                    struct flo_memory_plan *out, struct flo_err *err)
{
    struct flo_memory_set resident = {.models = models, .count = count};
    size_t order[FLO_MEMORY_MODELS_MAX];

    assert(count <= FLO_MEMORY_MODELS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert(models[i].rungs >= 1 && models[i].rungs <= FLO_MEMORY_RUNGS);
        assert(models[i].n_files <= FLO_MEMORY_FILES_MAX);
        resident.is_in[i] = models[i].is_pinned || !models[i].is_demoted;
    }
    *out = (struct flo_memory_plan){.budget = budget};
    flo_memory_order(models, count, order);
    out->fits = step_down(&resident, order, out);
    while (!out->fits && demote(&resident, order)) {
        out->fits = step_down(&resident, order, out);
    }
    assert(!out->fits || out->planned <= budget);
    return out->fits ? 0 : flo_memory_refuse(&resident, out, err);
}

uint64_t flo_memory_budget(uint64_t configured, uint64_t machine_bytes, uint64_t cgroup_bytes_max)
{
    uint64_t budget = configured > 0 ? configured : machine_bytes / 5 * 4;
    uint64_t most = cgroup_bytes_max / 10 * 9;
    return cgroup_bytes_max > 0 && most < budget ? most : budget;
}

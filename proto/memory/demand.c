/* Model loading: how a candidate is loaded next to the running models, and
 * which on-demand models are unloaded for another. */
#include "proto/memory/set.h"

#include <assert.h>

#define SERVED_MS_MIN 10000 /* an on-demand model serves at least this long */
#define SERVED_LOADS_MIN 3  /* an on-demand model serves at least this multiple of its load time */
#define SOFT_MS 60000       /* a batch request unloads no model that was used within this time */
#define BACKOFF_MS_MAX 60000

static struct flo_memory_set residents(const struct flo_memory_model *models, size_t count,
                                       const struct flo_memory_plan *plan)
{
    struct flo_memory_set set = {.models = models, .count = count};
    assert(count <= FLO_MEMORY_MODELS_MAX);
    for (size_t i = 0; i < count; i++) {
        set.is_in[i] = plan->models[i].is_resident;
    }
    return set;
}

/* ---- a candidate ---- */

const char *flo_memory_way_word(enum flo_memory_way way)
{
    static const char *const words[] = {[FLO_MEMORY_WARM] = "warm",
                                        [FLO_MEMORY_EVICT] = "evict",
                                        [FLO_MEMORY_SMALL] = "small",
                                        [FLO_MEMORY_STOP_FIRST] = "stop-first"};

    assert((size_t)way < FLO_COUNT(words));
    return words[way];
}

enum flo_memory_way flo_memory_candidate(const struct flo_memory_model *models, size_t count,
                                         const struct flo_memory_plan *plan, size_t model,
                                         const struct flo_memory_model *candidate,
                                         bool pool_is_free, uint64_t *needed)
{
    struct flo_memory_set set = residents(models, count, plan);
    uint64_t without_pool = plan->planned - plan->pool;
    uint32_t rung = plan->models[model].rung;
    uint64_t full = flo_memory_cost_new(&set, candidate, rung);
    uint64_t least = flo_memory_cost_new(&set, candidate, flo_memory_last_rung(candidate));

    assert(model < count && plan->planned >= plan->pool);
    *needed = plan->planned + full;
    if (*needed <= plan->budget) {
        return FLO_MEMORY_WARM;
    }
    *needed = without_pool + full;
    if (pool_is_free && *needed <= plan->budget) {
        return FLO_MEMORY_EVICT;
    }
    *needed = (pool_is_free ? without_pool : plan->planned) + least;
    if (*needed <= plan->budget) {
        return FLO_MEMORY_SMALL;
    }
    *needed = plan->planned;
    return FLO_MEMORY_STOP_FIRST;
}

/* ---- the pool ---- */

/* Returns the time in which the model may not be unloaded, or 0 when it may be
 * unloaded now. */
static uint64_t protected_ms(const struct flo_memory_host *host, bool is_soft, uint64_t now_ms)
{
    uint64_t served = SERVED_LOADS_MIN * host->load_ms;
    uint64_t until = host->loaded_ms + (served > SERVED_MS_MIN ? served : SERVED_MS_MIN);
    if (is_soft && host->used_ms + SOFT_MS > until) {
        until = host->used_ms + SOFT_MS;
    }
    return until > now_ms ? until - now_ms : 0;
}

static uint64_t used_ms(const struct flo_memory_host *host)
{
    return host->used_ms > host->loaded_ms ? host->used_ms : host->loaded_ms;
}

static bool is_in_pool(const struct flo_memory_plan *plan, const struct flo_memory_host *hosts,
                       size_t index)
{
    return hosts[index].is_loaded && !plan->models[index].is_resident;
}

/* Returns the bytes by which the memory in use grows beyond the resident
 * models' when `wanted` and the on-demand models in `stays` are loaded. */
static uint64_t pool_used(const struct flo_memory_set *residents,
                          const struct flo_memory_plan *plan, const bool stays[], size_t wanted)
{
    struct flo_memory_set set = *residents;
    uint64_t bytes = 0;

    assert(wanted < set.count);
    for (size_t i = 0; i < set.count; i++) {
        if (i == wanted || (stays[i] && !plan->models[i].is_resident)) {
            bytes +=
                flo_memory_cost_new(&set, &set.models[i], flo_memory_last_rung(&set.models[i]));
            set.is_in[i] = true;
        }
    }
    return bytes;
}

/* Returns the index of the next model to unload, or the number of models when
 * there is none.  Sets *wait_ms to the time until the first model may be
 * unloaded. */
static size_t next_out(const struct flo_memory_set *residents, const struct flo_memory_plan *plan,
                       const struct flo_memory_host *hosts, const bool stays[], size_t wanted,
                       bool is_soft, uint64_t now_ms, uint64_t *wait_ms)
{
    size_t found = residents->count;
    for (size_t i = 0; i < residents->count; i++) {
        if (i == wanted || !stays[i] || !is_in_pool(plan, hosts, i) || hosts[i].requests > 0) {
            continue;
        }
        uint64_t left_ms = protected_ms(&hosts[i], is_soft, now_ms);
        if (left_ms > 0) {
            if (*wait_ms == 0 || left_ms < *wait_ms) {
                *wait_ms = left_ms;
            }
        } else if (found == residents->count || used_ms(&hosts[i]) < used_ms(&hosts[found])) {
            found = i;
        }
    }
    return found;
}

void flo_memory_room(const struct flo_memory_model *models, size_t count,
                     const struct flo_memory_plan *plan, const struct flo_memory_host *hosts,
                     size_t wanted, bool is_soft, uint64_t now_ms, struct flo_memory_room *out)
{
    struct flo_memory_set set = residents(models, count, plan);
    bool stays[FLO_MEMORY_MODELS_MAX] = {false};

    assert(wanted < count && !plan->models[wanted].is_resident);
    *out = (struct flo_memory_room){.has_room = true};
    for (size_t i = 0; i < count; i++) {
        stays[i] = is_in_pool(plan, hosts, i);
    }
    while (pool_used(&set, plan, stays, wanted) > plan->pool) {
        size_t gone = next_out(&set, plan, hosts, stays, wanted, is_soft, now_ms, &out->wait_ms);
        if (gone == count) {
            *out = (struct flo_memory_room){.wait_ms = out->wait_ms};
            return;
        }
        out->evict[out->n_evict++] = (uint32_t)gone;
        stays[gone] = false;
    }
    out->wait_ms = 0;
}

/* ---- times ---- */

uint64_t flo_memory_load_ms(uint64_t unread_bytes, uint64_t disk_bytes_per_s, uint64_t last_load_ms,
                            uint64_t drain_ms)
{
    uint64_t read_ms = 0;
    if (disk_bytes_per_s > 0) {
        read_ms = unread_bytes / disk_bytes_per_s * 1000 +
                  unread_bytes % disk_bytes_per_s * 1000 / disk_bytes_per_s;
    }
    return read_ms + last_load_ms + drain_ms;
}

uint64_t flo_memory_backoff_ms(uint32_t failures)
{
    return failures == 0 ? 0 : flo_backoff_ms(1000, failures, BACKOFF_MS_MAX);
}

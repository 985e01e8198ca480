/* Model cache: which models are in memory.
 *
 * The planner (agent/core/memory) decides which models stay and at which
 * degradation level (rung).  Those are loaded, and reloaded when they are lost.
 * The others are loaded when a request wants them, at their lowest level, and
 * evict each other.  Each uses the role CURRENT of its model in flo_serve. */
#ifndef FLOTILLA_SERVE_MODEL_CACHE_H
#define FLOTILLA_SERVE_MODEL_CACHE_H

#include "agent/serve/serve.h"
#include "proto/memory/memory.h"

struct flo_model_cache_model {
    struct flo_memory_model memory;
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    /* Route of the model.  The model cache sets its state and load_ms. */
    struct flo_serve_route route;
};
struct flo_model_cache_calls {
    void *context;
    /* Loads the model at this level: flo_serve_load() into CURRENT, at once or
     * later.  An error is reported to the waiting requests, and the load is
     * retried. */
    int (*load)(void *context, unsigned model, const struct flo_memory_rung *rung,
                struct flo_err *err);
};

struct flo_model_cache;
FLO_MUST_USE int flo_model_cache_open(struct event_base *base, struct flo_serve *serve,
                                      const struct flo_model_cache_calls *calls,
                                      struct flo_model_cache **out, struct flo_err *err);
/* Closes the model cache.  Must be called before flo_serve_close(). */
void flo_model_cache_close(struct flo_model_cache *model_cache);
/* Plans these models, the first of which is model 0 of flo_serve, and loads and
 * unloads until memory matches the plan.  FLO_E_MEMORY_BUDGET: nothing
 * changes. */
FLO_MUST_USE int flo_model_cache_set(struct flo_model_cache *model_cache,
                                     const struct flo_model_cache_model *models, size_t count,
                                     uint64_t budget, struct flo_err *err);
/* Returns the current plan; NULL: none. */
const struct flo_memory_plan *flo_model_cache_plan(const struct flo_model_cache *model_cache);

/* Handle events of flo_serve for the role CURRENT.  A loaded model is made
 * live. */
void flo_model_cache_loaded(struct flo_model_cache *model_cache, unsigned model, uint64_t load_ms,
                            const struct flo_err *err);
void flo_model_cache_lost(struct flo_model_cache *model_cache, unsigned model);
void flo_model_cache_wanted(struct flo_model_cache *model_cache, unsigned model);

#endif

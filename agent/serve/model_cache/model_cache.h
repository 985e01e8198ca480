/* Model cache: decides which models are in memory, for a server without an
 * agent.
 *
 * The planner (agent/core/memory) decides which models stay in memory, and at
 * which degradation level (rung).  These are loaded, and loaded again when they
 * are lost.  The other models are loaded when a request wants them, at their
 * lowest level, and unload each other.  Each model uses its role CURRENT in
 * flo_serve. */
#ifndef FLOTILLA_SERVE_MODEL_CACHE_H
#define FLOTILLA_SERVE_MODEL_CACHE_H

#include "agent/serve/serve.h"
#include "proto/memory/memory.h"

struct flo_model_cache_model {
    struct flo_memory_model memory;
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    /* Route of the model; the model cache sets its state and load_ms. */
    struct flo_serve_route route;
};
struct flo_model_cache_calls {
    void *context;
    /* Loads the model at this degradation level: it calls flo_serve_load() for
     * the role CURRENT, at once or later.  An error is reported to the waiting
     * requests, and the load is tried again later. */
    int (*load)(void *context, unsigned model, const struct flo_memory_rung *rung,
                struct flo_err *err);
};

struct flo_model_cache;
FLO_MUST_USE int flo_model_cache_open(struct event_base *base, struct flo_serve *serve,
                                      const struct flo_model_cache_calls *calls,
                                      struct flo_model_cache **out, struct flo_err *err);
/* Closes the model cache, before flo_serve_close(). */
void flo_model_cache_close(struct flo_model_cache *model_cache);
/* Plans memory for these models, the first of which is model 0 of flo_serve.
 * Then loads and unloads models until memory is as planned.
 * FLO_E_MEMORY_BUDGET  they do not fit; nothing changes */
FLO_MUST_USE int flo_model_cache_set(struct flo_model_cache *model_cache,
                                     const struct flo_model_cache_model *models, size_t count,
                                     uint64_t budget, struct flo_err *err);
/* Returns the present memory plan; NULL: there is none. */
const struct flo_memory_plan *flo_model_cache_plan(const struct flo_model_cache *model_cache);

/* Handles the end of a load of the role CURRENT.  A loaded model is made
 * live. */
void flo_model_cache_loaded(struct flo_model_cache *model_cache, unsigned model, uint64_t load_ms,
                            const struct flo_err *err);
/* Handles the loss of the model's engine in the role CURRENT. */
void flo_model_cache_lost(struct flo_model_cache *model_cache, unsigned model);
/* Handles a request that waits for the model. */
void flo_model_cache_wanted(struct flo_model_cache *model_cache, unsigned model);

#endif

/* Residence: the model cache: which models are in memory.
 *
 * The planner (agent/core/memory) decides which models stay and at which
 * degradation level (rung).  Those are loaded, and reloaded when they are lost.
 * The others are loaded when a request wants them, at their lowest level, and
 * evict each other.  Each uses the role CURRENT of its model in flo_serve. */
#ifndef FLOTILLA_SERVE_RESIDENCE_H
#define FLOTILLA_SERVE_RESIDENCE_H

#include "agent/serve/serve.h"
#include "proto/memory/memory.h"

struct flo_residence_model {
    struct flo_memory_model memory;
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    /* The route; its state and load_ms are set by this room. */
    struct flo_serve_route route;
};
struct flo_residence_calls {
    void *context;
    /* Loads the model at this level: flo_serve_load() into CURRENT, at once or
     * later.  An error is reported to the waiting requests, and the load is
     * retried. */
    int (*load)(void *context, unsigned model, const struct flo_memory_rung *rung,
                struct flo_err *err);
};

struct flo_residence;
FLO_MUST_USE int flo_residence_open(struct event_base *base, struct flo_serve *serve,
                                    const struct flo_residence_calls *calls,
                                    struct flo_residence **out, struct flo_err *err);
/* Must be called before flo_serve_close(). */
void flo_residence_close(struct flo_residence *residence);
/* Plans these models, the first of which is model 0 of flo_serve, and loads and
 * unloads until memory matches the plan.  FLO_E_MEMORY_BUDGET: nothing
 * changes. */
FLO_MUST_USE int flo_residence_set(struct flo_residence *residence,
                                   const struct flo_residence_model *models, size_t count,
                                   uint64_t budget, struct flo_err *err);
/* Returns the current plan; NULL: none. */
const struct flo_memory_plan *flo_residence_plan(const struct flo_residence *residence);

/* Events of flo_serve for the role CURRENT; a loaded model is made live. */
void flo_residence_loaded(struct flo_residence *residence, unsigned model, uint64_t load_ms,
                          const struct flo_err *err);
void flo_residence_lost(struct flo_residence *residence, unsigned model);
void flo_residence_wanted(struct flo_residence *residence, unsigned model);

#endif

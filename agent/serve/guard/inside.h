/* The guards of a server: inside this folder. */
#ifndef FLOTILLA_SERVE_GUARD_INSIDE_H
#define FLOTILLA_SERVE_GUARD_INSIDE_H

#include "agent/serve/front/memory.h"
#include "agent/serve/guard/child.h"
#include "agent/serve/guard/guard.h"
#include "agent/serve/guard/verdict.h"

struct guards {
    struct flo_serve *serve;
    const struct guard_router *router;
    uint32_t count;
    struct guard {
        struct flo_serve_guard is;
        uint64_t verdicts[GUARD_VERDICTS];
    } all[FLO_SERVE_GUARDS_MAX];
    struct guard_pool pool;
};

/* A request of a guard to a model (ask.c).  NULL: it was refused.  In any case
 * `answer` hears, once: of status 200 with what the model said, or of another
 * one with a sentence.  It may hear at once, and is zero at first but for
 * `done` and `context`. */
struct serve_request *flo_guard_ask_model(const struct serve_request *asker,
                                          const struct flo_serve_guard *guard,
                                          enum flo_guard_stage stage, struct serve_memory *answer);

/* Does it look at requests to the model? */
bool flo_guard_fits(const struct flo_serve_guard *guard, const struct serve_place *place);

#endif

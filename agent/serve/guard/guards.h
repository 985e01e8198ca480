/* Declares the guards of a server, for the files of this folder. */
#ifndef FLOTILLA_SERVE_GUARD_GUARDS_H
#define FLOTILLA_SERVE_GUARD_GUARDS_H

#include "agent/serve/engines/child.h"
#include "agent/serve/front/memory.h"
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
    struct serve_child_pool pool;
};

/* Makes a guard's request to a model (ask.c); NULL: the request was refused.
 * `answer` is completed once in any case, perhaps at once: with status 200 and
 * the model's text, or with another status and an error text.  The caller sets
 * `answer` to zero, then `done` and `context`. */
struct serve_request *flo_guard_ask_model(const struct serve_request *asker,
                                          const struct flo_serve_guard *guard,
                                          enum flo_guard_stage stage, struct serve_memory *answer);

/* Tells whether the guard checks requests to this model. */
bool flo_guard_fits(const struct flo_serve_guard *guard, const struct serve_place *place);

#endif

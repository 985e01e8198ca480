/* Programs of guards: each gets a text, and is asked for one. */
#ifndef FLOTILLA_SERVE_GUARD_CHILD_H
#define FLOTILLA_SERVE_GUARD_CHILD_H

#include <flotilla/base.h>

struct event_base;
struct guard_child;

struct guard_pool {
    struct event_base *base;
    struct guard_child *children; /* with those that are ending */
    uint32_t count;
    void (*freed)(void *context); /* a process has ended: there is a place */
    void *context;
};

enum guard_end { GUARD_END_STATUS, GUARD_END_LATE, GUARD_END_TOO_MUCH };

/* Start a program; its question is taken, whatever the result.  `done` is told
 * once, from the loop: how it ended, its status (128 and its signal), and all
 * that it wrote.  FLO_E_PROCESS, FLO_E_MEMORY. */
struct guard_child_wish {
    const char *const *argv;
    struct flo_buf *question;
    size_t bytes_max; /* bytes of its answer */
    uint64_t ms_max;
    void (*done)(void *context, enum guard_end end, int status, struct flo_buf *answer);
    void *context;
};
FLO_MUST_USE int flo_guard_child_start(struct guard_pool *pool, const struct guard_child_wish *wish,
                                       struct guard_child **out, struct flo_err *err);
/* End it; `done` is not told.  NULL is fine. */
void flo_guard_child_cancel(struct guard_child *child);
/* End all, and wait for that: some seconds at most. */
void flo_guard_pool_close(struct guard_pool *pool);

#endif

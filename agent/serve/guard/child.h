/* Child: runs programs of guards, each of which gets a text on stdin and
 * answers on stdout. */
#ifndef FLOTILLA_SERVE_GUARD_CHILD_H
#define FLOTILLA_SERVE_GUARD_CHILD_H

#include <flotilla/base.h>

struct event_base;
struct guard_child;

struct guard_pool {
    struct event_base *base;
    struct guard_child *children; /* children, including those that are ending */
    uint32_t count;
    void (*freed)(void *context); /* called when a process has ended: another one may start */
    void *context;
};

enum guard_end { GUARD_END_STATUS, GUARD_END_LATE, GUARD_END_TOO_MUCH };

/* Settings of a program's start; the question is taken in any case.  `done` is
 * called once, from the loop: how the program ended, its status (or 128 +
 * signal), and all its output.  FLO_E_PROCESS, FLO_E_MEMORY. */
struct guard_child_spec {
    const char *const *argv;
    struct flo_buf *question;
    size_t bytes_max; /* limit of the program's output */
    uint64_t ms_max;
    void (*done)(void *context, enum guard_end end, int status, struct flo_buf *answer);
    void *context;
};
FLO_MUST_USE int flo_guard_child_start(struct guard_pool *pool, const struct guard_child_spec *spec,
                                       struct guard_child **out, struct flo_err *err);
/* Ends a program without calling `done`.  NULL is fine. */
void flo_guard_child_cancel(struct guard_child *child);
/* Ends all programs and waits for some seconds at most. */
void flo_guard_pool_close(struct guard_pool *pool);

#endif

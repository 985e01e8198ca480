/* Child: runs the programs of guards.  A program reads a text on stdin and
 * answers on stdout. */
#ifndef FLOTILLA_SERVE_GUARD_CHILD_H
#define FLOTILLA_SERVE_GUARD_CHILD_H

#include <flotilla/base.h>

struct event_base;
struct serve_child;

struct serve_child_pool {
    struct event_base *base;
    struct serve_child *children; /* list of the programs that run or are ending */
    uint32_t count;
    /* Called when a process has ended, so that another program may start.  NULL:
     * no program waits for that. */
    void (*freed)(void *context);
    void *context;
};

enum serve_child_end { SERVE_CHILD_STATUS, SERVE_CHILD_LATE, SERVE_CHILD_TOO_MUCH };

/* Settings for the start of a guard's program.  The start owns `question` from
 * then on, even if it fails.  `done` is called once, from the event loop: it
 * gets how the program ended, its status (or 128 + signal) and all of its
 * output.
 * FLO_E_PROCESS, FLO_E_MEMORY  the start failed */
struct serve_child_spec {
    const char *words; /* command line of the child: each word, then a 0 byte */
    uint32_t n_words;  /* at most FLO_GUARD_WORDS_MAX */
    struct flo_buf *question;
    size_t bytes_max; /* largest number of bytes that the program may write */
    uint64_t ms_max;
    void (*done)(void *context, enum serve_child_end end, int status, struct flo_buf *answer);
    void *context;
};
FLO_MUST_USE int flo_serve_child_start(struct serve_child_pool *pool,
                                       const struct serve_child_spec *spec,
                                       struct serve_child **out, struct flo_err *err);
/* Ends a program without calling `done`.  NULL is allowed. */
void flo_serve_child_cancel(struct serve_child *child);
/* Ends all programs, and waits for them for some seconds at most. */
void flo_serve_child_pool_close(struct serve_child_pool *pool);

#endif

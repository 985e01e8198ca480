/* One activation: a hook that runs, then looks at the health of a program.
 *
 * The device's core (core/device/linked.c) says which release has the link;
 * this one says how the change of a link goes.  Pure, as all of core/. */
#ifndef FLOTILLA_AGENT_CORE_LINKING_H
#define FLOTILLA_AGENT_CORE_LINKING_H

#include <flotilla/base.h>

#define FLO_HOOK_MS_MAX 60000      /* that a hook may run */
#define FLO_HOOK_AGAIN_MS_MIN 5000 /* after one that failed; doubles */
#define FLO_HOOK_AGAIN_MS_MAX 600000
#define FLO_HEALTH_MS_MAX 5000     /* that a look at the health may take */
#define FLO_HEALTH_STARTING_MS 250 /* between two looks before it serves */

struct flo_linking_limits {
    bool has_health;     /* else the end of the hook is all that is known */
    uint64_t ready_ms;   /* from the end of the hook to the first good look */
    uint64_t every_ms;   /* between two looks */
    uint32_t misses_max; /* in a row */
};

enum flo_linking_state {
    FLO_LINKING_NONE,
    FLO_LINKING_HOOK,   /* the hook runs */
    FLO_LINKING_FAILED, /* the hook failed, and runs again */
    FLO_LINKING_STARTS, /* the hook ran; the program was not healthy yet */
    FLO_LINKING_SERVES,
    FLO_LINKING_ILL,
};
struct flo_linking {
    enum flo_linking_state state;
    struct flo_linking_limits limits;
    bool is_looking;
    uint32_t misses, failures; /* in a row */
    uint64_t due_ms;           /* time of the next DUE; 0: none */
    uint64_t ready_by_ms;
};

enum flo_linking_event {
    FLO_LINKING_DUE, /* due_ms has come */
    FLO_LINKING_HOOK_DONE,
    FLO_LINKING_HOOK_FAILED,
    FLO_LINKING_GOOD, /* a look at the health */
    FLO_LINKING_BAD,
};
enum flo_linking_do {
    FLO_LINKING_NOTHING,
    FLO_LINKING_RUN,
    FLO_LINKING_LOOK,
    FLO_LINKING_TELL_SERVES,
    FLO_LINKING_TELL_FAILED, /* the hook */
    FLO_LINKING_TELL_ILL,    /* the program */
};

/* Begin, with the hook or, where it ran for this link already, after it.  It
 * ends an activation that was under way. */
enum flo_linking_do flo_linking_begin(struct flo_linking *activation,
                                      const struct flo_linking_limits *limits, bool needs_hook,
                                      uint64_t now_ms);
enum flo_linking_do flo_linking_step(struct flo_linking *activation, enum flo_linking_event event,
                                     uint64_t now_ms);

/* ---- what others say ---- */

/* The status in the first line of an HTTP answer; 0: it is none. */
int flo_http_status_read(const char *text, size_t bytes);
/* The number in a pid file, 2 or more; 0: there is none. */
int flo_pid_read(const char *text, size_t bytes);

#endif

/* Activation of a linked release, whose files a program reads through a link:
 * runs a hook that tells the program, then checks the program's health.
 *
 * The device's core (core/device/linked.c) decides to which release the link
 * points.  This file decides the steps after the link has changed.  Pure, as
 * all of core/. */
#ifndef FLOTILLA_AGENT_CORE_LINKING_H
#define FLOTILLA_AGENT_CORE_LINKING_H

#include <flotilla/base.h>

#define FLO_HOOK_MS_MAX 60000 /* longest duration of a hook */
/* pause before a failed hook runs again; it doubles with each failure */
#define FLO_HOOK_AGAIN_MS_MIN 5000
#define FLO_HOOK_AGAIN_MS_MAX 600000
#define FLO_HEALTH_MS_MAX 5000     /* longest duration of a health check */
#define FLO_HEALTH_STARTING_MS 250 /* time between two health checks while the program starts */

struct flo_linking_limits {
    /* true: the program has a health check; false: it counts as healthy when
     * its hook has ended */
    bool has_health;
    uint64_t ready_ms;   /* time limit from the hook's end to the first healthy check */
    uint64_t every_ms;   /* time between two health checks */
    uint32_t misses_max; /* in a row */
};

enum flo_linking_state {
    FLO_LINKING_NONE,
    FLO_LINKING_HOOK,   /* the hook is running */
    FLO_LINKING_FAILED, /* the hook failed, and will run again */
    FLO_LINKING_STARTS, /* the hook has run; the program is not healthy yet */
    FLO_LINKING_SERVES,
    FLO_LINKING_ILL,
};
struct flo_linking {
    enum flo_linking_state state;
    struct flo_linking_limits limits;
    bool is_looking;
    uint32_t misses, failures; /* in a row */
    uint64_t due_ms;           /* time at which the caller sends FLO_LINKING_DUE; 0: never */
    uint64_t ready_by_ms;
};

enum flo_linking_event {
    FLO_LINKING_DUE, /* due_ms has come */
    FLO_LINKING_HOOK_DONE,
    FLO_LINKING_HOOK_FAILED,
    FLO_LINKING_GOOD, /* a health check succeeded */
    FLO_LINKING_BAD,
};
enum flo_linking_do {
    FLO_LINKING_NOTHING,
    FLO_LINKING_RUN,
    FLO_LINKING_LOOK,
    FLO_LINKING_TELL_SERVES,
    FLO_LINKING_TELL_FAILED, /* the hook failed */
    FLO_LINKING_TELL_ILL,    /* report that the program is unhealthy */
};

/* Begins an activation with the hook, or with the health check when the hook
 * has already run for this link.  It replaces an activation in progress. */
enum flo_linking_do flo_linking_begin(struct flo_linking *activation,
                                      const struct flo_linking_limits *limits, bool needs_hook,
                                      uint64_t now_ms);
enum flo_linking_do flo_linking_step(struct flo_linking *activation, enum flo_linking_event event,
                                     uint64_t now_ms);

/* ---- what others say ---- */

/* Returns the status code in the first line of an HTTP answer; 0: the text has
 * no such line. */
int flo_http_status_read(const char *text, size_t bytes);
/* Returns the process number in the text of a pid file, 2 or more; 0: there is
 * none. */
int flo_pid_read(const char *text, size_t bytes);

#endif

/* Tick: the controller's work of each second, minute and hour.  Pure. */
#ifndef FLOTILLA_SERVER_CORE_TICK_H
#define FLOTILLA_SERVER_CORE_TICK_H

#include <flotilla/base.h>

struct flo_tick {
    uint64_t ticked_ms; /* the last one */
    /* hour of the last hourly work, by the wall clock, because orders age by
     * it */
    uint64_t hour;
    uint64_t heard_ms; /* time of the next check of connected devices */
};
struct flo_tick_now {
    uint64_t now_ms, wall_ms;
    bool listens;    /* the broker runs, so messages of devices can arrive */
    bool has_active; /* some rollout is running */
    bool is_making;  /* the rows of a large order are still being written */
};
struct flo_tick_due {
    bool steps;      /* rollouts are stepped */
    bool is_stalled; /* the process stalled since the last tick, so a device
                        that was not heard in that time is not counted as silent */
    /* connected devices are to count as heard, even if they report seldom */
    bool hears;
    bool is_hourly; /* orders are signed again, and old rows are deleted */
};
/* Gets the parts of the work that are due now.  If there are none, no
 * transaction is opened. */
void flo_tick_next(struct flo_tick *tick, const struct flo_tick_now *now, struct flo_tick_due *out);
/* Notes that connected devices were counted as present, even if they report
 * seldom.  They are to be counted again after a minute. */
void flo_tick_heard(struct flo_tick *tick, uint64_t now_ms);
/* Notes that the hourly work was begun.  It is due again in the next hour. */
void flo_tick_took_hour(struct flo_tick *tick, uint64_t wall_ms);

#endif

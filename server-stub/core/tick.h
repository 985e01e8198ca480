/* Tick: the controller's work of each second, minute and hour.  Pure. */
#ifndef FLOTILLA_SERVER_CORE_TICK_H
#define FLOTILLA_SERVER_CORE_TICK_H

#include <flotilla/base.h>

struct flo_tick {
    uint64_t ticked_ms; /* the last one */
    uint64_t hour;      /* hour of the wall clock, because orders age by this clock */
    uint64_t heard_ms;  /* time of the next check of connected devices */
};
struct flo_tick_now {
    uint64_t now_ms, wall_ms;
    bool listens;    /* the broker runs, so messages of devices can arrive */
    bool has_active; /* some rollout is running */
    bool is_making;  /* the rows of a large order are still being written */
};
struct flo_tick_due {
    bool steps;      /* rollouts are stepped */
    bool is_stalled; /* the process stalled since the last tick, so that time is no silence of
                        devices */
    bool hears;      /* connected devices are not silent, even if they report seldom */
    bool is_hourly;  /* orders are signed again, and old rows are deleted */
};
/* Gets the parts of the work that are due now.  If there are none, no
 * transaction is opened. */
void flo_tick_next(struct flo_tick *tick, const struct flo_tick_now *now, struct flo_tick_due *out);
/* Note that a part was begun, so that it is not due again within the minute or
 * the hour. */
void flo_tick_heard(struct flo_tick *tick, uint64_t now_ms);
void flo_tick_took_hour(struct flo_tick *tick, uint64_t wall_ms);

#endif

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
    bool listens;    /* messages of devices can arrive */
    bool has_active; /* some rollout is running */
    bool is_making;  /* rows of a large order are still made */
};
struct flo_tick_due {
    bool steps;      /* rollouts are stepped */
    bool is_stalled; /* the time since the last one is no silence of devices */
    bool hears;      /* a connected device is not silent, however seldom it reports */
    bool is_hourly;  /* orders are signed again, and old rows are deleted */
};
/* Parts that are due now; none of them: no transaction is opened. */
void flo_tick_next(struct flo_tick *tick, const struct flo_tick_now *now, struct flo_tick_due *out);
/* That part was begun: not again within the minute, the hour. */
void flo_tick_heard(struct flo_tick *tick, uint64_t now_ms);
void flo_tick_took_hour(struct flo_tick *tick, uint64_t wall_ms);

#endif

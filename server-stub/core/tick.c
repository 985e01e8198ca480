/* Tick: decides which work of the controller is due. */
#include "server-stub/core/tick.h"

#include "server-stub/core/timers.h"

#define HOUR_MS (UINT64_C(3600) * 1000)
#define HEARD_MS 60000

void flo_tick_next(struct flo_tick *tick, const struct flo_tick_now *now, struct flo_tick_due *out)
{
    out->steps = now->listens && now->has_active;
    out->is_stalled = flo_ticks_stalled(tick->ticked_ms, now->now_ms);
    out->hears = out->steps && now->now_ms >= tick->heard_ms;
    out->is_hourly = now->wall_ms / HOUR_MS != tick->hour && !now->is_making;
    tick->ticked_ms = now->now_ms;
}

void flo_tick_heard(struct flo_tick *tick, uint64_t now_ms)
{
    tick->heard_ms = now_ms + HEARD_MS;
}

void flo_tick_took_hour(struct flo_tick *tick, uint64_t wall_ms)
{
    tick->hour = wall_ms / HOUR_MS;
}

/* Timeouts: the rules of timeouts.h, by which the agent waits for its
 * processes. */
#include <assert.h>

#include <flotilla/timeouts.h>

#define LOAD_FACTOR 5 /* time limit of a load, as a multiple of hang_ms_max */
#define TICK_MS_MAX 1000
/* number of losses within LOSSES_MS after which an engine is not restarted */
#define LOSSES_MAX 5
#define LOSSES_MS 60000    /* period in which losses are counted */
#define RESTART_MS_MIN 100 /* pause before the first restart; it doubles with each loss */
#define SECURITY_PAUSE_MS 60000
#define NOTES_MAX 64
/* divisor: this part of the spread time comes first, and only answers to orders
 * are sent in it */
#define REPORT_QUIET 4

/* ---- an engine without a sign of life ---- */

uint64_t flo_watchdog_tick_ms(uint64_t hang_ms_max)
{
    uint64_t ms = hang_ms_max / 8 + 1;

    return ms < TICK_MS_MAX ? ms : TICK_MS_MAX;
}

uint64_t flo_watchdog_ms_max(const struct flo_watchdog_limits *limits)
{
    uint64_t ms = limits->hang_ms_max;

    assert(limits->hang_ms_max <= UINT64_MAX / LOAD_FACTOR);
    if (!limits->is_loading) {
        return ms;
    }
    ms *= LOAD_FACTOR;
    return ms > limits->ready_ms ? ms : limits->ready_ms;
}

enum flo_watchdog_verdict flo_watchdog_tick(struct flo_watchdog *watchdog,
                                            const struct flo_watchdog_limits *limits)
{
    watchdog->ticks++;
    if (watchdog->ticks * flo_watchdog_tick_ms(limits->hang_ms_max) > flo_watchdog_ms_max(limits)) {
        return FLO_WATCHDOG_KILLS;
    }
    return watchdog->has_ping || limits->is_loading ? FLO_WATCHDOG_WAITS : FLO_WATCHDOG_PINGS;
}

/* ---- engines that are lost ---- */

bool flo_losses_add(struct flo_losses *losses, uint64_t now_ms, uint64_t *delay_ms)
{
    assert(now_ms >= losses->first_ms);
    assert(delay_ms != NULL);
    if (now_ms - losses->first_ms > LOSSES_MS) {
        losses->first_ms = now_ms;
        losses->count = 0;
    }
    if (++losses->count > LOSSES_MAX) {
        return false;
    }
    *delay_ms = (uint64_t)RESTART_MS_MIN << (losses->count - 1);
    return true;
}

/* ---- work of a process at low priority ---- */

void flo_work_begin(struct flo_work *work, uint64_t now_ms)
{
    *work = (struct flo_work){.started_ms = now_ms, .looked_ms = now_ms, .worked_ms = now_ms};
}

enum flo_work_verdict flo_work_look(struct flo_work *work, const struct flo_work_limits *limits,
                                    uint64_t now_ms, bool is_told, uint64_t cpu_ms,
                                    bool waits_for_disk)
{
    assert(now_ms >= work->looked_ms);
    if (!waits_for_disk) {
        work->spent_ms += now_ms - work->looked_ms;
    }
    if (!is_told || waits_for_disk || cpu_ms != work->cpu_ms) {
        work->worked_ms = now_ms;
    }
    work->looked_ms = now_ms;
    work->cpu_ms = cpu_ms;
    if (work->spent_ms >= limits->spent_ms_max) {
        return FLO_WORK_SPENT_TOO_MUCH;
    }
    if (now_ms - work->started_ms >= limits->total_ms_max) {
        return FLO_WORK_TAKES_TOO_LONG;
    }
    return now_ms - work->worked_ms >= limits->idle_ms_max ? FLO_WORK_STANDS_STILL
                                                           : FLO_WORK_GOES_ON;
}

/* ---- notes ---- */

bool flo_note_may_go(bool is_security, uint64_t told_ms, uint64_t waiting, uint64_t now_ms)
{
    bool is_early =
        is_security && told_ms != 0 && now_ms >= told_ms && now_ms - told_ms < SECURITY_PAUSE_MS;

    return !is_early && waiting < NOTES_MAX;
}

/* ---- reports ---- */

uint64_t flo_report_pause_ms(uint64_t spread_ms, uint64_t random)
{
    uint64_t first_ms = spread_ms / REPORT_QUIET;

    return spread_ms <= FLO_RECONNECT_MS_MIN ? 0 : first_ms + random % (spread_ms - first_ms);
}

/* Patience: how long the agent waits for its processes, and what comes then.
 * Pure; times come from the caller. */
#ifndef FLOTILLA_AGENT_PATIENCE_H
#define FLOTILLA_AGENT_PATIENCE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* ---- an engine without a sign of life ---- */

/* Time is counted in ticks of the caller's own timer, so that a suspended
 * machine does not look like a hang. */
struct flo_watchdog {
    uint32_t ticks; /* since the last sign of life */
    bool has_ping;  /* a ping is under way */
};
struct flo_watchdog_limits {
    uint64_t hang_ms_max;
    uint64_t ready_ms; /* a runtime may load for so long; 0: our engine */
    bool is_loading;
};
enum flo_watchdog_verdict {
    FLO_WATCHDOG_WAITS,
    FLO_WATCHDOG_PINGS, /* send a ping and set has_ping */
    FLO_WATCHDOG_KILLS
};

/* The time between two ticks. */
uint64_t flo_watchdog_tick_ms(uint64_t hang_ms_max);
/* The longest silence. */
uint64_t flo_watchdog_ms_max(const struct flo_watchdog_limits *limits);
/* One tick passed without a sign of life. */
enum flo_watchdog_verdict flo_watchdog_tick(struct flo_watchdog *watchdog,
                                            const struct flo_watchdog_limits *limits);

/* ---- engines that are lost ---- */

struct flo_losses {
    uint64_t first_ms; /* when this row of losses began */
    uint32_t count;
};

/* One more loss.  true: start again after *delay_ms; false: give up, there
 * were too many in a minute. */
bool flo_losses_add(struct flo_losses *losses, uint64_t now_ms, uint64_t *delay_ms);

/* ---- work of a process at low priority ---- */

struct flo_work_limits {
    uint64_t spent_ms_max; /* without waits for a disk */
    uint64_t total_ms_max;
    uint64_t idle_ms_max; /* neither computing nor waiting for a disk */
};
struct flo_work {
    uint64_t started_ms, looked_ms;
    uint64_t worked_ms; /* the last sign of work */
    uint64_t spent_ms;  /* other than waiting for a disk */
    uint64_t cpu_ms;
};
enum flo_work_verdict {
    FLO_WORK_GOES_ON,
    FLO_WORK_SPENT_TOO_MUCH,
    FLO_WORK_TAKES_TOO_LONG,
    FLO_WORK_STANDS_STILL
};

void flo_work_begin(struct flo_work *work, uint64_t now_ms);
/* A look at the process.  When the system does not tell (`is_told` false), the
 * process counts as working: the limits of time remain. */
enum flo_work_verdict flo_work_look(struct flo_work *work, const struct flo_work_limits *limits,
                                    uint64_t now_ms, bool is_told, uint64_t cpu_ms,
                                    bool waits_for_disk);

/* ---- notes ---- */

/* May a note of this error go out?  Security notes of one error rest for a
 * minute; no kind has more than 64 notes that wait.  `told_ms` 0: never. */
bool flo_note_may_go(bool is_security, uint64_t told_ms, uint64_t waiting, uint64_t now_ms);

/* ---- reports ---- */

/* Pause before a change is reported that an order to a whole group brought: at
 * random below `spread_ms`, as the controller wishes for so many devices.  Its
 * first quarter is left to the answers of all of them.  A fleet of which all
 * may speak within FLO_RECONNECT_MS_MIN does not wait. */
uint64_t flo_report_pause_ms(uint64_t spread_ms, uint64_t random);

#endif

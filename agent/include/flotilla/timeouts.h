/* Timeouts: decide how long the agent waits for its processes, and what it does
 * then. Pure; the caller passes times. */
#ifndef FLOTILLA_AGENT_TIMEOUTS_H
#define FLOTILLA_AGENT_TIMEOUTS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* ---- an engine without a sign of life ---- */

/* Time is counted in ticks of the caller's timer, so that a suspended machine
 * does not look like a hang. */
struct flo_watchdog {
    uint32_t ticks; /* number of ticks since the last sign of life */
    bool has_ping;  /* a ping was sent and not answered */
};
struct flo_watchdog_limits {
    uint64_t hang_ms_max;
    uint64_t ready_ms; /* time in which a foreign runtime must load; 0: it is our engine */
    bool is_loading;
};
enum flo_watchdog_verdict {
    FLO_WATCHDOG_WAITS,
    FLO_WATCHDOG_PINGS, /* send a ping and set has_ping */
    FLO_WATCHDOG_KILLS
};

/* Returns the period of the ticks. */
uint64_t flo_watchdog_tick_ms(uint64_t hang_ms_max);
/* Returns the longest silence that is allowed. */
uint64_t flo_watchdog_ms_max(const struct flo_watchdog_limits *limits);
/* Counts a tick without a sign of life. */
enum flo_watchdog_verdict flo_watchdog_tick(struct flo_watchdog *watchdog,
                                            const struct flo_watchdog_limits *limits);

/* ---- engines that are lost ---- */

struct flo_losses {
    uint64_t first_ms; /* time of the first loss in this series */
    uint32_t count;
};

/* Counts one more loss.  true: restart after *delay_ms; false: give up, there
 * were too many in a minute. */
bool flo_losses_add(struct flo_losses *losses, uint64_t now_ms, uint64_t *delay_ms);

/* ---- work of a process at low priority ---- */

struct flo_work_limits {
    uint64_t spent_ms_max; /* limit of time, not counting waits for a disk */
    uint64_t total_ms_max;
    uint64_t idle_ms_max; /* limit of time with neither computing nor waiting for a disk */
};
struct flo_work {
    uint64_t started_ms, looked_ms;
    uint64_t worked_ms; /* time of the last sign of work */
    uint64_t spent_ms;  /* time so far, without waits for a disk */
    uint64_t cpu_ms;
};
enum flo_work_verdict {
    FLO_WORK_GOES_ON,
    FLO_WORK_SPENT_TOO_MUCH,
    FLO_WORK_TAKES_TOO_LONG,
    FLO_WORK_STANDS_STILL
};

void flo_work_begin(struct flo_work *work, uint64_t now_ms);
/* Takes a sample of the process.  When the system does not report (`is_told`
 * false), the process counts as working; the time limits remain. */
enum flo_work_verdict flo_work_look(struct flo_work *work, const struct flo_work_limits *limits,
                                    uint64_t now_ms, bool is_told, uint64_t cpu_ms,
                                    bool waits_for_disk);

/* ---- notes ---- */

/* Returns whether a note of this error may be sent.  Security notes of one
 * error are sent at most once a minute; no kind has more than 64 pending
 * notes. told_ms: when this error's last note was sent; 0: none yet. */
bool flo_note_may_go(bool is_security, uint64_t told_ms, uint64_t waiting, uint64_t now_ms);

/* ---- reports ---- */

/* Returns the pause before the report of a change that an order to a whole
 * group caused.  It is random, below `spread_ms`, which the controller sets by
 * the number of devices.  The first quarter is left to the devices' answers.  A
 * fleet small enough to report within FLO_RECONNECT_MS_MIN does not wait. */
uint64_t flo_report_pause_ms(uint64_t spread_ms, uint64_t random);

#endif

/* Timeouts: decide how long the agent waits for its processes, and what it does
 * then. Pure; the caller passes times. */
#ifndef FLOTILLA_AGENT_TIMEOUTS_H
#define FLOTILLA_AGENT_TIMEOUTS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* ---- an engine without a sign of life ---- */

/* Counts the ticks of the caller's timer, so that a suspended machine does not
 * look like a hung process. */
struct flo_watchdog {
    uint32_t ticks; /* number of ticks since the process last gave a sign of life */
    bool has_ping;  /* a ping was sent to the process, and it has not answered yet */
};
struct flo_watchdog_limits {
    uint64_t hang_ms_max;
    /* time limit for the load of a foreign runtime; 0: it is Flotilla's
     * engine */
    uint64_t ready_ms;
    bool is_loading;
};
enum flo_watchdog_verdict {
    FLO_WATCHDOG_WAITS,
    FLO_WATCHDOG_PINGS, /* send a ping to the process and set has_ping */
    FLO_WATCHDOG_KILLS
};

/* Returns the time between two ticks. */
uint64_t flo_watchdog_tick_ms(uint64_t hang_ms_max);
/* Returns how long a process may stay silent before it counts as hung. */
uint64_t flo_watchdog_ms_max(const struct flo_watchdog_limits *limits);
/* Counts one tick in which the process gave no sign of life. */
enum flo_watchdog_verdict flo_watchdog_tick(struct flo_watchdog *watchdog,
                                            const struct flo_watchdog_limits *limits);

/* ---- engines that are lost ---- */

struct flo_losses {
    uint64_t first_ms; /* time of the first loss in this series of losses */
    uint32_t count;
};

/* Counts one more lost engine.  Returns true to restart it after *delay_ms,
 * false to give up after too many losses in a minute. */
bool flo_losses_add(struct flo_losses *losses, uint64_t now_ms, uint64_t *delay_ms);

/* ---- work of a process at low priority ---- */

struct flo_work_limits {
    uint64_t spent_ms_max; /* limit of total time, in which waits for a disk do not count */
    uint64_t total_ms_max;
    /* limit of time in which the process neither computes nor waits for a
     * disk */
    uint64_t idle_ms_max;
};
struct flo_work {
    uint64_t started_ms, looked_ms;
    uint64_t worked_ms; /* time at which the process last showed that it works */
    uint64_t spent_ms;  /* time spent so far, without waits for a disk */
    uint64_t cpu_ms;
};
enum flo_work_verdict {
    FLO_WORK_GOES_ON,
    FLO_WORK_SPENT_TOO_MUCH,
    FLO_WORK_TAKES_TOO_LONG,
    FLO_WORK_STANDS_STILL
};

void flo_work_begin(struct flo_work *work, uint64_t now_ms);
/* Judges a sample of the process.  When the system gives no numbers (`is_told`
 * is false), the process counts as working, and only spent_ms_max and
 * total_ms_max limit it. */
enum flo_work_verdict flo_work_look(struct flo_work *work, const struct flo_work_limits *limits,
                                    uint64_t now_ms, bool is_told, uint64_t cpu_ms,
                                    bool waits_for_disk);

/* ---- notes ---- */

/* Returns whether a note, which is an event about an error of the device, may
 * be sent now.  Security notes of one error are sent at most once a minute.  At
 * most 64 notes of each kind may wait to be sent.  told_ms: time of the last
 * note of this error; 0: none was sent. */
bool flo_note_may_go(bool is_security, uint64_t told_ms, uint64_t waiting, uint64_t now_ms);

/* ---- reports ---- */

/* Returns how long a device waits before it reports a change that an order to a
 * whole group caused.  The pause is random and below `spread_ms`, which the
 * controller sets by the number of devices.  It is at least a quarter of
 * `spread_ms`, in which the devices answer the order.  A fleet small enough to
 * report within FLO_RECONNECT_MS_MIN does not wait. */
uint64_t flo_report_pause_ms(uint64_t spread_ms, uint64_t random);

#endif

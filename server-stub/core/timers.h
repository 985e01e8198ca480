/* Timers of the controller: retries, silent devices, the life of a broker
 * without its controller, and which refusals are audited.  Pure. */
#ifndef FLOTILLA_SERVER_CORE_TIMERS_H
#define FLOTILLA_SERVER_CORE_TIMERS_H

#include <flotilla/proto.h>

/* ---- a broker that ended ---- */

/* Returns the pause before the broker's next start.  `retry_ms` is the pause
 * before its last start.  A broker that lived for 5 s starts again at once;
 * otherwise the pause grows each time, up to 10 s. */
uint64_t flo_broker_retry_ms(uint64_t retry_ms, uint64_t lived_ms);
/* Returns the longest pause, which follows a start that failed. */
uint64_t flo_broker_retry_ms_max(void);

/* Returns the time over which devices that lost the broker connect again,
 * evenly spread.  It follows from the broker's processor time for each
 * handshake. */
uint64_t flo_reconnect_ms(uint64_t devices);
/* Returns the time at which postponed desired documents are sent.  Until then
 * `devices` devices have time to answer an order.  due_ms is the time set for
 * documents that already wait, which does not change; 0: none wait. */
uint64_t flo_quiet_due_ms(uint64_t due_ms, uint64_t devices, uint64_t now_ms);

/* ---- a broker without its controller ---- */

struct flo_alone {
    uint64_t since_ms; /* time since which no controller is connected; 0: one is connected */
};

/* Returns true when no controller was connected for linger_ms; the broker then
 * ends. */
bool flo_alone_is_over(struct flo_alone *alone, bool is_controlled, uint64_t linger_ms,
                       uint64_t now_ms);

/* ---- silence of devices ---- */

/* Tells whether the controller itself stalled: the machine slept or the disk
 * hung between two ticks, and messages wait unread.  That time does not count
 * as silence of devices. */
bool flo_ticks_stalled(uint64_t ticked_ms, uint64_t now_ms);

/* ---- refused tokens ---- */

#define FLO_REFUSALS_MAX 64
struct flo_refusals {
    struct {
        char id[FLO_NAME_MAX + 1];
        uint64_t until_ms; /* 0: free */
    } tokens[FLO_REFUSALS_MAX];
};

/* Returns true for the token's first refusal within an hour, if there is room
 * to remember it.  Such a refusal gets an audit row.  Others are only counted,
 * so that a stranger cannot fill the disk. */
bool flo_refusals_is_first(struct flo_refusals *refusals, const char *id, uint64_t now_ms);

#endif

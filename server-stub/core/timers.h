/* Timers of the controller: when to try again, what counts as silence, how
 * long a broker is kept, and which refusals are written down.  Pure. */
#ifndef FLOTILLA_SERVER_CORE_TIMERS_H
#define FLOTILLA_SERVER_CORE_TIMERS_H

#include <flotilla/proto.h>

/* ---- a broker that ended ---- */

/* The pause before its next start.  `retry_ms` is the one before its last
 * start: a broker that lived for 5 s starts again at once, another one later
 * each time, up to 10 s. */
uint64_t flo_broker_retry_ms(uint64_t retry_ms, uint64_t lived_ms);
/* The pause after a start that failed. */
uint64_t flo_broker_retry_ms_max(void);

/* Devices that lost the broker come back within this time, evenly: as many at
 * once as it has processor time for. */
uint64_t flo_reconnect_ms(uint64_t devices);
/* When documents leave that can wait until so many devices have answered an
 * order: due_ms is when those leave that wait already, 0: none do.  Further
 * orders put nothing off. */
uint64_t flo_quiet_due_ms(uint64_t due_ms, uint64_t devices, uint64_t now_ms);

/* ---- a broker without its controller ---- */

struct flo_alone {
    uint64_t since_ms; /* 0: a controller is there */
};

/* true: nobody came for linger_ms, the broker ends. */
bool flo_alone_is_over(struct flo_alone *alone, bool is_controlled, uint64_t linger_ms,
                       uint64_t now_ms);

/* ---- silence of devices ---- */

/* The controller was away: the machine slept or the disk hung between two
 * ticks, so that messages wait unread.  That time is no silence of devices. */
bool flo_ticks_stalled(uint64_t ticked_ms, uint64_t now_ms);

/* ---- refused tokens ---- */

#define FLO_REFUSALS_MAX 64
struct flo_refusals {
    struct {
        char id[FLO_NAME_MAX + 1];
        uint64_t until_ms; /* 0: free */
    } tokens[FLO_REFUSALS_MAX];
};

/* The first refusal of that token in an hour, and there is room to remember
 * it: it gets a row of the audit.  Others are counted alone, so that a
 * stranger cannot fill the disk. */
bool flo_refusals_is_first(struct flo_refusals *refusals, const char *id, uint64_t now_ms);

#endif

/* Memory: what the device's records say beyond their bytes.  It is not for
 * others. */
#ifndef FLOTILLA_AGENT_DEVICE_MEMORY_H
#define FLOTILLA_AGENT_DEVICE_MEMORY_H

#include "agent/shell/device/device.h"

struct flo_shell_records {
    struct flo_slots other; /* record of a model that has no entry in `models` */
    bool is_dirty;
    bool is_unread; /* the device record cannot be read, so updates wait as in a freeze */
    /* the device record that was read at this start is from another
     * enrolment */
    bool is_moved;
    /* The device record names a newer trust statement than trust.json has.  No
     * signed document is accepted until that statement is here again. */
    bool trust_is_behind;
    /* an order must be sent again, because nothing was decided about it or
     * because the clock was set */
    bool orders_are_due;
    struct {
        /* error for which the device is degraded; code 0: it is not */
        struct flo_agent_error error;
        uint64_t since_ms; /* wall clock */
        bool is_news;      /* not reported yet */
    } degraded; /* state of a device that cannot store what it gets (flo_shell_degrade) */
    struct flo_trouble reading; /* read errors of the disk so far */
    /* Wall clock minus the time since boot, when last checked. */
    int64_t clock_ahead_ms;
    uint64_t clock_late_ms; /* how far the wall clock is known to be late, in ms */
    /* The last known good time, and what statements say, minus the time since
     * boot; 0: unknown since the start. */
    int64_t good_ahead_ms, said_ahead_ms;
    bool said_is_direct; /* the controller itself said so, by HTTPS */
    int clock_told;      /* error of a clock that was told last; 0: both agree */
};

#endif

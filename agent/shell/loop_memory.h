/* Memory of the loop: its timers, and when it reports.  It is not for
 * others. */
#ifndef FLOTILLA_AGENT_LOOP_MEMORY_H
#define FLOTILLA_AGENT_LOOP_MEMORY_H

#include "agent/shell/loop.h"

struct flo_shell_loop {
    struct event *timer, *flush, *collect, *report;
    struct event *signals[3];
    bool is_stopping;
    struct flo_intake intake; /* order being taken */
    uint64_t reported_revision;
    uint64_t spread_ms;    /* period over which the devices spread their reconnects and reports */
    uint64_t report_at_ms; /* time before which no change is reported */
    int64_t asleep_ms;     /* how long the machine was suspended since its boot, at the last step */
    /* Free disk bytes that were last reported. */
    uint64_t free_bytes_told;
};

#endif

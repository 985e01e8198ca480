/* Updates: counters of ended updates, by release and outcome, since the start.
 *
 * Telemetry does not report updates; each is counted once from a device's
 * events.  For /metrics and alerts. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_UPDATES_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_UPDATES_H

#include <flotilla/proto.h>

/* Counts of the releases that were updated to most recently.  A release that
 * was dropped from this list begins again at 0. */
#define FLO_UPDATES_RELEASES_MAX 64
struct flo_update_count {
    char release[2 * FLO_NAME_MAX + 2]; /* model@version */
    uint64_t ends[FLO_EXECUTION_COUNT];
};
struct flo_update_counts {
    struct flo_update_count items[FLO_UPDATES_RELEASES_MAX]; /* newest last */
    size_t count;
};
/* Counts a device's update that ended in `end`. */
void flo_updates_count(struct flo_update_counts *counts, const char *release,
                       enum flo_execution end);

#endif

/* Updates: counters of ended updates, by release and outcome, since the start.
 * Telemetry does not report updates; each is counted once from a device's
 * events.  /metrics and alerts read the counters. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_UPDATES_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_UPDATES_H

#include <flotilla/proto.h>

/* Largest number of releases with counters.  The releases that were updated to
 * most recently have them; a dropped release begins again at 0. */
#define FLO_UPDATES_RELEASES_MAX 64
struct flo_update_count {
    char release[2 * FLO_NAME_MAX + 2]; /* model@version */
    uint64_t ends[FLO_EXECUTION_COUNT];
};
struct flo_update_counts {
    struct flo_update_count items[FLO_UPDATES_RELEASES_MAX]; /* newest last */
    size_t count;
};
/* Counts an update of a device that ended in the state `end`. */
void flo_updates_count(struct flo_update_counts *counts, const char *release,
                       enum flo_execution end);

#endif

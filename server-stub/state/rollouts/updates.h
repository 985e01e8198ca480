/* Updates: how many ended in which way, by release, since the start.
 *
 * Telemetry says nothing of them; a device's events do, each once.  For
 * /metrics and alerts. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_UPDATES_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_UPDATES_H

#include <flotilla/proto.h>

/* Those that updates went to last.  A release that comes back after so many
 * others begins again at 0. */
#define FLO_UPDATES_RELEASES_MAX 64
struct flo_update_count {
    char release[2 * FLO_NAME_MAX + 2]; /* model@version */
    uint64_t ends[FLO_EXECUTION_COUNT];
};
struct flo_update_counts {
    struct flo_update_count items[FLO_UPDATES_RELEASES_MAX]; /* newest last */
    size_t count;
};
/* A device's update ended in `end`. */
void flo_updates_count(struct flo_update_counts *counts, const char *release,
                       enum flo_execution end);

#endif

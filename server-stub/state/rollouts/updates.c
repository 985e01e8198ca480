/* Updates: counts ended updates by release and outcome, since the start. */
#include <string.h>

#include <flotilla/base.h>

#include "server-stub/state/rollouts/updates.h"

void flo_updates_count(struct flo_update_counts *counts, const char *release,
                       enum flo_execution end)
{
    struct flo_update_count newest = {0};
    size_t i = 0;

    while (i < counts->count && strcmp(counts->items[i].release, release) != 0) {
        i++;
    }
    if (i < counts->count) {
        newest = counts->items[i];
    } else {
        snprintf(newest.release, sizeof(newest.release), "%s", release);
        i = counts->count < FLO_UPDATES_RELEASES_MAX ? counts->count++ : 0;
    }
    memmove(&counts->items[i], &counts->items[i + 1], (counts->count - 1 - i) * sizeof(newest));
    newest.ends[end]++;
    counts->items[counts->count - 1] = newest;
}

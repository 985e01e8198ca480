/* Updates: how many ended in which way, by release, since the start. */
#include <string.h>

#include <flotilla/base.h>

#include "server-stub/state/watch/updates.h"

void flo_updates_count(struct flo_update_counts *counts, const char *release,
                       enum flo_execution end)
{
    size_t i = 0;

    while (i < counts->count &&
           strcmp(counts->items[i].release, release) != 0) {
        i++;
    }
    if (i == FLO_UPDATES_RELEASES_MAX) {
        i--;
    } else if (i == counts->count) {
        bool is_last = i == FLO_UPDATES_RELEASES_MAX - 1;
        snprintf(counts->items[i].release, sizeof(counts->items[i].release),
                 "%s", is_last ? "other" : release);
        counts->count++;
    }
    counts->items[i].ends[end]++;
}

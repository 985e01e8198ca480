/* Ids: a number for each known device id, from 0.  Other modules index arrays
 * by it.  One thread. */
#ifndef FLOTILLA_SERVER_IDS_H
#define FLOTILLA_SERVER_IDS_H

#include <flotilla/base.h>

struct flo_ids {
    char (*items)[37];
    size_t count, capacity;
    uint32_t *places; /* number + 1, by hash; 0: free */
    size_t place_count;
};

/* Returns SIZE_MAX for an unknown id. */
size_t flo_ids_find(const struct flo_ids *ids, const char *id);
/* Makes an id known; SIZE_MAX without memory.  `capacity` may grow: callers
 * grow arrays that are indexed by the numbers too. */
size_t flo_ids_keep(struct flo_ids *ids, const char *id);
void flo_ids_deinit(struct flo_ids *ids);

#endif

/* Ids: a number for each known device id, from 0 on; arrays of other modules
 * are indexed by it.  One thread. */
#ifndef FLOTILLA_SERVER_IDS_H
#define FLOTILLA_SERVER_IDS_H

#include <flotilla/base.h>

struct flo_ids {
    char (*items)[37];
    size_t count, capacity;
    uint32_t *places; /* number + 1 by hash; 0: free */
    size_t place_count;
};

/* SIZE_MAX when it is not known. */
size_t flo_ids_find(const struct flo_ids *ids, const char *id);
/* Known from now on; SIZE_MAX without memory.  `capacity` may have grown: who
 * keeps arrays next to it grows them too. */
size_t flo_ids_keep(struct flo_ids *ids, const char *id);
void flo_ids_deinit(struct flo_ids *ids);

#endif

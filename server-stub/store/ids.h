/* Ids: a number for each known device id, counted from 0.  Other modules index
 * arrays by the number.  Only one thread uses it. */
#ifndef FLOTILLA_SERVER_IDS_H
#define FLOTILLA_SERVER_IDS_H

#include <flotilla/base.h>

struct flo_ids {
    char (*items)[37];
    size_t count, capacity;
    uint32_t *places; /* hash table of the numbers + 1; 0: the place is free */
    size_t place_count;
};

/* Returns the number of an id, or SIZE_MAX if the id is unknown. */
size_t flo_ids_find(const struct flo_ids *ids, const char *id);
/* Returns the number of an id, which becomes known.  Returns SIZE_MAX without
 * memory.  When `capacity` grows, the caller must also grow its arrays that are
 * indexed by the numbers. */
size_t flo_ids_keep(struct flo_ids *ids, const char *id);
void flo_ids_deinit(struct flo_ids *ids);

#endif

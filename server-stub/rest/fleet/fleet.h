/* Fleet: functions that the files of this folder share; private to them. */
#ifndef FLOTILLA_SERVER_REST_FLEET_H
#define FLOTILLA_SERVER_REST_FLEET_H

#include "server-stub/rest/rest.h"
#include "server-stub/store/fleet.h"

/* ---- query.c ---- */

/* Selectors, of which each device must match all.  The caller deinits the
 * query, also after a failed read. */
struct flo_fleet_query {
    struct flo_selector *selectors[3];
    size_t count;
};
/* Adds one more selector to the query. */
FLO_MUST_USE int flo_fleet_query_where(struct flo_rest_call *call, const char *where,
                                       struct flo_fleet_query *query, struct flo_err *err);
void flo_fleet_query_deinit(struct flo_fleet_query *query);

/* Devices that match a query, borrowed until the next change of the store.  The
 * caller calls flo_fleet_found_deinit, also after a failed search. */
struct flo_fleet_found {
    const struct flo_select_device **items;
    size_t count, room;
};
FLO_MUST_USE int flo_fleet_query_find(struct flo_controller *controller,
                                      const struct flo_fleet_query *query,
                                      struct flo_fleet_found *out, struct flo_err *err);
void flo_fleet_found_deinit(struct flo_fleet_found *found);

#endif

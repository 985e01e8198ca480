/* Store: the prepared list of serial numbers.  As in store.h, one thread calls,
 * and all changes happen between begin and commit. */
#ifndef FLOTILLA_SERVER_STORE_SERIALS_H
#define FLOTILLA_SERVER_STORE_SERIALS_H

#include "server-stub/store/store.h"

struct flo_fleet_serial {
    const char *serial; /* serial number in the form that flo_serial_normal makes */
    const char *body;   /* JSON {"name","labels","note","groups"}; "": a device used the serial
                           without a prepared row */
    const char *device; /* device that last used the serial, or "" */
    uint64_t at_ms;     /* wall clock when the row was prepared, or the serial first used */
};
typedef int (*flo_fleet_serial_fn)(void *context, const struct flo_fleet_serial *claim);
FLO_MUST_USE int flo_fleet_serial_put(struct flo_fleet_store *store,
                                      const struct flo_fleet_serial *claim, struct flo_err *err);
/* Gets the row of a serial.  *known is false when there is none; `fn` may be
 * NULL. */
FLO_MUST_USE int flo_fleet_serial_get(struct flo_fleet_store *store, const char *serial,
                                      flo_fleet_serial_fn fn, void *context, bool *known,
                                      struct flo_err *err);
FLO_MUST_USE int flo_fleet_serial_delete(struct flo_fleet_store *store, const char *serial,
                                         struct flo_err *err);
/* Lists at most `limit` serials above `after`, in ascending order. */
FLO_MUST_USE int flo_fleet_serial_each(struct flo_fleet_store *store, const char *after,
                                       uint64_t limit, flo_fleet_serial_fn fn, void *context,
                                       struct flo_err *err);
/* Counts the serials that a device used without a prepared row. */
FLO_MUST_USE int flo_fleet_serial_waiting(struct flo_fleet_store *store, uint64_t *out,
                                          struct flo_err *err);

#endif

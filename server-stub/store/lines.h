/* Store: lines of the audit's signed heads, shared by several controllers
 * (state/audit/lines.h).  Like store.h: one thread, changes between begin and
 * commit. */
#ifndef FLOTILLA_SERVER_STORE_LINES_H
#define FLOTILLA_SERVER_STORE_LINES_H

#include "server-stub/store/store.h"

/* Callback of a listing by number, ascending from `from`. */
typedef int (*flo_fleet_line_fn)(void *context, uint64_t number, const char *text);
FLO_MUST_USE int flo_fleet_audit_lines(struct flo_fleet_store *store, uint64_t from,
                                       flo_fleet_line_fn fn, void *context, struct flo_err *err);
/* Writes a line, also in place of an earlier one. */
FLO_MUST_USE int flo_fleet_audit_line_put(struct flo_fleet_store *store, uint64_t number,
                                          const char *text, struct flo_err *err);
/* Deletes all lines. */
FLO_MUST_USE int flo_fleet_audit_lines_clear(struct flo_fleet_store *store, struct flo_err *err);

#endif

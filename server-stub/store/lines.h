/* Store: lines of the audit's signed heads, which several controllers share
 * (state/audit/lines.h).  As in store.h, one thread calls, and all changes
 * happen between begin and commit. */
#ifndef FLOTILLA_SERVER_STORE_LINES_H
#define FLOTILLA_SERVER_STORE_LINES_H

#include "server-stub/store/store.h"

/* Callback for a line.  The call lists lines in ascending order, beginning with
 * number `from`. */
typedef int (*flo_fleet_line_fn)(void *context, uint64_t number, const char *text);
FLO_MUST_USE int flo_fleet_audit_lines(struct flo_fleet_store *store, uint64_t from,
                                       flo_fleet_line_fn fn, void *context, struct flo_err *err);
/* Writes a line, in place of an earlier line with that number. */
FLO_MUST_USE int flo_fleet_audit_line_put(struct flo_fleet_store *store, uint64_t number,
                                          const char *text, struct flo_err *err);
/* Deletes all lines. */
FLO_MUST_USE int flo_fleet_audit_lines_clear(struct flo_fleet_store *store, struct flo_err *err);

#endif

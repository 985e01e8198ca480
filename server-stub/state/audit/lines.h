/* Lines of the audit's signed heads in a database that several controllers
 * share.
 *
 * A line is in the database before it is in DIR/audit.head.  Who begins to lead
 * brings its file up to the rows; a file with a line that no row has says that
 * rows were taken away.  Each controller's file stays a witness outside of the
 * database.  Without a common database nothing is done here. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_LINES_H
#define FLOTILLA_SERVER_STATE_AUDIT_LINES_H

#include "server-stub/state/controller.h"

/* Append to the file what it lacks, or the first time store what it has.
 * *differs: it has a line that is not stored. */
FLO_MUST_USE int flo_audit_lines_pull(struct flo_controller *controller, const char *path,
                                      bool *differs, struct flo_err *err);
/* Store a line, with its line feed, in that place (0: the first, and all others
 * go).  Outside of a transaction. */
FLO_MUST_USE int flo_audit_lines_put(struct flo_controller *controller, uint64_t number,
                                     const char *line, struct flo_err *err);

#endif

/* Lines: the audit's signed heads in a database that several controllers share.
 *
 * A line is stored in the database before it is written to DIR/audit.head.  A
 * new leader completes its file from the rows.  A line in the file without a
 * row shows that rows were removed.  Each controller's file stays a witness
 * outside of the database.  Without a shared database these functions do
 * nothing. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_LINES_H
#define FLOTILLA_SERVER_STATE_AUDIT_LINES_H

#include "server-stub/state/controller.h"

/* Appends to the file the lines that it lacks.  If no lines are stored yet, it
 * stores those of the file.  *differs: the file has a line that is not
 * stored. */
FLO_MUST_USE int flo_audit_lines_pull(struct flo_controller *controller, const char *path,
                                      bool *differs, struct flo_err *err);
/* Stores a line, with its line feed, at that place (0: the first; all others
 * are deleted).  Outside of a transaction. */
FLO_MUST_USE int flo_audit_lines_put(struct flo_controller *controller, uint64_t number,
                                     const char *line, struct flo_err *err);

#endif

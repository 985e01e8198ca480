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

/* Appends to the file the lines that only the database has.  If the database
 * has no lines, stores those of the file there.  *differs is true if the file
 * has a line that the database lacks. */
FLO_MUST_USE int flo_audit_lines_pull(struct flo_controller *controller, const char *path,
                                      bool *differs, struct flo_err *err);
/* Stores a line, which ends with a line feed, as the row with this number.
 * Number 0 is the first line: storing it deletes all other lines.  Called
 * outside of a transaction. */
FLO_MUST_USE int flo_audit_lines_put(struct flo_controller *controller, uint64_t number,
                                     const char *line, struct flo_err *err);

#endif

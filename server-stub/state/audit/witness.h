/* Witness: devices as witnesses of the audit.  Each device receives the newest
 * signed line (topic c/mark), and reports the highest that it knows.  Somebody
 * who cuts the table, audit.head and the backups back to an earlier line cannot
 * change the devices' copies. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_WITNESS_H
#define FLOTILLA_SERVER_STATE_AUDIT_WITNESS_H

#include "server-stub/state/controller.h"

/* Checks a line of audit.head that a device reports, within a transaction.  The
 * audit counts as broken if this fleet's audit key signed the line and the
 * table does not fit it.  controller->audit->cut then says how, and one audit
 * record is written per start.  Other lines are ignored.  So are lines from
 * before the data were restored from a backup. */
FLO_MUST_USE int flo_audit_witness(struct flo_controller *controller, const char *device,
                                   const char *line, struct flo_err *err);

#endif

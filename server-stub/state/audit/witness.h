/* Witness: devices as witnesses of the audit.  Each device receives the newest
 * signed line (topic c/mark), and reports the highest that it knows.  Somebody
 * who cuts the table, audit.head and the backups back to an earlier line cannot
 * change the devices' copies. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_WITNESS_H
#define FLOTILLA_SERVER_STATE_AUDIT_WITNESS_H

#include "server-stub/state/controller.h"

/* Checks a line that a device reports, within a transaction.  A line that this
 * fleet's audit key signed and that does not fit the table breaks the audit.
 * Then controller->audit->cut says how, and an audit record is written, once
 * for each start.  Any other line is ignored, as is one from before the data
 * came from a backup. */
FLO_MUST_USE int flo_audit_witness(struct flo_controller *controller, const char *device,
                                   const char *line, struct flo_err *err);

#endif

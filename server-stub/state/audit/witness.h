/* Witnesses of the audit: each device is told the newest signed line (c/mark),
 * and says the highest that it knows.  Who cuts the table, audit.head and the
 * backups back to an earlier line does not reach the devices. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_WITNESS_H
#define FLOTILLA_SERVER_STATE_AUDIT_WITNESS_H

#include "server-stub/state/controller.h"

/* A device says this line; within a transaction.  One that is signed by our key
 * and does not fit the table breaks the audit: controller->audit->cut says how,
 * once for each start, and a record of the audit, too.  Any other line is
 * passed over, as one from before the data came from a backup. */
FLO_MUST_USE int flo_audit_witness(struct flo_controller *controller, const char *device,
                                   const char *line, struct flo_err *err);

#endif

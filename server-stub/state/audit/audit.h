/* Audit: the log of what operators did, with their names. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_AUDIT_H
#define FLOTILLA_SERVER_STATE_AUDIT_AUDIT_H

#include <flotilla/base.h>

#include "server-stub/core/audit.h"

struct flo_audit;
struct flo_controller;

/* Creates an empty audit; NULL: no memory. */
struct flo_audit *flo_audit_new(void);
void flo_audit_free(struct flo_audit *audit);
/* Returns whether the audit's table, its file of signed heads and the devices'
 * copies disagree (head.h, witness.h). */
bool flo_audit_is_broken(const struct flo_audit *audit);
/* Returns whether a device has a line that this controller signed and that is
 * not in the table: the data are older than the device, or were cut. */
bool flo_audit_is_cut(const struct flo_audit *audit);
/* Notes that keys/audit.key was lost and made again, as the operator asked. */
void flo_audit_key_is_new(struct flo_audit *audit);
/* Lets the commit that is under way append a signed head, so that what it
 * replaces cannot come back. */
void flo_audit_checkpoint_soon(struct flo_audit *audit);
bool flo_audit_has_new_key(const struct flo_audit *audit);
FLO_MUST_USE int flo_controller_audit(struct flo_controller *controller, const char *who,
                                      const char *what, const char *object, const char *result,
                                      const char *detail, struct flo_err *err);

#endif

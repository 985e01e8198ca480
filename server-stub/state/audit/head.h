/* The audit's signed heads: DIR/audit.head, next to the table.
 *
 * A line each 64 records and each minute in which there were some, appended
 * and synced, signed by DIR/keys/audit.key.  The running controller compares
 * them with the table each minute; so does `audit verify`, whole.  An owner
 * of the disk with that key can rewrite table, file and signature. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_HEAD_H
#define FLOTILLA_SERVER_STATE_AUDIT_HEAD_H

#include "server-stub/core/audit.h"
#include "server-stub/state/controller.h"

#define FLO_AUDIT_MARK_RECORDS 64
#define FLO_AUDIT_MARK_MS 60000

/* Read the file, compare the table with it and go on in it.  A broken audit is
 * no reason not to start: it is said, and counted in
 * controller->audit->is_broken.  A store in memory has no such file. */
FLO_MUST_USE int flo_audit_head_open(struct flo_controller *controller, struct flo_err *err);
/* Were key and file made, at this start or an earlier one? */
FLO_MUST_USE int flo_audit_head_was_made(struct flo_controller *controller, bool *out,
                                         struct flo_err *err);
void flo_audit_head_close(struct flo_controller *controller);
/* After a commit: a mark when 64 records are without one. */
extern const struct flo_transaction_part flo_audit_part;
/* At times: a mark each minute, and a look at the table. */
void flo_audit_head_tick(struct flo_controller *controller, uint64_t now_ms);
/* The data come from a backup: marks after the table's end are excused. */
FLO_MUST_USE int flo_audit_head_restart(struct flo_controller *controller, struct flo_err *err);
/* A look at the whole chain and every mark, in slices: other work goes on
 * between them.  Zero-initialise; walk stands at the last good record.  Records
 * that come meanwhile are looked at, too. */
struct flo_audit_check {
    struct flo_audit_walk walk;
    size_t next; /* mark that the walk meets next */
    bool is_over;
};
/* The next slice.  FLO_E_AUDIT_CHAIN, FLO_E_AUDIT_CUT: broken, which ends it.
 */
FLO_MUST_USE int flo_audit_check_on(struct flo_controller *controller,
                                    struct flo_audit_check *check, struct flo_err *err);
/* The newest mark; number 0: none. */
struct flo_audit_mark flo_audit_head_newest(const struct flo_controller *controller);

/* Newest line, without the line feed; "": none, or the newest is a restart. */
const char *flo_audit_head_line(const struct flo_controller *controller);
/* Lines that were signed before are over: file or data were begun again. */
uint64_t flo_audit_head_from_ms(const struct flo_controller *controller);
/* Did our key sign it? */
bool flo_audit_head_is_ours(const struct flo_controller *controller,
                            const struct flo_audit_mark *mark, const uint8_t *signature);

#endif

/* Heads: the audit's signed checkpoints in DIR/audit.head, next to the table.
 *
 * A line is appended and synced every 64 records, and each minute in which a
 * record came.  DIR/keys/audit.key signs it.  The running controller compares
 * the lines with the table each minute; `audit verify` compares all of them.
 * Somebody who owns the disk and that key can rewrite table, file and
 * signature. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_HEAD_H
#define FLOTILLA_SERVER_STATE_AUDIT_HEAD_H

#include "server-stub/core/audit.h"
#include "server-stub/state/controller.h"

#define FLO_AUDIT_CHECKPOINT_RECORDS 64
#define FLO_AUDIT_CHECKPOINT_MS 60000

/* Reads the file, compares the table with it and continues the file. A broken
 * audit does not prevent the start: it is logged, and
 * controller->audit->is_broken is set. An in-memory store has no such file. */
FLO_MUST_USE int flo_audit_head_open(struct flo_controller *controller, struct flo_err *err);
/* Tells whether the audit's key and file were created, at this start or an
 * earlier one. */
FLO_MUST_USE int flo_audit_head_was_made(struct flo_controller *controller, bool *out,
                                         struct flo_err *err);
void flo_audit_head_close(struct flo_controller *controller);
/* Transaction hook: after a commit, appends a checkpoint if 64 records came
 * since the last one. */
extern const struct flo_transaction_part flo_audit_part;
/* Compares a part of the audit's table, and appends a checkpoint.  A timer
 * calls it each minute. */
void flo_audit_head_tick(struct flo_controller *controller, uint64_t now_ms);
/* Notes that the data come from a backup, so that checkpoints beyond the
 * table's end are no error. */
FLO_MUST_USE int flo_audit_head_restart(struct flo_controller *controller, struct flo_err *err);
/* State of a verification of the whole chain and of every checkpoint.  The
 * verification runs in slices, between which other work runs.  Records that are
 * added meanwhile are verified, too.  The caller zero-initialises it; `walk` is
 * at the newest record that was found correct. */
struct flo_audit_check {
    struct flo_audit_walk walk;
    size_t next; /* index of the next checkpoint to compare */
    bool is_over;
};
/* Verifies some further records, a slice of the work.  FLO_E_AUDIT_CHAIN or
 * FLO_E_AUDIT_CUT: the audit is broken, and the verification ends. */
FLO_MUST_USE int flo_audit_check_on(struct flo_controller *controller,
                                    struct flo_audit_check *check, struct flo_err *err);
/* Returns the newest checkpoint.  Its number is 0 if there is none. */
struct flo_audit_checkpoint flo_audit_head_newest(const struct flo_controller *controller);

/* Returns the newest number of sealed rows that a head has; 0: none since the
 * last restart. */
uint64_t flo_audit_head_seals(const struct flo_controller *controller);

/* Returns the newest line, without the line feed.  Returns "" if there is no
 * line, or the newest is a restart line. */
const char *flo_audit_head_line(const struct flo_controller *controller);
/* Returns the time of the audit's last restart.  Lines that were signed earlier
 * are void, because file or data were made again at that time. */
uint64_t flo_audit_head_from_ms(const struct flo_controller *controller);
/* Returns whether the controller's audit key signed the checkpoint. */
bool flo_audit_head_is_ours(const struct flo_controller *controller,
                            const struct flo_audit_checkpoint *checkpoint,
                            const uint8_t *signature);

#endif

/* Foreign: signs that somebody else acts in the fleet's name, of seven kinds:
 *
 * order      a device obeyed an order that this controller never gave
 * statement  a device refused a trust statement
 * message    a message in the name of a device came without its proof
 * row        a row in the database has no valid seal, or rows are gone or old
 * identity   two machines use the identity of one device
 * number     devices know orders that this controller gave before its data were
 *            restored from a backup without --restored
 * device     an unknown device has a certificate of this fleet; of many, the first
 *            FLO_FOREIGN_MAX are told
 *
 * A foreign order gets a row in the list of orders, and each kind raises an
 * alert for a day, `identity` for as long as it is so
 * (core/alert/defaults.def).  Any device can report the first
 * two kinds falsely, and the broker the third, so the number of reports is
 * limited. */
#ifndef FLOTILLA_SERVER_STATE_FOREIGN_H
#define FLOTILLA_SERVER_STATE_FOREIGN_H

#include <flotilla/base.h>

struct flo_controller;

enum flo_foreign_kind {
    FLO_FOREIGN_ORDER,
    FLO_FOREIGN_STATEMENT,
    FLO_FOREIGN_MESSAGE,
    FLO_FOREIGN_ROW,
    FLO_FOREIGN_IDENTITY,
    FLO_FOREIGN_NUMBER,
    FLO_FOREIGN_DEVICE,
    FLO_FOREIGN_KINDS
};

/* largest number of reports that are kept of each kind; a further one replaces
 * the oldest */
#define FLO_FOREIGN_MAX 16
#define FLO_FOREIGN_ORDERS_MAX 32
/* operation in the row of a foreign order, whose id is foreign-<id> */
#define FLO_FOREIGN_OP "foreign"

struct flo_foreign;
/* Creates an empty list of reports about foreign orders and messages; NULL: no
 * memory. */
struct flo_foreign *flo_foreign_new(void);
void flo_foreign_free(struct flo_foreign *foreign);
/* Returns "order", "statement", "message", "row", "identity", "number" or "device". */
const char *flo_foreign_word(enum flo_foreign_kind kind);
/* Records that a device obeyed this order, or knows its number; within a
 * transaction.  An order of this controller whose row was deleted is not
 * foreign.  Neither is one of a controller whose own audit proves that its data
 * are old: that is recorded instead. */
FLO_MUST_USE int flo_foreign_order(struct flo_controller *controller, const char *device,
                                   const char *order, struct flo_err *err);
/* Records two machines with one identity, or an unknown device.  `what` begins
 * with the device's id; the log has `text` before it. */
void flo_foreign_device(struct flo_controller *controller, enum flo_foreign_kind kind,
                        const char *text, const char *what);
/* Forgets what was recorded of this kind about a device, as it is over. */
void flo_foreign_over(struct flo_controller *controller, enum flo_foreign_kind kind,
                      const char *device);
/* Requests a report of each device that one machine uses again. */
void flo_foreign_single(struct flo_controller *controller);
/* Records that a device refused a trust statement.  A report counts only if it
 * begins with the digests of a statement (agent/shell/trust/take.c). */
void flo_foreign_refused(struct flo_controller *controller, const char *what);
/* Records the devices in whose name messages without a valid proof arrived, and
 * clears this list in controller->proofs. */
void flo_foreign_unproved(struct flo_controller *controller);
/* Records rows of the store without a right seal (store/seals.h).  Each such
 * row gets one audit record for each start, at most FLO_FOREIGN_ROWS_MAX in
 * all.  Called outside of a transaction. */
/* largest number of audit records about such rows in one run of the
 * controller */
#define FLO_FOREIGN_ROWS_MAX 64
FLO_MUST_USE int flo_foreign_unsealed(struct flo_controller *controller, struct flo_err *err);
/* Reads the report at this index.  Returns false after the last one.  A report
 * that was not repeated for a day is left out. */
bool flo_foreign_at(const struct flo_controller *controller, size_t place, uint64_t now_ms,
                    enum flo_foreign_kind *kind, const char **what);

#endif

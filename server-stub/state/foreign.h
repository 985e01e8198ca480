/* Foreign: what no key of this fleet did.
 *
 * An order that a device obeyed and this controller never gave, and a trust
 * statement that a device refused: somebody else signs.  A message in the name
 * of a device, without its proof: somebody else speaks.  A row of a token or
 * user without a right seal: somebody else writes to the database.  Orders get
 * a row in the list of orders; all are alerts for a day
 * (core/alert/defaults.def).
 *
 * Any device can tell the first two, true or not, and the broker the third, so
 * all are few. */
#ifndef FLOTILLA_SERVER_STATE_FOREIGN_H
#define FLOTILLA_SERVER_STATE_FOREIGN_H

#include <flotilla/base.h>

struct flo_controller;

enum flo_foreign_kind {
    FLO_FOREIGN_ORDER,
    FLO_FOREIGN_STATEMENT,
    FLO_FOREIGN_MESSAGE,
    FLO_FOREIGN_ROW,
    FLO_FOREIGN_KINDS
};

#define FLO_FOREIGN_MAX 16 /* at a time, of each kind; the oldest go */
#define FLO_FOREIGN_ORDERS_MAX 32
#define FLO_FOREIGN_OP "foreign" /* op of its row, whose id is foreign-<id> */

struct flo_foreign;
/* Nothing was told; NULL: no memory. */
struct flo_foreign *flo_foreign_new(void);
void flo_foreign_free(struct flo_foreign *foreign);
/* "order", "statement", "message" or "row". */
const char *flo_foreign_word(enum flo_foreign_kind kind);
/* A device obeyed this order, or knows this number; within a transaction.  One
 * that was ours and is forgotten is none. */
FLO_MUST_USE int flo_foreign_order(struct flo_controller *controller, const char *device,
                                   const char *order, struct flo_err *err);
/* A device's word about something that it refused: counted when it begins with
 * the digests of a statement (agent/shell/trust/take.c).  */
void flo_foreign_refused(struct flo_controller *controller, const char *what);
/* Messages came in the name of these devices and were not proved: take them
 * from controller->proofs. */
void flo_foreign_unproved(struct flo_controller *controller);
/* Rows without a right seal were met (store/seals.h): each gets a record of the
 * audit, once for each start.  Outside of a transaction. */
#define FLO_FOREIGN_ROWS_MAX 64 /* records for each start */
FLO_MUST_USE int flo_foreign_unsealed(struct flo_controller *controller, struct flo_err *err);
/* One that is told no more for a day is left out.  false: after the last. */
bool flo_foreign_at(const struct flo_controller *controller, size_t place, uint64_t now_ms,
                    enum flo_foreign_kind *kind, const char **what);

#endif

/* Foreign: what devices tell that no key of this fleet did.
 *
 * An order that a device obeyed and this controller never gave, and a trust
 * statement that a device refused: somebody else signs.  Orders get a row in
 * the list of orders; both are alerts for a day (core/alert/defaults.def).
 *
 * Any device can tell such a thing, true or not, so both are few. */
#ifndef FLOTILLA_SERVER_STATE_FOREIGN_H
#define FLOTILLA_SERVER_STATE_FOREIGN_H

#include <flotilla/base.h>

struct flo_controller;

enum flo_foreign_kind { FLO_FOREIGN_ORDER, FLO_FOREIGN_STATEMENT };

#define FLO_FOREIGN_MAX 16 /* at a time, of both kinds; the oldest go */
#define FLO_FOREIGN_ORDERS_MAX 32
#define FLO_FOREIGN_OP "foreign" /* of its row, whose id is foreign-<id> */
struct flo_foreign {
    struct {
        enum flo_foreign_kind kind;
        char what[160]; /* of an alert's series */
        uint64_t at_ms; /* wall; told last */
    } items[FLO_FOREIGN_MAX];
    size_t count;
};

/* "order" or "statement". */
const char *flo_foreign_word(enum flo_foreign_kind kind);
/* A device obeyed this order, or knows this number; within a transaction.  One
 * that was ours and is forgotten is none. */
FLO_MUST_USE int flo_foreign_order(struct flo_controller *controller,
                                   const char *device, const char *order,
                                   struct flo_err *err);
/* A device's word about something that it refused: counted when it begins with
 * the digests of a statement (agent/shell/trust/take.c).  */
void flo_foreign_refused(struct flo_controller *controller, const char *what);
/* One that is told no more for a day is left out.  false: after the last. */
bool flo_foreign_at(const struct flo_controller *controller, size_t place,
                    uint64_t now_ms, enum flo_foreign_kind *kind,
                    const char **what);

#endif

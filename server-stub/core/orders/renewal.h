/* Renewal: which orders are signed again, and why.  Pure.
 *
 * One walk goes over orders in ascending sequence: those that stand in lists of
 * groups, or those that desired documents hold. */
#ifndef FLOTILLA_SERVER_RENEWAL_H
#define FLOTILLA_SERVER_RENEWAL_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/orders/orders.h"

enum flo_renewal_why {
    FLO_RENEWAL_NOT,
    FLO_RENEWAL_ASKED,     /* each one: devices know higher numbers */
    FLO_RENEWAL_AGED,      /* more than half of its life is over */
    FLO_RENEWAL_OVERTAKEN, /* a deploy or a removal before a newer rollback:
                              devices that heard of that do not take it */
    FLO_RENEWAL_IN_TURN,   /* a rollback before it was signed again, and
                              rollbacks in lists keep their order */
    FLO_RENEWAL_EPOCH,     /* devices take nothing of its epoch any more */
    FLO_RENEWAL_COUNT
};
const char *flo_renewal_word(enum flo_renewal_why why);

/* The caller's; zero but for the first three. */
struct flo_renewal {
    uint64_t now_ms;
    bool is_each;
    uint32_t epoch;           /* epoch of the trusted keys; 0: not looked at */
    bool has_listed_rollback; /* one was signed again in this walk */
};

struct flo_renewal_order {
    enum flo_order_op op;
    uint64_t seq;
    uint64_t rollback; /* sequence of the newest rollback of its model */
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    uint32_t epoch; /* 0: not looked at */
    bool is_listed; /* in the list of a group; else only desired holds it */
};

/* The next order of the walk. */
enum flo_renewal_why flo_renewal_next(struct flo_renewal *renewal,
                                      const struct flo_renewal_order *order);

/* An order that says what a device is to do with a model: desired documents
 * hold such. */
bool flo_renewal_is_of_model(enum flo_order_op op);
/* Such an order is signed again for each holder, with that device as its scope.
 *  With more holders than this it keeps its scope.
 *
 * With the group's scope and a newer number, a carrier of messages could bring
 * it to members that got another order since.  It would be the newest there
 * too.  With many holders, one order each costs too much in the second after a
 * rollback. */
#define FLO_RENEWAL_OWN_MAX 64
bool flo_renewal_is_own(enum flo_order_op op, size_t holders);

#endif

/* Renewal: which orders are signed again, and why.  Pure.
 *
 * A walk visits orders in ascending sequence: those in the lists of groups, or
 * those in desired documents. */
#ifndef FLOTILLA_SERVER_RENEWAL_H
#define FLOTILLA_SERVER_RENEWAL_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/orders/orders.h"

enum flo_renewal_why {
    FLO_RENEWAL_NOT,
    FLO_RENEWAL_ASKED,     /* all orders are signed again, because devices know higher numbers */
    FLO_RENEWAL_AGED,      /* more than half of the order's lifetime has passed */
    FLO_RENEWAL_OVERTAKEN, /* the order is a deploy or removal older than a rollback: devices that
                              know the rollback refuse it */
    /* The order is a rollback in a list, and an older rollback of the list was
     * signed again.  Signing this one too keeps their sequence. */
    FLO_RENEWAL_IN_TURN,
    FLO_RENEWAL_EPOCH, /* devices no longer accept the order's epoch */
    FLO_RENEWAL_COUNT
};
const char *flo_renewal_word(enum flo_renewal_why why);

/* State of a walk.  The caller sets the first three fields; the rest begins as
 * zero. */
struct flo_renewal {
    uint64_t now_ms;
    bool is_each;
    uint32_t epoch;           /* epoch of the trusted keys; 0: not checked */
    bool has_listed_rollback; /* a rollback was signed again in this walk */
};

struct flo_renewal_order {
    enum flo_order_op op;
    uint64_t seq;
    uint64_t rollback; /* sequence number of the newest rollback of the order's model */
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    uint32_t epoch; /* 0: not checked */
    bool is_listed; /* the order is in a group's list; false: in desired documents only */
};

/* Decides about the next order of the walk. */
enum flo_renewal_why flo_renewal_next(struct flo_renewal *renewal,
                                      const struct flo_renewal_order *order);

/* Tells whether the operation is about a device's model: desired documents hold
 * such orders. */
bool flo_renewal_is_of_model(enum flo_order_op op);
/* Largest number of devices for which an order is signed again one by one, each
 * time for that device alone.  For more devices it is signed once, for the
 * group.
 *
 * An order for the group with a new number is the newest for every member.
 * Whoever relays messages could replay it to members that got another order
 * since.  An order for each device avoids this, but takes too long for many
 * devices right after a rollback. */
#define FLO_RENEWAL_OWN_MAX 64
bool flo_renewal_is_own(enum flo_order_op op, size_t holders);

#endif

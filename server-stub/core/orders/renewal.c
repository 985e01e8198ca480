/* Renewal: decides which orders are signed again. */
#include <assert.h>

#include "server-stub/core/orders/renewal.h"

const char *flo_renewal_word(enum flo_renewal_why why)
{
    static const char *const words[FLO_RENEWAL_COUNT] = {
        [FLO_RENEWAL_NOT] = "stays",
        [FLO_RENEWAL_ASKED] = "each one is asked for",
        [FLO_RENEWAL_AGED] = "half of its life is over",
        [FLO_RENEWAL_OVERTAKEN] = "a rollback is newer",
        [FLO_RENEWAL_IN_TURN] = "rollbacks keep their order",
        [FLO_RENEWAL_EPOCH] = "a later epoch began",
    };

    assert(why < FLO_RENEWAL_COUNT);
    return words[why];
}

/* Tells whether a newer rollback of the model makes devices refuse this order,
 * so that it has to be signed again.  This never holds for a removal in a
 * group's list, because it is also for devices that got the model later. */
static bool is_overtaken(const struct flo_renewal_order *order)
{
    return order->seq < order->rollback &&
           (order->op == FLO_ORDER_DEPLOY || (order->op == FLO_ORDER_REMOVE && !order->is_listed));
}

enum flo_renewal_why flo_renewal_next(struct flo_renewal *renewal,
                                      const struct flo_renewal_order *order)
{
    bool is_listed_rollback = order->op == FLO_ORDER_ROLLBACK && order->is_listed;
    enum flo_renewal_why why = FLO_RENEWAL_NOT;

    assert(order->op < FLO_ORDER_COUNT);
    if (renewal->is_each) {
        why = FLO_RENEWAL_ASKED;
    } else if (order->epoch < renewal->epoch) {
        why = FLO_RENEWAL_EPOCH;
    } else if (flo_order_is_aged(order->issued_at_ms, order->expires_at_ms, renewal->now_ms)) {
        why = FLO_RENEWAL_AGED;
    } else if (is_overtaken(order)) {
        why = FLO_RENEWAL_OVERTAKEN;
    } else if (is_listed_rollback && renewal->has_listed_rollback) {
        why = FLO_RENEWAL_IN_TURN;
    }
    renewal->has_listed_rollback =
        renewal->has_listed_rollback || (is_listed_rollback && why != FLO_RENEWAL_NOT);
    return why;
}

bool flo_renewal_is_of_model(enum flo_order_op op)
{
    return op == FLO_ORDER_DEPLOY || op == FLO_ORDER_REMOVE;
}

bool flo_renewal_is_own(enum flo_order_op op, size_t holders)
{
    return flo_renewal_is_of_model(op) && holders > 0 && holders <= FLO_RENEWAL_OWN_MAX;
}

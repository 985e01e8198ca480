/* Fleet: issues orders to the whole fleet: freeze, unfreeze, prompts and
 * config. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/recall/plan.h"
#include "server-stub/state/rollouts/rollouts.h"

int flo_orders_fleet(struct flo_controller *controller, enum flo_order_op op, const char *by,
                     uint64_t number, char *id, struct flo_err *err)
{
    struct flo_order order = {.op = op,
                              .heartbeat_ms = op == FLO_ORDER_CONFIG ? number : 0,
                              .stay = op == FLO_ORDER_PROMPTS ? number : 0,
                              .scope = {.group = "all"}};

    snprintf(order.by, sizeof(order.by), "%.64s", by);
    FLO_TRY(flo_orders_issue(controller, &order, true, 0, id, err));
    int rv = flo_making_begin(controller, id, "all", err);
    if (rv == 0 && op == FLO_ORDER_FREEZE) {
        rv = flo_rollouts_step_running(
            controller, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_FREEZE, .note = id},
            err);
    }
    flo_outgoing_change(controller, FLO_OBJECT_ORDER, id);
    return rv;
}

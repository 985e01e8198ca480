/* Report: orders that ask one device for a report. */
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"

/* Issues the order to the device itself. A device that was offline, or whose
 * answer is missing, gets the order again when it reports
 * (core/orders/answer.h). */
int flo_orders_report(struct flo_controller *controller, struct flo_order *order, char *id,
                      struct flo_err *err)
{
    struct flo_fleet_order row = {.is_tracked = true, .is_desired_only = true};

    FLO_TRY(flo_orders_issue_row(controller, order, row, id, err));
    FLO_TRY(flo_fleet_outcome_put(controller->store, id, order->scope.device, FLO_OUTCOME_PENDING,
                                  0, err));
    FLO_TRY(flo_fleet_offer_add(controller->store, order->scope.device, id, err));
    flo_outgoing_ask(controller, order->scope.device, id);
    flo_outgoing_change(controller, FLO_OBJECT_ORDER, id);
    return 0;
}

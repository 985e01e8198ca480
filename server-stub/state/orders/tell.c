/* Tell: puts an order into a device's desired document, if the rules of the
 * device's groups allow it now. */
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rules/rules.h"

int flo_orders_tell(struct flo_controller *controller, const struct flo_orders_told *what,
                    enum flo_rule_hold *hold, struct flo_err *err)
{
    struct flo_rule_answer answer;

    flo_rules_ask(controller, what->device, what->op, what->approvals, &answer);
    *hold = answer.hold;
    if (answer.hold != FLO_RULE_FREE) {
        flo_log(FLO_LOG_DEBUG, "order", "%s is not told to %s: %s", what->order, what->device,
                flo_rule_word(answer.hold));
        return 0;
    }
    FLO_TRY(flo_fleet_desired_set(controller->store, what->device, what->model, what->order, err));
    flo_outgoing_desired(controller, what->device);
    return 0;
}

/* Retire: removes a device from the fleet for good. */
#include "server-stub/state/controller.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/text_list.h"

int flo_devices_retire(struct flo_controller *controller, const char *id, struct flo_err *err)
{
    const struct flo_rollout_event left = {.kind = FLO_ROLLOUT_EVENT_LEFT, .device = id};

    FLO_TRY(flo_orders_retire(controller, id, err));
    FLO_TRY(flo_fleet_device_retire(controller->store, id, err));
    FLO_TRY(flo_rollouts_step_all(controller, left, err));
    flo_lane_device(controller->lane, id, NULL);
    flo_outgoing_retired(controller, id);
    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, id);
    return 0;
}

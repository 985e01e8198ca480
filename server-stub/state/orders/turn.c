/* Turn: writes rows of orders to large groups for some milliseconds, in a
 * transaction of its own. */
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/memory.h"
#include "server-stub/store/making.h"

bool flo_making_turn(struct flo_controller *controller)
{
    const struct flo_making *makings;
    struct flo_err err = {0};
    uint64_t until_ms = controller->options.slice_devices > 0 ? 0 : flo_now_ms() + FLO_TURN_MS;
    size_t left = 0;
    int rv = flo_fleet_makings(controller->store, &makings, &left, &err);

    if (rv == 0 && left == 0) {
        return false;
    }
    if (rv == 0) {
        rv = flo_controller_begin(controller, &err);
    }
    if (rv == 0) {
        rv = flo_controller_end(controller, flo_making_until(controller, until_ms, &left, &err),
                                &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "orders", &err);
    }
    return rv == 0 && left > 0;
}

/* Transactions: between begin and commit everything is stored or nothing;
 * messages leave after it. */
#include "server-stub/state/audit/head.h"
#include "server-stub/state/controller.h"

int flo_controller_begin(struct flo_controller *controller, struct flo_err *err)
{
    controller->rollouts.has_changed = false;
    if (controller->watch != NULL) {
        controller->watch->has_changed = false;
    }
    return flo_fleet_begin(controller->store, err);
}

int flo_controller_commit(struct flo_controller *controller,
                          struct flo_err *err)
{
    int rv = flo_rollouts_write(controller, err);

    if (rv == 0) {
        rv = flo_fleet_commit(controller->store, err);
    }
    if (rv < 0) {
        controller->commits_failed++;
        flo_controller_cancel(controller);
        return rv;
    }
    flo_trust_settle(controller, true);
    flo_outgoing_flush(controller);
    flo_audit_head_grew(controller);
    return 0;
}

void flo_controller_cancel(struct flo_controller *controller)
{
    struct flo_err err = {0};

    flo_fleet_roll_back(controller->store);
    flo_trust_settle(controller, false);
    flo_outgoing_clear(&controller->outgoing);
    if (flo_rules_load(controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "rules", &err);
    }
    if (controller->watch != NULL && controller->watch->has_changed &&
        flo_watch_load(controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
    }
    if (!controller->rollouts.has_changed) {
        return; /* reading them again would forget who was heard when */
    }
    controller->rollouts.has_changed = false;
    flo_rollouts_forget(controller);
    if (flo_rollouts_load(controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "rollouts", &err);
    }
}

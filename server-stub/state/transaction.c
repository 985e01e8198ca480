/* Transactions: between begin and commit everything is stored or nothing;
 * messages leave after it. */
#include "server-stub/state/audit/head.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/keyring/keyring.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/trust/trust.h"
#include "server-stub/state/watch/watch.h"

/* A cancel may not be able to read: the store has failed.  There is no change
 * before it was read. */
static int read_stale(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_stale *stale = &controller->stale;
    int rv = stale->has_rules ? flo_rules_load(controller, err) : 0;

    stale->has_rules = stale->has_rules && rv < 0;
    if (rv == 0 && stale->has_watch) {
        rv = flo_watch_load(controller, err);
        stale->has_watch = rv < 0;
    }
    if (rv == 0 && stale->has_rollouts) {
        flo_rollouts_forget(controller);
        rv = flo_rollouts_load(controller, err);
        stale->has_rollouts = rv < 0;
    }
    return rv;
}

int flo_controller_begin(struct flo_controller *controller, struct flo_err *err)
{
    int rv = read_stale(controller, err);

    if (rv < 0) {
        return rv;
    }
    controller->rollouts.has_changed = false;
    if (controller->watch != NULL) {
        controller->watch->has_changed = false;
    }
    return flo_fleet_begin(controller->store, err);
}

int flo_controller_commit(struct flo_controller *controller, struct flo_err *err)
{
    int rv = flo_rollouts_write(controller, err);

    rv = rv < 0 ? rv : flo_keyring_keep(controller, err);
    if (rv == 0) {
        rv = flo_fleet_commit(controller->store, err);
    }
    if (rv < 0) {
        controller->commits_failed++;
        flo_controller_cancel(controller);
        return rv;
    }
    flo_keyring_settle(controller, true);
    flo_trust_settle(controller, true);
    flo_outgoing_flush(controller);
    flo_audit_head_grew(controller);
    return 0;
}

void flo_controller_cancel(struct flo_controller *controller)
{
    struct flo_err err = {0};

    flo_fleet_roll_back(controller->store);
    flo_keyring_settle(controller, false);
    flo_trust_settle(controller, false);
    flo_outgoing_clear(&controller->outgoing);
    controller->stale.has_rules = true;
    controller->stale.has_watch = controller->stale.has_watch ||
                                  (controller->watch != NULL && controller->watch->has_changed);
    /* Reading them again forgets who was heard when. */
    controller->stale.has_rollouts =
        controller->stale.has_rollouts || controller->rollouts.has_changed;
    controller->rollouts.has_changed = false;
    if (read_stale(controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
}

/* Withdraw: yanks a release, stops its rollouts, and removes it from desired
 * documents. */
#include <string.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/recall/plan.h"
#include "server-stub/state/rollouts/rollouts.h"

struct of_release {
    struct flo_text_list ids;
    const char *release;
};

/* Collects the ids of the release's rollouts.  Other rollouts are not read,
 * because an emergency order must be fast. */
static int collect_rollout(void *context, const struct flo_fleet_rollout *rollout)
{
    struct of_release *rollouts = context;
    enum flo_rollout_state state;

    if (strcmp(rollout->digest, rollouts->release) == 0 &&
        flo_rollout_state_parse(rollout->state, &state) &&
        flo_intent_stop(state, true, true) != FLO_INTENT_STAYS) {
        flo_text_list_add(&rollouts->ids, rollout->id);
    }
    return 0;
}

static int stop_rollout(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        const char *group, bool is_yanked, const char *note, struct flo_err *err)
{
    bool is_covered = strcmp(group, "all") == 0 || strcmp(group, entry->group) == 0;
    enum flo_intent_stop stop = flo_intent_stop(entry->core.state, is_covered, is_yanked);

    return stop == FLO_INTENT_STAYS
               ? 0
               : flo_rollouts_step(
                     controller, entry,
                     (struct flo_rollout_event){.kind = stop == FLO_INTENT_RECALL
                                                            ? FLO_ROLLOUT_EVENT_TAKEN_BACK
                                                            : FLO_ROLLOUT_EVENT_ABORT,
                                                .note = note},
                     err);
}

/* Stops the release's rollouts.  Running rollouts are in memory.  An ended
 * rollout that cannot be read is skipped, because it must not block an
 * emergency order. */
int flo_orders_stop_rollouts(struct flo_controller *controller, const char *release,
                             const char *group, bool is_yanked, const char *note,
                             struct flo_err *err)
{
    struct of_release rollouts = {.release = release};
    int rv =
        flo_fleet_rollout_list(controller->store, FLO_FLEET_ALL, collect_rollout, &rollouts, err);

    for (size_t i = rollouts.ids.count; i > 0 && rv == 0; i--) {
        struct flo_rollout_entry *entry;
        struct flo_err why = {0};
        if (flo_rollouts_find(controller, rollouts.ids.items[i - 1], &entry, &why) < 0) {
            flo_log_err(FLO_LOG_WARN, "rollout", &why);
            continue;
        }
        rv = stop_rollout(controller, entry, group, is_yanked, note, err);
    }
    flo_text_list_clear(&rollouts.ids);
    return rv;
}

static int holder(void *context, const char *device)
{
    flo_outgoing_desired(context, device);
    return 0;
}

static int collect_deploy(void *context, const struct flo_fleet_order *order)
{
    struct of_release *deploys = context;

    if (strcmp(order->op, "deploy") == 0 && strcmp(order->release, deploys->release) == 0) {
        flo_text_list_add(&deploys->ids, order->id);
    }
    return 0;
}

/* Removes the release's deploy orders from desired documents, and puts no other
 * order there.  So a device does not return to the release of an earlier
 * rollout by itself. */
static int let_go(struct flo_controller *controller, const char *release, struct flo_err *err)
{
    struct of_release deploys = {.release = release};
    int rv = flo_fleet_order_held(controller->store, collect_deploy, &deploys, err);

    for (size_t i = 0; i < deploys.ids.count && rv == 0; i++) {
        const char *order = deploys.ids.items[i];
        rv = flo_fleet_desired_holders(controller->store, order, holder, controller, err);
        if (rv == 0) {
            rv = flo_fleet_desired_swap(controller->store, order, "", err);
        }
    }
    flo_text_list_clear(&deploys.ids);
    return rv;
}

int flo_orders_withdraw_by(struct flo_controller *controller, const struct flo_digest *release,
                           const char *group, const char *note, bool is_for_all,
                           struct flo_err *err)
{
    char digest[FLO_DIGEST_TEXT];
    int rv;

    flo_digest_text(release, digest);
    rv = flo_fleet_release_state(controller->store, digest, "yanked", err);
    flo_outgoing_lacking(controller);
    if (rv == 0) {
        rv = flo_orders_stop_rollouts(controller, digest, group, true, note, err);
    }
    FLO_TRY(rv);
    return is_for_all ? rv : let_go(controller, digest, err);
}

int flo_orders_withdraw(struct flo_controller *controller, const struct flo_digest *release,
                        const char *group, const char *note, struct flo_err *err)
{
    return flo_orders_withdraw_by(controller, release, group, note, false, err);
}

static int list_changes(void *context, const char *group)
{
    flo_outgoing_group(context, group);
    return 0;
}

int flo_orders_unyank(struct flo_controller *controller, const char *release, struct flo_err *err)
{
    FLO_TRY(
        flo_fleet_order_groups(controller->store, flo_wall_ms(), list_changes, controller, err));
    int rv = flo_fleet_release_state(controller->store, release, "published", err);
    flo_outgoing_lacking(controller);
    FLO_TRY(rv);
    return flo_fleet_orders_only_held(controller->store, release, err);
}

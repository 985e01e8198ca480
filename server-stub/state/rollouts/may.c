/* May: checks whether a rollout may be made, or may begin now.  It looks at
 * rules, change freezes, the release, and other rollouts. */
#include <string.h>

#include <flotilla/errors/fleet.h>
#include <flotilla/errors/release.h>
#include <flotilla/errors/rollout.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"

/* ---- rules ---- */

static int is_member(void *context, const char *device)
{
    struct flo_rollout_entry *entry = context;

    return flo_rollout_find(&entry->core, device) != SIZE_MAX ? 1 : 0;
}

/* Tells whether the rollout has a device of that group. */
static int touches(struct flo_controller *controller, struct flo_rollout_entry *entry,
                   const char *group, bool *out, struct flo_err *err)
{
    int rv = 0;

    *out = strcmp(group, "all") == 0 || strcmp(group, entry->group) == 0;
    if (!*out) {
        rv = flo_fleet_group_each(controller->store, group, is_member, entry, err);
        *out = rv > 0;
    }
    return rv > 0 ? 0 : rv;
}

int flo_rollouts_people_needed(struct flo_controller *controller, struct flo_rollout_entry *entry,
                               uint32_t *out, struct flo_err *err)
{
    const struct flo_rule_approval *rule;
    int rv = 0;

    *out = (uint32_t)entry->spec.approvals;
    for (size_t i = 0; rv == 0 && (rule = flo_rules_approval_at(controller->rules, i)) != NULL;
         i++) {
        bool is_meant = false;
        if (rule->people > *out) {
            rv = touches(controller, entry, rule->group, &is_meant, err);
        }
        *out = is_meant ? rule->people : *out;
    }
    return rv;
}

/* Finds the active change freeze that lasts longest.  *until_ms is 0 if no
 * freeze is active. */
int flo_rollouts_bar_of(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        uint64_t wall_ms, const struct flo_rule_freeze **which, uint64_t *until_ms,
                        struct flo_err *err)
{
    const struct flo_rule_freeze *freeze;
    int rv = 0;

    *until_ms = 0;
    for (size_t i = 0; rv == 0 && (freeze = flo_rules_freeze_at(controller->rules, i)) != NULL;
         i++) {
        uint64_t ends_ms;
        bool is_meant = false;
        if (flo_rule_freeze_is_on(freeze, wall_ms, &ends_ms) && ends_ms > *until_ms) {
            rv = touches(controller, entry, freeze->group, &is_meant, err);
        }
        if (is_meant) {
            *which = freeze;
            *until_ms = ends_ms;
        }
    }
    return rv;
}

void flo_rollouts_bar_text(const struct flo_rule_freeze *freeze, uint64_t until_ms, char *out,
                           size_t bytes)
{
    char at[25];

    flo_time_text(until_ms, at);
    snprintf(at + 16, 2, "Z"); /* to the minute */
    snprintf(out, bytes, "change freeze %s until %s%s%s", freeze->name, at,
             freeze->reason[0] != '\0' ? ": " : "", freeze->reason);
}

int flo_rollouts_check_bars(struct flo_controller *controller, struct flo_rollout_entry *entry,
                            uint64_t *until_ms, struct flo_err *err)
{
    const struct flo_rule_freeze *freeze = NULL;
    char text[300];
    int rv = flo_rollouts_bar_of(controller, entry, flo_wall_ms(), &freeze, until_ms, err);

    FLO_TRY(rv);
    if (*until_ms == 0) {
        return rv;
    }
    flo_rollouts_bar_text(freeze, *until_ms, text, sizeof(text));
    return flo_fail(err, FLO_E_CHANGE_FREEZE, "%s", text);
}

/* ---- the release, and others ---- */

int flo_rollouts_settle_lift(struct flo_controller *controller, struct flo_rollout_entry *entry,
                             struct flo_err *err)
{
    char release[FLO_DIGEST_TEXT];
    uint64_t taken_back = 0;
    uint64_t newest = 0;

    flo_digest_text(&entry->release, release);
    FLO_TRY(flo_fleet_order_newest(controller->store, "rollback", entry->model, release,
                                   &taken_back, err));
    FLO_TRY(flo_fleet_newest(controller->store, "order", &newest, err));
    entry->lift = flo_intent_lift(entry->spec.lifts, taken_back, newest);
    return 0;
}

int flo_rollouts_may_go_on(struct flo_controller *controller, struct flo_err *err)
{
    bool is_frozen = false;

    FLO_TRY(flo_fleet_is_frozen(controller->store, &is_frozen, err));
    if (!is_frozen) {
        return 0;
    }
    flo_fail(err, FLO_E_FROZEN, "the fleet %s is frozen", controller->fleet);
    flo_err_fix(err, "flotilla rollout unfreeze --confirm %s", controller->fleet);
    return FLO_E_FROZEN;
}

static int take_state(void *context, const struct flo_fleet_release *release)
{
    snprintf(context, 16, "%s", release->state);
    return 0;
}

/* Returns another rollout with this rollout's model and group that runs or is
 * paused; NULL: none. */
static struct flo_rollout_entry *running_for(const struct flo_controller *controller,
                                             const struct flo_rollout_entry *entry)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        struct flo_rollout_entry *other = controller->rollouts->items[i];
        if (other != entry &&
            (other->core.state == FLO_ROLLOUT_RUNNING || other->core.state == FLO_ROLLOUT_PAUSED) &&
            strcmp(other->model, entry->model) == 0 && strcmp(other->group, entry->group) == 0) {
            return other;
        }
    }
    return NULL;
}

/* Returns the rollout that this one supersedes.  A rollout that was requested
 * later is never superseded. */
struct flo_rollout_entry *flo_rollouts_ended_by(const struct flo_controller *controller,
                                                const struct flo_rollout_entry *entry)
{
    struct flo_rollout_entry *running = running_for(controller, entry);

    return running != NULL && entry->spec.supersedes &&
                   flo_intent_is_older(running->core.id, entry->core.id)
               ? running
               : NULL;
}

int flo_rollouts_may_start(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                           struct flo_err *err)
{
    char release[16];

    FLO_TRY(flo_fleet_release_get(controller->store, entry->model, entry->version, take_state,
                                  release, err));
    FLO_TRY(flo_rollouts_check_room(controller, FLO_ROLLOUTS_STARTED_MAX, err));
    if (strcmp(release, "yanked") == 0) {
        return flo_fail(err, FLO_E_RELEASE_YANKED, "%s was withdrawn", entry->core.release);
    }
    if (strcmp(release, "published") != 0) {
        flo_fail(err, FLO_E_STATE, "%s is a %s", entry->core.release, release);
        flo_err_fix(err, "publish it first");
        return FLO_E_STATE;
    }
    const struct flo_rollout_entry *other = running_for(controller, entry);
    return other == flo_rollouts_ended_by(controller, entry)
               ? 0
               : flo_fail(err, FLO_E_ROLLOUT_RUNNING, "rollout %s of %s is %s for group %s",
                          other->core.id, other->core.release,
                          flo_rollout_state_word(other->core.state), other->group);
}

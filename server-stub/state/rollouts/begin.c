/* Begin: takes approvals of a rollout, and starts the rollout when its time has
 * come and no obstacle remains. */
#include <string.h>

#include <flotilla/errors/rollout.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"

#define BARS_MS 10000 /* interval at which obstacles to a rollout's begin are checked */

/* ---- the begin ---- */

/* Drops those devices from the rollout that a newer rollout of the model has as
 * members. */
static int leave_to_newer(struct flo_controller *controller, struct flo_rollout_entry *entry,
                          struct flo_err *err)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        const struct flo_rollout_entry *newer = controller->rollouts->items[i];
        if (newer == entry || strcmp(newer->model, entry->model) != 0 ||
            !flo_intent_may_order(newer->core.state) ||
            !flo_intent_is_older(entry->core.id, newer->core.id)) {
            continue;
        }
        for (size_t m = 0; m < newer->core.member_count; m++) {
            const struct flo_rollout_member *member = &newer->core.members[m];
            bool is_there = member->state != FLO_EXECUTION_REMOVED &&
                            member->state != FLO_EXECUTION_SUPERSEDED &&
                            member->rule == FLO_RULE_FREE;
            if (is_there && flo_rollout_find(&entry->core, member->device) != SIZE_MAX) {
                FLO_TRY(flo_rollouts_step(
                    controller, entry,
                    (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_SUPERSEDED,
                                               .device = member->device,
                                               .note = newer->core.id},
                    err));
            }
        }
    }
    return 0;
}

static int put_off(struct flo_controller *controller, struct flo_rollout_entry *entry,
                   const char *why, uint64_t until_ms, struct flo_err *err)
{
    return flo_rollouts_step(controller, entry,
                             (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PUT_OFF,
                                                        .note = why,
                                                        .until_ms = until_ms},
                             err);
}

/* Returns whether an error code is about the rollout itself, and not about the
 * store. */
static bool is_ours(int code)
{
    return flo_fleet_is_failure(code) || code == FLO_E_INTERNAL;
}

static int begin(struct flo_controller *controller, struct flo_rollout_entry *entry,
                 struct flo_err *err)
{
    struct flo_err why = {0};
    uint64_t until_ms = flo_wall_ms() + BARS_MS;
    uint64_t bar_ms = 0;
    int rv = flo_rollouts_check_bars(controller, entry, &bar_ms, &why);

    if (rv == 0) {
        rv = flo_rollouts_may_go_on(controller, &why);
    }
    if (rv == 0) {
        rv = flo_rollouts_may_start(controller, entry, &why);
    }
    if (rv < 0 && is_ours(rv)) {
        *err = why;
        return rv;
    }
    if (rv < 0) {
        return put_off(controller, entry, why.what, bar_ms > 0 ? bar_ms : until_ms, err);
    }
    FLO_TRY(flo_rollouts_settle_lift(controller, entry, err));
    FLO_TRY(flo_rollouts_supersede(controller, entry, err));
    FLO_TRY(leave_to_newer(controller, entry, err));
    return flo_rollouts_step(
        controller, entry,
        (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BEGIN, .note = entry->own->by}, err);
}

static bool is_due(const struct flo_rollout *core, uint64_t wall_ms)
{
    return core->state == FLO_ROLLOUT_SCHEDULED && wall_ms >= core->start_at_ms;
}

/* ---- approvals ---- */

static bool is_person(const char *account)
{
    return strncmp(account, "user:", 5) == 0;
}

/* Returns whether the caller has this account, or a name that people could
 * confuse with it. */
static bool is_same(const char *name, const char *account, const struct flo_actor *by)
{
    return strcmp(account, by->account) == 0 || strcmp(name, by->name) == 0;
}

/* Checks who approves the rollout.  If a person started it, a token without a
 * person is refused, because that token may belong to the same person. */
static int may_approve(const struct flo_rollout_entry *entry, const struct flo_actor *by,
                       struct flo_err *err)
{
    size_t i;
    json_t *one;

    if (is_same(entry->own->by, entry->own->account, by)) {
        return flo_fail(err, FLO_E_ROLLOUT_APPROVER,
                        "%.64s started rollout %s: another person approves it", by->name,
                        entry->core.id);
    }
    if (is_person(entry->own->account) && !is_person(by->account)) {
        flo_fail(err, FLO_E_ROLLOUT_APPROVER,
                 "the token %.64s belongs to no person, and %.64s started "
                 "rollout %s as one",
                 by->name, entry->own->by, entry->core.id);
        return flo_err_fix(err, "approve it with a token of a user: flotilla "
                                "user list");
    }
    json_array_foreach(entry->own->approvals, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "by"));
        const char *account = json_string_value(json_object_get(one, "account"));
        if (name != NULL && account != NULL && is_same(name, account, by)) {
            return flo_fail(err, FLO_E_ROLLOUT_APPROVER, "%.64s approved rollout %s already",
                            by->name, entry->core.id);
        }
    }
    return 0;
}

int flo_rollouts_approve(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         const struct flo_actor *by, const char *note, struct flo_err *err)
{
    /* devices wait for it, while others have the release */
    bool is_for_some =
        flo_intent_may_order(entry->core.state) && entry->own->people_asked > entry->core.approvals;
    bool is_awaited = entry->core.state == FLO_ROLLOUT_AWAITING_APPROVAL || is_for_some;

    FLO_TRY(is_awaited ? may_approve(entry, by, err) : 0);
    if (is_awaited) {
        json_array_append_new(entry->own->approvals,
                              json_pack("{s:s,s:s,s:I}", "by", by->name, "account", by->account,
                                        "at_ms", (json_int_t)flo_wall_ms()));
    }
    FLO_TRY(flo_rollouts_step(controller, entry,
                              (struct flo_rollout_event){.kind = is_for_some
                                                                     ? FLO_ROLLOUT_EVENT_APPROVED
                                                                     : FLO_ROLLOUT_EVENT_APPROVE,
                                                         .note = note},
                              err));
    flo_rules_turn_on(controller->rules);
    FLO_TRY(flo_rollouts_obey(controller, entry, err));
    return is_due(&entry->core, flo_wall_ms()) ? begin(controller, entry, err) : 0;
}

/* ---- time ---- */

static int look_at_bars(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        uint64_t wall_ms, struct flo_err *err)
{
    const struct flo_rule_freeze *freeze = NULL;
    char text[300] = "the change freeze ended";
    uint64_t until_ms = 0;
    int rv = flo_rollouts_bar_of(controller, entry, wall_ms, &freeze, &until_ms, err);

    FLO_TRY(rv);
    if (until_ms == entry->core.barred_until_ms) {
        return rv;
    }
    if (until_ms > 0) {
        flo_rollouts_bar_text(freeze, until_ms, text, sizeof(text));
    }
    return flo_rollouts_step(controller, entry,
                             (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BARRED,
                                                        .note = text,
                                                        .until_ms = until_ms},
                             err);
}

/* Returns whether it is time to check for obstacles.  They are checked at
 * intervals, and at once when rules change or a freeze ends. */
static bool wants_a_look(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         uint64_t wall_ms)
{
    const struct flo_rollout *core = &entry->core;
    bool is_open = core->state == FLO_ROLLOUT_RUNNING || core->state == FLO_ROLLOUT_PAUSED ||
                   is_due(core, wall_ms);
    uint64_t until_ms =
        core->state == FLO_ROLLOUT_SCHEDULED ? core->put_off_ms : core->barred_until_ms;
    bool is_over = until_ms > 0 && wall_ms >= until_ms;
    uint64_t now_ms = flo_now_ms();

    if (!is_open || (entry->own->rules_seen == flo_rules_revision(controller->rules) &&
                     now_ms < entry->own->bars_at_ms && !is_over)) {
        return false;
    }
    entry->own->rules_seen = flo_rules_revision(controller->rules);
    entry->own->bars_at_ms = now_ms + BARS_MS;
    return true;
}

/* Largest number of devices to which completed rollouts give orders in one call
 * after their rules changed. */
#define FREED_MAX 200

static int free_some(struct flo_controller *controller, struct flo_err *err)
{
    char device[37];

    for (size_t i = 0; i < FREED_MAX && flo_rules_next_freed(controller->rules, device); i++) {
        if (flo_fleet_facts_of(controller->store, device) != NULL) {
            FLO_TRY(flo_rollouts_join(controller, device, err));
        }
    }
    return 0;
}

int flo_rollouts_calendar(struct flo_controller *controller, struct flo_err *err)
{
    uint64_t wall_ms = flo_wall_ms();
    int rv = 0;

    for (size_t i = 0; i < controller->rollouts->count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts->items[i];
        if (entry->core.state != FLO_ROLLOUT_SCHEDULED) {
            FLO_TRY(flo_rollouts_obey(controller, entry, err));
        }
        if (!wants_a_look(controller, entry, wall_ms)) {
            continue;
        }
        rv = is_due(&entry->core, wall_ms) ? begin(controller, entry, err)
                                           : look_at_bars(controller, entry, wall_ms, err);
    }
    FLO_TRY(rv);
    return free_some(controller, err);
}

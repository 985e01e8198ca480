/* Membership: evaluates devices that changed, one after another, and moves them
 * between groups. */
#include <string.h>

#include <flotilla/errors/group.h>
#include <flotilla/errors/target.h>

#include "server-stub/core/member/claim.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/membership/tell.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/text_list.h"
#include "server-stub/store/fleet.h"

#define TURN_MS 10 /* time in ms for which devices are evaluated before other work runs */

/* ---- one ---- */

/* Notifies orders, rollouts and subscribers of a change in the device's
 * groups. */
static int moved(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    int rv = flo_orders_leave(controller, device, err);

    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, device);
    FLO_TRY(rv);
    FLO_TRY(flo_rollouts_reconsider(controller, device, err));
    return flo_orders_left(controller, device, err);
}

static int change(struct flo_controller *controller, const char *device,
                  const struct flo_group_change *change, bool *is_news, struct flo_err *err)
{
    struct flo_err full = {0};
    uint64_t since = 0;

    FLO_TRY(flo_fleet_newest(controller->store, "order", &since, err));
    FLO_TRY(change->is_member ? 0 : flo_making_reach(controller, device, err));
    int rv = flo_fleet_group_member(controller->store, change->group, device, change->is_member,
                                    since, is_news, &full);
    /* A device in too many groups stays out of this one, and the log says
     * why. */
    if (rv == FLO_E_TARGET_LIMIT) {
        flo_log(FLO_LOG_WARN, "group", "%s", full.what);
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = full;
    }
    return rv;
}

/* Evaluates a device that changed: which groups' selectors it matches, what its
 * rollouts do, and whether it needs a statement about its groups. */
static int look(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    struct flo_group_change changes[FLO_FLEET_GROUPS_MAX];
    bool is_moved = false;
    int rv = flo_groups_read(controller, err);
    size_t count = rv == 0 ? flo_groups_find(controller, device, changes) : 0;

    /* A device leaves groups before it joins others, because it can be in a
     * limited number of groups. */
    for (int joins = 0; joins < 2; joins++) {
        for (size_t i = 0; i < count && rv == 0; i++) {
            bool is_news = false;
            if (changes[i].is_member == (joins == 1)) {
                rv = change(controller, device, &changes[i], &is_news, err);
            }
            is_moved = is_moved || is_news;
        }
    }
    if (rv == 0 && is_moved) {
        rv = moved(controller, device, err);
    }
    FLO_TRY(rv);
    return flo_groups_tell(controller, device, err);
}

int flo_groups_member(struct flo_controller *controller, const char *group, const char *device,
                      bool is_member, bool *is_news, struct flo_err *err)
{
    uint64_t since = 0;

    FLO_TRY(flo_fleet_newest(controller->store, "order", &since, err));

    /* An order to a group is for all devices that were members when it was
     * given. Rows of older orders that are still missing for this device are
     * therefore made before it leaves. */
    FLO_TRY(is_member ? 0 : flo_making_reach(controller, device, err));
    int rv =
        flo_fleet_group_member(controller->store, group, device, is_member, since, is_news, err);
    FLO_TRY(rv);
    return !*is_news ? rv : moved(controller, device, err);
}

struct closed {
    bool is_there;
    bool is_closed;
};

static int look_whether_closed(void *context, const struct flo_fleet_group *group)
{
    *(struct closed *)context = (struct closed){true, group->selector[0] != '\0' || group->ends};
    return 0;
}

static int look_at_group(struct flo_controller *controller, const char *group, struct closed *out,
                         struct flo_err *err)
{
    struct flo_err absent = {0};
    int rv;

    *out = (struct closed){.is_there = strcmp(group, "all") == 0};
    rv = out->is_there
             ? 0
             : flo_fleet_group_get(controller->store, group, look_whether_closed, out, &absent);
    if (rv < 0 && rv != FLO_E_GROUP_ABSENT) {
        *err = absent;
        return rv;
    }
    if (!out->is_closed) {
        return 0;
    }
    flo_fail(err, FLO_E_STATE, "group %s takes no named devices", group);
    return flo_err_fix(err, "flotilla group get %s", group);
}

int flo_groups_may_enrol(struct flo_controller *controller, const char *group, struct flo_err *err)
{
    struct closed closed;

    return look_at_group(controller, group, &closed, err);
}

int flo_groups_enrol(struct flo_controller *controller, const char *group, struct flo_err *err)
{
    struct closed closed;

    FLO_TRY(look_at_group(controller, group, &closed, err));
    return closed.is_there
               ? 0
               : flo_fleet_group_put(controller->store,
                                     &(struct flo_fleet_group){.name = group,
                                                               .selector = "",
                                                               .priority = FLO_PRIORITY_STANDARD,
                                                               .note = "",
                                                               .created_at_ms = flo_wall_ms()},
                                     err);
}

int flo_groups_may_leave(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    struct flo_group_change changes[FLO_FLEET_GROUPS_MAX];

    FLO_TRY(flo_rules_may_take_out(controller, "", err));
    FLO_TRY(flo_groups_read(controller, err));
    size_t count = flo_groups_find(controller, device, changes);
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(changes[i].is_member ? 0
                                     : flo_rules_may_take_out(controller, changes[i].group, err));
    }
    return 0;
}

/* ---- many ---- */

static int look_at_some(struct flo_controller *controller, uint64_t now_ms, struct flo_err *err)
{
    char device[37];
    int rv = 0;

    while (rv == 0 && flo_now_ms() < now_ms + TURN_MS) {
        rv = flo_fleet_changed_next(controller->store, device, err);
        if (rv < 0 || device[0] == '\0') {
            break;
        }
        rv = look(controller, device, err);
    }
    if (rv == 0 && flo_groups_any_ends(controller->groups) &&
        !flo_fleet_changed_any(controller->store)) {
        rv = flo_groups_delete_ended(controller, err);
    }
    return rv;
}

bool flo_groups_turn(struct flo_controller *controller, uint64_t now_ms)
{
    struct flo_err err = {0};

    flo_groups_sweep(controller, now_ms);
    if (!flo_fleet_changed_any(controller->store) && !flo_groups_any_ends(controller->groups)) {
        return false;
    }
    int rv = flo_controller_begin(controller, &err);
    if (rv == 0) {
        rv = flo_controller_end(controller, look_at_some(controller, now_ms, &err), &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "group", &err);
        flo_fleet_changed_all(controller->store); /* after a pause */
        return false;
    }
    return flo_fleet_changed_any(controller->store);
}

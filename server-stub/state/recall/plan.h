/* Plan: struct of a recall's plan, and functions for the devices in its scope.
 * Private to this folder. */
#ifndef FLOTILLA_SERVER_STATE_RECALL_PLAN_H
#define FLOTILLA_SERVER_STATE_RECALL_PLAN_H

#include "server-stub/core/orders/recall.h"
#include "server-stub/core/orders/removal.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/groups/walk.h"
#include "server-stub/state/orders/scope.h"
#include "server-stub/state/recall/recall.h"

struct flo_recall_release {
    struct flo_digest digest;
    uint64_t number;
    uint64_t bytes;
    char state[16];
};

/* The release that is rolled back, and the release to which devices return. */
struct flo_recall_pair {
    struct flo_recall_release from;
    struct flo_recall_release to;
    char model[FLO_NAME_MAX + 1];
    char to_version[FLO_NAME_MAX + 1];
    char from_text[FLO_DIGEST_TEXT];
    char to_text[FLO_DIGEST_TEXT];
};

/* ---- scope.c ---- */

/* Reads all devices of the group, or one device; the caller frees `items`.
 * With list->is_sliced only devices that serve the release `title` are read.
 * Reading then ends at the first device that can go back, or after
 * FLO_SCOPE_LOOKS devices. */
#define FLO_SCOPE_LOOKS 1000
FLO_MUST_USE int flo_scope_read(struct flo_scope_list *list, const char *group, const char *device,
                                const char *title, struct flo_err *err);
/* Adds one device to `list`, a flo_scope_list. */
FLO_MUST_USE int flo_scope_take(void *list, const struct flo_fleet_device *device);
/* Reads only the ids of the devices in scope, without their reports. */
FLO_MUST_USE int flo_scope_read_ids(struct flo_scope_list *list, const char *group,
                                    struct flo_err *err);
/* Removes the devices in scope from the rollout, so that a rollout that adds
 * late devices does not add these again. */
FLO_MUST_USE int flo_scope_leave(const struct flo_scope_list *list, struct flo_rollout_entry *entry,
                                 struct flo_err *err);
/* Counts the devices whose way back is in the range of flo_return from `from`
 * to `to`. */
size_t flo_scope_count(const struct flo_scope_list *list, enum flo_return from, enum flo_return to);

/* Checks that the group or the device exists, so that a typing error does not
 * make an empty scope.  FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT. */
FLO_MUST_USE int flo_scope_check(struct flo_controller *controller, const char *group,
                                 const char *device, struct flo_err *err);

/* ---- plan.c ---- */

#define FLO_PLAN_DEVICES 200 /* largest number of devices that a plan lists */

struct flo_orders_plan {
    struct flo_controller *controller;
    char texts[4][FLO_RETURN_TITLE]; /* copies of the texts in `back` and `remove` */
    struct flo_recall back;
    struct flo_remove remove; /* the removal; if it names no model, the plan is about a rollback */
    struct flo_recall_pair both; /* a rollback's pair */
    /* Rollout that is rolled back alone; "": the release is recalled. */
    char rollout[FLO_NAME_MAX + 1];
    /* Device of `back` or `remove`; NULL: the plan is for a group. */
    const char *device;
    struct flo_group_walk walk;
    struct flo_scope_list list; /* list that contains only the device read now */
    size_t devices, offline;
    size_t ways[FLO_RETURN_COUNT]; /* number of devices by flo_return, or by flo_removal */
    json_t *targets[FLO_RETURN_COUNT], *items[FLO_RETURN_COUNT];
};
_Static_assert((int)FLO_REMOVAL_COUNT <= (int)FLO_RETURN_COUNT, "ways");

/* Adds a device to the plan (plan_rows.c).  `way` is how the device goes back,
 * and `to` the release to which it returns, or "".  Takes ownership of
 * `item`. */
void flo_plan_take(struct flo_orders_plan *plan, size_t place, const char *way, const char *to,
                   bool is_online, uint64_t bytes, json_t *item);

/* ---- remove.c ---- */

/* Adds to a removal's plan the one device in the plan's list. */
FLO_MUST_USE int flo_remove_plan_take(struct flo_orders_plan *plan, struct flo_err *err);
FLO_MUST_USE int flo_remove_plan_end(struct flo_orders_plan *plan, json_t **out,
                                     struct flo_err *err);

/* ---- withdraw.c ---- */

/* Ends the rollouts of the release whose digest is `release`.
 * core/orders/intent.h decides how each of them ends. */
FLO_MUST_USE int flo_orders_stop_rollouts(struct flo_controller *controller, const char *release,
                                          const char *group, bool is_yanked, const char *note,
                                          struct flo_err *err);

/* Yanks a release for a rollback, as flo_orders_withdraw does.  With
 * `is_for_all`, the rollback later replaces the release's deploys in all
 * desired documents (making.h).  Otherwise the deploys are removed here. */
FLO_MUST_USE int flo_orders_withdraw_by(struct flo_controller *controller,
                                        const struct flo_digest *release, const char *group,
                                        const char *note, bool is_for_all, struct flo_err *err);

/* ---- recall.c ---- */

FLO_MUST_USE int flo_recall_find(struct flo_controller *controller, const struct flo_recall *what,
                                 struct flo_recall_pair *out, struct flo_err *err);

#endif

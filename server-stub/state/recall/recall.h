/* Recall: emergency orders, which roll back or yank a release, remove a model,
 * or freeze the whole fleet. */
#ifndef FLOTILLA_SERVER_STATE_RECALL_H
#define FLOTILLA_SERVER_STATE_RECALL_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

struct flo_controller;
struct flo_rollout_entry;

/* A recall: the release that is rolled back, and the devices that it
 * concerns. */
struct flo_recall {
    const char *release; /* model@version */
    const char *group;   /* group of the devices; "all": the whole fleet; NULL: one device */
    const char *device;  /* id of the only device, or NULL */
    /* release model@version to which devices return; NULL: each device's
     * previous release */
    const char *to;
    bool is_yanked;  /* the release is yanked, so no device starts it again */
    bool is_decided; /* the operator chose explicitly whether the release is yanked or kept */
    const char *by;
    const char *reason;
};
/* Begins a preview of a rollback's effect, from the devices' reports.  Devices
 * are read in slices of work; nothing changes.  The plan copies its arguments.
 * FLO_E_GROUP_ABSENT and FLO_E_DEVICE_ABSENT have the meaning that
 * flo_orders_recall gives them. */
struct flo_orders_plan;
FLO_MUST_USE int flo_orders_plan_rollback(struct flo_controller *controller,
                                          const struct flo_recall *what,
                                          struct flo_orders_plan **out, struct flo_err *err);
/* Begins the preview of a rollout's rollback, for the devices that the rollout
 * ordered to take the release.  Errors are those of the rollback itself, such
 * as FLO_E_ROLLOUT_STATE. */
FLO_MUST_USE int flo_orders_plan_rollout(struct flo_controller *controller,
                                         const struct flo_rollout_entry *entry,
                                         struct flo_orders_plan **out, struct flo_err *err);
/* Processes at least a few of the next devices, and further ones until
 * `until_ms` (flo_now_ms). */
FLO_MUST_USE int flo_orders_plan_on(struct flo_orders_plan *plan, uint64_t until_ms, bool *is_whole,
                                    struct flo_err *err);
/* Ends the preview after all devices; the caller calls it once.  *out receives
 * counts, targets with their downloads, and reasons.  It also lists some
 * devices, first those that need a person.
 *
 * FLO_E_ORDER_NOBODY  for a removal: no device in scope has the model */
FLO_MUST_USE int flo_orders_plan_end(struct flo_orders_plan *plan, json_t **out,
                                     struct flo_err *err);
void flo_orders_plan_free(struct flo_orders_plan *plan); /* or NULL */
/* Recalls a release: issues the order, yanks the release if asked, stops
 * rollouts, and rewrites desired documents.
 *
 * Without a yank nothing changes outside the scope: rollouts of other groups
 * continue without the scope's devices.  With `to`, devices that still have the
 * release `to` switch to it.  All other devices download it by a deploy order
 * of their own, whose end counts for this order.  The errors below change
 * nothing.
 *
 * FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT  there is no such group or device
 * FLO_E_ORDER_NOBODY  no device that runs the release can leave it, and the
 *                     operator did not choose yank or keep
 * FLO_E_CHANGE_FREEZE, FLO_E_ORDER_APPROVAL  `to` is a change for a device
 *                     that did not serve it just before */
FLO_MUST_USE int flo_orders_recall(struct flo_controller *controller, const struct flo_recall *what,
                                   char *id, struct flo_err *err);
/* Yanks a release, so that no device installs it any more.
 *
 * Its rollouts end: as rolled back if the rollback `note` of the group `group`
 * covers them, else as aborted; `note` "": there is no rollback.  Desired
 * documents with the release become empty, and are sent at once. */
FLO_MUST_USE int flo_orders_withdraw(struct flo_controller *controller,
                                     const struct flo_digest *release, const char *group,
                                     const char *note, struct flo_err *err);
/* Ends a yank, so that the release may be rolled out again.  Rollbacks that
 * devices have not answered stay in these devices' desired documents only. */
FLO_MUST_USE int flo_orders_unyank(struct flo_controller *controller, const char *release,
                                   struct flo_err *err);
/* A removal: the model and its devices. */
struct flo_remove {
    const char *model;
    const char *group;  /* group of the devices; "all": the whole fleet; NULL: one device */
    const char *device; /* id of the only device, or NULL */
    bool keeps_blobs;   /* the model's files stay on devices until the disk has little room */
    const char *by;
    const char *reason;
};
FLO_MUST_USE int flo_orders_plan_removal(struct flo_controller *controller,
                                         const struct flo_remove *what,
                                         struct flo_orders_plan **out, struct flo_err *err);
/* Removes a model from devices.  The order stays in the desired document of
 * each device that has the model, or is ordered to have it, until the device
 * reports that the model is gone.  Rollouts of the model for this scope end;
 * other rollouts continue without the scope's devices.  The errors below change
 * nothing.
 *
 * FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT  there is no such group or device
 * FLO_E_ORDER_NOBODY  no device in scope has the model */
FLO_MUST_USE int flo_orders_remove(struct flo_controller *controller, const struct flo_remove *what,
                                   char *id, struct flo_err *err);
/* Callback of type flo_orders_leave_fn: removes the device from rollouts of the
 * model. */
FLO_MUST_USE int flo_orders_leave_model(struct flo_controller *controller, const char *device,
                                        const char *model, struct flo_err *err);
/* Issues an order for the whole fleet: freeze, unfreeze, prompts or config.
 * `number` is the one of its arguments: `stay`, or `heartbeat_ms`. */
FLO_MUST_USE int flo_orders_fleet(struct flo_controller *controller, enum flo_order_op op,
                                  const char *by, uint64_t number, char *id, struct flo_err *err);

#endif

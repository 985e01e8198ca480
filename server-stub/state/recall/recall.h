/* Emergency orders: a release taken back, withdrawn; the whole fleet. */
#ifndef FLOTILLA_SERVER_STATE_RECALL_H
#define FLOTILLA_SERVER_STATE_RECALL_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

struct flo_controller;
struct flo_rollout_entry;

/* The release that goes back, and the devices on which. */
struct flo_take_back {
    const char *release; /* model@version */
    const char *group;   /* "all": everywhere; NULL: one device */
    const char *device;  /* the device's id, or NULL */
    const char *to;      /* model@version to go to; NULL: each device's previous
                          * one */
    bool is_yanked;      /* no device starts the release again */
    bool is_decided;     /* the operator chose, yank or keep */
    const char *by;
    const char *reason;
};
/* The effect of an order, by the devices' reports, before it is given.  Devices
 * are read in slices, in which nothing changes.  The plan has its own copy of
 * what it is asked.  FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT as the order. */
struct flo_orders_plan;
FLO_MUST_USE int flo_orders_plan_rollback(struct flo_controller *controller,
                                          const struct flo_take_back *what,
                                          struct flo_orders_plan **out, struct flo_err *err);
/* The same of a rollout's rollback: devices that it told of the release.
 * FLO_E_ROLLOUT_STATE and its like, as the rollback itself. */
FLO_MUST_USE int flo_orders_plan_rollout(struct flo_controller *controller,
                                         const struct flo_rollout_entry *entry,
                                         struct flo_orders_plan **out, struct flo_err *err);
/* The next devices until `until_ms` (flo_now_ms), some at least. */
FLO_MUST_USE int flo_orders_plan_on(struct flo_orders_plan *plan, uint64_t until_ms, bool *is_whole,
                                    struct flo_err *err);
/* After all of them, once.  *out receives counts, targets with their downloads,
 * and reasons.  It also lists some devices, first those that need a person.
 * FLO_E_ORDER_NOBODY  of a removal: no device in scope has the model */
FLO_MUST_USE int flo_orders_plan_end(struct flo_orders_plan *plan, json_t **out,
                                     struct flo_err *err);
void flo_orders_plan_free(struct flo_orders_plan *plan); /* or NULL */
/* Emergency: order, yank when asked, stop rollouts, rewrite desired.  Without a
 * yank nothing changes outside the scope: rollouts of other groups go on,
 * without the scope's devices.
 *
 * With `to`, devices that keep that release flip to it.  Others fetch it by a
 * deploy order of their own, whose end counts for this order.
 *
 * FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT  no such device; nothing changed
 * FLO_E_ORDER_NOBODY  no device that runs it can leave it, and the operator
 *                     did not choose yank or keep; nothing changed
 * FLO_E_CHANGE_FREEZE, FLO_E_ORDER_APPROVAL  `to` is a change for a device that
 *                     did not serve it just before; nothing changed */
FLO_MUST_USE int flo_orders_take_back(struct flo_controller *controller,
                                      const struct flo_take_back *what, char *id,
                                      struct flo_err *err);
/* Yank a release: no device starts it any more.  Its rollouts end: covered by
 * the rollback `note` of `group` ("" none) as taken back, the others as
 * aborted.  Desired documents that named it become empty, and go out at once.
 */
FLO_MUST_USE int flo_orders_withdraw(struct flo_controller *controller,
                                     const struct flo_digest *release, const char *group,
                                     const char *note, struct flo_err *err);
/* End of a yank: it may be rolled out again.  Rollbacks that are still awaited
 * stay in their devices' desired documents alone. */
FLO_MUST_USE int flo_orders_unyank(struct flo_controller *controller, const char *release,
                                   struct flo_err *err);
/* The model that leaves devices. */
struct flo_remove {
    const char *model;
    const char *group;  /* "all": everywhere; NULL: one device */
    const char *device; /* the device's id, or NULL */
    bool keeps_blobs;   /* the model's files stay until the disk is short */
    const char *by;
    const char *reason;
};
FLO_MUST_USE int flo_orders_plan_removal(struct flo_controller *controller,
                                         const struct flo_remove *what,
                                         struct flo_orders_plan **out, struct flo_err *err);
/* The order stands in the desired document of each device that has the model,
 * or is told of it, until the device says that it is gone.  Rollouts of the
 * model that are for the scope end; others go on without its devices.
 *
 * FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT  no such device; nothing changed
 * FLO_E_ORDER_NOBODY  no device in scope has the model; nothing changed */
FLO_MUST_USE int flo_orders_remove(struct flo_controller *controller, const struct flo_remove *what,
                                   char *id, struct flo_err *err);
/* A flo_orders_leave_fn: the device is a member of rollouts of the model no
 * more. */
FLO_MUST_USE int flo_orders_leave_model(struct flo_controller *controller, const char *device,
                                        const char *model, struct flo_err *err);
/* freeze, unfreeze, config. */
FLO_MUST_USE int flo_orders_fleet(struct flo_controller *controller, enum flo_order_op op,
                                  const char *by, uint64_t heartbeat_ms, char *id,
                                  struct flo_err *err);

#endif

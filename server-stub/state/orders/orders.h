/* Orders: signs orders, renews their signatures, and writes them for
 * publication. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_ORDERS_H
#define FLOTILLA_SERVER_STATE_ORDERS_ORDERS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/member/rule.h"
#include "server-stub/store/store.h"

struct flo_controller;

/* Callback when a person removes a model from a device, so that no rollout of
 * the model brings it back.  After the last device it is called with `device`
 * NULL, and changed rollouts are written. */
typedef int (*flo_orders_leave_fn)(struct flo_controller *controller, const char *device,
                                   const char *model, struct flo_err *err);
struct flo_orders;
/* Creates the empty state of orders; NULL: no memory. */
struct flo_orders *flo_orders_new(flo_orders_leave_fn leave);
void flo_orders_free(struct flo_orders *orders);
/* Returns how many orders were signed since the start. */
uint64_t flo_orders_signed(const struct flo_orders *orders);
/* Returns whether a rollback is newer than some deploys in desired documents.
 * Then flo_orders_overtaken must be called. */
bool flo_orders_are_overtaken(const struct flo_orders *orders);

/* Completes an order (id, seq, times), signs it and stores it.  `id` receives
 * the order's id. */
FLO_MUST_USE int flo_orders_issue(struct flo_controller *controller, struct flo_order *order,
                                  bool is_tracked, uint64_t release_bytes, char *id,
                                  struct flo_err *err);
/* Does what flo_orders_issue does, but `row` says how the order is
 * transported. */
FLO_MUST_USE int flo_orders_issue_row(struct flo_controller *controller, struct flo_order *order,
                                      struct flo_fleet_order row, char *id, struct flo_err *err);
/* Completes and signs an order that gets no row of its own, and appends its
 * signed envelope. */
FLO_MUST_USE int flo_orders_sign_alone(struct flo_controller *controller, struct flo_order *order,
                                       struct flo_buf *envelope, struct flo_err *err);
/* An order about a model that a device is to be told. */
struct flo_orders_told {
    const char *device;
    const char *model;
    const char *order; /* id of the order */
    enum flo_order_op op;
    uint32_t approvals; /* approvals of other people that the order has */
};
/* Puts the order into the device's desired document.  This is the only way by
 * which a new release comes to a device, so the rules are asked here, whatever
 * the order is of.  *hold tells whether a rule forbids it now; the document
 * then stays as it is. */
FLO_MUST_USE int flo_orders_tell(struct flo_controller *controller,
                                 const struct flo_orders_told *what, enum flo_rule_hold *hold,
                                 struct flo_err *err);
/* Renews the orders that are due (core/orders/renewal.h): first those in
 * groups' lists (flo_fleet_order_standing), then those in desired documents. */
FLO_MUST_USE int flo_orders_renew(struct flo_controller *controller, struct flo_err *err);
/* Renews at once, after a rollback, those orders in desired documents that are
 * about the rollback's model. */
FLO_MUST_USE int flo_orders_overtaken(struct flo_controller *controller, struct flo_err *err);
/* Renews all orders, because devices know higher order numbers than this store
 * has given. */
FLO_MUST_USE int flo_orders_renew_each(struct flo_controller *controller, struct flo_err *err);
/* Renews an order with the same scope, if that is due, before a rollout gives
 * it to devices.  `id` becomes the id of the new order.  An order is also due
 * when its number is below `held`, the highest number of an order that one of
 * these devices has.  Such a device would otherwise refuse the order as
 * older. */
FLO_MUST_USE int flo_orders_freshen(struct flo_controller *controller, char *id, uint64_t held,
                                    struct flo_err *err);
/* A rollback whose answer by a device is missing. */
struct flo_orders_rollback {
    char id[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    uint64_t seq;
};
/* Tells in *is_deployed whether the device's desired document has the rollback as
 * a deploy, because the device must download the target.  It would refuse the
 * rollback itself; its report completes the rollback.  If not, the order about
 * the model in that document is renewed if it is older than the rollback, which
 * would overtake it.  The renewed order is for this device alone. */
FLO_MUST_USE int flo_orders_outlast(struct flo_controller *controller, const char *device,
                                    const struct flo_orders_rollback *rollback, bool *is_deployed,
                                    struct flo_err *err);
/* Signs a group's order again for a device that knows a newer order about the
 * model, if its desired document still has the group's order.  The new order
 * names this device and is newer than all others.  Such a device may have
 * joined the group after an order removed the model from it by name. */
FLO_MUST_USE int flo_orders_outrank(struct flo_controller *controller, const char *device,
                                    const char *model, const char *order, bool *is_sent,
                                    struct flo_err *err);
/* Signs an order again for a device that it reached too late, if the device's
 * desired document holds the order. */
FLO_MUST_USE int flo_orders_send_again(struct flo_controller *controller, const char *device,
                                       const char *order, struct flo_err *err);
/* Removes from the desired document those orders whose group the device left,
 * and no longer waits for its answers to them. */
FLO_MUST_USE int flo_orders_leave(struct flo_controller *controller, const char *device,
                                  struct flo_err *err);
/* Stops waiting for answers from a device that leaves the fleet. */
FLO_MUST_USE int flo_orders_retire(struct flo_controller *controller, const char *device,
                                   struct flo_err *err);
/* Signs orders in the device's desired document again, for this device alone:
 * those of rollouts to groups that the device has left. */
FLO_MUST_USE int flo_orders_left(struct flo_controller *controller, const char *device,
                                 struct flo_err *err);
/* Signs a group's order again for one device, and puts the new order into the
 * device's desired document. */
FLO_MUST_USE int flo_orders_by_name(struct flo_controller *controller, const char *device,
                                    const char *order, struct flo_err *err);
/* Deletes a removed model from the device's desired document, unless the
 * document holds another order about the model by now. */
FLO_MUST_USE int flo_orders_removed(struct flo_controller *controller, const char *device,
                                    const char *model, struct flo_err *err);
/* Issues an order `logs` or `doctor`, which asks one device for a report.  The
 * report arrives by PUT /v1/reports/ID. */
FLO_MUST_USE int flo_orders_report(struct flo_controller *controller, struct flo_order *order,
                                   char *id, struct flo_err *err);
/* Appends the text of a device's desired document. */
FLO_MUST_USE int flo_orders_desired_text(struct flo_controller *controller, const char *device,
                                         struct flo_buf *out, struct flo_err *err);
/* Appends the text of a group's retained list, which is FLO_ORDERS_NONE if the
 * group has no orders. */
#define FLO_ORDERS_NONE "{\"v\":1,\"orders\":[]}"
FLO_MUST_USE int flo_orders_group_text(struct flo_controller *controller, const char *group,
                                       struct flo_buf *out, struct flo_err *err);

#endif

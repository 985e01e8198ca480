/* Orders: signed, signed again, and as they are published. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_ORDERS_H
#define FLOTILLA_SERVER_STATE_ORDERS_ORDERS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/store/store.h"

struct flo_controller;

/* A model leaves a device: no rollout of it, above, brings it back. Without a
 * device: no more come, and the rollouts are written. */
typedef int (*flo_orders_leave_fn)(struct flo_controller *controller, const char *device,
                                   const char *model, struct flo_err *err);
struct flo_orders;
/* None was signed; NULL: no memory. */
struct flo_orders *flo_orders_new(flo_orders_leave_fn leave);
void flo_orders_free(struct flo_orders *orders);
/* Since the start. */
uint64_t flo_orders_signed(const struct flo_orders *orders);
/* A rollback is newer than deploys that are held: flo_orders_overtaken. */
bool flo_orders_are_overtaken(const struct flo_orders *orders);

/* Complete (id, seq, times), sign and store an order; `id` receives its id. */
FLO_MUST_USE int flo_orders_issue(struct flo_controller *controller, struct flo_order *order,
                                  bool is_tracked, uint64_t release_bytes, char *id,
                                  struct flo_err *err);
/* The same; `row` says how it travels. */
FLO_MUST_USE int flo_orders_issue_row(struct flo_controller *controller, struct flo_order *order,
                                      struct flo_fleet_order row, char *id, struct flo_err *err);
/* Complete and sign one that is not stored as an order; `envelope` is
 * appended. */
FLO_MUST_USE int flo_orders_sign_alone(struct flo_controller *controller, struct flo_order *order,
                                       struct flo_buf *envelope, struct flo_err *err);
/* Sign again the orders that are due (core/orders/renewal.h): those in lists of
 * groups (flo_fleet_order_standing), then those that desired documents hold. */
FLO_MUST_USE int flo_orders_renew(struct flo_controller *controller, struct flo_err *err);
/* The second half of it: after a rollback, what desired documents say about its
 * model is due at once. */
FLO_MUST_USE int flo_orders_overtaken(struct flo_controller *controller, struct flo_err *err);
/* All of them: devices know higher numbers than this store. */
FLO_MUST_USE int flo_orders_renew_each(struct flo_controller *controller, struct flo_err *err);
/* Sign one again if it is due, with the scope that it has, for a rollout that
 * brings it to devices; `id` becomes the new one's.  It is due, too, when its
 * number is below `held`, that of an order which one of them has: such a device
 * would answer that the other one is newer. */
FLO_MUST_USE int flo_orders_freshen(struct flo_controller *controller, char *id, uint64_t held,
                                    struct flo_err *err);
/* A rollback of that number goes to this device alone: what its desired says
 * about the model is signed again for it, unless it is newer. */
FLO_MUST_USE int flo_orders_outlast(struct flo_controller *controller, const char *device,
                                    const char *model, uint64_t rollback, struct flo_err *err);
/* A device holds something newer about the model than this order of a group. If
 * its desired holds the order all the same, sign it again for the device by
 * name, above all others: a removal by name may lie between the rollout and the
 * day on which the device joined its group. */
FLO_MUST_USE int flo_orders_outrank(struct flo_controller *controller, const char *device,
                                    const char *model, const char *order, bool *is_sent,
                                    struct flo_err *err);
/* Sign one again that came to a device too late, if its desired holds it. */
FLO_MUST_USE int flo_orders_send_again(struct flo_controller *controller, const char *device,
                                       const char *order, struct flo_err *err);
/* The groups of a device changed: what people ordered for a group that it left
 * is in its desired no more, and awaits it no more. */
FLO_MUST_USE int flo_orders_leave(struct flo_controller *controller, const char *device,
                                  struct flo_err *err);
/* Nothing that was ordered awaits a device any more: it leaves the fleet. */
FLO_MUST_USE int flo_orders_retire(struct flo_controller *controller, const char *device,
                                   struct flo_err *err);
/* Orders of those groups' rollouts that its desired still holds are signed
 * again for it by name. */
FLO_MUST_USE int flo_orders_left(struct flo_controller *controller, const char *device,
                                 struct flo_err *err);
/* Sign an order of a group again for one device, into its desired. */
FLO_MUST_USE int flo_orders_by_name(struct flo_controller *controller, const char *device,
                                    const char *order, struct flo_err *err);
/* A device has a model no more: its desired says so no longer, unless it is
 * told something else about the model by now. */
FLO_MUST_USE int flo_orders_removed(struct flo_controller *controller, const char *device,
                                    const char *model, struct flo_err *err);
/* logs, doctor: one device is asked for a report.  It comes by PUT
 * /v1/reports/ID. */
FLO_MUST_USE int flo_orders_report(struct flo_controller *controller, struct flo_order *order,
                                   char *id, struct flo_err *err);
/* Text of the desired document of a device, appended. */
FLO_MUST_USE int flo_orders_desired_text(struct flo_controller *controller, const char *device,
                                         struct flo_buf *out, struct flo_err *err);
/* Text of a group's retained list; FLO_ORDERS_NONE: it has none. */
#define FLO_ORDERS_NONE "{\"v\":1,\"orders\":[]}"
FLO_MUST_USE int flo_orders_group_text(struct flo_controller *controller, const char *group,
                                       struct flo_buf *out, struct flo_err *err);

#endif

/* Loop: passes waiting events to the core and carries out the core's actions.
 *
 * Only the sources of input call it: the receiver of the link, the control
 * socket, timers, a command.  Everything else posts its events to the queue. */
#ifndef FLOTILLA_AGENT_LOOP_H
#define FLOTILLA_AGENT_LOOP_H

#include "agent/shell/orders/orders.h"

/* Sets the period over which devices spread their reports. */
void flo_loop_spread(struct flo_shell *shell, uint64_t ms);
FLO_MUST_USE int flo_loop_open(struct flo_shell *shell, struct flo_err *err);
/* Handles the waiting events, then this event.  Memory that the event borrows
 * may be freed afterwards. */
void flo_loop_event(struct flo_shell *shell, const struct flo_agent_event *event);
/* Handles an order.  `is_list`: the order comes from a group's list. */
void flo_loop_order(struct flo_shell *shell, const json_t *envelope, bool is_list);
/* Handles an order that a person brings, after flo_orders_check() accepted it.
 * Operators that wait for `id` get its answer, now or later.
 * FLO_E_STATE  the order could not be stored */
FLO_MUST_USE int flo_loop_order_by_hand(struct flo_shell *shell, const json_t *envelope,
                                        const char *id, struct flo_err *err);
/* Handles a trust statement.  *number is the number of the statement that is in
 * force afterwards. */
FLO_MUST_USE int flo_loop_trust(struct flo_shell *shell, const json_t *envelope, uint64_t *number,
                                struct flo_err *err);
/* Installs the release in `execution` from the bundle that it names. */
FLO_MUST_USE int flo_loop_install(struct flo_shell *shell,
                                  const struct flo_agent_execution *execution, struct flo_err *err);
/* Rolls back or removes a model for an operator at the device (kind
 * FLO_AGENT_GO_BACK or FLO_AGENT_REMOVE).  `name` may be empty on a device with
 * only one model.
 * FLO_E_ABSENT, FLO_E_USAGE  no such model, or several; the operator gets no
 * other answer */
FLO_MUST_USE int flo_loop_operator(struct flo_shell *shell, enum flo_agent_event_kind kind,
                                   const char *name, struct flo_err *err);
/* Removes files that no record names.  If a job waits for disk space, starts
 * that job instead. */
void flo_loop_collect(struct flo_shell *shell);
/* Schedules the write of events that are only in memory.  On a full disk it is
 * tried rarely. */
void flo_loop_flush_later(struct flo_shell *shell);

#endif

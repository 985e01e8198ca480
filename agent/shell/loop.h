/* Loop: takes waiting events for the core, and carries out its actions.
 *
 * Its callers are the input ends: the receiver of the link, the control socket,
 * timers, a command.  Everything else posts to the queue. */
#ifndef FLOTILLA_AGENT_LOOP_H
#define FLOTILLA_AGENT_LOOP_H

#include "agent/shell/orders/orders.h"

FLO_MUST_USE int flo_loop_open(struct flo_shell *shell, struct flo_err *err);
/* Handles the waiting events, then this one.  Memory that the event borrows may
 * be freed afterwards. */
void flo_loop_event(struct flo_shell *shell, const struct flo_agent_event *event);
/* Handles an order; `is_list`: the order stands in the list of a group. */
void flo_loop_order(struct flo_shell *shell, const json_t *envelope, bool is_list);
/* Handles an order that a person brings and that flo_orders_check accepted.
 * Operators that wait for `id` get its answer, now or later.  FLO_E_STATE: the
 * order could not be stored. */
FLO_MUST_USE int flo_loop_order_by_hand(struct flo_shell *shell, const json_t *envelope,
                                        const char *id, struct flo_err *err);
/* Handles a trust statement; *number is that of the statement that holds
 * afterwards. */
FLO_MUST_USE int flo_loop_trust(struct flo_shell *shell, const json_t *envelope, uint64_t *number,
                                struct flo_err *err);
/* Installs from a bundle; `execution` has release and bundle. */
FLO_MUST_USE int flo_loop_install(struct flo_shell *shell,
                                  const struct flo_agent_execution *execution, struct flo_err *err);
/* Rolls back or removes a model for an operator at the device (kind GO_BACK or
 * REMOVE).  `name` may be empty where the device has only one model.
 * FLO_E_ABSENT, FLO_E_USAGE: no answer is sent to the operator then. */
FLO_MUST_USE int flo_loop_operator(struct flo_shell *shell, enum flo_agent_event_kind kind,
                                   const char *name, struct flo_err *err);
/* Removes files that nothing names, or starts the job that waits. */
void flo_loop_collect(struct flo_shell *shell);
/* Schedules the write of events that are in memory only; at a low rate on a
 * full disk. */
void flo_loop_flush_later(struct flo_shell *shell);

#endif

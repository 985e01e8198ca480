/* The loop: takes waiting events for the core, and carries out its actions.
 *
 * Its callers are at the top: the link's receiver, the control socket, timers,
 * a command.  Everything else posts to the queue. */
#ifndef FLOTILLA_AGENT_LOOP_H
#define FLOTILLA_AGENT_LOOP_H

#include "agent/shell/orders/orders.h"

FLO_MUST_USE int flo_loop_open(struct flo_shell *shell, struct flo_err *err);
/* Take the events that wait, then this one.  Memory that it borrows is free
 * afterwards. */
void flo_loop_event(struct flo_shell *shell, const struct flo_agent_event *event);
/* The same for an order; `is_list`: it stands in a group's list. */
void flo_loop_order(struct flo_shell *shell, const json_t *envelope, bool is_list);
/* The same for an order that a person brings and that flo_orders_check found
 * good.  Who waits for `id` hears of its answer, now or later.  FLO_E_STATE: it
 * could not be kept. */
FLO_MUST_USE int flo_loop_order_by_hand(struct flo_shell *shell, const json_t *envelope,
                                        const char *id, struct flo_err *err);
/* The same for a trust statement; *number is that of the one that holds then.
 */
FLO_MUST_USE int flo_loop_trust(struct flo_shell *shell, const json_t *envelope, uint64_t *number,
                                struct flo_err *err);
/* The same for a bundle; `execution` has release and bundle. */
FLO_MUST_USE int flo_loop_install(struct flo_shell *shell,
                                  const struct flo_agent_execution *execution, struct flo_err *err);
/* An operator at the device goes back, or removes a model (kind GO_BACK or
 * REMOVE).  `name`: empty where the device has one model only.  FLO_E_ABSENT,
 * FLO_E_USAGE: the answer is not told then. */
FLO_MUST_USE int flo_loop_operator(struct flo_shell *shell, enum flo_agent_event_kind kind,
                                   const char *name, struct flo_err *err);
/* Time to remove what nothing names, or to start the job that waits. */
void flo_loop_collect(struct flo_shell *shell);
/* The write of waiting events, when there are any; seldom on a full disk. */
void flo_loop_flush_later(struct flo_shell *shell);

#endif

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
void flo_loop_event(struct flo_shell *shell,
                    const struct flo_agent_event *event);
/* The same for an order; `is_list`: it stands in a group's list. */
void flo_loop_order(struct flo_shell *shell, const json_t *envelope,
                    bool is_list);
/* The same for a bundle; `execution` has release and bundle. */
void flo_loop_install(struct flo_shell *shell,
                      const struct flo_agent_execution *execution);
/* Time to remove what nothing names, or to start the job that waits. */
void flo_loop_collect(struct flo_shell *shell);

#endif

/* Shared by the files of this folder; not for others. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_INSIDE_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_INSIDE_H

#include "server-stub/state/controller.h"

/* Room for one member more. */
FLO_MUST_USE int flo_rollouts_grow(struct flo_rollout_entry *entry,
                                   struct flo_err *err);
/* Keep and log a step and its reasons. */
void flo_rollouts_explain(struct flo_rollout_entry *entry,
                          const struct flo_rollout_event *event,
                          const struct flo_rollout_actions *actions);
/* FLO_E_REST_LIMIT: `max` rollouts are under way. */
FLO_MUST_USE int
flo_rollouts_check_room(const struct flo_controller *controller, size_t max,
                        struct flo_err *err);
/* Takes the entry, also when it fails. */
FLO_MUST_USE int flo_rollouts_keep(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry,
                                   struct flo_err *err);
FLO_MUST_USE int flo_rollouts_put(struct flo_controller *controller,
                                  const struct flo_rollout_entry *entry,
                                  struct flo_err *err);
/* From a specification to a draft without members.  Takes `spec` when it
 * succeeds. */
FLO_MUST_USE int flo_rollouts_read_spec(struct flo_controller *controller,
                                        json_t *spec,
                                        struct flo_rollout_entry **out,
                                        struct flo_err *err);
/* Older rollouts of the same model that still hold devices of this one:
 * [{"rollout","release","state","devices"}]; new reference. */
json_t *flo_rollouts_overlaps(const struct flo_controller *controller,
                              const struct flo_rollout_entry *entry);
/* They let those go that have not begun. */
FLO_MUST_USE int flo_rollouts_supersede(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry,
                                        struct flo_err *err);
/* Carry out one action of a step: orders, desired documents, rows, audit. */
FLO_MUST_USE int flo_rollouts_carry_out(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry,
                                        const struct flo_rollout_event *event,
                                        const struct flo_rollout_action *action,
                                        struct flo_err *err);
/* The rollout whose order this is; "" for one of none. */
FLO_MUST_USE int flo_rollouts_of_order(struct flo_controller *controller,
                                       const char *order, char *rollout,
                                       struct flo_err *err);

#endif

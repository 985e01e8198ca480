/* View: the JSON of a rollout, as the API shows it. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_VIEW_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_VIEW_H

#include "base/host/json.h"

struct flo_controller;
struct flo_rollout;
struct flo_rollout_entry;

/* Creates the row `rollout` of objects.def: new reference in *out, with at most
 * devices_max of its devices. */
FLO_MUST_USE int flo_object_rollout(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry, uint64_t devices_max,
                                    json_t **out, struct flo_err *err);
/* Adds, for a rollout that is or was rolled back, the number of devices in each
 * state of the rollback. */
void flo_object_rollback(struct flo_controller *controller, const struct flo_rollout *rollout,
                         json_t *json);
/* Returns the gates of the present phase with their verdicts and numbers; new
 * reference. */
json_t *flo_object_rollout_gates(const struct flo_rollout *core);
void flo_object_rollout_etag(const struct flo_rollout *rollout, char *out);

#endif

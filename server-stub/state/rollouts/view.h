/* A rollout as people see it. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_VIEW_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_VIEW_H

#include "base/host/json.h"

struct flo_controller;
struct flo_rollout;
struct flo_rollout_entry;

/* Row `rollout` of objects.def: new reference in *out, with at most so many of
 * its devices. */
FLO_MUST_USE int flo_object_rollout(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry, uint64_t devices_max,
                                    json_t **out, struct flo_err *err);
/* For a rollout that goes back or did: how many devices are where. */
void flo_object_rollback(struct flo_controller *controller, const struct flo_rollout *rollout,
                         json_t *json);
/* The gates of the present phase with verdicts and numbers; new reference. */
json_t *flo_object_rollout_gates(const struct flo_rollout *core);
void flo_object_rollout_etag(const struct flo_rollout *rollout, char *out);

#endif

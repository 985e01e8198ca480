/* Objects as REST and live events show them. */
#ifndef FLOTILLA_SERVER_STATE_OBJECTS_H
#define FLOTILLA_SERVER_STATE_OBJECTS_H

#include "base/host/json.h"

#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/store/store.h"

struct flo_controller;

/* Stored JSON, or an empty object: a new reference. */
json_t *flo_object_parsed(const char *text_or_null);
/* Slices of a rollout that are held, by their names. */
json_t *flo_object_slices(const struct flo_rollout *core, enum flo_slice_hold as);
json_t *flo_object_device(const struct flo_controller *controller,
                          const struct flo_fleet_device *device);
json_t *flo_object_release(const struct flo_fleet_release *release, bool with_document);
/* New references in *out; with at most so many of its devices. */
FLO_MUST_USE int flo_object_rollout(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry, uint64_t devices_max,
                                    json_t **out, struct flo_err *err);
/* For a rollout that goes back or did: how many devices are where. */
void flo_object_rollback(struct flo_controller *controller, const struct flo_rollout *rollout,
                         json_t *json);
/* With at most so many of its devices, the ones without success first. */
FLO_MUST_USE int flo_object_order(struct flo_controller *controller, const char *id,
                                  uint64_t devices_max, json_t **out, struct flo_err *err);
/* The gates of the present phase with verdicts and numbers; new reference. */
json_t *flo_object_rollout_gates(const struct flo_rollout *core);
void flo_object_rollout_etag(const struct flo_rollout *rollout, char *out);

#endif

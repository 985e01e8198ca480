/* Policies as JSON: inside orders, rollouts and the golden traces of
 * devices. */
#ifndef FLOTILLA_PROTO_POLICY_H
#define FLOTILLA_PROTO_POLICY_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* The names of all policy fields, separated by blanks. */
extern const char flo_policy_names[];

/* Overwrites the fields that `json` has (NULL: none).  Unknown fields are
 * ignored, because an older device must understand a newer controller.  Returns
 * FLO_E_META_SCHEMA for a field of another type or out of bounds; then *out is
 * undefined. */
FLO_MUST_USE int flo_policy_read(const json_t *json, struct flo_policy *out, struct flo_err *err);
/* Returns all fields as a new JSON reference, or NULL when memory is out. */
json_t *flo_policy_json(const struct flo_policy *policy);

#endif

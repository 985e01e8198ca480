/* Policies as JSON: inside orders, rollouts and the golden traces of
 * devices. */
#ifndef FLOTILLA_PROTO_POLICY_H
#define FLOTILLA_PROTO_POLICY_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* All field names, separated by a blank. */
extern const char flo_policy_names[];

/* Overwrites the fields that `json` has (NULL: none).  Unknown fields are
 * ignored, because an older device must understand a newer controller.
 * FLO_E_META_SCHEMA: a field has another type or is out of bounds; *out is
 * undefined then. */
FLO_MUST_USE int flo_policy_read(const json_t *json, struct flo_policy *out, struct flo_err *err);
/* All fields as a new reference; NULL: no memory. */
json_t *flo_policy_json(const struct flo_policy *policy);

#endif

/* A policy as JSON: inside orders, rollouts and the device's stories. */
#ifndef FLOTILLA_PROTO_POLICY_H
#define FLOTILLA_PROTO_POLICY_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* All names, with a blank between two. */
extern const char flo_policy_names[];

/* Overwrite the fields that `json` has (NULL: none); unknown ones are ignored,
 * for an older device must understand a newer controller.
 * FLO_E_META_SCHEMA  a field of another type or out of bounds; *out is
 *                    undefined */
FLO_MUST_USE int flo_policy_read(const json_t *json, struct flo_policy *out, struct flo_err *err);
/* All fields: a new reference, NULL without memory. */
json_t *flo_policy_json(const struct flo_policy *policy);

#endif

/* Serving options of a release as JSON: in the release document, or in a
 * file. */
#ifndef FLOTILLA_PROTO_SERVE_H
#define FLOTILLA_PROTO_SERVE_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* Replaces the values for which `json` has a key (NULL: none). */
FLO_MUST_USE int flo_serve_read(const json_t *json, struct flo_release_serve *serve,
                                struct flo_err *err);
/* Writes the JSON that flo_serve_read accepts.  Returns NULL when no value is
 * set. */
json_t *flo_serve_json(const struct flo_release_serve *serve);

#endif

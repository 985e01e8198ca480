/* How a release wants to be served, as JSON: in the document, in a file. */
#ifndef FLOTILLA_PROTO_SERVE_H
#define FLOTILLA_PROTO_SERVE_H

#include <flotilla/proto.h>

#include "base/host/json.h"

/* Take the keys of `json` (NULL: none) over those that are set. */
FLO_MUST_USE int flo_serve_read(const json_t *json, struct flo_release_serve *serve,
                                struct flo_err *err);
/* As it is read; NULL: nothing is said. */
json_t *flo_serve_json(const struct flo_release_serve *serve);

#endif

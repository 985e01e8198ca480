/* Released: the JSON of a published release, as the API shows it. */
#ifndef FLOTILLA_SERVER_STATE_RELEASED_H
#define FLOTILLA_SERVER_STATE_RELEASED_H

#include "base/host/json.h"

struct flo_fleet_release;

/* Returns the row `release` of objects.def; new reference. */
json_t *flo_object_release(const struct flo_fleet_release *release, bool with_document);

#endif

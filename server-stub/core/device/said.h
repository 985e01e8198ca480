/* Reported members: fields of a device's report that the API shows, by the rows
 * of said.def. Pure. A device may be stolen and send anything, so only known
 * fields with the right type are shown. */
#ifndef FLOTILLA_SERVER_DEVICE_SAID_H
#define FLOTILLA_SERVER_DEVICE_SAID_H

#include "base/host/json.h"

/* Returns a new reference to the API's view of a reported object.  `word` names
 * the row of said.def for it.  The view is null when `from` is no object. */
json_t *flo_said_view(const char *word, const json_t *from);
/* Adds to `to` those members of `from` that the row `word` of said.def shows.
 * A `from` that is no object counts as an empty object. */
void flo_said_put(json_t *to, const char *word, const json_t *from);

#endif

/* Reported members: fields of a device's report that the API shows, by the rows
 * of said.def. Pure. A device may be stolen and send anything, so only known
 * fields with the right type are shown. */
#ifndef FLOTILLA_SERVER_DEVICE_SAID_H
#define FLOTILLA_SERVER_DEVICE_SAID_H

#include "base/host/json.h"

/* New; null when `from` is no object. */
json_t *flo_said_view(const char *word, const json_t *from);
/* The row's members into `to`, as of an empty object when `from` is none. */
void flo_said_put(json_t *to, const char *word, const json_t *from);

#endif

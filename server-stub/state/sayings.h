/* Sayings: parses JSON texts of the store for answers of the API. */
#ifndef FLOTILLA_SERVER_STATE_SAYINGS_H
#define FLOTILLA_SERVER_STATE_SAYINGS_H

#include "base/host/json.h"

/* Parses stored JSON.  Without a text, returns `otherwise`, whose reference it
 * takes.  The result is a new reference. */
json_t *flo_saying_parsed(const char *text, json_t *otherwise);
/* Parses stored JSON; without a text, returns a new empty object. */
json_t *flo_saying_object(const char *text);
/* Copies a field, or writes null where `from` has no such field. */
void flo_saying_copy(json_t *to, const json_t *from, const char *key);

#endif

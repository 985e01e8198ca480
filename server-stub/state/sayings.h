/* Sayings: JSON texts of the store, parsed for answers. */
#ifndef FLOTILLA_SERVER_STATE_SAYINGS_H
#define FLOTILLA_SERVER_STATE_SAYINGS_H

#include "base/host/json.h"

/* Parses stored JSON; without a text it returns `otherwise`.  It takes the
 * reference of `otherwise` and returns a new reference. */
json_t *flo_saying_parsed(const char *text, json_t *otherwise);
/* Does the same, with an empty object as the fallback. */
json_t *flo_saying_object(const char *text);
/* Copies a field; null where `from` has no such field. */
void flo_saying_copy(json_t *to, const json_t *from, const char *key);

#endif

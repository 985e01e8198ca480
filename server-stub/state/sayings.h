/* Stored JSON, as it was said. */
#ifndef FLOTILLA_SERVER_STATE_SAYINGS_H
#define FLOTILLA_SERVER_STATE_SAYINGS_H

#include "base/host/json.h"

/* Stored JSON, or `otherwise`, which is taken: a new reference. */
json_t *flo_saying_parsed(const char *text, json_t *otherwise);
/* The same; an empty object without it. */
json_t *flo_saying_object(const char *text);
/* null where it has no such field. */
void flo_saying_copy(json_t *to, const json_t *from, const char *key);

#endif

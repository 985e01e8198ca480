/* Sayings: texts of devices, as people get them.
 *
 * A device may be stolen and say anything: people get the fields that belong
 * there, each of its kind, and nothing else. */
#ifndef FLOTILLA_SERVER_STATE_SAYINGS_H
#define FLOTILLA_SERVER_STATE_SAYINGS_H

#include "base/host/json.h"

#define FLO_SAYING_NUMBER 0
#define FLO_SAYING_TRUTH SIZE_MAX
struct flo_saying {
    const char *key;
    /* Size of a text, or FLO_SAYING_NUMBER, FLO_SAYING_TRUTH. */
    size_t bytes_max;
};

/* Stored JSON, or `otherwise`, which is taken: a new reference. */
json_t *flo_saying_parsed(const char *text, json_t *otherwise);
/* The same; an empty object without it. */
json_t *flo_saying_object(const char *text);
/* New; null when it is no object. */
json_t *flo_saying_view(const json_t *from, const struct flo_saying *fields, size_t count);
bool flo_saying_is_text(const json_t *json, size_t bytes_max);
/* null where it has no such field. */
void flo_saying_copy(json_t *to, const json_t *from, const char *key);

#endif

/* Sayings: parses stored JSON and copies its fields. */
#include <string.h>

#include "server-stub/state/sayings.h"

json_t *flo_saying_parsed(const char *text, json_t *otherwise)
{
    json_t *json = NULL;

    if (text[0] != '\0' && flo_json_parse(text, strlen(text), 1 << 20, &json, NULL) == 0) {
        json_decref(otherwise);
        return json;
    }
    return otherwise;
}

json_t *flo_saying_object(const char *text)
{
    return flo_saying_parsed(text, json_object());
}

void flo_saying_copy(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);

    json_object_set_new(to, key, value != NULL ? json_incref(value) : json_null());
}

/* Sayings: fields of their kinds. */
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

bool flo_saying_is_text(const json_t *json, size_t bytes_max)
{
    return json_is_string(json) && json_string_length(json) <= bytes_max;
}

json_t *flo_saying_view(const json_t *from, const struct flo_saying *fields, size_t count)
{
    if (!json_is_object(from)) {
        return json_null();
    }
    json_t *json = json_object();

    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(from, fields[i].key);
        size_t bytes_max = fields[i].bytes_max;
        if (bytes_max == FLO_SAYING_NUMBER  ? json_is_number(value)
            : bytes_max == FLO_SAYING_TRUTH ? json_is_boolean(value)
                                            : flo_saying_is_text(value, bytes_max)) {
            json_object_set(json, fields[i].key, value);
        }
    }
    return json;
}

void flo_saying_copy(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);

    json_object_set_new(to, key, value != NULL ? json_incref(value) : json_null());
}

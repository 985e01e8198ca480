/* Place of a field: names it, and writes error sentences about it. */
#include <stdio.h>

#include "server-stub/core/request/request.h"
#include "server-stub/core/spec/rows.h"

int flo_spec_wrong(const struct place *place, const char *name, const char *should)
{
    const json_t *value = json_object_get(place->json, name);
    char path[2 * FLO_SPEC_PATH_MAX];
    char given[80];

    if (json_is_string(value)) {
        snprintf(given, sizeof(given), "`%.60s`", json_string_value(value));
    } else if (json_is_number(value)) {
        snprintf(given, sizeof(given), "%.10g", json_number_value(value));
    } else {
        snprintf(given, sizeof(given), "%s",
                 json_is_array(value)    ? "a list"
                 : json_is_object(value) ? "an object"
                 : json_is_true(value)   ? "true"
                                         : "false");
    }
    snprintf(path, sizeof(path), "%s%s", place->path, name);
    flo_fail(place->err, FLO_E_REST_SCHEMA, "%s: %s is not %s", path, given, should);
    flo_request_at(place->err, path);
    return FLO_E_REST_SCHEMA;
}

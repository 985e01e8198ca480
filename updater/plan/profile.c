/* Device profile: reads the properties of a device, from its report or a
 * job. */
#include <string.h>

#include <flotilla/release.h>

#include "base/host/json.h"

/* Reads the text of `key` from each object of a list.  Skips objects whose
 * `state` is not "ready". */
static int read_named(const json_t *profile, const char *list, const char *key, char *out,
                      size_t room, size_t bytes, struct flo_err *err)
{
    json_t *items = NULL;
    size_t count = 0;

    FLO_TRY(flo_json_opt_array(profile, list, 64, &items, err));
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *text = json_string_value(json_object_get(item, key));
        const char *state = json_string_value(json_object_get(item, "state"));
        if (text == NULL || strlen(text) >= bytes) {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `profile.%s[%zu].%s` is no short text",
                            list, i, key);
        }
        if (count < room && (state == NULL || strcmp(state, "ready") == 0)) {
            snprintf(out + count++ * bytes, bytes, "%s", text);
        }
    }
    return 0;
}

static int read_hardware(const json_t *profile, struct flo_profile *out, struct flo_err *err)
{
    json_t *bench = NULL;

    FLO_TRY(read_named(profile, "runtimes", "name", out->runtimes[0], FLO_COUNT(out->runtimes),
                       sizeof(out->runtimes[0]), err));
    FLO_TRY(read_named(profile, "accelerators", "kind", out->accelerators[0],
                       FLO_COUNT(out->accelerators), sizeof(out->accelerators[0]), err));
    FLO_TRY(flo_speeds_parse(profile, &out->speeds, err));
    FLO_TRY(flo_json_opt_object(profile, "bench", &bench, err));
    return bench != NULL ? flo_json_opt_u64(bench, "memory_bytes_per_s", 0, INT64_MAX, 0,
                                            &out->memory_bytes_per_s, err)
                         : 0;
}

int flo_profile_parse(const struct json_t *profile, struct flo_profile *out, struct flo_err *err)
{
    json_t *engines = NULL;
    const char *text = NULL;

    FLO_TRY(flo_json_get_text(profile, "arch", sizeof(out->arch) - 1, &text, err));
    FLO_TRY(flo_json_opt_u64(profile, "memory_bytes", 0, INT64_MAX, 0, &out->memory_bytes, err));
    FLO_TRY(flo_json_opt_bool(profile, "packs", false, &out->packs, err));
    FLO_TRY(flo_json_opt_u64(profile, "prefix_bytes", 0, INT64_MAX, 0, &out->prefix_bytes, err));
    FLO_TRY(flo_json_opt_array(profile, "engine", FLO_PROFILE_ENGINES_MAX, &engines, err));
    snprintf(out->arch, sizeof(out->arch), "%s", text);
    for (size_t i = 0; i < json_array_size(engines); i++) {
        text = json_string_value(json_array_get(engines, i));
        if (text == NULL || strlen(text) >= sizeof(out->engine[0])) {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `profile.engine[%zu]` is no short text",
                            i);
        }
        snprintf(out->engine[i], sizeof(out->engine[i]), "%s", text);
    }
    return read_hardware(profile, out, err);
}

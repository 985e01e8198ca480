/* Members of a specification that have tables of their own: gates, and the
 * draft of a rollout. */
#include <string.h>

#include <flotilla/errors/cfg.h>

#include "server-stub/cli/builds/rows.h"
#include "server-stub/core/spec/spec.h"

#define MIN true
#define MAX false
#define FLO_BUILD_GATE(gate, name, sense, unit, most, measure, example, meaning)                   \
    {name, measure, sense, UNIT_##unit, most},
#define UNIT_PERCENT true, false
#define UNIT_BYTES false, true
#define UNIT_REAL false, false
const struct flo_build_gate_row flo_build_gate_rows[FLO_BUILD_GATES] = {
#include "server-stub/cli/builds/build.def"
};
#undef MIN
#undef MAX

int flo_build_unknown(const struct flo_build_place *place, const char *const *words, size_t count)
{
    const char *near = flo_nearest(place->name, words, count);

    flo_build_refuse(place, FLO_E_CFG_KEY, "no such field");
    return near == NULL ? FLO_E_CFG_KEY
                        : flo_err_fix(place->reader->err, "did you mean `%s`?", near);
}

int flo_build_read_gates(const struct flo_build_place *place, const json_t *value,
                         struct flo_build_limits *out)
{
    const char *names[FLO_BUILD_GATES], *key;
    char prefix[FLO_BUILD_PATH_MAX];
    json_t *item;

    if (!json_is_object(value)) {
        return flo_build_refuse_type(place, "an object of gates");
    }
    snprintf(prefix, sizeof(prefix), "%s%s.", place->prefix, place->name);
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        const struct flo_build_place at = {place->reader, prefix, key};
        size_t gate = 0;
        for (size_t i = 0; i < FLO_BUILD_GATES; i++) {
            names[i] = flo_build_gate_rows[i].name;
        }
        while (gate < FLO_BUILD_GATES && strcmp(names[gate], key) != 0) {
            gate++;
        }
        if (gate == FLO_BUILD_GATES) {
            return flo_build_unknown(&at, names, FLO_BUILD_GATES);
        }
        const struct flo_build_gate_row *of = &flo_build_gate_rows[gate];
        const struct flo_build_row row = {.kind = of->is_percent ? FLO_BUILD_KIND_LOSS
                                                  : of->is_bytes ? FLO_BUILD_KIND_SIZE
                                                                 : FLO_BUILD_KIND_REAL,
                                          .most = of->most};
        FLO_TRY(flo_build_read_measure(&at, &row, item, &out->values[gate], NULL));
        out->has[gate] = true;
    }
    return 0;
}

int flo_build_read_rollout(const struct flo_build_place *place, const json_t *value, json_t **out)
{
    static struct flo_spec read;
    const struct flo_build_reader *reader = place->reader;
    struct flo_err why = {0};
    char path[FLO_SPEC_PATH_MAX], full[FLO_BUILD_PATH_MAX];

    if (!json_is_object(value)) {
        return flo_build_refuse_type(place, "an object");
    }
    if (json_object_get(value, "release") != NULL) {
        const struct flo_build_place at = {reader, "rollout.", "release"};
        return flo_build_refuse(&at, FLO_E_CFG_KEY, "it is the release of this file");
    }
    *out = json_deep_copy(value);
    json_t *title = json_string(reader->spec->release);
    if (*out == NULL || json_object_set_new(*out, "release", title) != 0) {
        return flo_fail(reader->err, FLO_E_MEMORY, "a specification");
    }
    int rv = flo_spec_read(*out, &read, &why);
    if (rv == 0) {
        return 0;
    }
    flo_spec_path(&why, path);
    snprintf(full, sizeof(full), "rollout.%s", path);
    unsigned line = flo_build_line(reader->yaml, full);
    flo_fail(reader->err, rv == FLO_E_MEMORY ? rv : FLO_E_CFG_RANGE, "%s:%u: rollout.%s",
             reader->name, line, why.what);
    return flo_err_fix(reader->err, "%s",
                       why.fix[0] != '\0' ? why.fix : "docs/reference/rollouts.md");
}

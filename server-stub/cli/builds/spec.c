/* Specification of a build: reads its fields by the rows of build.def. */
#include "server-stub/cli/builds/spec.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cfg.h>

#include "server-stub/cli/builds/rows.h"

/* ---- the table ---- */

#define FLO_BUILD(part, name, kind, member, least, most, standard, example, meaning)               \
    {#part,    name,   FLO_BUILD_KIND_##kind, offsetof(struct PART_##part, member), least, most,   \
     standard, example},
#define PART_BUILD flo_build_spec
#define PART_VARIANT flo_build_variant
#define PART_EVALUATE flo_build_evaluate
#define PART_GOLDEN flo_build_golden
static const struct flo_build_row rows[] = {
#include "server-stub/cli/builds/build.def"
};

/* ---- parts ---- */

static int read_part(const struct flo_build_place *place, const char *part, const json_t *value,
                     void *out);

static int read_list(const struct flo_build_place *place, const struct flo_build_row *row,
                     const json_t *value)
{
    struct flo_build_spec *spec = place->reader->spec;
    size_t count = json_array_size(value);

    if (!json_is_array(value)) {
        return flo_build_refuse_type(place, "a list");
    }
    if ((double)count < row->least || (double)count > row->most) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%zu elements are not within %.0f to %.0f",
                                count, row->least, row->most);
    }
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s[%zu]", place->name, i);
        const struct flo_build_place at = {place->reader, place->prefix, name};
        FLO_TRY(read_part(&at, row->example, json_array_get(value, i), &spec->variants[i]));
        spec->variant_count++;
    }
    return 0;
}

static int read_value(const struct flo_build_place *place, const struct flo_build_row *row,
                      const json_t *value, void *to)
{
    double number;

    switch (row->kind) {
    case FLO_BUILD_KIND_TITLE:
    case FLO_BUILD_KIND_TEXT:
    case FLO_BUILD_KIND_NAME:
        return flo_build_read_text(place, row, value, to);
    case FLO_BUILD_KIND_PATH:
    case FLO_BUILD_KIND_CORPUS:
        return flo_build_read_path(place, row, value, to);
    case FLO_BUILD_KIND_SIZE:
    case FLO_BUILD_KIND_LOSS:
        return flo_build_read_measure(place, row, value, &number, to);
    case FLO_BUILD_KIND_COUNT:
        return flo_build_read_count(place, row, value, to);
    case FLO_BUILD_KIND_TRUTH:
        *(bool *)to = json_is_true(value);
        return json_is_boolean(value) ? 0 : flo_build_refuse_type(place, "true or false");
    case FLO_BUILD_KIND_NAMES:
        return flo_build_read_names(place, row, value, to);
    case FLO_BUILD_KIND_PAIRS:
    case FLO_BUILD_KIND_FILES:
        return flo_build_read_pairs(place, row, value, to);
    case FLO_BUILD_KIND_PART:
        return read_part(place, row->example, value, to);
    case FLO_BUILD_KIND_LIST:
        return read_list(place, row, value);
    case FLO_BUILD_KIND_GATES:
        return flo_build_read_gates(place, value, to);
    case FLO_BUILD_KIND_ROLLOUT:
        return flo_build_read_rollout(place, value, to);
    case FLO_BUILD_KIND_REAL:
    default:
        return flo_build_refuse_type(place, "a known field");
    }
}

/* Refuses a field that the part has not. */
static int check_names(const struct flo_build_place *place, const char *prefix, const char *part,
                       const json_t *value)
{
    const char *names[FLO_COUNT(rows)], *key;
    size_t count = 0;
    json_t *item;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (strcmp(rows[i].part, part) == 0) {
            names[count++] = rows[i].name;
        }
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        const struct flo_build_place at = {place->reader, prefix, key};
        bool is_known = false;
        for (size_t i = 0; i < count; i++) {
            is_known = is_known || strcmp(names[i], key) == 0;
        }
        if (!is_known) {
            return flo_build_unknown(&at, names, count);
        }
    }
    return 0;
}

static int read_part(const struct flo_build_place *place, const char *part, const json_t *value,
                     void *out)
{
    char prefix[FLO_BUILD_PATH_MAX] = "";
    struct flo_build_golden *golden = out;

    if (!json_is_object(value)) {
        return flo_build_refuse_type(place, "an object");
    }
    if (place->name[0] != '\0') {
        snprintf(prefix, sizeof(prefix), "%s%s.", place->prefix, place->name);
    }
    FLO_TRY(check_names(place, prefix, part, value));
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const json_t *given = json_object_get(value, rows[i].name);
        const struct flo_build_place at = {place->reader, prefix, rows[i].name};
        if (strcmp(rows[i].part, part) != 0) {
            continue;
        }
        if (given == NULL && strcmp(rows[i].standard, "NEEDED") == 0) {
            return flo_build_refuse(&at, FLO_E_CFG_KEY, "it is missing; for example %s",
                                    rows[i].example);
        }
        if (given != NULL) {
            FLO_TRY(read_value(&at, &rows[i], given, (char *)out + rows[i].offset));
        }
    }
    if (strcmp(part, "GOLDEN") == 0 && golden->file != NULL && golden->prompts != NULL) {
        const struct flo_build_place at = {place->reader, prefix, "prompts"};
        return flo_build_refuse(&at, FLO_E_CFG_RANGE, "`file` and `prompts` exclude each other");
    }
    return 0;
}

/* ---- the whole ---- */

/* Gives a variant its name, and the gates of all. */
static int finish_variant(const struct flo_build_place *place, struct flo_build_variant *variant,
                          const struct flo_build_spec *spec)
{
    size_t ways = (variant->type != NULL) + (variant->fit != NULL) + (variant->loss != NULL);

    if (ways > 1) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE,
                                "`type`, `fit` and `loss` exclude each other");
    }
    if (variant->name == NULL) {
        variant->name = variant->type != NULL   ? variant->type
                        : variant->fit != NULL  ? "fit"
                        : variant->loss != NULL ? "loss"
                                                : "original";
    }
    if (!flo_name_is_valid(variant->name)) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%.40s is no name: give `name`",
                                variant->name);
    }
    for (size_t i = 0; i < FLO_BUILD_GATES; i++) {
        if (!variant->gates.has[i] && spec->evaluate.gates.has[i]) {
            variant->gates.has[i] = true;
            variant->gates.values[i] = spec->evaluate.gates.values[i];
        }
        if (variant->gates.has[i] && spec->evaluate.suite == NULL) {
            return flo_build_refuse(place, FLO_E_CFG_RANGE,
                                    "gate `%s` needs `evaluate` with a suite",
                                    flo_build_gate_rows[i].name);
        }
    }
    return 0;
}

static int finish(const struct flo_build_reader *reader, struct flo_build_spec *spec)
{
    char name[32];

    if (spec->variant_count == 0) {
        spec->variant_count = 1;
    }
    for (size_t i = 0; i < spec->variant_count; i++) {
        snprintf(name, sizeof(name), "variants[%zu]", i);
        const struct flo_build_place at = {reader, "", name};
        FLO_TRY(finish_variant(&at, &spec->variants[i], spec));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(spec->variants[j].name, spec->variants[i].name) == 0) {
                return flo_build_refuse(&at, FLO_E_CFG_RANGE, "variants[%zu] has the name %s, too",
                                        j, spec->variants[i].name);
            }
        }
    }
    if (spec->golden.kept_min == 0) {
        spec->golden.kept_min = FLO_BUILD_KEPT_MIN;
    }
    const struct flo_build_place publish = {reader, "", spec->publish ? "publish" : "rollout"};
    bool needs_key = spec->publish || spec->rollout != NULL;
    return needs_key && spec->sign_with == NULL
               ? flo_build_refuse(&publish, FLO_E_CFG_RANGE, "it needs `sign_with`")
               : 0;
}

int flo_build_spec_read(const char *text, size_t bytes, const char *name, const char *folder,
                        struct flo_build_spec **out, struct flo_err *err)
{
    struct flo_yaml *yaml = NULL;
    struct flo_build_spec *spec = calloc(1, sizeof(*spec));
    struct flo_build_reader reader = {name, folder, NULL, spec, err};
    const struct flo_build_place top = {&reader, "", ""};

    if (spec == NULL || (spec->texts = json_array()) == NULL) {
        free(spec);
        return flo_fail(err, FLO_E_MEMORY, "a specification");
    }
    int rv = flo_yaml_parse(text, bytes, name, &yaml, err);
    reader.yaml = yaml;
    if (rv == 0 && !json_is_object(flo_yaml_root(yaml))) {
        rv = flo_fail(err, FLO_E_CFG_TYPE, "%s:1: it has no fields", name);
        flo_err_fix(err, "begin with `release` and `from`: docs/reference/build.md");
    }
    if (rv == 0) {
        rv = read_part(&top, "BUILD", flo_yaml_root(yaml), spec);
    }
    if (rv == 0) {
        rv = finish(&reader, spec);
    }
    flo_yaml_free(yaml);
    if (rv < 0) {
        flo_build_spec_free(spec);
        return rv;
    }
    *out = spec;
    return 0;
}

void flo_build_spec_free(struct flo_build_spec *spec)
{
    if (spec != NULL) {
        json_decref(spec->rollout);
        json_decref(spec->texts);
        free(spec);
    }
}

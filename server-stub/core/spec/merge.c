/* Merge: changes a specification by the members of an edit. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/spec/rows.h"

struct merge {
    char *names; /* FLO_SPEC_NAMES_MAX */
    struct flo_err *err;
};

static void add_name(const struct merge *merge, const char *path, const char *name)
{
    size_t chars = strlen(merge->names);

    assert(chars < FLO_SPEC_NAMES_MAX);
    snprintf(merge->names + chars, FLO_SPEC_NAMES_MAX - chars, "%s%s%s", chars > 0 ? ", " : "",
             path, name);
}

/* Finds where a member of `policy` is stored. Other fields of the specification
 * may set the same value. */
static bool policy_offset(const char *name, size_t *out)
{
    static const struct {
        const char *name;
        size_t offset;
    } members[] = {
#define FLO_POLICY(member, ...) {#member, offsetof(struct flo_spec, policy.member)},
#include "proto/policy.def"
    };

    for (size_t i = 0; i < FLO_COUNT(members); i++) {
        if (strcmp(members[i].name, name) == 0) {
            *out = members[i].offset;
            return true;
        }
    }
    return false;
}

/* Removes members that set the same value under another name. */
static void drop_others(json_t *base, enum flo_spec_part part, size_t offset, const char *name)
{
    const struct field *field;
    char number[64];

    for (size_t i = 0; (field = flo_spec_row(i)) != NULL; i++) {
        if (field->part != part || field->offset != offset || field->kind == PER ||
            field->kind == PART || field->kind == POLICY) {
            continue;
        }
        if (strcmp(field->name, name) != 0) {
            json_object_del(base, field->name);
        }
        if (flo_spec_number_name(field, number, sizeof(number)) && strcmp(number, name) != 0) {
            json_object_del(base, number);
        }
    }
}

static const struct field *row_of(enum flo_spec_part part, const char *name)
{
    const struct field *field;
    char number[64];

    for (size_t i = 0; (field = flo_spec_row(i)) != NULL; i++) {
        if (field->part == part &&
            (field->kind == PER ? flo_spec_is_per(name)
                                : strcmp(field->name, name) == 0 ||
                                      (flo_spec_number_name(field, number, sizeof(number)) &&
                                       strcmp(number, name) == 0))) {
            return field;
        }
    }
    return NULL;
}

static void merge_policy(const struct merge *merge, json_t *spec, const json_t *change)
{
    json_t *base = flo_json_object_at(spec, "policy");
    const char *name;
    json_t *value;
    size_t offset;

    json_object_foreach((json_t *)(uintptr_t)change, name, value)
    {
        const json_t *wanted = json_is_null(value) ? NULL : value;
        if (flo_json_equal(json_object_get(base, name), wanted)) {
            continue;
        }
        if (policy_offset(name, &offset)) {
            drop_others(spec, FLO_SPEC_SPEC, offset, "");
        }
        json_object_del(base, name);
        json_object_set(base, name, value);
        add_name(merge, "policy.", name);
    }
}

static int merge_part(const struct merge *merge, enum flo_spec_part part, const char *path,
                      json_t *base, const json_t *change)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)change, name, value)
    {
        const struct field *field = row_of(part, name);
        const json_t *wanted = json_is_null(value) ? NULL : value;
        enum flo_spec_part inside;
        if (field != NULL && field->kind == POLICY && json_is_object(value)) {
            merge_policy(merge, base, value);
            continue;
        }
        if (field != NULL && field->kind == PART && json_is_object(value) &&
            flo_spec_part_parse(field->possible, &inside)) {
            char deeper[FLO_SPEC_PATH_MAX];
            snprintf(deeper, sizeof(deeper), "%s%s.", path, name);
            int rv = merge_part(merge, inside, deeper, flo_json_object_at(base, name), value);
            FLO_TRY(rv);
            continue;
        }
        if (flo_json_equal(json_object_get(base, name), wanted)) {
            continue;
        }
        if (field != NULL && field->change == FLO_CHANGE_FIXED) {
            flo_fail(merge->err, FLO_E_REST_MEANING, "%s%s: it is fixed once a rollout is made",
                     path, name);
            return flo_err_fix(merge->err, "start a new one; `--supersede` ends this one");
        }
        if (field != NULL && field->kind != POLICY && field->kind != PART) {
            drop_others(base, part, field->offset, name);
        }
        json_object_del(base, name);
        if (wanted != NULL) {
            json_object_set(base, name, value);
        }
        add_name(merge, path, name);
    }
    return 0;
}

int flo_spec_merge(const json_t *spec, const json_t *change, json_t **out, char *names,
                   struct flo_err *err)
{
    const struct merge merge = {.names = names, .err = err};
    json_t *copy = json_deep_copy(spec);

    names[0] = '\0';
    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a specification");
    }
    int rv = merge_part(&merge, FLO_SPEC_SPEC, "", copy, change);
    if (rv < 0) {
        json_decref(copy);
        return rv;
    }
    *out = copy;
    return 0;
}

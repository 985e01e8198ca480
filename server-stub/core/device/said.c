/* Filters the JSON that a device sends: only the fields of said.def, each of
 * its type. */
#include "server-stub/core/device/said.h"

#include <assert.h>
#include <string.h>

#include "server-stub/core/request/shape.h"
#include "server-stub/core/request/types.h"

#define LIST_MAX 16

static const struct {
    const char *word;
    const char *shape;
} rows[] = {
#define FLO_SAID(word, shape) {word, shape},
#define FLO_SAID_PART(word, shape) {word, shape},
#include "server-stub/core/device/said.def"
};

static struct flo_shape_span row_of(struct flo_shape_span word)
{
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (flo_shape_is(word, rows[i].word)) {
            return (struct flo_shape_span){rows[i].shape, rows[i].shape + strlen(rows[i].shape)};
        }
    }
    assert(!"a row of said.def");
    return (struct flo_shape_span){word.end, word.end};
}

static bool fits(struct flo_shape_span type, const json_t *value)
{
    const struct flo_rest_type *row = flo_rest_type_find(type.at, (size_t)(type.end - type.at));

    assert(row != NULL);
    switch (row->kind) {
    case FLO_REST_TEXT:
        return json_is_string(value) && (double)json_string_length(value) <= row->most;
    case FLO_REST_REAL:
        return json_is_number(value);
    case FLO_REST_WHOLE:
        return json_is_integer(value);
    case FLO_REST_FLAG:
        return json_is_boolean(value);
    default:
        assert(!"a type of said.def");
        return false;
    }
}

static bool put_all(json_t *to, struct flo_shape_span shape, const json_t *from);

/* Returns JSON null when `from` is no object, or lacks a required member. */
static json_t *view(struct flo_shape_span shape, const json_t *from)
{
    json_t *out = json_is_object(from) ? json_object() : NULL;

    if (out != NULL && !put_all(out, shape, from)) {
        json_decref(out);
        out = NULL;
    }
    return out != NULL ? out : json_null();
}

static json_t *view_list(const struct flo_shape_word *word, const json_t *from)
{
    bool is_of_values = *word->inside.at == ':';
    struct flo_shape_span type = {word->inside.at + 1, word->inside.end};
    json_t *list = json_array();
    json_t *item;
    size_t i;

    json_array_foreach(from, i, item)
    {
        if (is_of_values && fits(type, item)) {
            json_array_append(list, item);
        } else if (!is_of_values && i < LIST_MAX && json_is_object(item)) {
            json_array_append_new(list, view(word->inside, item));
        }
    }
    return list;
}

/* Returns the member as the API shows it, a new reference; NULL: the member is
 * absent. */
static json_t *view_member(const struct flo_shape_word *word, json_t *value)
{
    struct flo_shape_span inside = word->inside;

    if (word->bracket == '{') {
        return view(*inside.at == '@' ? row_of((struct flo_shape_span){inside.at + 1, inside.end})
                                      : inside,
                    value);
    }
    if (word->bracket == '[') {
        return word->may_be_absent && json_array_size(value) > LIST_MAX ? NULL
                                                                        : view_list(word, value);
    }
    if (fits(word->type, value)) {
        return json_incref(value);
    }
    return word->may_be_null ? json_null() : NULL;
}

static bool put_all(json_t *to, struct flo_shape_span shape, const json_t *from)
{
    struct flo_shape_word word;
    char name[32];
    bool is_whole = true;

    while (flo_shape_next(&shape, &word)) {
        snprintf(name, sizeof(name), "%.*s", (int)(word.name.end - word.name.at), word.name.at);
        json_t *member = view_member(&word, json_object_get(from, name));
        if (member == NULL && !word.may_be_absent && flo_shape_is(word.type, "flag")) {
            member = json_false();
        }
        is_whole = is_whole && (member != NULL || word.may_be_absent);
        json_object_set_new(to, name, member);
    }
    return is_whole;
}

static struct flo_shape_span named(const char *word)
{
    return row_of((struct flo_shape_span){word, word + strlen(word)});
}

json_t *flo_said_view(const char *word, const json_t *from)
{
    return view(named(word), from);
}

void flo_said_put(json_t *to, const char *word, const json_t *from)
{
    (void)put_all(to, named(word), json_is_object(from) ? from : NULL);
}

/* Requests: checks members and parameters against the shape of their route. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "server-stub/core/request/request.h"
#include "server-stub/core/request/shape.h"
#include "server-stub/core/request/types.h"

#define WORDS_MAX 32
#define WORD_MAX 32

static bool find_word(struct flo_shape_span shape, const char *name, struct flo_shape_word *out)
{
    while (flo_shape_next(&shape, out)) {
        if (flo_shape_is(out->name, name)) {
            return true;
        }
    }
    return false;
}

/* ---- saying it ---- */

int flo_request_unknown(const char *kind, const char *where, const char *name,
                        const char *const *words, size_t count, struct flo_err *err)
{
    char known[240] = "";
    size_t chars = 0;

    for (size_t i = 0; i < count && chars < sizeof(known); i++) {
        chars += (size_t)snprintf(known + chars, sizeof(known) - chars, "%s%s", i > 0 ? ", " : "",
                                  words[i]);
    }
    flo_fail(err, FLO_E_REST_UNKNOWN, "%s `%s%.64s` is not known here; %s%s", kind, where, name,
             count > 0 ? "known: " : "nothing belongs here", known);
    const char *nearest = flo_nearest(name, words, count);
    if (nearest != NULL) {
        flo_err_fix(err, "did you mean `%s`?", nearest);
    }
    return FLO_E_REST_UNKNOWN;
}

static int unknown(struct flo_shape_span shape, const char *where, const char *name,
                   const char *kind, struct flo_err *err)
{
    char names[WORDS_MAX][WORD_MAX];
    const char *words[WORDS_MAX];
    struct flo_shape_word word;
    size_t count = 0;

    while (count < WORDS_MAX && flo_shape_next(&shape, &word)) {
        snprintf(names[count], WORD_MAX, "%.*s", (int)(word.name.end - word.name.at), word.name.at);
        words[count] = names[count];
        count++;
    }
    return flo_request_unknown(kind, where, name, words, count, err);
}

/* ---- the walk ---- */

/* Place that is being checked, for people and as a JSON pointer. */
struct place {
    char path[96];    /* "phases[2]." */
    char pointer[96]; /* "/phases/2" */
};

static void place_inside(const struct place *from, const char *name, struct place *out)
{
    size_t chars = strlen(from->pointer);

    snprintf(out->path, sizeof(out->path), "%.60s%.32s.", from->path, name);
    memcpy(out->pointer, from->pointer, chars + 1);
    chars += chars + 3 < sizeof(out->pointer) ? 1 : 0;
    out->pointer[chars - 1] = '/';
    for (; *name != '\0' && chars + 3 < sizeof(out->pointer); name++) {
        if (*name == '~' || *name == '/') { /* RFC 6901 */
            out->pointer[chars++] = '~';
            out->pointer[chars++] = *name == '~' ? '0' : '1';
        } else {
            out->pointer[chars++] = *name;
        }
    }
    out->pointer[chars] = '\0';
}

static void place_element(const struct place *from, size_t index, struct place *out)
{
    size_t chars = strlen(from->path);

    snprintf(out->path, sizeof(out->path), "%.*s[%zu].", (int)(chars < 70 ? chars - 1 : 69),
             from->path, index);
    snprintf(out->pointer, sizeof(out->pointer), "%.70s/%zu", from->pointer, index);
}

static int refused(int code, const char *pointer, struct flo_err *err)
{
    flo_err_at(err, "%s", pointer);
    return code;
}

static int check(struct flo_shape_span shape, const struct place *place, const json_t *object,
                 struct flo_err *err);

/* Checks the value against the row of its type; the error names the place. */
static int check_type(struct flo_shape_span word, const struct place *place, const json_t *value,
                      struct flo_err *err)
{
    const struct flo_rest_type *type = flo_rest_type_find(word.at, (size_t)(word.end - word.at));
    char where[96];

    if (type == NULL) {
        return 0;
    }
    snprintf(where, sizeof(where), "%.*s", (int)strlen(place->path) - 1, place->path);
    int rv = flo_rest_type_check(type, where, value, err);
    return rv < 0 ? refused(rv, place->pointer, err) : 0;
}

/* Checks a value whose word has no type in types.def: it must be an object or
 * an array, as the word's bracket says.  Any other value is checked by its
 * type. */
static int check_kind(const struct flo_shape_word *word, const struct place *place,
                      const json_t *value, struct flo_err *err)
{
    static const char list[] = "any_list";
    static const char object[] = "any_object";
    bool is_list = word->bracket == '[';
    bool has_row =
        flo_rest_type_find(word->type.at, (size_t)(word->type.end - word->type.at)) != NULL;

    if (has_row || word->bracket == '\0') {
        return check_type(word->type, place, value, err);
    }
    return check_type(is_list ? (struct flo_shape_span){list, list + sizeof(list) - 1}
                              : (struct flo_shape_span){object, object + sizeof(object) - 1},
                      place, value, err);
}

/* Checks one value inside a bracket: a value of a type, or an object. */
static int check_element(struct flo_shape_span inside, const struct place *place,
                         const json_t *value, struct flo_err *err)
{
    static const char object[] = "any_object";

    if (*inside.at == ':') {
        bool may_be_null = inside.end[-1] == '~';
        return may_be_null && json_is_null(value)
                   ? 0
                   : check_type((struct flo_shape_span){inside.at + 1, inside.end - may_be_null},
                                place, value, err);
    }
    FLO_TRY(check_type((struct flo_shape_span){object, object + sizeof(object) - 1}, place, value,
                       err));
    return check(inside, place, value, err);
}

static int check_map(struct flo_shape_span inside, const struct place *place, const json_t *object,
                     struct flo_err *err)
{
    struct place below;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        place_inside(place, name, &below);
        if (!flo_name_is_valid(name)) {
            flo_fail(err, FLO_E_REST_SCHEMA,
                     "`%.80s`: a name belongs here (a-z 0-9 . _ -, at most %d "
                     "characters)",
                     name, FLO_NAME_MAX);
            return refused(FLO_E_REST_SCHEMA, below.pointer, err);
        }
        FLO_TRY(check_element(inside, &below, value, err));
    }
    return 0;
}

static int check_value(const struct flo_shape_word *word, const struct place *place,
                       const json_t *value, struct flo_err *err)
{
    struct place below;
    json_t *item;
    size_t i;

    FLO_TRY(check_kind(word, place, value, err));
    if (word->bracket == '\0') {
        return 0;
    }
    if (word->bracket == '{') {
        return *word->inside.at == ':' ? check_map(word->inside, place, value, err)
                                       : check(word->inside, place, value, err);
    }
    json_array_foreach(value, i, item)
    {
        place_element(place, i, &below);
        FLO_TRY(check_element(word->inside, &below, item, err));
    }
    return 0;
}

static int check_needed(struct flo_shape_span shape, const struct place *place,
                        const json_t *object, struct flo_err *err)
{
    struct flo_shape_word word;
    char name[WORD_MAX];

    while (flo_shape_next(&shape, &word)) {
        snprintf(name, sizeof(name), "%.*s", (int)(word.name.end - word.name.at), word.name.at);
        if (word.is_needed && json_object_get(object, name) == NULL) {
            struct place missing;
            place_inside(place, name, &missing);
            flo_fail(err, FLO_E_REST_SCHEMA, "`%s%s` is missing", place->path, name);
            return refused(FLO_E_REST_SCHEMA, missing.pointer, err);
        }
    }
    return 0;
}

static int check(struct flo_shape_span shape, const struct place *place, const json_t *object,
                 struct flo_err *err)
{
    struct flo_shape_word word;
    struct place below;
    const char *name;
    json_t *value;

    if (flo_shape_is(shape, "*") || flo_shape_is(shape, "@rollout") ||
        flo_shape_is(shape, "@edit") || flo_shape_is(shape, "@envelope")) {
        return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        place_inside(place, name, &below);
        if (!find_word(shape, name, &word)) {
            return refused(unknown(shape, place->path, name, "member", err), below.pointer, err);
        }
        FLO_TRY(check_value(&word, &below, value, err));
    }
    return check_needed(shape, place, object, err);
}

/* Tells whether the body's first word chooses this alternative.  A shape
 * without alternatives is always chosen. */
static bool is_chosen(struct flo_shape_span shape, const json_t *body)
{
    struct flo_shape_word first;
    char name[WORD_MAX];

    if (!flo_shape_next(&shape, &first) || first.value.at == NULL) {
        return true;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(first.name.end - first.name.at), first.name.at);
    const char *given = json_string_value(json_object_get(body, name));
    return given != NULL && flo_shape_is(first.value, given);
}

/* Fails because the body chooses no alternative: lists the first word of
 * each. */
static int none_chosen(struct flo_shape_span all, const json_t *body, struct flo_err *err)
{
    char choices[WORDS_MAX][WORD_MAX];
    const char *words[WORDS_MAX];
    struct flo_shape_span part = all;
    struct flo_shape_word first = {0};
    char name[WORD_MAX];
    char known[240] = "";
    char pointer[WORD_MAX + 1];
    size_t count = 0;
    size_t chars = 0;

    while (part.at < all.end && count < WORDS_MAX) {
        const char *bar = memchr(part.at, '|', (size_t)(all.end - part.at));
        part.end = bar != NULL ? bar : all.end;
        struct flo_shape_span rest = part;
        bool has_first = flo_shape_next(&rest, &first);
        assert(has_first); /* a shape without any word fits every body, so it
                              cannot have failed */
        snprintf(choices[count], WORD_MAX, "%.*s", (int)(first.value.end - first.value.at),
                 first.value.at);
        chars += chars < sizeof(known)
                     ? (size_t)snprintf(known + chars, sizeof(known) - chars, "%s%s",
                                        count > 0 ? ", " : "", choices[count])
                     : 0;
        words[count] = choices[count];
        count++;
        part.at = bar != NULL ? bar + 1 : all.end;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(first.name.end - first.name.at), first.name.at);
    snprintf(pointer, sizeof(pointer), "/%.30s", name);
    const char *given = json_string_value(json_object_get(body, name));
    flo_fail(err, FLO_E_REST_SCHEMA, "`%s`: one of %s belongs here%s%.40s", name, known,
             given != NULL ? ", not " : "", given != NULL ? given : "");
    const char *nearest = given != NULL ? flo_nearest(given, words, count) : NULL;
    if (nearest != NULL) {
        flo_err_fix(err, "did you mean `%s`?", nearest);
    }
    return refused(FLO_E_REST_SCHEMA, pointer, err);
}

int flo_request_at(struct flo_err *err, const char *path)
{
    char pointer[96] = "/";
    size_t chars = 1;

    for (; *path != '\0' && chars + 1 < sizeof(pointer); path++) {
        if (*path != ']') {
            pointer[chars++] = strchr(".[", *path) != NULL ? '/' : *path;
        }
    }
    pointer[chars] = '\0';
    return flo_err_at(err, "%s", pointer);
}

/* Fails if a member's name is in no alternative; this error comes first. */
static int check_names(struct flo_shape_span all, const json_t *body, struct flo_err *err)
{
    struct flo_shape_word word;
    const char *name;
    json_t *value;
    char pointer[96];

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        bool is_known = false;
        struct flo_shape_span part = all;
        while (part.at < all.end && !is_known) {
            const char *bar = memchr(part.at, '|', (size_t)(all.end - part.at));
            part.end = bar != NULL ? bar : all.end;
            is_known = find_word(part, name, &word);
            part.at = bar != NULL ? bar + 1 : all.end;
        }
        if (!is_known) { /* each alternative begins with the same word */
            struct flo_shape_span first = {all.at, strchr(all.at, '=')};
            snprintf(pointer, sizeof(pointer), "/%.80s", name);
            return refused(unknown(first, "", name, "member", err), pointer, err);
        }
    }
    return 0;
}

/* Shapes of all orders, each after a bar. */
static const char orders[] =
#define FLO_ORDER_ASKED(name, word, subject, rank, signer, body, meaning) "|op=" word " " body
#include "proto/orders.def"
    ;

int flo_request_check(const char *shape, const json_t *body, struct flo_err *err)
{
    static const struct place top = {"", ""};

    assert(shape != NULL);
    if (strcmp(shape, "@order") == 0) {
        shape = orders + 1;
    }
    struct flo_shape_span all = {shape, shape + strlen(shape)};
    struct flo_shape_span part = all;

    for (;; part.at = part.end + 1) {
        const char *bar = memchr(part.at, '|', (size_t)(all.end - part.at));
        part.end = bar != NULL ? bar : all.end;
        if (is_chosen(part, body)) {
            return check(part, &top, body, err);
        }
        if (bar == NULL) {
            FLO_TRY(check_names(all, body, err));
            return none_chosen(all, body, err);
        }
    }
}

int flo_request_check_query(const char *shape, const char *name, const char *value,
                            struct flo_err *err)
{
    struct flo_shape_span span = {shape, shape + strlen(shape)};
    struct flo_shape_word word;

    char pointer[96];
    int rv = 0;

    snprintf(pointer, sizeof(pointer), "?%.80s", name);
    if (!find_word(span, name, &word)) {
        rv = unknown(span, "", name, "query parameter", err);
        return refused(rv, pointer, err);
    }
    const struct flo_rest_type *type =
        flo_rest_type_find(word.type.at, (size_t)(word.type.end - word.type.at));
    if (type != NULL) {
        rv = flo_rest_type_check_text(type, name, value, err);
    }
    return rv < 0 ? refused(rv, pointer, err) : 0;
}

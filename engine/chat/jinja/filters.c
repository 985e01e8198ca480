/* Jinja: filters and methods.  Three tables list all that are known.  Any other
 * name is refused when a rendering reaches it. */
#include "engine/chat/jinja/interpreter.h"

#include <stdlib.h>

#include <flotilla/errors/model.h>

#include "engine/token/unicode.h"

typedef struct jinja_value action(struct jinja_run *run, const struct jinja_value *value,
                                  const struct jinja_args *args);

/* Defines an action that is a function with fixed last arguments. */
#define VARIANT(name, function, ...)                                                               \
    static struct jinja_value name(struct jinja_run *run, const struct jinja_value *value,         \
                                   const struct jinja_args *args)                                  \
    {                                                                                              \
        return function(run, value, args, __VA_ARGS__);                                            \
    }

static struct jinja_value not_built(struct jinja_run *run, const char *kind, struct jinja_text name)
{
    return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "the %s '%.*s' is not known", kind,
                          (int)name.bytes, name.data);
}

static struct jinja_value refuse(struct jinja_run *run, const char *why)
{
    return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "%s", why);
}

/* Returns the text of an argument.  An argument that is no text is an error,
 * and gives an empty text. */
static struct jinja_text text_argument(struct jinja_run *run, const struct jinja_args *args,
                                       size_t place)
{
    if (place >= args->count || args->values[place].kind != KIND_TEXT) {
        refuse(run, "an argument must be a text");
        return jinja_text_of("");
    }
    return args->values[place].text;
}

/* ---- text ---- */

/* Tells whether a character is a blank, as Python's str.isspace() does.  It has
 * four code points more than Unicode's White_Space. */
static bool is_blank(uint32_t code)
{
    return flo_unicode_is_blank(code) || (code >= 0x1c && code <= 0x1f);
}

/* Strips characters from the text's beginning and end, as asked for.  They are
 * blanks or, if `bytes` is set, those characters. */
static struct jinja_text stripped(struct jinja_text text, const char *bytes, size_t count,
                                  bool at_start, bool at_end)
{
    size_t taken, start = text.bytes, end = 0;
    for (size_t at = 0; at < text.bytes; at += taken) {
        uint32_t code = flo_utf8_next(text.data + at, text.bytes - at, &taken);
        bool goes =
            bytes != NULL ? code < 0x80 && memchr(bytes, (int)code, count) != NULL : is_blank(code);
        if (!goes) {
            start = at < start ? at : start;
            end = at + taken;
        }
    }
    start = at_start ? start : 0;
    end = at_end ? end : text.bytes;
    return flo_jinja_cut(text, start, end);
}

static struct jinja_value strip(struct jinja_run *run, const struct jinja_value *value,
                                const struct jinja_args *args, bool at_start, bool at_end)
{
    struct jinja_text text = flo_jinja_string(run, value);
    if (args->count == 0 || args->values[0].kind == KIND_NONE) {
        return flo_jinja_text(stripped(text, NULL, 0, at_start, at_end));
    }
    struct jinja_text bytes = text_argument(run, args, 0);
    for (size_t i = 0; i < bytes.bytes; i++) {
        if ((unsigned char)bytes.data[i] >= 0x80) {
            return refuse(run, "stripping other letters is not built");
        }
    }
    return flo_jinja_text(stripped(text, bytes.data, bytes.bytes, at_start, at_end));
}

VARIANT(trim, strip, true, true)
VARIANT(strip_start, strip, true, false)
VARIANT(strip_end, strip, false, true)

enum letters { LETTERS_UPPER, LETTERS_LOWER, LETTERS_CAPITAL, LETTERS_TITLE };

static struct jinja_value in_letters(struct jinja_run *run, const struct jinja_value *value,
                                     const struct jinja_args *args, enum letters letters)
{
    (void)args;
    struct jinja_text text = flo_jinja_string(run, value);
    char *out = flo_jinja_take(&run->pool, text.bytes + 1, 1);
    if (out == NULL) {
        return flo_jinja_fail(run, run->pool.rv, "a text of %zu bytes", text.bytes);
    }
    bool is_first = true;
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.data[i];
        bool is_upper = c >= 'A' && c <= 'Z', is_lower = c >= 'a' && c <= 'z';
        bool wants_upper = letters == LETTERS_UPPER || (letters != LETTERS_LOWER && is_first);
        if ((unsigned char)c >= 0x80) {
            return refuse(run, "the case of other letters is not built");
        }
        out[i] = (char)(wants_upper && is_lower ? c - 32 : !wants_upper && is_upper ? c + 32 : c);
        is_first = letters == LETTERS_TITLE && !is_upper && !is_lower;
    }
    return flo_jinja_text((struct jinja_text){out, text.marks, text.bytes});
}

VARIANT(upper, in_letters, LETTERS_UPPER)
VARIANT(lower, in_letters, LETTERS_LOWER)
VARIANT(capitalize, in_letters, LETTERS_CAPITAL)
VARIANT(title, in_letters, LETTERS_TITLE)

static size_t find(struct jinja_text text, size_t from, struct jinja_text what)
{
    const char *hit = text.bytes > from && what.bytes > 0
                          ? memmem(text.data + from, text.bytes - from, what.data, what.bytes)
                          : NULL;
    return hit != NULL ? (size_t)(hit - text.data) : SIZE_MAX;
}

static struct jinja_value replace(struct jinja_run *run, const struct jinja_value *value,
                                  const struct jinja_args *args)
{
    struct jinja_text text = flo_jinja_string(run, value);
    struct jinja_text old = text_argument(run, args, 0);
    struct jinja_text new = text_argument(run, args, 1);
    if (run->rv < 0 || old.bytes == 0 || args->count != 2) {
        return refuse(run, "such a replacement is not built");
    }
    struct jinja_builder builder = flo_jinja_builder(run);
    size_t from = 0, hit;
    while (!builder.text.failed && (hit = find(text, from, old)) != SIZE_MAX) {
        flo_jinja_build(&builder, flo_jinja_cut(text, from, hit));
        flo_jinja_build(&builder, new);
        from = hit + old.bytes;
    }
    flo_jinja_build(&builder, flo_jinja_cut(text, from, text.bytes));
    return flo_jinja_built(&builder);
}

static struct jinja_value split(struct jinja_run *run, const struct jinja_value *value,
                                const struct jinja_args *args)
{
    struct jinja_text text = flo_jinja_string(run, value);
    struct jinja_text mark = text_argument(run, args, 0);
    int64_t most = INT64_MAX;
    if (args->count > 1) {
        most = args->values[1].number < 0 ? INT64_MAX : args->values[1].number;
    }
    if (run->rv < 0 || mark.bytes == 0 || args->keyword_count > 0 ||
        (args->count > 1 && args->values[1].kind != KIND_NUMBER)) {
        return refuse(run, "such a split is not built");
    }
    struct jinja_value out = flo_jinja_list(run);
    size_t from = 0, hit;
    for (int64_t i = 0; run->rv == 0 && i < most && (hit = find(text, from, mark)) != SIZE_MAX;
         i++) {
        flo_jinja_append(run, out.list, flo_jinja_text(flo_jinja_cut(text, from, hit)));
        from = hit + mark.bytes;
    }
    if (run->rv == 0) {
        flo_jinja_append(run, out.list, flo_jinja_text(flo_jinja_cut(text, from, text.bytes)));
    }
    return out;
}

/* Runs the methods startswith() and endswith(), which take one text or
 * several. */
static struct jinja_value has_end(struct jinja_run *run, const struct jinja_value *value,
                                  const struct jinja_args *args, bool at_start)
{
    struct jinja_text text = flo_jinja_string(run, value);
    struct jinja_list one = {.count = 1};
    struct jinja_list *list = &one;
    struct jinja_value first = {.kind = KIND_NONE};
    if (args->count == 1) {
        first = args->values[0];
        one.items = &first;
        list = first.kind == KIND_LIST ? first.list : &one;
    }
    bool has = false;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items == NULL || list->items[i].kind != KIND_TEXT) {
            return refuse(run, "a text must be asked for");
        }
        struct jinja_text end = list->items[i].text;
        size_t at = at_start ? 0 : text.bytes - end.bytes;
        has = has || (end.bytes <= text.bytes &&
                      (end.bytes == 0 || memcmp(text.data + at, end.data, end.bytes) == 0));
    }
    return flo_jinja_bool(has);
}

VARIANT(starts_with, has_end, true)
VARIANT(ends_with, has_end, false)

/* ---- lists ---- */

/* Sets the kind of a list that Python does not print as a plain list. */
static struct jinja_value viewed(struct jinja_value list, enum jinja_list_kind kind)
{
    if (list.kind == KIND_LIST) {
        list.list->kind = kind;
    }
    return list;
}

static struct jinja_value joined(struct jinja_run *run, const struct jinja_value *value,
                                 struct jinja_text between)
{
    struct jinja_list *list = flo_jinja_items(run, value);
    struct jinja_builder builder = flo_jinja_builder(run);
    for (size_t i = 0; list != NULL && i < list->count && run->rv == 0; i++) {
        if (i > 0) {
            flo_jinja_build(&builder, between);
        }
        flo_jinja_build(&builder, flo_jinja_string(run, &list->items[i]));
    }
    return flo_jinja_built(&builder);
}

static struct jinja_value join(struct jinja_run *run, const struct jinja_value *value,
                               const struct jinja_args *args)
{
    const struct jinja_value *between = flo_jinja_argument(args, 0, "d");
    if (flo_jinja_argument(args, 1, "attribute") != NULL) {
        return refuse(run, "a join by attribute is not built");
    }
    return joined(run, value, between != NULL ? flo_jinja_string(run, between) : jinja_text_of(""));
}

/* ", ".join(list) */
static struct jinja_value join_method(struct jinja_run *run, const struct jinja_value *value,
                                      const struct jinja_args *args)
{
    if (args->count != 1) {
        return refuse(run, "a join of one list is built");
    }
    return joined(run, &args->values[0], value->text);
}

static struct jinja_value end_item(struct jinja_run *run, const struct jinja_value *value,
                                   const struct jinja_args *args, bool last)
{
    (void)args;
    struct jinja_list *list = flo_jinja_items(run, value);
    if (list == NULL || list->count == 0) {
        return (struct jinja_value){.kind = KIND_UNDEFINED};
    }
    return list->items[last ? list->count - 1 : 0];
}

VARIANT(first, end_item, false)
VARIANT(last, end_item, true)

static struct jinja_value to_list(struct jinja_run *run, const struct jinja_value *value,
                                  const struct jinja_args *args)
{
    struct jinja_value out = flo_jinja_list(run);
    struct jinja_list *list = flo_jinja_items(run, value);
    (void)args;
    if (run->rv == 0) {
        *out.list = *list;
        out.list->kind = LIST_PLAIN;
        out.is_said = value->is_said;
    }
    return out;
}

static struct jinja_value reverse(struct jinja_run *run, const struct jinja_value *value,
                                  const struct jinja_args *args)
{
    (void)args;
    if (value->kind != KIND_LIST) {
        return refuse(run, "only a list is reversed");
    }
    return viewed(flo_jinja_slice(run, value, INT64_MIN, INT64_MIN, -1), LIST_STREAM);
}

/* Returns the items of a list, or NULL if it is empty, as `tools` often is. */
static struct jinja_list *items_or_none(struct jinja_run *run, const struct jinja_value *value)
{
    const struct jinja_value nothing = {.kind = KIND_UNDEFINED};
    return flo_jinja_items(run, flo_jinja_is_true(value) ? value : &nothing);
}

/* Runs the filter map('filter', ...) or map(attribute='name'). */
static struct jinja_value map(struct jinja_run *run, const struct jinja_value *value,
                              const struct jinja_args *args)
{
    const struct jinja_value *attribute = flo_jinja_argument(args, 99, "attribute");
    struct jinja_list *list = items_or_none(run, value);
    struct jinja_value out = flo_jinja_list(run);
    struct jinja_args rest = {.count = 0};
    struct jinja_text name = jinja_text_of("");
    if (attribute == NULL) {
        name = text_argument(run, args, 0);
        for (size_t i = 1; i < args->count; i++) {
            rest.values[rest.count++] = args->values[i];
        }
    } else if (attribute->kind != KIND_TEXT || args->keyword_count > 1) {
        return refuse(run, "such a map is not built");
    }
    for (size_t i = 0; run->rv == 0 && i < list->count; i++) {
        struct jinja_value item = attribute != NULL
                                      ? flo_jinja_item(run, &list->items[i], attribute)
                                      : flo_jinja_filter(run, name, &list->items[i], &rest);
        flo_jinja_append(run, out.list, item);
    }
    return viewed(out, LIST_STREAM);
}

/* Runs select, reject, selectattr and rejectattr.  They choose items by a test
 * or, without one, by being true. */
static struct jinja_value choose(struct jinja_run *run, const struct jinja_value *value,
                                 const struct jinja_args *args, bool by_attribute, bool wanted)
{
    struct jinja_list *list = items_or_none(run, value);
    struct jinja_value out = flo_jinja_list(run);
    struct jinja_args rest = {.count = 0};
    size_t at = by_attribute ? 1 : 0;
    bool has_test = args->count > at;
    struct jinja_text test = has_test ? text_argument(run, args, at) : jinja_text_of("");
    if (by_attribute) {
        text_argument(run, args, 0);
    }
    for (size_t i = at + 1; i < args->count; i++) {
        rest.values[rest.count++] = args->values[i];
    }
    for (size_t i = 0; run->rv == 0 && i < list->count; i++) {
        struct jinja_value item = list->items[i];
        if (by_attribute) {
            item = flo_jinja_item(run, &item, &args->values[0]);
        }
        bool holds = has_test ? flo_jinja_test(run, test, &item, &rest) : flo_jinja_is_true(&item);
        if (holds == wanted) {
            flo_jinja_append(run, out.list, list->items[i]);
        }
    }
    return viewed(out, LIST_STREAM);
}

VARIANT(select_items, choose, false, true)
VARIANT(reject_items, choose, false, false)
VARIANT(select_by, choose, true, true)
VARIANT(reject_by, choose, true, false)

static struct jinja_value length(struct jinja_run *run, const struct jinja_value *value,
                                 const struct jinja_args *args)
{
    (void)args;
    return flo_jinja_number(flo_jinja_length(run, value));
}

/* ---- others ---- */

static struct jinja_value standard(struct jinja_run *run, const struct jinja_value *value,
                                   const struct jinja_args *args)
{
    const struct jinja_value *otherwise = flo_jinja_argument(args, 0, "default_value");
    const struct jinja_value *is_strict = flo_jinja_argument(args, 1, "boolean");
    bool is_missing =
        value->kind == KIND_UNDEFINED ||
        (is_strict != NULL && flo_jinja_is_true(is_strict) && !flo_jinja_is_true(value));
    (void)run;
    if (!is_missing) {
        return *value;
    }
    return otherwise != NULL ? *otherwise : flo_jinja_text(jinja_text_of(""));
}

static struct jinja_value string(struct jinja_run *run, const struct jinja_value *value,
                                 const struct jinja_args *args)
{
    (void)args;
    return flo_jinja_text(flo_jinja_string(run, value));
}

static struct jinja_value same(struct jinja_run *run, const struct jinja_value *value,
                               const struct jinja_args *args)
{
    (void)run, (void)args;
    return *value;
}

static struct jinja_value pairs(struct jinja_run *run, const struct jinja_value *value,
                                const struct jinja_args *args)
{
    (void)args;
    return viewed(flo_jinja_pairs(run, value), LIST_VIEW);
}

/* Returns the pairs of a value for the filter `items`.  An undefined value has
 * none. */
static struct jinja_value pairs_or_none(struct jinja_run *run, const struct jinja_value *value,
                                        const struct jinja_args *args)
{
    return value->kind == KIND_UNDEFINED ? to_list(run, value, args) : pairs(run, value, args);
}

static struct jinja_value keys(struct jinja_run *run, const struct jinja_value *value,
                               const struct jinja_args *args)
{
    return viewed(to_list(run, value, args), LIST_VIEW);
}

static struct jinja_value values(struct jinja_run *run, const struct jinja_value *value,
                                 const struct jinja_args *args)
{
    struct jinja_value out = viewed(flo_jinja_list(run), LIST_VIEW);
    (void)args;
    flo_jinja_spend(run, value->dict->count);
    for (size_t i = 0; run->rv == 0 && i < value->dict->count; i++) {
        flo_jinja_append(run, out.list, value->dict->entries[i].value);
    }
    return out;
}

static struct jinja_value get(struct jinja_run *run, const struct jinja_value *value,
                              const struct jinja_args *args)
{
    struct jinja_text key = text_argument(run, args, 0);
    const struct jinja_value *hit = flo_jinja_find(value->dict, key);
    if (hit != NULL) {
        return *hit;
    }
    return args->count > 1 ? args->values[1] : (struct jinja_value){.kind = KIND_NONE};
}

/* ---- the tables ---- */

static const struct {
    const char *name;
    action *action;
} filters[] = {
    {"trim", trim},
    {"upper", upper},
    {"lower", lower},
    {"capitalize", capitalize},
    {"replace", replace},
    {"join", join},
    {"first", first},
    {"last", last},
    {"list", to_list},
    {"reverse", reverse},
    {"map", map},
    {"select", select_items},
    {"reject", reject_items},
    {"length", length},
    {"selectattr", select_by},
    {"rejectattr", reject_by},
    {"count", length},
    {"default", standard},
    {"d", standard},
    {"string", string},
    {"safe", same},
    {"tojson", flo_jinja_json},
    {"items", pairs_or_none},
    {"sort", flo_jinja_sorted},
    {"dictsort", flo_jinja_sorted_pairs},
};

static const struct {
    enum jinja_kind kind;
    const char *name;
    action *action;
} methods[] = {
#define METHOD(kind, name, action) {kind, #name, action},
#define STRANGE(kind, name)
#include "engine/chat/jinja/methods.def"
};

struct jinja_value flo_jinja_filter(struct jinja_run *run, struct jinja_text name,
                                    const struct jinja_value *value, const struct jinja_args *args)
{
    flo_jinja_charge(run, value);
    for (size_t i = 0; run->rv == 0 && i < FLO_COUNT(filters); i++) {
        if (jinja_is(name, filters[i].name)) {
            return filters[i].action(run, value, args);
        }
    }
    return not_built(run, "filter", name);
}

struct jinja_value flo_jinja_method(struct jinja_run *run, struct jinja_text name,
                                    const struct jinja_value *value, const struct jinja_args *args)
{
    flo_jinja_charge(run, value);
    for (size_t i = 0; run->rv == 0 && i < FLO_COUNT(methods); i++) {
        if (value->kind == methods[i].kind && jinja_is(name, methods[i].name)) {
            return methods[i].action(run, value, args);
        }
    }
    return *value;
}

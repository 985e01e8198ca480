/* Jinja: prints values as Python's str(), repr() and json.dumps() do. Brackets,
 * commas and numbers that print a value from a message are marked as a
 * message's. */
#include "engine/chat/jinja/interpreter.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <flotilla/errors/model.h>

#include "engine/token/unicode.h"

#define INDENT_MAX 16
#define SEPARATOR_BYTES_MAX 16

/* ---- numbers ---- */

/* Prints `count` digits as d.ddde+XX.  Returns whether the text, read back, is
 * the same value. */
static bool try_digits(double value, int count, char text[40])
{
    snprintf(text, 40, "%.*e", count - 1, value);
    if (strtod(text, NULL) == value) {
        return true;
    }
    /* Just above a power of two, the nearest text with so many digits may be
     * too low.  The next higher one can then be the same value. */
    char next[40];
    memcpy(next, text, sizeof(next));
    char *end = strchr(next, 'e') - 1;
    if (*end < '0' || *end >= '9') {
        return false;
    }
    (*end)++;
    if (strtod(next, NULL) != value) {
        return false;
    }
    memcpy(text, next, sizeof(next));
    return true;
}

/* Prints a float as Python's repr() does.  It has the fewest digits that give
 * the same value again, and an exponent below 1e-4 and from 1e16 on. */
static void put_real(double value, char out[40])
{
    char text[40], digits[20] = "";
    int count = 1, filled = 0;
    if (isnan(value) || isinf(value)) {
        snprintf(out, 40, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    while (!try_digits(fabs(value), count, text) && count < 17) {
        count++;
    }
    for (const char *p = text; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            digits[filled++] = *p;
        }
    }
    int exponent = atoi(strchr(text, 'e') + 1);
    const char *sign = signbit(value) ? "-" : "";
    if (exponent < -4 || exponent >= 16) {
        snprintf(out, 40, "%s%.1s%s%se%c%02d", sign, digits, filled > 1 ? "." : "", digits + 1,
                 exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        snprintf(out, 40, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
    } else if (filled > exponent + 1) {
        snprintf(out, 40, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
    } else {
        snprintf(out, 40, "%s%s%.*s.0", sign, digits, exponent + 1 - filled, "0000000000000000");
    }
}

struct jinja_value flo_jinja_real(struct jinja_run *run, const char *text, size_t bytes)
{
    struct jinja_value out = {.kind = KIND_REAL, .is_whole = true};
    char *copy = flo_jinja_need(run, bytes < 40 ? 40 : bytes + 1, 1);
    if (copy == NULL) {
        return (struct jinja_value){.kind = KIND_UNDEFINED};
    }
    memcpy(copy, text, bytes);
    out.real = strtod(copy, NULL);
    for (size_t i = 0; i < bytes; i++) {
        out.is_whole = out.is_whole && strchr(".eE", text[i]) == NULL;
    }
    if (!out.is_whole) {
        put_real(out.real, copy);
    }
    out.text = jinja_text_of(copy);
    return out;
}

/* ---- str() and repr() ---- */

/* Tells whether Python calls a character not printable.  Unassigned code points
 * count as printable here. */
static bool is_hidden(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0x0, 0x1f},        {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},
        {0x61c, 0x61c},     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},
        {0x8e2, 0x8e2},     {0x1680, 0x1680},   {0x180e, 0x180e},   {0x2000, 0x200f},
        {0x2028, 0x202f},   {0x205f, 0x2064},   {0x2066, 0x206f},   {0x3000, 0x3000},
        {0xd800, 0xf8ff},   {0xfeff, 0xfeff},   {0xfff9, 0xfffb},   {0x110bd, 0x110bd},
        {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
        {0xe0001, 0xe0001}, {0xe0020, 0xe007f}, {0xf0000, 0xffffd}, {0x100000, 0x10fffd}};
    for (size_t i = 0; i < FLO_COUNT(ranges) && code >= ranges[i][0]; i++) {
        if (code <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

/* Writes an escape in place of one character of a text, with the mark of this
 * character. */
static void build_escape(struct jinja_builder *builder, struct jinja_text text, size_t at,
                         const char *escape)
{
    flo_jinja_build_word(builder, escape, text.marks != NULL && text.marks[at] != 0);
}

static void put_repr_text(struct jinja_builder *builder, struct jinja_text text, bool is_said)
{
    bool has_one = text.bytes > 0 && memchr(text.data, '\'', text.bytes) != NULL;
    bool has_two = text.bytes > 0 && memchr(text.data, '"', text.bytes) != NULL;
    char quote[2] = {has_one && !has_two ? '"' : '\'', '\0'};
    size_t from = 0, taken;
    flo_jinja_build_word(builder, quote, is_said);
    for (size_t at = 0; at < text.bytes; at += taken) {
        char escape[16] = {0};
        uint32_t code = flo_utf8_next(text.data + at, text.bytes - at, &taken);
        if (code == '\n' || code == '\r' || code == '\t') {
            snprintf(escape, sizeof(escape), "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
        } else if (code == '\\' || code == (unsigned char)quote[0]) {
            snprintf(escape, sizeof(escape), "\\%c", (char)code);
        } else if (is_hidden(code)) {
            snprintf(escape, sizeof(escape),
                     code < 0x100     ? "\\x%02x"
                     : code < 0x10000 ? "\\u%04x"
                                      : "\\U%08x",
                     (unsigned)code);
        }
        if (escape[0] != '\0') {
            flo_jinja_build(builder, flo_jinja_cut(text, from, at));
            build_escape(builder, text, at, escape);
            from = at + taken;
        }
    }
    flo_jinja_build(builder, flo_jinja_cut(text, from, text.bytes));
    flo_jinja_build_word(builder, quote, is_said);
}

static bool is_full(struct jinja_builder *builder, int depth)
{
    if (depth == FLO_JINJA_VALUES_DEEP_MAX) {
        flo_jinja_fail(builder->run, FLO_E_MODEL_TEMPLATE,
                       "more than %d lists in each other as text", FLO_JINJA_VALUES_DEEP_MAX);
    }
    return builder->run->rv < 0 || builder->text.failed;
}

static void put_repr(struct jinja_builder *builder, const struct jinja_value *value, int depth)
{
    bool is_said = value->is_said;
    if (is_full(builder, depth)) {
        return;
    }
    if (value->kind == KIND_TEXT) {
        put_repr_text(builder, value->text, is_said);
    } else if (value->kind == KIND_LIST && value->list->kind <= LIST_TUPLE) {
        bool is_tuple = value->list->kind == LIST_TUPLE;
        flo_jinja_build_word(builder, is_tuple ? "(" : "[", is_said);
        for (size_t i = 0; i < value->list->count; i++) {
            flo_jinja_build_word(builder, i > 0 ? ", " : "", is_said);
            put_repr(builder, &value->list->items[i], depth + 1);
        }
        const char *end = value->list->count == 1 ? ",)" : ")";
        flo_jinja_build_word(builder, is_tuple ? end : "]", is_said);
    } else if (value->kind == KIND_DICT && !value->dict->is_ours) {
        flo_jinja_build_word(builder, "{", is_said);
        for (size_t i = 0; i < value->dict->count; i++) {
            flo_jinja_build_word(builder, i > 0 ? ", " : "", is_said);
            put_repr_text(builder, value->dict->entries[i].key, is_said);
            flo_jinja_build_word(builder, ": ", is_said);
            put_repr(builder, &value->dict->entries[i].value, depth + 1);
        }
        flo_jinja_build_word(builder, "}", is_said);
    } else if (value->kind == KIND_UNDEFINED) {
        flo_jinja_build_word(builder, "Undefined", false);
    } else if (flo_jinja_is_number(value) || value->kind == KIND_NONE) {
        flo_jinja_build(builder, flo_jinja_string(builder->run, value));
    } else {
        flo_jinja_fail(builder->run, FLO_E_MODEL_TEMPLATE, "this as text is not built");
    }
}

struct jinja_text flo_jinja_string(struct jinja_run *run, const struct jinja_value *value)
{
    struct jinja_text out = jinja_text_of("");
    switch (value->kind) {
    case KIND_TEXT:
        return value->text;
    case KIND_UNDEFINED:
        return out;
    case KIND_NONE:
        out = jinja_text_of("None");
        break;
    case KIND_BOOL:
        out = jinja_text_of(value->is_true ? "True" : "False");
        break;
    case KIND_REAL:
        out = value->text;
        break;
    case KIND_NUMBER: {
        char *text = flo_jinja_need(run, 24, 1);
        if (text == NULL) {
            return out;
        }
        snprintf(text, 24, "%" PRId64, value->number);
        out = jinja_text_of(text);
        break;
    }
    default: {
        struct jinja_builder builder = flo_jinja_builder(run);
        put_repr(&builder, value, 0);
        return flo_jinja_built(&builder).text;
    }
    }
    out.marks = value->is_said ? run->said : NULL;
    return out;
}

/* ---- json.dumps() ---- */

struct form {
    struct jinja_builder builder;
    const char *comma, *colon;
    int indent; /* number of blanks per level; -1: all on one line */
    bool is_ascii, sorts_keys;
};

/* Writes the escape \uXXXX of a code point, or two escapes for a surrogate
 * pair. */
static void escape_code(char out[16], uint32_t code)
{
    if (code >= 0x10000) {
        code -= 0x10000;
        snprintf(out, 16, "\\u%04x\\u%04x", (unsigned)(0xd800 + (code >> 10)),
                 (unsigned)(0xdc00 + (code & 0x3ff)));
    } else {
        snprintf(out, 16, "\\u%04x", (unsigned)code);
    }
}

static void put_json_text(struct form *form, struct jinja_text text, bool is_said)
{
    static const char escaped[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    size_t from = 0, taken;
    flo_jinja_build_word(&form->builder, "\"", is_said);
    for (size_t at = 0; at < text.bytes; at += taken) {
        char escape[16] = {0};
        unsigned char c = (unsigned char)text.data[at];
        const char *hit = memchr(escaped, c, sizeof(escaped) - 1);
        taken = 1;
        if (hit != NULL) {
            snprintf(escape, sizeof(escape), "\\%c", letters[hit - escaped]);
        } else if (c < ' ') {
            escape_code(escape, c);
        } else if (c >= 0x7f && form->is_ascii) {
            escape_code(escape, flo_utf8_next(text.data + at, text.bytes - at, &taken));
        } else {
            continue;
        }
        flo_jinja_build(&form->builder, flo_jinja_cut(text, from, at));
        build_escape(&form->builder, text, at, escape);
        from = at + taken;
    }
    flo_jinja_build(&form->builder, flo_jinja_cut(text, from, text.bytes));
    flo_jinja_build_word(&form->builder, "\"", is_said);
}

/* Begins a new line with its blanks, if the output is indented. */
static void put_line(struct form *form, int depth, bool is_said)
{
    for (int i = -1; form->indent >= 0 && i < depth * form->indent; i++) {
        flo_jinja_build_word(&form->builder, i < 0 ? "\n" : " ", is_said);
    }
}

static void put_json(struct form *form, const struct jinja_value *value, int depth);

static void put_json_list(struct form *form, const struct jinja_value *value, int depth)
{
    const struct jinja_list *list = value->list;
    flo_jinja_build_word(&form->builder, "[", value->is_said);
    for (size_t i = 0; i < list->count; i++) {
        flo_jinja_build_word(&form->builder, i > 0 ? form->comma : "", value->is_said);
        put_line(form, depth + 1, value->is_said);
        put_json(form, &list->items[i], depth + 1);
    }
    if (list->count > 0) {
        put_line(form, depth, value->is_said);
    }
    flo_jinja_build_word(&form->builder, "]", value->is_said);
}

/* Returns the indices of the dict's entries in the order of their keys. */
static const size_t *order_keys(struct jinja_run *run, const struct jinja_dict *dict)
{
    struct jinja_value *keys = flo_jinja_need(run, dict->count + 1, sizeof(*keys));
    for (size_t i = 0; keys != NULL && i < dict->count; i++) {
        keys[i] = flo_jinja_text(dict->entries[i].key);
    }
    return keys != NULL ? flo_jinja_order(run, keys, dict->count, true, false) : NULL;
}

static void put_json_dict(struct form *form, const struct jinja_value *value, int depth)
{
    const struct jinja_dict *dict = value->dict;
    const size_t *order = form->sorts_keys ? order_keys(form->builder.run, dict) : NULL;
    flo_jinja_build_word(&form->builder, "{", value->is_said);
    for (size_t i = 0; i < dict->count && form->builder.run->rv == 0; i++) {
        const struct jinja_entry *entry = &dict->entries[order != NULL ? order[i] : i];
        flo_jinja_build_word(&form->builder, i > 0 ? form->comma : "", value->is_said);
        put_line(form, depth + 1, value->is_said);
        put_json_text(form, entry->key, value->is_said);
        flo_jinja_build_word(&form->builder, form->colon, value->is_said);
        put_json(form, &entry->value, depth + 1);
    }
    if (dict->count > 0) {
        put_line(form, depth, value->is_said);
    }
    flo_jinja_build_word(&form->builder, "}", value->is_said);
}

static void put_json(struct form *form, const struct jinja_value *value, int depth)
{
    struct jinja_builder *builder = &form->builder;
    if (is_full(builder, depth)) {
        return;
    }
    switch (value->kind) {
    case KIND_NONE:
        flo_jinja_build_word(builder, "null", value->is_said);
        break;
    case KIND_BOOL:
        flo_jinja_build_word(builder, value->is_true ? "true" : "false", value->is_said);
        break;
    case KIND_REAL:
        if (isinf(value->real) && !value->is_whole) {
            flo_jinja_build_word(builder, value->real < 0 ? "-Infinity" : "Infinity",
                                 value->is_said);
            break;
        } /* fall through */
    case KIND_NUMBER:
        flo_jinja_build(builder, flo_jinja_string(builder->run, value));
        break;
    case KIND_TEXT:
        put_json_text(form, value->text, value->is_said);
        break;
    case KIND_LIST:
        if (value->list->kind <= LIST_TUPLE) {
            put_json_list(form, value, depth);
            break;
        } /* fall through */
    default:
        if (value->kind == KIND_DICT && !value->dict->is_ours) {
            put_json_dict(form, value, depth);
            break;
        }
        flo_jinja_fail(builder->run, FLO_E_MODEL_TEMPLATE, "JSON of this is not built");
        break;
    }
}

/* Returns one of the two separators that the template gave, or NULL after an
 * error. */
static const char *word_of(struct jinja_run *run, const struct jinja_value *list, size_t at)
{
    bool is_pair = list->kind == KIND_LIST && list->list->count == 2 &&
                   list->list->items[at].kind == KIND_TEXT &&
                   list->list->items[at].text.bytes <= SEPARATOR_BYTES_MAX;
    char *word = NULL;
    if (!is_pair) {
        flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "JSON with such separators is not built");
    } else {
        struct jinja_text text = list->list->items[at].text;
        word = flo_jinja_need(run, text.bytes + 1, 1);
        if (word != NULL && text.bytes > 0) {
            memcpy(word, text.data, text.bytes);
        }
    }
    return word;
}

struct jinja_value flo_jinja_json(struct jinja_run *run, const struct jinja_value *value,
                                  const struct jinja_args *args)
{
    const struct jinja_value nothing = {.kind = KIND_NONE};
    const struct jinja_value *options[4];
    static const char *const names[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
    size_t named = 0;
    for (size_t i = 0; i < FLO_COUNT(options); i++) {
        const struct jinja_value *given = flo_jinja_argument(args, i, names[i]);
        options[i] = given != NULL ? given : &nothing;
        named += given != NULL;
    }
    const struct jinja_value *indent = options[1];
    bool has_lines = indent->kind == KIND_NUMBER;
    if (named < args->count + args->keyword_count || (!has_lines && indent->kind != KIND_NONE) ||
        (has_lines && (indent->number < 0 || indent->number > INDENT_MAX))) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "JSON in another form is not built");
    }
    struct form form = {.builder = flo_jinja_builder(run),
                        .comma = has_lines ? "," : ", ",
                        .colon = ": ",
                        .indent = has_lines ? (int)indent->number : -1,
                        .is_ascii = flo_jinja_is_true(options[0]),
                        .sorts_keys = flo_jinja_is_true(options[3])};
    if (options[2]->kind != KIND_NONE) {
        form.comma = word_of(run, options[2], 0);
        form.colon = word_of(run, options[2], 1);
    }
    if (run->rv == 0) {
        put_json(&form, value, 0);
    }
    return flo_jinja_built(&form.builder);
}

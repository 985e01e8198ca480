/* YAML: writes a JSON tree as text that flo_yaml_parse reads back as the same
 * tree.
 *
 * Maps and lists are written in block form, lists of short scalars in one line.
 * A text is plain if no reader could take it for another type, else
 * double-quoted. */
#include <stdlib.h>
#include <string.h>

#include "base/host/yaml.h"

#define KEY_BYTES_MAX 1000 /* longest key that is in one line with its value */
#define LINE_SCALARS_MAX 8 /* a longer list has one scalar per line */

static bool is_scalar(const json_t *json)
{
    return !json_is_object(json) && !json_is_array(json);
}

/* ---- scalars ---- */

/* Tells whether a text is a keyword for some reader (YAML 1.1 has more keywords
 * than our reader). */
static bool is_reserved(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on",
                                        "off",  "y",     "n",    "nan", "inf"};
    char lower[8];
    size_t chars = strlen(text);

    if (chars >= sizeof(lower)) {
        return false;
    }
    for (size_t i = 0; i <= chars; i++) {
        char c = text[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (strcmp(words[i], lower) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Tells whether a text of digits, signs and points may be read as a number,
 * date or time. */
static bool looks_like_number(const char *text)
{
    return text[strspn(text, "0123456789+-.eE_:xXoO")] == '\0';
}

/* Tells whether a text needs no quotes: letters and digits, with a few harmless
 * signs in between. */
static bool is_plain(const char *text, size_t bytes)
{
    static const char signs[] = "_./@%+-";

    if (bytes == 0 || strlen(text) != bytes || is_reserved(text) || looks_like_number(text) ||
        !(is_letter(text[0]) || (text[0] >= '0' && text[0] <= '9'))) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        bool is_inside = i + 1 < bytes;
        bool is_word = is_letter(text[i]) || (text[i] >= '0' && text[i] <= '9') ||
                       strchr(signs, text[i]) != NULL;
        bool is_colon = text[i] == ':' && is_inside && text[i + 1] != ' ';
        bool is_blank = text[i] == ' ' && is_inside && text[i + 1] != ' ';
        if (!is_word && !is_colon && !is_blank) {
            return false;
        }
    }
    return true;
}

/* Returns the bytes of a character that YAML readers refuse or treat as a line
 * break, else 0.  These are controls, and U+0080 to U+009F, U+2028, U+2029,
 * U+FEFF in UTF-8. */
static size_t special(const unsigned char *at, size_t bytes, unsigned *code)
{
    if (at[0] < 0x20 || at[0] == 0x7f) {
        *code = at[0];
        return 1;
    }
    if (bytes >= 2 && at[0] == 0xc2 && at[1] < 0xa0) {
        *code = at[1];
        return 2;
    }
    if (bytes >= 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9)) {
        *code = 0x2000u + (at[2] & 0x3fu);
        return 3;
    }
    if (bytes >= 3 && at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf) {
        *code = 0xfeff;
        return 3;
    }
    /* U+FFFE and U+FFFF are not characters, so readers may refuse them. */
    if (bytes >= 3 && at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe) {
        *code = 0xffc0u + (at[2] & 0x3fu);
        return 3;
    }
    return 0;
}

static void quoted(const char *text, size_t bytes, struct flo_buf *out)
{
    unsigned code;

    flo_buf_text(out, "\"");
    for (size_t i = 0; i < bytes;) {
        size_t took = special((const unsigned char *)text + i, bytes - i, &code);
        if (took > 0) {
            flo_buf_printf(out, "\\u%04X", code);
            i += took;
            continue;
        }
        if (text[i] == '"' || text[i] == '\\') {
            flo_buf_text(out, "\\");
        }
        flo_buf_add(out, text + i, 1);
        i++;
    }
    flo_buf_text(out, "\"");
}

static void text_of(const char *text, size_t bytes, struct flo_buf *out)
{
    if (is_plain(text, bytes)) {
        flo_buf_add(out, text, bytes);
    } else {
        quoted(text, bytes, out);
    }
}

/* Appends the shortest form of a number that reads back as the same number. */
static void real(double value, struct flo_buf *out)
{
    char text[40];

    snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value) {
        snprintf(text, sizeof(text), "%.17g", value);
    }
    flo_buf_printf(out, "%s%s", text, strpbrk(text, ".eE") != NULL ? "" : ".0");
}

static void scalar(const json_t *json, struct flo_buf *out)
{
    if (json_is_string(json)) {
        text_of(json_string_value(json), json_string_length(json), out);
    } else if (json_is_integer(json)) {
        flo_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    } else if (json_is_real(json)) {
        real(json_real_value(json), out);
    } else {
        flo_buf_text(out, json_is_true(json) ? "true" : json_is_false(json) ? "false" : "null");
    }
}

/* ---- maps and lists ---- */

static void indent(unsigned depth, struct flo_buf *out)
{
    for (unsigned i = 0; i < depth; i++) {
        flo_buf_text(out, "  ");
    }
}

static bool is_line(const json_t *list)
{
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        if (!is_scalar(item) || i >= LINE_SCALARS_MAX) {
            return false;
        }
    }
    return true;
}

static void line(const json_t *list, struct flo_buf *out)
{
    size_t i;
    json_t *item;

    flo_buf_text(out, "[");
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        flo_buf_text(out, i > 0 ? ", " : "");
        scalar(item, out);
    }
    flo_buf_text(out, "]");
}

static void map(const json_t *json, unsigned depth, bool is_begun, struct flo_buf *out);

/* Appends a value in the line of its key or dash if it fits there, else
 * below. */
static void value(const json_t *json, unsigned depth, struct flo_buf *out);

static void list(const json_t *json, unsigned depth, struct flo_buf *out)
{
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)json, i, item)
    {
        indent(depth, out);
        flo_buf_text(out, "-");
        if (json_object_size(item) > 0) {
            flo_buf_text(out, " ");
            map(item, depth + 1, true, out);
        } else {
            value(item, depth + 1, out);
        }
    }
}

static void value(const json_t *json, unsigned depth, struct flo_buf *out)
{
    if (is_scalar(json)) {
        flo_buf_text(out, " ");
        scalar(json, out);
        flo_buf_text(out, "\n");
    } else if (json_is_object(json) && json_object_size(json) == 0) {
        flo_buf_text(out, " {}\n");
    } else if (json_is_array(json) && is_line(json)) {
        flo_buf_text(out, " ");
        line(json, out);
        flo_buf_text(out, "\n");
    } else {
        flo_buf_text(out, "\n");
        if (json_is_object(json)) {
            map(json, depth, false, out);
        } else {
            list(json, depth, out);
        }
    }
}

/* Appends a key.  YAML readers look at most 1,024 characters ahead for its
 * colon. */
static void name_of(const char *key, unsigned depth, struct flo_buf *out)
{
    struct flo_buf written = {0};

    text_of(key, strlen(key), &written);
    bool is_long = written.bytes > KEY_BYTES_MAX;
    flo_buf_text(out, is_long ? "? " : "");
    flo_buf_add(out, written.data, written.bytes);
    if (is_long) {
        flo_buf_text(out, "\n");
        indent(depth, out);
    }
    flo_buf_text(out, ":");
    out->failed = out->failed || written.failed;
    flo_buf_deinit(&written);
}

/* Appends a map.  `is_begun`: the first key follows a dash in the same line. */
static void map(const json_t *json, unsigned depth, bool is_begun, struct flo_buf *out)
{
    const char *key;
    json_t *child;
    bool is_first = is_begun;

    json_object_foreach((json_t *)(uintptr_t)json, key, child)
    {
        indent(is_first ? 0 : depth, out);
        is_first = false;
        name_of(key, depth, out);
        value(child, depth + 1, out);
    }
}

void flo_yaml_dump(const json_t *json, struct flo_buf *out)
{
    if (json_object_size(json) > 0) {
        map(json, 0, false, out);
    } else if (json_array_size(json) > 0 && !is_line(json)) {
        list(json, 0, out);
    } else {
        struct flo_buf one = {0};
        value(json, 0, &one);
        flo_buf_text(out, one.data != NULL ? one.data + 1 : "");
        out->failed = out->failed || one.failed;
        flo_buf_deinit(&one);
    }
}

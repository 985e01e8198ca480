/* Values of a schema: objects, arrays, strings and numbers as rules. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/schema.h"
#include "engine/token/unicode.h"

#define TIMES_MAX 8192 /* a larger maximum is narrowed to this */
#define WHOLE_MAX 999999999999999
#define NAME_CHARS_MAX 60

/* ---- objects ------------------------------------------------------------- */

struct member {
    const char *name;
    size_t bytes;
    const struct flo_tree_node *schema; /* NULL: any value */
    bool is_required;
};

struct object {
    struct member *members;
    size_t count;
    bool has_extra; /* members of other names may follow */
    const struct flo_tree_node *extra;
};

static int read_members(struct flo_schema *s,
                        const struct flo_tree_node *schema, struct object *o)
{
    const struct flo_tree_node *required = FLO_GET(schema, "required"), *n;
    const struct flo_tree_node *properties = FLO_GET(schema, "properties");
    size_t known;

    for (n = properties != NULL ? properties->first : NULL; n != NULL;
         n = n->next) {
        o->members[o->count++] =
            (struct member){n->key, n->key_bytes, n, false};
    }
    known = o->count;
    for (n = required != NULL ? required->first : NULL; n != NULL;
         n = n->next) {
        size_t i = 0;

        if (n->kind != FLO_TREE_STRING) {
            return flo_schema_refuse(s, "/required", "must be a list of names");
        }
        while (i < o->count &&
               (o->members[i].bytes != n->bytes ||
                memcmp(o->members[i].name, n->text, n->bytes) != 0)) {
            i++;
        }
        if (i == o->count) {
            o->members[o->count++] =
                (struct member){n->text, n->bytes, o->extra, true};
        }
        o->members[i].is_required = true;
        if (i >= known && known > 0 && !o->has_extra &&
            FLO_GET(schema, "additionalProperties") != NULL) {
            return flo_schema_refuse(
                s, "/required", "'%.*s' is not among the properties",
                n->bytes < 64 ? (int)n->bytes : 64, n->text);
        }
    }
    return 0;
}

static int put_member(struct flo_schema *s, const struct member *m)
{
    struct flo_buf name = {0};

    flo_buf_text(&name, "\"");
    flo_buf_json_text(&name, m->name, m->bytes);
    flo_buf_text(&name, "\": ");
    flo_schema_literal(s->out, name.data, name.bytes);
    flo_buf_deinit(&name);
    return flo_schema_call(s, m->schema, "properties", m->name, m->bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->name, y->name, least);

    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* A name that is none of the sorted members from their byte `at` on, which
 * have the same bytes before. */
static void put_other_name(struct flo_buf *out, const struct member *members,
                           size_t count, size_t at)
{
    bool is_name = count > 0 && members[0].bytes == at;
    size_t first = 0, taken;

    while (first < count && members[first].bytes == at) {
        first++;
    }
    flo_buf_text(out, "([^\"\\\\\\x00-\\x1f\\x7f");
    for (size_t i = first; i < count; i++) {
        flo_buf_printf(
            out, "\\U%08x",
            flo_utf8_next(members[i].name + at, members[i].bytes - at, &taken));
    }
    flo_buf_text(out, "] plain*");
    while (first < count) {
        const struct member *m = &members[first];
        size_t end = first;

        flo_utf8_next(m->name + at, m->bytes - at, &taken);
        while (end < count && members[end].bytes >= at + taken &&
               memcmp(members[end].name + at, m->name + at, taken) == 0) {
            end++;
        }
        flo_buf_text(out, " | ");
        flo_schema_literal(out, m->name + at, taken);
        put_other_name(out, m, end - first, at + taken);
        first = end;
    }
    flo_buf_text(out, is_name ? ") " : ")? ");
}

/* The rule of a member of another name, and of what may follow the last
 * known one. */
static int put_extra(struct flo_schema *s, struct object *o)
{
    size_t plain = 0;

    if (!o->has_extra) {
        flo_buf_printf(s->out, "r%ut%zu ::= \"\"\n", s->at, o->count);
        return 0;
    }
    for (size_t i = 0; i < o->count; i++) {
        const struct member *m = &o->members[i];
        bool is_plain = true;

        for (size_t k = 0; k < m->bytes; k++) {
            unsigned char c = (unsigned char)m->name[k];
            is_plain =
                is_plain && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
        }
        if (is_plain && m->bytes > NAME_CHARS_MAX) {
            return flo_schema_refuse(s, "/additionalProperties",
                                     "beside a name of more than %d bytes",
                                     NAME_CHARS_MAX);
        }
        if (is_plain) { /* others cannot be met: no escapes there */
            o->members[plain++] = *m;
        }
    }
    qsort(o->members, plain, sizeof(*o->members), by_name);
    flo_buf_printf(s->out, "r%ux ::= \"\\\"\" ", s->at);
    put_other_name(s->out, o->members, plain, 0);
    flo_buf_text(s->out, "\"\\\": \" ");
    int rv = flo_schema_call(s, o->extra, "additionalProperties", "", 0);
    flo_buf_printf(s->out, "\nr%ut%zu ::= (\", \" r%ux)*\n", s->at, o->count,
                   s->at);
    return rv;
}

/* Behind member j - 1: a rule for each j, so that the text stays linear. */
static int put_tails(struct flo_schema *s, struct object *o)
{
    struct flo_buf *out = s->out;
    int rv = 0;

    s->out = &s->tails;
    for (size_t j = 1; rv == 0 && j < o->count; j++) {
        bool is_required = o->members[j].is_required;

        flo_buf_printf(s->out, "r%ut%zu ::= %s\", \" ", s->at, j,
                       is_required ? "" : "(");
        rv = put_member(s, &o->members[j]);
        flo_buf_printf(s->out, "%sr%ut%zu\n", is_required ? "" : ")? ", s->at,
                       j + 1);
    }
    rv = rv < 0 ? rv : put_extra(s, o);
    s->out = out;
    return rv;
}

static int put_object(struct flo_schema *s, struct object *o)
{
    int rv = 0;
    size_t i = 0;

    flo_buf_text(s->out, "\"{\" (");
    for (; rv == 0 && i < o->count; i++) {
        flo_buf_text(s->out, i > 0 ? "| " : "");
        rv = put_member(s, &o->members[i]);
        flo_buf_printf(s->out, "r%ut%zu ", s->at, i + 1);
        if (o->members[i].is_required) {
            break;
        }
    }
    if (i == o->count && o->has_extra) {
        flo_buf_printf(s->out, "%sr%ux r%ut%zu ", i > 0 ? "| " : "", s->at,
                       s->at, o->count);
    }
    flo_buf_text(s->out, i < o->count                   ? ""
                         : o->count > 0 || o->has_extra ? "| "
                                                        : "");
    flo_buf_text(s->out, ") \"}\" ");
    return rv < 0 ? rv : put_tails(s, o);
}

static int value_object(struct flo_schema *s,
                        const struct flo_tree_node *schema)
{
    const struct flo_tree_node *extra = FLO_GET(schema, "additionalProperties");
    const struct flo_tree_node *lists[] = {FLO_GET(schema, "properties"),
                                           FLO_GET(schema, "required")};
    struct object o = {0};
    size_t room = 1;
    int rv;

    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        if (lists[i] != NULL &&
            lists[i]->kind != (i == 0 ? FLO_TREE_OBJECT : FLO_TREE_ARRAY)) {
            return flo_schema_refuse(s, i == 0 ? "/properties" : "/required",
                                     "must be %s",
                                     i == 0 ? "an object" : "a list of names");
        }
        for (const struct flo_tree_node *n = lists[i] != NULL ? lists[i]->first
                                                              : NULL;
             n != NULL; n = n->next) {
            room++;
        }
    }
    o.has_extra = extra == NULL ? lists[0] == NULL
                                : extra->kind != FLO_TREE_BOOLEAN ||
                                      extra->text[0] == 't';
    o.extra = extra != NULL && extra->kind != FLO_TREE_BOOLEAN ? extra : NULL;
    o.members = calloc(room, sizeof(*o.members));
    if (o.members == NULL) {
        return flo_fail(s->err, FLO_E_MEMORY, "%zu properties", room);
    }
    rv = read_members(s, schema, &o);
    rv = rv < 0 ? rv : put_object(s, &o);
    free(o.members);
    return rv;
}

/* ---- counts -------------------------------------------------------------- */

/* A pair such as minItems and maxItems. */
static int read_counts(struct flo_schema *s, const struct flo_tree_node *least,
                       const struct flo_tree_node *most, const char *places[2],
                       uint32_t *from, uint32_t *to)
{
    int64_t value;

    *from = 0;
    *to = UINT32_MAX;
    if (least != NULL) {
        if (!flo_tree_whole(least, 0, TIMES_MAX, &value)) {
            return flo_schema_refuse(
                s, places[0], "must be a whole number from 0 to %d", TIMES_MAX);
        }
        *from = (uint32_t)value;
    }
    if (most != NULL) {
        if (!flo_tree_whole(most, 0, INT64_MAX, &value) ||
            value < (int64_t)*from) {
            return flo_schema_refuse(
                s, places[1], "must be a whole number, not below the least");
        }
        *to = value < TIMES_MAX ? (uint32_t)value : TIMES_MAX;
    }
    return 0;
}

static void put_times(struct flo_buf *out, uint32_t from, uint32_t to)
{
    flo_buf_printf(out, to == UINT32_MAX ? "{%u,} " : "{%u,%u} ", from, to);
}

/* ---- arrays -------------------------------------------------------------- */

static int put_element(struct flo_schema *s, const struct flo_tree_node *prefix,
                       const struct flo_tree_node *items, size_t i)
{
    char index[24];

    snprintf(index, sizeof(index), "%zu", i);
    return prefix != NULL
               ? flo_schema_call(s, prefix, "prefixItems", index, strlen(index))
               : flo_schema_call(s, items, "items", "", 0);
}

static int value_array(struct flo_schema *s, const struct flo_tree_node *schema)
{
    const struct flo_tree_node *items = FLO_GET(schema, "items");
    const struct flo_tree_node *prefix = FLO_GET(schema, "prefixItems");
    const char *places[] = {"/minItems", "/maxItems"};
    struct flo_buf *out = s->out;
    uint32_t least, most, count = 0, j = 1;
    int rv = read_counts(s, FLO_GET(schema, "minItems"),
                         FLO_GET(schema, "maxItems"), places, &least, &most);

    if (rv < 0) {
        return rv;
    }
    if ((prefix != NULL && prefix->kind != FLO_TREE_ARRAY) ||
        (items != NULL && items->kind != FLO_TREE_OBJECT &&
         items->kind != FLO_TREE_BOOLEAN)) {
        return flo_schema_refuse(
            s, prefix != NULL ? "/prefixItems" : "/items", "must be %s",
            prefix != NULL ? "a list of schemas" : "a schema");
    }
    prefix = prefix != NULL ? prefix->first : NULL;
    for (const struct flo_tree_node *n = prefix; n != NULL; n = n->next) {
        count++;
    }
    if (items != NULL && items->kind == FLO_TREE_BOOLEAN) {
        most = items->text[0] == 'f' && most > count ? count : most;
        items = NULL;
    }
    if (most < least) {
        return flo_schema_refuse(s, places[0], "more than there may be");
    }
    if (most == 0) {
        flo_buf_text(out, "\"[]\" ");
        return 0;
    }
    flo_buf_text(out, "\"[\" (");
    rv = put_element(s, prefix, items, 0);
    flo_buf_printf(out, "r%ua1 %s) \"]\" ", s->at, least == 0 ? "| " : "");
    s->out = &s->tails;
    for (; rv == 0 && j < count && j < most; j++) {
        prefix = prefix->next;
        flo_buf_printf(s->out, "r%ua%u ::= (\", \" ", s->at, j);
        rv = put_element(s, prefix, items, j);
        flo_buf_printf(s->out, "r%ua%u)%s\n", s->at, j + 1,
                       j < least ? "" : "?");
    }
    if (rv == 0 && most == j) {
        flo_buf_printf(s->out, "r%ua%u ::= \"\"\n", s->at, j);
    } else if (rv == 0) {
        flo_buf_printf(s->out, "r%ua%u ::= (\", \" ", s->at, j);
        rv = put_element(s, NULL, items, j);
        flo_buf_text(s->out, ")");
        put_times(s->out, least > j ? least - j : 0,
                  most == UINT32_MAX ? most : most - j);
        flo_buf_text(s->out, "\n");
    }
    s->out = out;
    return rv;
}

/* ---- strings ------------------------------------------------------------- */

#define DATE                                                                   \
    "[12] [0-9]{3} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | "  \
    "[12] [0-9] | \"3\" [01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | "  \
    "[12] [0-9] | \"30\") | \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" "       \
    "[0-8])) "
#define TIME                                                                   \
    "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" "   \
    "[0-9]{1,6})? (\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] "       \
    "[0-9]) "
#define OCTET                                                                  \
    "(\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9]{2} | [1-9]? [0-9]) "
#define LABEL "[a-z0-9] ([a-z0-9-]{0,40} [a-z0-9])? "
#define HOST LABEL "(\".\" " LABEL "){0,6} "

static const struct {
    const char *name, *gbnf;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "\"T\" " TIME},
    {"uuid", "[0-9a-f]{8} (\"-\" [0-9a-f]{4}){3} \"-\" [0-9a-f]{12} "},
    {"ipv4", OCTET "(\".\" " OCTET "){3} "},
    {"hostname", HOST},
    {"email", "[a-z0-9] [a-z0-9_+-]{0,40} (\".\" [a-z0-9_+-]{1,40}){0,3} "
              "\"@\" " HOST},
};

static int value_string(struct flo_schema *s,
                        const struct flo_tree_node *schema)
{
    const struct flo_tree_node *pattern = FLO_GET(schema, "pattern");
    const struct flo_tree_node *format = FLO_GET(schema, "format");
    const char *places[] = {"/minLength", "/maxLength"};
    bool has_length = FLO_GET(schema, "minLength") != NULL ||
                      FLO_GET(schema, "maxLength") != NULL;
    uint32_t least, most;
    int rv = read_counts(s, FLO_GET(schema, "minLength"),
                         FLO_GET(schema, "maxLength"), places, &least, &most);

    if (rv < 0) {
        return rv;
    }
    if ((pattern != NULL) + (format != NULL) + has_length > 1) {
        return flo_schema_refuse(s, pattern != NULL ? "/pattern" : "/format",
                                 "beside %s is not supported",
                                 has_length ? "a length" : "a format");
    }
    flo_buf_text(s->out, "\"\\\"\" ");
    if (pattern != NULL) {
        const char *problem =
            pattern->kind == FLO_TREE_STRING
                ? flo_pattern_to_gbnf(pattern->text, pattern->bytes, s->out)
                : "must be a text";
        if (problem != NULL) {
            return flo_schema_refuse(s, "/pattern", "%s", problem);
        }
    } else if (format != NULL) {
        size_t i = 0;
        while (i < FLO_COUNT(formats) &&
               (strlen(formats[i].name) != format->bytes ||
                memcmp(formats[i].name, format->text, format->bytes) != 0)) {
            i++;
        }
        if (i == FLO_COUNT(formats)) {
            return flo_schema_refuse(
                s, "/format", "'%.*s' is not supported",
                format->bytes < 32 ? (int)format->bytes : 32, format->text);
        }
        flo_buf_text(s->out, formats[i].gbnf);
    } else {
        flo_buf_text(s->out, "char");
        put_times(s->out, least, most);
    }
    flo_buf_text(s->out, "\"\\\"\" ");
    return 0;
}

/* ---- numbers ------------------------------------------------------------- */

/* Decimal numbers of the same length, from a to b. */
static void put_same_length(struct flo_buf *out, const char *a, const char *b)
{
    char low[20] = "", high[20] = "";
    size_t rest = strlen(a);

    while (rest > 0 && *a == *b) {
        flo_buf_printf(out, "\"%c\" ", *a++);
        b++;
        rest--;
    }
    if (rest-- == 0) {
        return;
    }
    memset(low, '0', rest);
    memset(high, '9', rest);
    bool is_low = strcmp(a + 1, low) == 0, is_high = strcmp(b + 1, high) == 0;
    char first = (char)(*a + !is_low), last = (char)(*b - !is_high);
    bool has_middle = first <= last;
    flo_buf_text(out, "(");
    if (has_middle) {
        flo_buf_printf(out, "[%c-%c] [0-9]{%zu} ", first, last, rest);
    }
    if (!is_low) {
        flo_buf_printf(out, "%s\"%c\" ", has_middle ? "| " : "", *a);
        put_same_length(out, a + 1, high);
    }
    if (!is_high) {
        flo_buf_printf(out, "%s\"%c\" ", has_middle || !is_low ? "| " : "", *b);
        put_same_length(out, low, b + 1);
    }
    flo_buf_text(out, ") ");
}

/* 0 <= low <= high. */
static void put_digits(struct flo_buf *out, int64_t low, int64_t high)
{
    int64_t next = 10;

    flo_buf_text(out, "(");
    while (low >= next) {
        next *= 10;
    }
    for (;; low = next, next *= 10) {
        char a[24], b[24];

        snprintf(a, sizeof(a), "%" PRId64, low);
        snprintf(b, sizeof(b), "%" PRId64, high < next ? high : next - 1);
        put_same_length(out, a, b);
        if (high < next) {
            break;
        }
        flo_buf_text(out, "| ");
    }
    flo_buf_text(out, ") ");
}

/* From low to high by their absolute values, `behind` each; *any: an
 * alternative stands there already. */
static void put_signed(struct flo_buf *out, int64_t low, int64_t high,
                       bool is_negative, const char *behind, bool *any)
{
    if (low <= high) {
        flo_buf_text(out, *any ? "| " : "");
        flo_buf_text(out, is_negative ? "\"-\" " : "");
        put_digits(out, low, high);
        flo_buf_text(out, behind);
        *any = true;
    }
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Bounds are whole.  A fraction that is not zero lies strictly between two
 * whole numbers, so both must be within. */
static int value_number(struct flo_schema *s,
                        const struct flo_tree_node *schema, bool is_whole)
{
    static const char *const names[] = {"minimum", "exclusiveMinimum",
                                        "maximum", "exclusiveMaximum"};
    static const char fraction[] = "\".\" [0-9]{0,14} [1-9] ";
    int64_t bounds[] = {-WHOLE_MAX, -WHOLE_MAX - 1, WHOLE_MAX, WHOLE_MAX + 1};
    bool has_bounds = false, any = false;

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        const struct flo_tree_node *n =
            flo_tree_get(schema, names[i], strlen(names[i]));
        char place[24];

        snprintf(place, sizeof(place), "/%s", names[i]);
        has_bounds = has_bounds || n != NULL;
        if (n != NULL &&
            !flo_tree_whole(n, -WHOLE_MAX, WHOLE_MAX, &bounds[i])) {
            return flo_schema_refuse(s, place,
                                     "other than a whole number of at most "
                                     "15 digits is not supported");
        }
    }
    if (!has_bounds) {
        flo_buf_text(s->out, is_whole ? "integer " : "number ");
        return 0;
    }
    int64_t low = larger(bounds[0], bounds[1] + 1);
    int64_t high = smaller(bounds[2], bounds[3] - 1);
    flo_buf_text(s->out, "(");
    put_signed(s->out, larger(1, -high), -low, true, "", &any);
    put_signed(s->out, larger(low, 0), high, false, "", &any);
    if (!is_whole) {
        low = larger(bounds[0], bounds[1]);
        high = smaller(bounds[2], bounds[3]);
        put_signed(s->out, larger(0, -high), -low - 1, true, fraction, &any);
        put_signed(s->out, larger(low, 0), high - 1, false, fraction, &any);
    }
    flo_buf_text(s->out, ") ");
    return any ? 0 : flo_schema_refuse(s, "/minimum", "no number lies within");
}

int flo_schema_value(struct flo_schema *s, const struct flo_tree_node *schema,
                     enum flo_schema_types type)
{
    switch (type) {
    case FLO_TYPE_OBJECT:
        return value_object(s, schema);
    case FLO_TYPE_ARRAY:
        return value_array(s, schema);
    case FLO_TYPE_STRING:
        return value_string(s, schema);
    case FLO_TYPE_NUMBER:
    case FLO_TYPE_INTEGER:
        return value_number(s, schema, type == FLO_TYPE_INTEGER);
    case FLO_TYPE_BOOLEAN:
        flo_buf_text(s->out, "\"true\" | \"false\" ");
        return 0;
    case FLO_TYPE_NULL:
    case FLO_TYPE_ANY:
        break;
    }
    flo_buf_text(s->out, "\"null\" ");
    return 0;
}

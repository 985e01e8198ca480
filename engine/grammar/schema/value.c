/* Value: compiles the arrays, strings and numbers of a schema. */
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/schema/schema.h"

#define WHOLE_MAX 999999999999999

/* ---- arrays ---- */

static void put_element(struct flo_schema *s, const char *before,
                        const struct flo_tree_node *prefix, const struct flo_tree_node *items,
                        uint32_t i)
{
    char index[16];

    flo_program_text(s->program, before);
    snprintf(index, sizeof(index), "%u", i);
    if (prefix != NULL) {
        flo_schema_call(s, prefix, "prefixItems", index, strlen(index));
    } else {
        flo_schema_call(s, items, "items", "", 0);
    }
}

static bool is_unique(struct flo_schema *s, const struct flo_tree_node *schema)
{
    const struct flo_tree_node *n = FLO_GET(s, schema, "uniqueItems");

    if (n != NULL && n->kind != FLO_TREE_BOOLEAN) {
        flo_schema_refuse(s, "/uniqueItems", "must be true or false");
    }
    return n != NULL && !flo_tree_says(n, false);
}

static void value_array(struct flo_schema *s, const struct flo_tree_node *schema)
{
    const struct flo_tree_node *items = FLO_GET(s, schema, "items");
    const struct flo_tree_node *prefix = FLO_GET(s, schema, "prefixItems");
    struct flo_program *p = s->program;
    uint32_t least, most, count = (uint32_t)flo_schema_count(s, prefix), i = 0, out;

    flo_schema_counts(s, schema, "/minItems", "/maxItems", &least, &most);
    if (prefix != NULL && prefix->kind != FLO_TREE_ARRAY) {
        flo_schema_refuse(s, "/prefixItems", "must be a list of schemas");
    } else if (items != NULL && items->kind != FLO_TREE_OBJECT && items->kind != FLO_TREE_BOOLEAN) {
        flo_schema_refuse(s, "/items", "must be a schema");
    }
    if (items != NULL && flo_tree_says(items, false) && most > count) {
        most = count;
    }
    if (most < least) {
        flo_schema_refuse(s, "/minItems", "more than there may be");
    }
    if (is_unique(s, schema) && most > 1) {
        if (count > 0 || !flo_schema_distinct(s, items, least, most)) {
            flo_schema_refuse(s, "/uniqueItems",
                              "of other items than an enum of at most 12 "
                              "values is not supported");
        }
        return;
    }
    items = flo_schema_or_any(items);
    prefix = flo_tree_first(prefix);
    out = flo_program_node(p);
    flo_program_text(p, "[");
    for (; i < most && (i == 0 || prefix != NULL); i++) {
        if (i >= least) {
            flo_program_fork(p, out);
        }
        put_element(s, i == 0 ? "" : flo_schema_comma(s), prefix, items, i);
        prefix = prefix == NULL ? NULL : prefix->next;
    }
    if (i < most) {
        uint32_t rule = flo_program_rule(p), back = flo_program_begin(p, rule);

        put_element(s, flo_schema_comma(s), NULL, items, i);
        flo_program_end(p, back);
        flo_program_repeat(p, rule, least > i ? least - i : 0,
                           most == UINT32_MAX ? most : most - i);
    }
    flo_program_join(p, out);
    p->at = out;
    flo_program_text(p, "]");
}

/* ---- strings ---- */

#define DATE                                                                                       \
    "[12] [0-9]{3} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | "                      \
    "[12] [0-9] | \"3\" [01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | "                      \
    "[12] [0-9] | \"30\") | \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" "                           \
    "[0-8])) "
#define TIME                                                                                       \
    "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" "                       \
    "[0-9]{1,6})? (\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] "                           \
    "[0-9]) "
#define OCTET "(\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9]{2} | [1-9]? [0-9]) "
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

static void put_format(struct flo_schema *s, const struct flo_tree_node *format)
{
    for (size_t i = 0; i < FLO_COUNT(formats); i++) {
        if (flo_tree_is(format, formats[i].name)) {
            flo_gbnf_put(&s->gbnf, formats[i].gbnf);
            return;
        }
    }
    flo_schema_refuse(s, "/format", "'%.*s' is not supported", flo_schema_cut(format->bytes),
                      format->text);
}

void flo_schema_text(struct flo_schema *s, const struct flo_tree_node *schema, uint32_t any)
{
    const struct flo_tree_node *pattern = FLO_GET(s, schema, "pattern");
    const struct flo_tree_node *format = FLO_GET(s, schema, "format");
    bool has_length =
        FLO_GET(s, schema, "minLength") != NULL || FLO_GET(s, schema, "maxLength") != NULL;
    uint32_t least, most;

    flo_schema_counts(s, schema, "/minLength", "/maxLength", &least, &most);
    if ((pattern != NULL) + (format != NULL) + has_length > 1) {
        flo_schema_refuse(s, pattern != NULL ? "/pattern" : "/format", "beside %s is not supported",
                          has_length ? "a length" : "a format");
    }
    if (pattern != NULL && pattern->kind != FLO_TREE_STRING) {
        flo_schema_refuse(s, "/pattern", "must be a text");
    } else if (pattern != NULL) {
        if (!flo_pattern_put(s->program, pattern->text, pattern->bytes, any)) {
            flo_schema_refuse(s, "/pattern",
                              "only literals, classes, groups, | and * + ? {} "
                              "are built");
        }
    } else if (format != NULL) {
        put_format(s, format);
    } else {
        flo_program_repeat(s->program, any, least, most);
    }
}

static void value_string(struct flo_schema *s, const struct flo_tree_node *schema)
{
    static const char *const bounds[] = {"/pattern", "/format", "/minLength", "/maxLength"};
    const char *quote = s->mark != NULL ? s->mark->data : "\"";
    size_t bytes = s->mark != NULL ? s->mark->bytes : 1, i = 0;

    while (i < FLO_COUNT(bounds) && flo_schema_at(s, schema, bounds[i]) == NULL) {
        i++;
    }
    if (i == FLO_COUNT(bounds)) {
        flo_program_call(s->program, flo_gbnf_rule(&s->gbnf, "string"));
        return;
    }
    flo_program_bytes(s->program, quote, bytes);
    flo_schema_text(s, schema, flo_gbnf_rule(&s->gbnf, "char"));
    flo_program_bytes(s->program, quote, bytes);
}

/* ---- numbers ---- */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Appends the numbers with this sign and absolute values from low to high.
 * Nothing is appended if low > high. */
static void put_signed(struct flo_schema *s, struct flo_choice *choice, const char *sign,
                       int64_t low, int64_t high, const char *behind)
{
    if (low <= high) {
        flo_choice_next(s->program, choice);
        flo_program_text(s->program, sign);
        flo_program_decimal(s->program, (uint64_t)low, (uint64_t)high);
        flo_gbnf_put(&s->gbnf, behind);
    }
}

/* Appends a number of the schema, whose limits must be whole numbers.  A number
 * with a fraction lies between two whole numbers, both of which must be within
 * the limits. */
static void value_number(struct flo_schema *s, const struct flo_tree_node *schema, bool is_whole)
{
    static const char *const places[] = {"/minimum", "/exclusiveMinimum", "/maximum",
                                         "/exclusiveMaximum"};
    static const char fraction[] = "\".\" [0-9]{0,14} [1-9] ";
    int64_t bounds[] = {-WHOLE_MAX, -WHOLE_MAX - 1, WHOLE_MAX, WHOLE_MAX + 1};
    bool has_bounds = false;
    struct flo_choice choice;

    for (size_t i = 0; i < FLO_COUNT(places); i++) {
        const struct flo_tree_node *n = flo_schema_at(s, schema, places[i]);

        has_bounds = has_bounds || n != NULL;
        if (n != NULL && !flo_tree_whole(n, -WHOLE_MAX, WHOLE_MAX, &bounds[i])) {
            flo_schema_refuse(s, places[i],
                              "other than a whole number of at most 15 digits "
                              "is not supported");
        }
    }
    if (!has_bounds) {
        flo_program_call(s->program, flo_gbnf_rule(&s->gbnf, is_whole ? "integer" : "number"));
        return;
    }
    int64_t low = larger(bounds[0], bounds[1] + 1);
    int64_t high = smaller(bounds[2], bounds[3] - 1);
    flo_choice_begin(s->program, &choice);
    put_signed(s, &choice, "-", larger(1, -high), -low, "");
    put_signed(s, &choice, "", larger(low, 0), high, "");
    if (!is_whole) {
        low = larger(bounds[0], bounds[1]);
        high = smaller(bounds[2], bounds[3]);
        put_signed(s, &choice, "-", larger(0, -high), -low - 1, fraction);
        put_signed(s, &choice, "", larger(low, 0), high - 1, fraction);
    }
    flo_choice_end(s->program, &choice);
    if (choice.count == 0) {
        flo_schema_refuse(s, "/minimum", "no number lies within");
    }
}

void flo_schema_value(struct flo_schema *s, const struct flo_tree_node *schema,
                      enum flo_schema_types type)
{
    switch (type) {
    case FLO_TYPE_OBJECT:
        flo_schema_object(s, schema);
        break;
    case FLO_TYPE_ARRAY:
        value_array(s, schema);
        break;
    case FLO_TYPE_STRING:
        value_string(s, schema);
        break;
    case FLO_TYPE_NUMBER:
    case FLO_TYPE_INTEGER:
        value_number(s, schema, type == FLO_TYPE_INTEGER);
        break;
    case FLO_TYPE_BOOLEAN:
        flo_gbnf_put(&s->gbnf, s->is_python ? "\"True\" | \"False\"" : "\"true\" | \"false\"");
        break;
    case FLO_TYPE_NULL:
    case FLO_TYPE_ANY:
        flo_program_text(s->program, s->is_python ? "None" : "null");
        break;
    }
}

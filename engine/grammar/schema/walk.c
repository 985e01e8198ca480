/* Walk: checks keywords, limits the steps along a schema's lists, and names
 * positions in errors. */
#include "engine/grammar/schema/schema.h"

#include <string.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/grammar.h"

enum {
    KEYWORD_STEPS = 16, /* steps that the lookup of one keyword counts as */
    TIMES_MAX = 8192,   /* a larger maximum is replaced by this one */
};

/* Known keywords, and the types to which they apply.  0 means that a keyword
 * does not restrict the answer, or is read elsewhere. */
static const struct keywords {
    int types;
    const char *names[16];
} keywords[] = {
    {FLO_TYPE_ANY, {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}},
    {FLO_TYPE_OBJECT,
     {"properties", "required", "additionalProperties", "minProperties", "maxProperties"}},
    {FLO_TYPE_ARRAY, {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}},
    {FLO_TYPE_STRING, {"minLength", "maxLength", "pattern", "format"}},
    {FLO_TYPE_NUMBER | FLO_TYPE_INTEGER,
     {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
    {0,
     {"$defs", "definitions", "$schema", "$id", "$comment", "title", "description", "default",
      "example", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}},
};

bool flo_schema_key_is(const struct flo_tree_node *n, const char *name)
{
    return strlen(name) == n->key_bytes && memcmp(name, n->key, n->key_bytes) == 0;
}

int flo_schema_keyword_types(struct flo_schema *s, const struct flo_tree_node *n)
{
    flo_schema_walk(s, KEYWORD_STEPS);
    for (size_t i = 0; i < FLO_COUNT(keywords); i++) {
        for (size_t k = 0; keywords[i].names[k] != NULL; k++) {
            if (flo_schema_key_is(n, keywords[i].names[k])) {
                return keywords[i].types;
            }
        }
    }
    return -1;
}

bool flo_schema_constrains(struct flo_schema *s, const struct flo_tree_node *n)
{
    bool is_private = n->key_bytes >= 2 && memcmp(n->key, "x-", 2) == 0;

    return flo_schema_keyword_types(s, n) != 0 && !is_private;
}

/* ---- telling ---- */

static void put_place(const struct flo_schema *s, uint32_t item, struct flo_buf *out)
{
    if (item != 0) {
        put_place(s, s->items[item].parent, out);
    }
    flo_buf_text(out, s->items[item].place);
}

void flo_schema_refuse(struct flo_schema *s, const char *place, const char *format, ...)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf pointer = {.bytes_max = 4096};
    char text[256];
    va_list list;

    if (s->rv < 0) {
        return;
    }
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    put_place(s, s->at, &pointer);
    flo_buf_text(&pointer, place);
    s->rv = flo_fail(s->err, FLO_E_INFER_SCHEMA, "schema %s: %s",
                     pointer.bytes > 0 ? pointer.data : "/", text);
}

/* ---- walking ---- */

bool flo_schema_walk(struct flo_schema *s, size_t steps)
{
    if (steps > FLO_SCHEMA_STEPS_MAX - s->steps) {
        s->steps = FLO_SCHEMA_STEPS_MAX;
        flo_schema_refuse(s, "", "takes more than %u steps to read", FLO_SCHEMA_STEPS_MAX);
        return false;
    }
    s->steps += (uint32_t)steps;
    return true;
}

struct flo_tree_node *flo_schema_get(struct flo_schema *s, const struct flo_tree_node *object,
                                     const char *key, size_t key_bytes)
{
    struct flo_tree_node *n =
        object != NULL && object->kind == FLO_TREE_OBJECT ? object->first : NULL;

    while (n != NULL && (n->key_bytes != key_bytes || memcmp(n->key, key, key_bytes) != 0)) {
        n = flo_schema_walk(s, 1) ? n->next : NULL;
    }
    return n;
}

size_t flo_schema_count(struct flo_schema *s, const struct flo_tree_node *list)
{
    const struct flo_tree_node *n = flo_tree_first(list);
    size_t count = 0;

    for (; n != NULL && flo_schema_walk(s, 1); n = n->next) {
        count++;
    }
    return count;
}

bool flo_schema_same(struct flo_schema *s, const struct flo_tree_node *a,
                     const struct flo_tree_node *b)
{
    const struct flo_tree_node *x = a->first, *y = b->first;

    if (!flo_schema_walk(s, 1) || a->kind != b->kind || a->bytes != b->bytes ||
        memcmp(a->text, b->text, a->bytes) != 0) {
        return false;
    }
    while (x != NULL && y != NULL && x->key_bytes == y->key_bytes &&
           memcmp(x->key, y->key, x->key_bytes) == 0 && flo_schema_same(s, x, y)) {
        x = x->next;
        y = y->next;
    }
    return x == NULL && y == NULL;
}

/* ---- the list ---- */

uint32_t flo_schema_list(struct flo_schema *s, const struct flo_tree_node *schema,
                         const char *keyword, const char *name, size_t name_bytes)
{
    uint32_t i = 0;

    while (s->rv == 0 && i < s->count && s->items[i].schema != schema) {
        i++;
    }
    if (i == FLO_SCHEMA_ITEMS_MAX) {
        flo_schema_refuse(s, "", "more than %u schemas", FLO_SCHEMA_ITEMS_MAX);
    } else if (i == s->count) {
        struct flo_schema_item *item = &s->items[s->count++];

        item->schema = schema;
        item->top = s->items[s->at].top;
        item->top = item->top != NULL ? item->top : schema;
        item->rule = FLO_NOWHERE;
        item->parent = s->at;
        snprintf(item->place, sizeof(item->place), "/%s%s%.*s", keyword, name_bytes > 0 ? "/" : "",
                 name_bytes < 40 ? (int)name_bytes : 40, name);
    }
    return i;
}

void flo_schema_call(struct flo_schema *s, const struct flo_tree_node *schema, const char *keyword,
                     const char *name, size_t name_bytes)
{
    if (schema == NULL) {
        flo_program_call(s->program, flo_gbnf_rule(&s->gbnf, "value"));
        return;
    }
    uint32_t i = flo_schema_list(s, schema, keyword, name, name_bytes);
    if (i == FLO_SCHEMA_ITEMS_MAX) {
        return;
    }
    if (s->items[i].rule == FLO_NOWHERE) {
        s->items[i].rule = flo_program_rule(s->program);
    }
    flo_program_call(s->program, s->items[i].rule);
}

/* ---- counts ---- */

const struct flo_tree_node *flo_schema_at(struct flo_schema *s, const struct flo_tree_node *schema,
                                          const char *place)
{
    return flo_schema_get(s, schema, place + 1, strlen(place + 1));
}

void flo_schema_counts(struct flo_schema *s, const struct flo_tree_node *schema, const char *least,
                       const char *most, uint32_t *from, uint32_t *to)
{
    const struct flo_tree_node *n = flo_schema_at(s, schema, least);
    int64_t value = 0;

    *to = UINT32_MAX;
    if (n != NULL && !flo_tree_whole(n, 0, TIMES_MAX, &value)) {
        flo_schema_refuse(s, least, "must be a whole number from 0 to %d", TIMES_MAX);
    }
    *from = (uint32_t)value;
    n = flo_schema_at(s, schema, most);
    if (n != NULL && !flo_tree_whole(n, *from, INT64_MAX, &value)) {
        flo_schema_refuse(s, most, "must be a whole number, not below the least");
    }
    if (n != NULL) {
        *to = value < TIMES_MAX ? (uint32_t)value : TIMES_MAX;
    }
}

const struct flo_tree_node *flo_schema_or_any(const struct flo_tree_node *schema)
{
    return schema == NULL || schema->kind == FLO_TREE_BOOLEAN ? NULL : schema;
}

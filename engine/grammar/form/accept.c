/* Accept: checks each keyword of each schema that a check of an answer may
 * reach.  Schemas are visited from a list, as in the compilation. */
#include "engine/grammar/form/form.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/schema/schema.h"

/* ---- keywords ---- */

static void refuse(struct flo_schema *s, const struct flo_tree_node *keyword, const char *what)
{
    char place[64];

    snprintf(place, sizeof(place), "/%.*s", keyword->key_bytes < 40 ? (int)keyword->key_bytes : 40,
             keyword->key);
    flo_schema_refuse(s, place, "%s", what);
}

/* Lists a schema that stands in a keyword, with its name there. */
static void visit(struct flo_schema *s, const struct flo_tree_node *keyword,
                  const struct flo_tree_node *schema, const char *name, size_t name_bytes)
{
    if (schema->kind == FLO_TREE_OBJECT) {
        flo_schema_list(s, schema, keyword->key, name, name_bytes);
    } else if (schema->kind != FLO_TREE_BOOLEAN) {
        refuse(s, keyword, "must have a schema here");
    }
}

static void take_type(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    const struct flo_tree_node *odd = NULL;

    if (flo_schema_named_types(s, keyword, &odd) == 0 || odd != NULL) {
        refuse(s, keyword, "is no type");
    }
}

static void take_values(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    if (keyword->kind != FLO_TREE_ARRAY || keyword->first == NULL) {
        refuse(s, keyword, "must be a list of values");
    }
}

static void take_any(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    (void)s, (void)keyword;
}

static void take_schema(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    visit(s, keyword, keyword, "", 0);
}

static void take_schemas(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    uint32_t index = 0;
    char name[16];

    if (keyword->kind != FLO_TREE_ARRAY || keyword->first == NULL) {
        refuse(s, keyword, "must be a list of schemas");
    }
    for (const struct flo_tree_node *n = keyword->first; s->rv == 0 && n != NULL; n = n->next) {
        snprintf(name, sizeof(name), "%u", index++);
        visit(s, keyword, n, name, strlen(name));
    }
}

static void take_members(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    if (keyword->kind != FLO_TREE_OBJECT) {
        refuse(s, keyword, "must be an object");
    }
    for (const struct flo_tree_node *n = keyword->first; s->rv == 0 && n != NULL; n = n->next) {
        visit(s, keyword, n, n->key, n->key_bytes);
    }
}

static void take_names(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    bool is_fine = keyword->kind == FLO_TREE_ARRAY;

    for (const struct flo_tree_node *n = keyword->first; is_fine && n != NULL; n = n->next) {
        is_fine = n->kind == FLO_TREE_STRING;
    }
    if (!is_fine) {
        refuse(s, keyword, "must be a list of names");
    }
}

static void take_reference(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    const struct flo_tree_node *target = flo_schema_resolve(s, keyword);

    if (target == NULL) {
        refuse(s, keyword, "is not in this schema");
        return;
    }
    visit(s, keyword, target, "", 0);
}

static void take_count(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    int64_t count;

    if (!flo_tree_whole(keyword, 0, INT64_MAX, &count)) {
        refuse(s, keyword, "must be a whole number of at most 16 digits");
    }
}

static void take_number(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    if (keyword->kind != FLO_TREE_NUMBER) {
        refuse(s, keyword, "must be a number");
    }
}

static void take_boolean(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    if (keyword->kind != FLO_TREE_BOOLEAN) {
        refuse(s, keyword, "must be true or false");
    }
}

static void take_pattern(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    struct flo_program *program = NULL;
    struct flo_err err = {0};
    bool is_text = keyword->kind == FLO_TREE_STRING;
    int rv = is_text ? flo_pattern_compile(keyword->text, keyword->bytes, &program, &err) : 0;

    if (program != NULL) {
        flo_schema_walk(s, FLO_FORM_NODE_STEPS * program->node_count);
    }
    free(program);
    if (!is_text) {
        refuse(s, keyword, "must be a text");
    } else if (rv == FLO_E_MEMORY) {
        s->rv = flo_fail(s->err, rv, "%s", err.what);
    } else if (rv < 0) {
        refuse(s, keyword, err.what);
    }
}

static void take_format(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    if (flo_form_format(keyword) == NULL) {
        refuse(s, keyword, "is a format that is not supported");
    }
}

static void take_keyword(struct flo_schema *s, const struct flo_tree_node *keyword)
{
    static const struct {
        const char *name;
        void (*take)(struct flo_schema *s, const struct flo_tree_node *keyword);
    } keywords[] = {
        {"type", take_type},
        {"enum", take_values},
        {"const", take_any},
        {"anyOf", take_schemas},
        {"oneOf", take_schemas},
        {"allOf", take_schemas},
        {"$ref", take_reference},
        {"properties", take_members},
        {"required", take_names},
        {"additionalProperties", take_schema},
        {"minProperties", take_count},
        {"maxProperties", take_count},
        {"items", take_schema},
        {"prefixItems", take_schemas},
        {"minItems", take_count},
        {"maxItems", take_count},
        {"uniqueItems", take_boolean},
        {"minLength", take_count},
        {"maxLength", take_count},
        {"pattern", take_pattern},
        {"format", take_format},
        {"minimum", take_number},
        {"maximum", take_number},
        {"exclusiveMinimum", take_number},
        {"exclusiveMaximum", take_number},
    };
    size_t i = 0;

    if (!flo_schema_constrains(s, keyword)) {
        return;
    }
    while (i < FLO_COUNT(keywords) && !flo_schema_key_is(keyword, keywords[i].name)) {
        i++;
    }
    if (i == FLO_COUNT(keywords)) {
        refuse(s, keyword, "is not supported");
    } else {
        keywords[i].take(s, keyword);
    }
}

/* ---- schemas that are applied to one value ---- */

enum { HEIGHT_OPEN = 255 }; /* the height is being measured */

/* Heights of schemas, by their nodes' places in the tree.  The height is the
 * number of schemas that are applied one within the other to the same value;
 * 0: not measured yet. */
struct heights {
    struct flo_schema *s;
    uint8_t *of;
};

static uint32_t height_of(struct heights *h, const struct flo_tree_node *schema, uint32_t depth);

static uint32_t highest(struct heights *h, const struct flo_tree_node *list, uint32_t depth)
{
    uint32_t most = 0;

    for (const struct flo_tree_node *n = flo_tree_first(list); h->s->rv == 0 && n != NULL;
         n = n->next) {
        uint32_t height = height_of(h, n, depth);
        most = height > most ? height : most;
    }
    return most;
}

/* Measures a schema, at `depth` schemas within others.  Refuses one that leads
 * back to itself. */
static uint32_t height_of(struct heights *h, const struct flo_tree_node *schema, uint32_t depth)
{
    static const char *const lists[] = {"anyOf", "oneOf", "allOf"};
    const struct flo_tree_node *ref = FLO_GET(h->s, schema, "$ref");
    uint8_t *height = &h->of[schema - h->s->tree.nodes];
    uint32_t most = 0;

    if (*height == HEIGHT_OPEN || depth + *height > FLO_FORM_IN_PLACE_MAX) {
        flo_schema_refuse(h->s, "", "leads back to itself, or to more than %d schemas",
                          FLO_FORM_IN_PLACE_MAX);
        return 0;
    }
    if (*height > 0) {
        return *height;
    }
    *height = HEIGHT_OPEN;
    if (ref != NULL) {
        most = height_of(h, flo_schema_resolve(h->s, ref), depth + 1);
    }
    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        uint32_t other =
            highest(h, flo_schema_get(h->s, schema, lists[i], strlen(lists[i])), depth + 1);
        most = other > most ? other : most;
    }
    *height = (uint8_t)(most + 1);
    return *height;
}

static void measure(struct flo_schema *s)
{
    struct heights h = {s, calloc(s->tree.count, sizeof(uint8_t))};

    if (h.of == NULL) {
        s->rv = flo_fail(s->err, FLO_E_MEMORY, "a schema's heights");
        return;
    }
    for (s->at = 0; s->rv == 0 && s->at < s->count; s->at++) {
        (void)height_of(&h, s->items[s->at].schema, 0);
    }
    free(h.of);
}

/* ---- the whole ---- */

static void take_items(struct flo_schema *s)
{
    s->items[s->count++] = (struct flo_schema_item){.schema = s->tree.nodes, .top = s->tree.nodes};
    for (; s->rv == 0 && s->at < s->count; s->at++) {
        const struct flo_tree_node *n = s->items[s->at].schema;
        if (n->kind != FLO_TREE_OBJECT && n->kind != FLO_TREE_BOOLEAN) {
            flo_schema_refuse(s, "", "must be a schema");
        }
        for (n = n->first; s->rv == 0 && n != NULL; n = n->next) {
            take_keyword(s, n);
        }
    }
}

static void refuse_twice(struct flo_schema *s)
{
    const struct flo_tree_node *twice = NULL;

    s->rv = flo_form_find_twice(&s->tree, &twice, s->err);
    if (twice != NULL) {
        s->rv = flo_fail(s->err, FLO_E_INFER_SCHEMA, "schema: two members are called '%.*s'",
                         flo_schema_cut(twice->key_bytes), twice->key);
    }
}

int flo_form_accept(const char *schema, size_t bytes, struct flo_err *err)
{
    struct flo_schema s = {.err = err};
    FLO_CLEANUP(flo_free_cleanup) char *text = malloc(bytes + 1);

    s.items = calloc(FLO_SCHEMA_ITEMS_MAX, sizeof(*s.items));
    if (text == NULL || s.items == NULL) {
        s.rv = flo_fail(err, FLO_E_MEMORY, "a schema");
    } else {
        memcpy(text, schema, bytes);
        s.rv = flo_schema_read(&s.tree, text, bytes, 0, err);
    }
    if (s.rv == 0) {
        refuse_twice(&s);
    }
    if (s.rv == 0) {
        take_items(&s);
    }
    if (s.rv == 0) {
        measure(&s);
    }
    flo_tree_deinit(&s.tree);
    free(s.items);
    return s.rv;
}

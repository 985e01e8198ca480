/* JSON Schema to GBNF text: one rule for each schema in it.
 *
 * Rules are written one after the other from a list that grows as schemas are
 * called, so that recursion in a schema is only a rule that calls itself.  An
 * answer may be narrower than the schema (order and blanks are fixed, a
 * number has at most 16 digits), never wider: what cannot be kept is refused.
 */
#include "engine/grammar/schema.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/grammar.h"

enum { NODES_MORE = 32768 }; /* that merging may make */

/* Rules that all schemas use; an answer of any JSON may have line ends. */
static const char common[] =
    "plain ::= [^\"\\\\\\x00-\\x1f\\x7f]\n"
    "char ::= plain | \"\\\\\" [\"\\\\/bfnrt]\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
    "number ::= integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"
    "ws ::= (\" \" | \"\\n\" \" \"{0,24})?\n"
    "member ::= string \":\" ws value\n"
    "object ::= \"{\" ws (member (\",\" ws member)* ws)? \"}\"\n"
    "array ::= \"[\" ws (value (\",\" ws value)* ws)? \"]\"\n"
    "value ::= object | array | string | number | \"true\" | \"false\" | "
    "\"null\"\n";

static const char *const type_names[] = {
    "object", "array", "string", "number", "integer", "boolean", "null"};

/* What is understood, and the types it is about; 0: it says nothing about the
 * answer, or is read elsewhere. */
static const struct keyword {
    const char *name;
    int types;
} keywords[] = {
    {"type", 0},
    {"enum", 0},
    {"const", 0},
    {"anyOf", 0},
    {"oneOf", 0},
    {"allOf", 0},
    {"$ref", 0},
    {"$defs", 0},
    {"definitions", 0},
    {"$schema", 0},
    {"$id", 0},
    {"$comment", 0},
    {"title", 0},
    {"description", 0},
    {"default", 0},
    {"example", 0},
    {"examples", 0},
    {"deprecated", 0},
    {"readOnly", 0},
    {"writeOnly", 0},
    {"discriminator", 0},
    {"properties", FLO_TYPE_OBJECT},
    {"required", FLO_TYPE_OBJECT},
    {"additionalProperties", FLO_TYPE_OBJECT},
    {"items", FLO_TYPE_ARRAY},
    {"prefixItems", FLO_TYPE_ARRAY},
    {"minItems", FLO_TYPE_ARRAY},
    {"maxItems", FLO_TYPE_ARRAY},
    {"minLength", FLO_TYPE_STRING},
    {"maxLength", FLO_TYPE_STRING},
    {"pattern", FLO_TYPE_STRING},
    {"format", FLO_TYPE_STRING},
    {"minimum", FLO_TYPE_NUMBER | FLO_TYPE_INTEGER},
    {"maximum", FLO_TYPE_NUMBER | FLO_TYPE_INTEGER},
    {"exclusiveMinimum", FLO_TYPE_NUMBER | FLO_TYPE_INTEGER},
    {"exclusiveMaximum", FLO_TYPE_NUMBER | FLO_TYPE_INTEGER},
};

static bool key_is(const struct flo_tree_node *n, const char *name)
{
    return strlen(name) == n->key_bytes &&
           memcmp(name, n->key, n->key_bytes) == 0;
}

static const struct keyword *keyword_of(const struct flo_tree_node *n)
{
    for (size_t i = 0; i < FLO_COUNT(keywords); i++) {
        if (key_is(n, keywords[i].name)) {
            return &keywords[i];
        }
    }
    return NULL;
}

/* Does it constrain the answer? */
static bool is_constraint(const struct flo_tree_node *n)
{
    static const char *const also[] = {"type",  "enum",  "const", "anyOf",
                                       "oneOf", "allOf", "$ref"};
    const struct keyword *keyword = keyword_of(n);

    for (size_t i = 0; i < FLO_COUNT(also); i++) {
        if (key_is(n, also[i])) {
            return true;
        }
    }
    return keyword == NULL ? n->key_bytes < 2 || memcmp(n->key, "x-", 2) != 0
                           : keyword->types != 0;
}

/* ---- telling ---------------------------------------------------------------
 */

static void put_place(const struct flo_schema *s, uint32_t item,
                      struct flo_buf *out)
{
    if (item != 0) {
        put_place(s, s->items[item].parent, out);
    }
    flo_buf_text(out, s->items[item].place);
}

int flo_schema_refuse(struct flo_schema *s, const char *place,
                      const char *format, ...)
{
    struct flo_buf pointer = {.bytes_max = 4096};
    char text[256];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    put_place(s, s->at, &pointer);
    flo_buf_text(&pointer, place);
    flo_fail(s->err, FLO_E_INFER_PARAM, "schema %s: %s",
             pointer.bytes > 0 ? pointer.data : "/", text);
    flo_buf_deinit(&pointer);
    return FLO_E_INFER_PARAM;
}

void flo_schema_literal(struct flo_buf *out, const char *text, size_t bytes)
{
    flo_buf_text(out, "\"");
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] < 0x20) {
            flo_buf_printf(out, "\\x%02x", (unsigned)text[i]);
            continue;
        }
        flo_buf_text(out, text[i] == '"' || text[i] == '\\' ? "\\" : "");
        flo_buf_add(out, &text[i], 1);
    }
    flo_buf_text(out, "\" ");
}

/* ---- the list --------------------------------------------------------------
 */

int flo_schema_call(struct flo_schema *s, const struct flo_tree_node *schema,
                    const char *keyword, const char *name, size_t name_bytes)
{
    uint32_t i = 0;

    if (schema == NULL) {
        flo_buf_text(s->out, "value ");
        return 0;
    }
    while (i < s->count && s->items[i].schema != schema) {
        i++;
    }
    if (i == s->count) {
        struct flo_schema_item *item = &s->items[i];

        if (s->count == FLO_SCHEMA_ITEMS_MAX) {
            return flo_schema_refuse(s, "", "more than %u schemas",
                                     FLO_SCHEMA_ITEMS_MAX);
        }
        item->schema = schema;
        item->parent = s->at;
        snprintf(item->place, sizeof(item->place), "/%s%s%.*s", keyword,
                 name_bytes > 0 ? "/" : "",
                 name_bytes < 40 ? (int)name_bytes : 40, name);
        s->count++;
    }
    flo_buf_printf(s->out, "r%u ", i);
    return 0;
}

/* ---- references and merging
 * -------------------------------------------------- */

/* "#/$defs/address": a path of keys, ~0 and ~1 for ~ and /. */
static const struct flo_tree_node *resolve(const struct flo_schema *s,
                                           const struct flo_tree_node *ref)
{
    const struct flo_tree_node *at = s->root;
    const char *p = ref->text, *end = p + ref->bytes;

    if (ref->kind != FLO_TREE_STRING || p == end || *p++ != '#') {
        return NULL;
    }
    while (p < end && *p == '/' && at != NULL) {
        char key[256];
        size_t bytes = 0;

        for (p++; p < end && *p != '/' && bytes < sizeof(key); p++) {
            char c = *p;
            if (c == '~' && p + 1 < end) {
                c = *++p == '1' ? '/' : '~';
            }
            key[bytes++] = c;
        }
        if (at->kind == FLO_TREE_ARRAY) {
            unsigned long i = 0;
            for (size_t k = 0; k < bytes && k < 6; k++) {
                i = 10 * i + (unsigned long)(key[k] - '0');
            }
            for (at = at->first; at != NULL && i > 0; i--) {
                at = at->next;
            }
        } else {
            at = flo_tree_get(at, key, bytes);
        }
    }
    return p == end ? at : NULL;
}

static int no_room(struct flo_schema *s)
{
    return flo_schema_refuse(s, "", "more than %u values", s->tree.nodes_max);
}

/* Both must hold. */
static const struct flo_tree_node *both(struct flo_schema *s,
                                        const struct flo_tree_node *a,
                                        const struct flo_tree_node *b)
{
    struct flo_tree_node *list = flo_tree_new(&s->tree, FLO_TREE_ARRAY);
    struct flo_tree_node *all = flo_tree_new(&s->tree, FLO_TREE_OBJECT);

    return list != NULL && all != NULL &&
                   flo_tree_add(&s->tree, list, "", 0, a) &&
                   flo_tree_add(&s->tree, list, "", 0, b) &&
                   flo_tree_add(&s->tree, all, "allOf", 5, list)
               ? all
               : NULL;
}

/* The union of two objects of schemas, or of two lists of names. */
static const struct flo_tree_node *join(struct flo_schema *s,
                                        const struct flo_tree_node *a,
                                        const struct flo_tree_node *b)
{
    struct flo_tree_node *out = flo_tree_new(&s->tree, a->kind);
    bool is_object = a->kind == FLO_TREE_OBJECT;

    for (int side = 0; side < 2 && out != NULL; side++) {
        const struct flo_tree_node *n = side == 0 ? a->first : b->first;

        for (; n != NULL; n = n->next) {
            const struct flo_tree_node *value = n, *other = NULL;

            if (is_object) {
                other = flo_tree_get(side == 0 ? b : a, n->key, n->key_bytes);
            }
            if (other != NULL && side == 1) {
                continue;
            }
            if (other != NULL && !flo_tree_same(n, other)) {
                value = both(s, n, other);
            }
            if (value == NULL ||
                !flo_tree_add(&s->tree, out, n->key, n->key_bytes, value)) {
                return NULL;
            }
        }
    }
    return out;
}

/* Add the constraints of `from` to `to`. */
static int merge(struct flo_schema *s, struct flo_tree_node *to,
                 const struct flo_tree_node *from)
{
    const struct flo_tree_node *n;

    for (n = from->first; n != NULL; n = n->next) {
        struct flo_tree_node *there = NULL;
        const struct flo_tree_node *joined;

        if (key_is(n, "$ref") || key_is(n, "allOf") || !is_constraint(n)) {
            continue;
        }
        for (there = to->first; there != NULL; there = there->next) {
            if (there->key_bytes == n->key_bytes &&
                memcmp(there->key, n->key, n->key_bytes) == 0) {
                break;
            }
        }
        if (there == NULL) {
            if (!flo_tree_add(&s->tree, to, n->key, n->key_bytes, n)) {
                return no_room(s);
            }
            continue;
        }
        if (flo_tree_same(there, n)) {
            continue;
        }
        bool joins = (key_is(n, "properties") && n->kind == there->kind &&
                      n->kind == FLO_TREE_OBJECT) ||
                     (key_is(n, "required") && n->kind == there->kind &&
                      n->kind == FLO_TREE_ARRAY);
        if (!joins) {
            return flo_schema_refuse(
                s, "/allOf", "two different '%.*s' are not merged",
                n->key_bytes < 32 ? (int)n->key_bytes : 32, n->key);
        }
        joined = join(s, there, n);
        if (joined == NULL) {
            return no_room(s);
        }
        there->first = joined->first;
    }
    return 0;
}

/* All that holds, through references and allOf, into `to`. */
static int flatten(struct flo_schema *s, const struct flo_tree_node *schema,
                   struct flo_tree_node *to, int depth)
{
    const struct flo_tree_node *ref = FLO_GET(schema, "$ref");
    const struct flo_tree_node *all = FLO_GET(schema, "allOf");
    const struct flo_tree_node *extra = FLO_GET(to, "additionalProperties");
    int rv;

    if (schema->kind == FLO_TREE_BOOLEAN && schema->text[0] == 't') {
        return 0;
    }
    if (schema->kind != FLO_TREE_OBJECT) {
        return flo_schema_refuse(s, "", "no schema that something fits");
    }
    if (depth > 32) {
        return flo_schema_refuse(s, ref != NULL ? "/$ref" : "/allOf",
                                 "leads back to itself");
    }
    if (ref != NULL) {
        const struct flo_tree_node *target = resolve(s, ref);
        if (target == NULL) {
            return flo_schema_refuse(s, "/$ref", "'%.*s' is not in this schema",
                                     ref->bytes < 64 ? (int)ref->bytes : 64,
                                     ref->text);
        }
        rv = flatten(s, target, to, depth + 1);
        if (rv < 0) {
            return rv;
        }
    }
    if (all != NULL && (all->kind != FLO_TREE_ARRAY || all->first == NULL)) {
        return flo_schema_refuse(s, "/allOf", "must be a list of schemas");
    }
    for (all = all != NULL ? all->first : NULL; all != NULL; all = all->next) {
        rv = flatten(s, all, to, depth + 1);
        if (rv < 0) {
            return rv;
        }
    }
    /* Another part's properties would be extra ones of a closed object. */
    bool is_merged = FLO_GET(to, "properties") != NULL &&
                     FLO_GET(schema, "properties") != NULL;
    if (is_merged &&
        (extra != NULL || FLO_GET(schema, "additionalProperties") != NULL) &&
        !flo_tree_same(FLO_GET(to, "properties"),
                       FLO_GET(schema, "properties"))) {
        return flo_schema_refuse(
            s, "/additionalProperties",
            "is not merged with the properties of another part");
    }
    return merge(s, to, schema);
}

/* ---- one rule
 * ----------------------------------------------------------------- */

static int read_types(struct flo_schema *s, const struct flo_tree_node *schema,
                      int *out)
{
    const struct flo_tree_node *type = FLO_GET(schema, "type"), *n;

    *out = 0;
    if (type == NULL) {
        for (n = schema->first; n != NULL; n = n->next) {
            const struct keyword *keyword = keyword_of(n);
            *out |= keyword != NULL ? keyword->types & ~FLO_TYPE_INTEGER : 0;
        }
        *out = *out == 0 ? FLO_TYPE_ANY : *out;
        return 0;
    }
    for (n = type->kind == FLO_TREE_ARRAY ? type->first : type; n != NULL;
         n = type->kind == FLO_TREE_ARRAY ? n->next : NULL) {
        size_t i = 0;

        while (i < FLO_COUNT(type_names) &&
               (n->kind != FLO_TREE_STRING ||
                strlen(type_names[i]) != n->bytes ||
                memcmp(type_names[i], n->text, n->bytes) != 0)) {
            i++;
        }
        if (i == FLO_COUNT(type_names)) {
            return flo_schema_refuse(s, "/type", "'%.*s' is no type",
                                     n->bytes < 32 ? (int)n->bytes : 32,
                                     n->text);
        }
        *out |= 1 << i;
    }
    return *out != 0 ? 0 : flo_schema_refuse(s, "/type", "is empty");
}

static int check_keywords(struct flo_schema *s,
                          const struct flo_tree_node *schema)
{
    for (const struct flo_tree_node *n = schema->first; n != NULL;
         n = n->next) {
        if (keyword_of(n) == NULL) {
            char place[64];
            snprintf(place, sizeof(place), "/%.*s",
                     n->key_bytes < 40 ? (int)n->key_bytes : 40, n->key);
            return flo_schema_refuse(s, place, "is not supported");
        }
    }
    return 0;
}

static bool value_is(const struct flo_tree_node *value, int types)
{
    static const int of[] = {
        [FLO_TREE_NULL] = FLO_TYPE_NULL,
        [FLO_TREE_BOOLEAN] = FLO_TYPE_BOOLEAN,
        [FLO_TREE_NUMBER] = FLO_TYPE_NUMBER,
        [FLO_TREE_STRING] = FLO_TYPE_STRING,
        [FLO_TREE_ARRAY] = FLO_TYPE_ARRAY,
        [FLO_TREE_OBJECT] = FLO_TYPE_OBJECT,
    };
    int64_t whole;

    return (types & of[value->kind]) != 0 ||
           ((types & FLO_TYPE_INTEGER) != 0 &&
            flo_tree_whole(value, INT64_MIN, INT64_MAX, &whole));
}

/* enum and const: these values and no others. */
static int put_values(struct flo_schema *s, const struct flo_tree_node *schema,
                      int types)
{
    const struct flo_tree_node *one = FLO_GET(schema, "const");
    const struct flo_tree_node *list = FLO_GET(schema, "enum");
    const struct flo_tree_node *n;
    struct flo_buf text = {.bytes_max = FLO_GRAMMAR_TEXT_BYTES_MAX};
    size_t found = 0;

    for (n = schema->first; n != NULL; n = n->next) {
        if (is_constraint(n) && n != one && n != list && !key_is(n, "type")) {
            return flo_schema_refuse(s, one != NULL ? "/const" : "/enum",
                                     "beside '%.*s' is not supported",
                                     n->key_bytes < 32 ? (int)n->key_bytes : 32,
                                     n->key);
        }
    }
    if (list != NULL && list->kind != FLO_TREE_ARRAY) {
        return flo_schema_refuse(s, "/enum", "must be a list");
    }
    for (n = one != NULL ? one : list->first; n != NULL;
         n = one != NULL ? NULL : n->next) {
        if (!value_is(n, types)) {
            continue;
        }
        text.bytes = 0;
        flo_tree_print(n, &text);
        flo_buf_text(s->out, found++ > 0 ? "| " : "");
        flo_schema_literal(s->out, text.data, text.bytes);
    }
    if (text.failed) {
        s->out->failed = true;
    }
    flo_buf_deinit(&text);
    return found > 0 ? 0
                     : flo_schema_refuse(s, one != NULL ? "/const" : "/enum",
                                         "has no value of the type");
}

/* Types of a schema as far as can be said without merging; for oneOf. */
static int types_of(struct flo_schema *s, const struct flo_tree_node *schema)
{
    int types = 0;

    for (int i = 0; i < 32 && FLO_GET(schema, "$ref") != NULL; i++) {
        schema = resolve(s, FLO_GET(schema, "$ref"));
        if (schema == NULL) {
            return FLO_TYPE_ANY;
        }
    }
    if (FLO_GET(schema, "type") == NULL && FLO_GET(schema, "const") != NULL) {
        for (types = 1; types < FLO_TYPE_ANY; types *= 2) {
            if (value_is(FLO_GET(schema, "const"), types)) {
                return types;
            }
        }
    }
    if (FLO_GET(schema, "type") == NULL || read_types(s, schema, &types) < 0) {
        return FLO_TYPE_ANY;
    }
    return (types & FLO_TYPE_NUMBER) != 0 ? types | FLO_TYPE_INTEGER : types;
}

/* Do two alternatives have no value in common?  Told by their types, by const,
 * or by a property that both must have and whose const differs. */
static bool are_apart(struct flo_schema *s, const struct flo_tree_node *a,
                      const struct flo_tree_node *b)
{
    const struct flo_tree_node *x = a, *y = b, *n;

    if ((types_of(s, a) & types_of(s, b)) == 0) {
        return true;
    }
    for (int i = 0; i < 32 && x != NULL && FLO_GET(x, "$ref") != NULL; i++) {
        x = resolve(s, FLO_GET(x, "$ref"));
    }
    for (int i = 0; i < 32 && y != NULL && FLO_GET(y, "$ref") != NULL; i++) {
        y = resolve(s, FLO_GET(y, "$ref"));
    }
    a = FLO_GET(x, "const");
    b = FLO_GET(y, "const");
    if (a != NULL && b != NULL) {
        return !flo_tree_same(a, b);
    }
    n = FLO_GET(x, "required");
    for (n = n != NULL ? n->first : NULL; n != NULL; n = n->next) {
        const struct flo_tree_node *other = FLO_GET(y, "required");

        for (other = other != NULL ? other->first : NULL;
             other != NULL && !flo_tree_same(n, other); other = other->next) {
        }
        a = FLO_GET(flo_tree_get(FLO_GET(x, "properties"), n->text, n->bytes),
                    "const");
        b = FLO_GET(flo_tree_get(FLO_GET(y, "properties"), n->text, n->bytes),
                    "const");
        if (other != NULL && a != NULL && b != NULL && !flo_tree_same(a, b)) {
            return true;
        }
    }
    return false;
}

/* anyOf and oneOf, each alternative together with what stands beside it. */
static int put_choices(struct flo_schema *s, const struct flo_tree_node *schema,
                       const struct flo_tree_node *list)
{
    const char *keyword = key_is(list, "anyOf") ? "anyOf" : "oneOf";
    struct flo_tree_node *rest = flo_tree_new(&s->tree, FLO_TREE_OBJECT);
    char place[16], index[16];
    int rv = 0, i = 0;

    snprintf(place, sizeof(place), "/%s", keyword);
    if (list->kind != FLO_TREE_ARRAY || list->first == NULL) {
        return flo_schema_refuse(s, place, "must be a list of schemas");
    }
    for (const struct flo_tree_node *n = schema->first;
         n != NULL && rest != NULL; n = n->next) {
        if (is_constraint(n) && n != list &&
            !flo_tree_add(&s->tree, rest, n->key, n->key_bytes, n)) {
            rest = NULL;
        }
    }
    for (const struct flo_tree_node *n = list->first;
         rv == 0 && n != NULL && rest != NULL; n = n->next, i++) {
        const struct flo_tree_node *whole = n;

        for (const struct flo_tree_node *m = list->first;
             m != n && keyword[0] == 'o'; m = m->next) {
            if (!are_apart(s, m, n)) {
                return flo_schema_refuse(
                    s, place,
                    "alternatives that may hold together are not "
                    "supported; anyOf is");
            }
        }
        if (rest->first != NULL) {
            whole = both(s, rest, n);
        }
        if (whole == NULL) {
            return no_room(s);
        }
        flo_buf_text(s->out, i > 0 ? "| " : "");
        snprintf(index, sizeof(index), "%d", i);
        rv = flo_schema_call(s, whole, keyword, index, strlen(index));
    }
    return rest == NULL ? no_room(s) : rv;
}

static int put_rule(struct flo_schema *s, const struct flo_tree_node *schema)
{
    struct flo_tree_node *flat = flo_tree_new(&s->tree, FLO_TREE_OBJECT);
    const struct flo_tree_node *list;
    int types, rv, found = 0;

    if (flat == NULL) {
        return no_room(s);
    }
    if ((rv = flatten(s, schema, flat, 0)) < 0 ||
        (rv = check_keywords(s, flat)) < 0 ||
        (rv = read_types(s, flat, &types)) < 0) {
        return rv;
    }
    list = FLO_GET(flat, "anyOf");
    list = list != NULL ? list : FLO_GET(flat, "oneOf");
    if (list != NULL) {
        return put_choices(s, flat, list);
    }
    if (FLO_GET(flat, "const") != NULL || FLO_GET(flat, "enum") != NULL) {
        return put_values(s, flat, types);
    }
    if (types == FLO_TYPE_ANY) {
        flo_buf_text(s->out, "value ");
        return 0;
    }
    for (int type = 1; rv == 0 && type <= FLO_TYPE_NULL; type *= 2) {
        if ((types & type) != 0) {
            flo_buf_text(s->out, found++ > 0 ? "| " : "");
            rv = flo_schema_value(s, flat, (enum flo_schema_types)type);
        }
    }
    return rv;
}

static int read_tree(struct flo_tree *tree, char *text, size_t bytes,
                     struct flo_err *err)
{
    int rv = flo_tree_read(tree, text, bytes, NODES_MORE, NULL, err);

    if (rv == 0 && tree->has_odd) {
        rv = flo_fail(err, FLO_E_INFER_PARAM,
                      "a text with U+0000 or half of a surrogate pair");
    }
    return rv < 0 ? flo_wrap(err, rv, "schema") : 0;
}

int flo_schema_to_gbnf(const char *text, size_t bytes, struct flo_buf *gbnf,
                       struct flo_err *err)
{
    struct flo_schema s = {
        .out = gbnf, .err = err, .tails.bytes_max = gbnf->bytes_max};
    char *copy = NULL;
    int rv = 0;

    flo_buf_text(gbnf, common);
    flo_buf_text(gbnf, text == NULL ? "root ::= object\n" : "root ::= r0\n");
    if (text != NULL) {
        s.items = calloc(FLO_SCHEMA_ITEMS_MAX, sizeof(*s.items));
        copy = malloc(bytes + 1);
        rv = s.items == NULL || copy == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "a schema")
                 : read_tree(&s.tree, memcpy(copy, text, bytes), bytes, err);
    }
    if (rv == 0 && text != NULL) {
        s.root = s.tree.nodes;
        s.items[s.count++].schema = s.root;
    }
    for (s.at = 0; rv == 0 && s.at < s.count; s.at++) {
        flo_buf_printf(gbnf, "r%" PRIu32 " ::= ", s.at);
        rv = put_rule(&s, s.items[s.at].schema);
        flo_buf_text(gbnf, "\n");
        flo_buf_add(gbnf, s.tails.data, s.tails.bytes);
        s.tails.bytes = 0;
    }
    if (rv == 0 && (gbnf->failed || s.tails.failed)) {
        rv = flo_fail(err, FLO_E_INFER_PARAM,
                      "schema: its grammar would have more than %zu bytes",
                      gbnf->bytes_max);
    }
    flo_tree_deinit(&s.tree);
    flo_buf_deinit(&s.tails);
    free(s.items);
    free(copy);
    return rv;
}

/* JSON Schema to a program: one rule for each schema in it.
 *
 * Rules are built one after the other from a list that grows as schemas are
 * called, so that recursion in a schema is only a rule that calls itself.  An
 * answer may be narrower than the schema (order and blanks are fixed, a
 * number has at most 16 digits), never wider: what cannot be kept is refused.
 */
#include "engine/grammar/schema.h"

#include <stdlib.h>
#include <string.h>

#include "engine/grammar/grammar.h"

enum {
    NODES_MORE = 32768, /* that merging may make */
    REFS_MAX = 32,
};

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

/* What is understood, and the types that it is about; 0: it says nothing about
 * the answer, or is read elsewhere. */
static const struct keywords {
    int types;
    const char *names[16];
} keywords[] = {
    {FLO_TYPE_ANY,
     {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}},
    {FLO_TYPE_OBJECT, {"properties", "required", "additionalProperties"}},
    {FLO_TYPE_ARRAY, {"items", "prefixItems", "minItems", "maxItems"}},
    {FLO_TYPE_STRING, {"minLength", "maxLength", "pattern", "format"}},
    {FLO_TYPE_NUMBER | FLO_TYPE_INTEGER,
     {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
    {0,
     {"$defs", "definitions", "$schema", "$id", "$comment", "title",
      "description", "default", "example", "examples", "deprecated", "readOnly",
      "writeOnly", "discriminator"}},
};

static bool key_is(const struct flo_tree_node *n, const char *name)
{
    return strlen(name) == n->key_bytes &&
           memcmp(name, n->key, n->key_bytes) == 0;
}

/* The types that a member of a schema is about; -1: it is not understood. */
static int keyword_types(const struct flo_tree_node *n)
{
    for (size_t i = 0; i < FLO_COUNT(keywords); i++) {
        for (size_t k = 0; keywords[i].names[k] != NULL; k++) {
            if (key_is(n, keywords[i].names[k])) {
                return keywords[i].types;
            }
        }
    }
    return -1;
}

/* Does it constrain the answer?  Whether it can be kept is asked later. */
static bool is_constraint(const struct flo_tree_node *n)
{
    bool is_private = n->key_bytes >= 2 && memcmp(n->key, "x-", 2) == 0;

    return keyword_types(n) != 0 && !is_private;
}

/* ---- telling ------------------------------------------------------------ */

static void put_place(const struct flo_schema *s, uint32_t item,
                      struct flo_buf *out)
{
    if (item != 0) {
        put_place(s, s->items[item].parent, out);
    }
    flo_buf_text(out, s->items[item].place);
}

void flo_schema_refuse(struct flo_schema *s, const char *place,
                       const char *format, ...)
{
    struct flo_buf pointer = {.bytes_max = 4096};
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
    s->rv = flo_fail(s->err, FLO_E_INFER_PARAM, "schema %s: %s",
                     pointer.bytes > 0 ? pointer.data : "/", text);
    flo_buf_deinit(&pointer);
}

/* ---- the list ----------------------------------------------------------- */

void flo_schema_call(struct flo_schema *s, const struct flo_tree_node *schema,
                     const char *keyword, const char *name, size_t name_bytes)
{
    uint32_t i = 0;

    if (schema == NULL) {
        flo_program_call(s->program, flo_gbnf_rule(&s->gbnf, "value"));
        return;
    }
    while (i < s->count && s->items[i].schema != schema) {
        i++;
    }
    if (i == FLO_SCHEMA_ITEMS_MAX) {
        flo_schema_refuse(s, "", "more than %u schemas", FLO_SCHEMA_ITEMS_MAX);
        return;
    }
    if (i == s->count) {
        struct flo_schema_item *item = &s->items[s->count++];

        item->schema = schema;
        item->rule = flo_program_rule(s->program);
        item->parent = s->at;
        snprintf(item->place, sizeof(item->place), "/%s%s%.*s", keyword,
                 name_bytes > 0 ? "/" : "",
                 name_bytes < 40 ? (int)name_bytes : 40, name);
    }
    flo_program_call(s->program, s->items[i].rule);
}

void flo_schema_literal(struct flo_schema *s, const struct flo_tree_node *value)
{
    s->text.bytes = 0;
    flo_tree_print(value, &s->text);
    flo_program_bytes(s->program, s->text.data, s->text.bytes);
    s->program->failed = s->program->failed || s->text.failed;
}

/* ---- references and merging --------------------------------------------- */

/* "#/$defs/address": a path of keys, ~0 and ~1 for ~ and /. */
static const struct flo_tree_node *resolve(const struct flo_schema *s,
                                           const struct flo_tree_node *ref)
{
    const struct flo_tree_node *at = s->tree.nodes;
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

/* Where a schema's references lead; NULL: nowhere. */
static const struct flo_tree_node *target_of(const struct flo_schema *s,
                                             const struct flo_tree_node *schema)
{
    for (int i = 0; i < REFS_MAX && FLO_GET(schema, "$ref") != NULL; i++) {
        schema = resolve(s, FLO_GET(schema, "$ref"));
    }
    return schema;
}

/* {"allOf": [a, b]}, under the key of a. */
static const struct flo_tree_node *both(struct flo_schema *s,
                                        const struct flo_tree_node *a,
                                        const struct flo_tree_node *b)
{
    struct flo_tree_node *list = flo_tree_new(&s->tree, FLO_TREE_ARRAY);
    struct flo_tree_node *all = flo_tree_new(&s->tree, FLO_TREE_OBJECT);

    flo_tree_add(&s->tree, list, a);
    flo_tree_add(&s->tree, list, b);
    list->key = "allOf";
    list->key_bytes = strlen(list->key);
    flo_tree_add(&s->tree, all, list);
    all->key = a->key;
    all->key_bytes = a->key_bytes;
    return all;
}

/* The union of two objects of schemas, or of two lists of names. */
static const struct flo_tree_node *join(struct flo_schema *s,
                                        const struct flo_tree_node *a,
                                        const struct flo_tree_node *b)
{
    struct flo_tree_node *out = flo_tree_new(&s->tree, a->kind);
    const struct flo_tree_node *n, *other;

    for (n = a->first; n != NULL; n = n->next) {
        other = flo_tree_get(b, n->key, n->key_bytes);
        flo_tree_add(
            &s->tree, out,
            other == NULL || flo_tree_same(n, other) ? n : both(s, n, other));
    }
    for (n = b->first; n != NULL; n = n->next) {
        if (flo_tree_get(a, n->key, n->key_bytes) == NULL) {
            flo_tree_add(&s->tree, out, n);
        }
    }
    return out;
}

/* Add the constraints of `from` to `to`. */
static void merge(struct flo_schema *s, struct flo_tree_node *to,
                  const struct flo_tree_node *from)
{
    for (const struct flo_tree_node *n = from->first; n != NULL; n = n->next) {
        struct flo_tree_node *there = flo_tree_get(to, n->key, n->key_bytes);

        if (key_is(n, "$ref") || key_is(n, "allOf") || !is_constraint(n)) {
            continue;
        }
        if (there == NULL) {
            flo_tree_add(&s->tree, to, n);
        } else if (flo_tree_same(there, n)) {
            continue;
        } else if (n->kind == there->kind &&
                   ((key_is(n, "properties") && n->kind == FLO_TREE_OBJECT) ||
                    (key_is(n, "required") && n->kind == FLO_TREE_ARRAY))) {
            there->first = join(s, there, n)->first;
        } else {
            flo_schema_refuse(s, "/allOf",
                              "two different '%.*s' are not merged",
                              flo_schema_cut(n->key_bytes), n->key);
        }
    }
}

/* Does `part` have properties that are extra ones of `closed`? */
static bool names_extra(const struct flo_tree_node *closed,
                        const struct flo_tree_node *part)
{
    const struct flo_tree_node *extra = FLO_GET(closed, "additionalProperties");
    const struct flo_tree_node *own = FLO_GET(closed, "properties");
    const struct flo_tree_node *other = FLO_GET(part, "properties");
    bool is_open = extra == NULL ||
                   (extra->kind == FLO_TREE_BOOLEAN && extra->text[0] == 't');

    return !is_open && other != NULL &&
           (own == NULL || !flo_tree_same(own, other));
}

/* All that holds, through references and allOf, into `to`. */
static void flatten(struct flo_schema *s, const struct flo_tree_node *schema,
                    struct flo_tree_node *to, int depth)
{
    const struct flo_tree_node *ref = FLO_GET(schema, "$ref");
    const struct flo_tree_node *all = FLO_GET(schema, "allOf");

    if (schema->kind == FLO_TREE_BOOLEAN && schema->text[0] == 't') {
        return;
    }
    if (schema->kind != FLO_TREE_OBJECT) {
        flo_schema_refuse(s, "", "no schema that something fits");
    } else if (depth > REFS_MAX) {
        flo_schema_refuse(s, ref != NULL ? "/$ref" : "/allOf",
                          "leads back to itself");
    } else if (ref != NULL && resolve(s, ref) == NULL) {
        flo_schema_refuse(s, "/$ref", "'%.*s' is not in this schema",
                          flo_schema_cut(ref->bytes), ref->text);
    } else if (all != NULL &&
               (all->kind != FLO_TREE_ARRAY || all->first == NULL)) {
        flo_schema_refuse(s, "/allOf", "must be a list of schemas");
    }
    if (s->rv == 0 && ref != NULL) {
        flatten(s, resolve(s, ref), to, depth + 1);
    }
    for (all = flo_tree_first(all); s->rv == 0 && all != NULL;
         all = all->next) {
        flatten(s, all, to, depth + 1);
    }
    if (s->rv == 0 && (names_extra(to, schema) || names_extra(schema, to))) {
        flo_schema_refuse(s, "/additionalProperties",
                          "is not merged with the properties of another part");
    }
    if (s->rv == 0) {
        merge(s, to, schema);
    }
}

/* ---- one rule ----------------------------------------------------------- */

/* The types of "type", which is a name or a list; *odd: what is none. */
static int named_types(const struct flo_tree_node *type,
                       const struct flo_tree_node **odd)
{
    bool is_list = type->kind == FLO_TREE_ARRAY;
    const struct flo_tree_node *n = is_list ? type->first : type;
    int types = 0;

    for (*odd = NULL; n != NULL; n = is_list ? n->next : NULL) {
        size_t i = 0;

        while (i < FLO_COUNT(type_names) && !flo_tree_is(n, type_names[i])) {
            i++;
        }
        if (i == FLO_COUNT(type_names)) {
            *odd = n;
            break;
        }
        types |= 1 << i;
    }
    return types;
}

/* Those that a schema names, or that its keywords are about. */
static int read_types(struct flo_schema *s, const struct flo_tree_node *schema)
{
    const struct flo_tree_node *type = FLO_GET(schema, "type"), *odd;
    int types = 0;

    if (type == NULL) {
        for (odd = schema->first; odd != NULL; odd = odd->next) {
            int about = keyword_types(odd);
            types |= about == FLO_TYPE_ANY ? 0 : about & ~FLO_TYPE_INTEGER;
        }
        return types == 0 ? FLO_TYPE_ANY : types;
    }
    types = named_types(type, &odd);
    if (odd != NULL) {
        flo_schema_refuse(s, "/type", "'%.*s' is no type",
                          flo_schema_cut(odd->bytes), odd->text);
    } else if (types == 0) {
        flo_schema_refuse(s, "/type", "is empty");
    }
    return types;
}

static void check_keywords(struct flo_schema *s,
                           const struct flo_tree_node *schema)
{
    for (const struct flo_tree_node *n = schema->first; n != NULL;
         n = n->next) {
        if (keyword_types(n) < 0) {
            char place[64];
            snprintf(place, sizeof(place), "/%.*s",
                     n->key_bytes < 40 ? (int)n->key_bytes : 40, n->key);
            flo_schema_refuse(s, place, "is not supported");
        }
    }
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

/* Without a list it is not in one. */
static bool is_in(const struct flo_tree_node *value,
                  const struct flo_tree_node *list)
{
    const struct flo_tree_node *n = flo_tree_first(list);

    while (n != NULL && !flo_tree_same(n, value)) {
        n = n->next;
    }
    return n != NULL;
}

/* enum and const: these values and no others. */
static void put_values(struct flo_schema *s, const struct flo_tree_node *schema,
                       int types)
{
    const struct flo_tree_node *one = FLO_GET(schema, "const");
    const struct flo_tree_node *list = FLO_GET(schema, "enum"), *n;
    const char *place = one != NULL ? "/const" : "/enum";
    bool has_value = one == NULL || list == NULL || is_in(one, list);
    struct flo_choice choice;

    for (n = schema->first; n != NULL; n = n->next) {
        if (is_constraint(n) && n != one && n != list && !key_is(n, "type")) {
            flo_schema_refuse(s, place, "beside '%.*s' is not supported",
                              flo_schema_cut(n->key_bytes), n->key);
        }
    }
    if (list != NULL && list->kind != FLO_TREE_ARRAY) {
        flo_schema_refuse(s, "/enum", "must be a list");
    }
    flo_choice_begin(s->program, &choice);
    for (n = one != NULL ? one : list->first; n != NULL;
         n = one != NULL ? NULL : n->next) {
        if (has_value && value_is(n, types)) {
            flo_choice_next(s->program, &choice);
            flo_schema_literal(s, n);
        }
    }
    flo_choice_end(s->program, &choice);
    if (choice.count == 0) {
        flo_schema_refuse(s, place, "has no value of the type");
    }
}

/* Types of a schema as far as can be said without merging; for oneOf. */
static int types_of(const struct flo_tree_node *schema)
{
    const struct flo_tree_node *type = FLO_GET(schema, "type"), *odd;
    const struct flo_tree_node *one = FLO_GET(schema, "const");
    int types = 0;

    if (type == NULL && one != NULL) {
        for (int t = 1; t <= FLO_TYPE_NULL; t *= 2) {
            types |= value_is(one, t) ? t : 0;
        }
        return types;
    }
    types = type == NULL ? 0 : named_types(type, &odd);
    if (types == 0 || odd != NULL) {
        return FLO_TYPE_ANY;
    }
    return (types & FLO_TYPE_NUMBER) != 0 ? types | FLO_TYPE_INTEGER : types;
}

/* Is every answer of an alternative, together with what stands beside the list
 * (`rest`), an object? */
static bool makes_objects(const struct flo_tree_node *rest,
                          const struct flo_tree_node *schema)
{
    int named = types_of(rest) & types_of(schema), about = 0;

    for (const struct flo_tree_node *n = rest->first; n != NULL; n = n->next) {
        about |= keyword_types(n);
    }
    for (const struct flo_tree_node *n = flo_tree_first(schema); n != NULL;
         n = n->next) {
        about |= keyword_types(n);
    }
    return (named == FLO_TYPE_ANY ? about : named) == FLO_TYPE_OBJECT;
}

/* Two constants that are surely not the same value; 1 and 1.0 are. */
static bool differ(const struct flo_tree_node *x, const struct flo_tree_node *y)
{
    if (x == NULL || y == NULL) {
        return false;
    }
    if (x->kind == FLO_TREE_NUMBER && y->kind == FLO_TREE_NUMBER) {
        return strtod(x->text, NULL) != strtod(y->text, NULL);
    }
    /* Members of an object may stand in another order. */
    return x->kind != y->kind ||
           (x->first == NULL && y->first == NULL && !flo_tree_same(x, y));
}

static const struct flo_tree_node *const_of(const struct flo_tree_node *schema,
                                            const struct flo_tree_node *name)
{
    return FLO_GET(
        flo_tree_get(FLO_GET(schema, "properties"), name->text, name->bytes),
        "const");
}

/* Do two alternatives have no value in common?  Told by their types, by const,
 * or by a property that both must have and whose const differs. */
static bool are_apart(const struct flo_schema *s,
                      const struct flo_tree_node *rest,
                      const struct flo_tree_node *a,
                      const struct flo_tree_node *b)
{
    const struct flo_tree_node *n;

    a = target_of(s, a);
    b = target_of(s, b);
    if ((types_of(a) & types_of(b)) == 0 ||
        differ(FLO_GET(a, "const"), FLO_GET(b, "const"))) {
        return true;
    }
    if (!makes_objects(rest, a) || !makes_objects(rest, b)) {
        return false;
    }
    for (n = flo_tree_first(FLO_GET(a, "required")); n != NULL; n = n->next) {
        if (is_in(n, FLO_GET(b, "required")) &&
            differ(const_of(a, n), const_of(b, n))) {
            return true;
        }
    }
    return false;
}

/* anyOf and oneOf, each alternative together with what stands beside it. */
static void put_choices(struct flo_schema *s,
                        const struct flo_tree_node *schema,
                        const struct flo_tree_node *list)
{
    bool is_one = key_is(list, "oneOf");
    const char *place = is_one ? "/oneOf" : "/anyOf";
    struct flo_tree_node *rest = flo_tree_new(&s->tree, FLO_TREE_OBJECT);
    struct flo_choice choice;

    if (list->kind != FLO_TREE_ARRAY || list->first == NULL) {
        flo_schema_refuse(s, place, "must be a list of schemas");
        return;
    }
    for (const struct flo_tree_node *n = schema->first; n != NULL;
         n = n->next) {
        if (is_constraint(n) && n != list) {
            flo_tree_add(&s->tree, rest, n);
        }
    }
    flo_choice_begin(s->program, &choice);
    for (const struct flo_tree_node *n = list->first; s->rv == 0 && n != NULL;
         n = n->next) {
        char index[16];

        for (const struct flo_tree_node *m = list->first; is_one && m != n;
             m = m->next) {
            if (!are_apart(s, rest, m, n)) {
                flo_schema_refuse(s, place,
                                  "alternatives that may hold together are "
                                  "not supported; anyOf is");
            }
        }
        flo_choice_next(s->program, &choice);
        snprintf(index, sizeof(index), "%u", choice.count - 1);
        flo_schema_call(s, rest->first == NULL ? n : both(s, rest, n),
                        place + 1, index, strlen(index));
    }
    flo_choice_end(s->program, &choice);
}

static void put_item(struct flo_schema *s, const struct flo_tree_node *schema)
{
    struct flo_tree_node *flat = flo_tree_new(&s->tree, FLO_TREE_OBJECT);
    const struct flo_tree_node *list;
    struct flo_choice choice;
    int types;

    flatten(s, schema, flat, 0);
    check_keywords(s, flat);
    types = read_types(s, flat);
    if (s->rv < 0) {
        return;
    }
    list = FLO_GET(flat, "anyOf");
    list = list != NULL ? list : FLO_GET(flat, "oneOf");
    if (list != NULL) {
        put_choices(s, flat, list);
    } else if (FLO_GET(flat, "const") != NULL ||
               FLO_GET(flat, "enum") != NULL) {
        put_values(s, flat, types);
    } else if (types == FLO_TYPE_ANY) {
        flo_schema_call(s, NULL, "", "", 0);
    } else {
        flo_choice_begin(s->program, &choice);
        for (int type = 1; type <= FLO_TYPE_NULL; type *= 2) {
            if ((types & type) != 0) {
                flo_choice_next(s->program, &choice);
                flo_schema_value(s, flat, (enum flo_schema_types)type);
            }
        }
        flo_choice_end(s->program, &choice);
    }
}

/* ---- the whole ---------------------------------------------------------- */

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

/* One rule for each item, from the root on. */
static void put_items(struct flo_schema *s)
{
    struct flo_program *p = s->program;

    s->items[s->count++] = (struct flo_schema_item){
        .schema = s->tree.nodes, .rule = flo_program_rule(p)};
    p->root = s->items[0].rule;
    for (; s->rv == 0 && !p->failed && s->at < s->count; s->at++) {
        uint32_t back = flo_program_begin(p, s->items[s->at].rule);

        put_item(s, s->items[s->at].schema);
        if (s->tree.is_full) {
            flo_schema_refuse(s, "", "more than %u values", s->tree.nodes_max);
        }
        flo_program_end(p, back);
    }
}

static void finish(struct flo_schema *s)
{
    uint32_t rule;
    const char *problem = flo_program_finish(s->program, &rule);

    for (s->at = 0; problem != NULL && s->at < s->count; s->at++) {
        if (s->items[s->at].rule == rule) {
            flo_schema_refuse(s, "", "%s", problem);
        }
    }
    if (problem != NULL && s->rv == 0) {
        s->rv = flo_fail(s->err, FLO_E_INFER_PARAM, "schema: %s", problem);
    }
}

int flo_schema_compile(const char *text, size_t bytes,
                       struct flo_program **program, struct flo_err *err)
{
    struct flo_schema s = {.text.bytes_max = FLO_GRAMMAR_TEXT_BYTES_MAX,
                           .err = err};
    char *copy = malloc(bytes + 1);

    s.rv = flo_gbnf_open(&s.gbnf, err);
    s.program = s.gbnf.program;
    s.items = calloc(FLO_SCHEMA_ITEMS_MAX, sizeof(*s.items));
    if (s.rv == 0 && (s.items == NULL || copy == NULL)) {
        s.rv = flo_fail(err, FLO_E_MEMORY, "a schema");
    }
    if (s.rv == 0) {
        flo_gbnf_read(&s.gbnf, common, sizeof(common) - 1);
        s.program->root = flo_gbnf_rule(&s.gbnf, "object");
    }
    if (s.rv == 0 && text != NULL) {
        memcpy(copy, text, bytes);
        s.rv = read_tree(&s.tree, copy, bytes, err);
    }
    if (s.rv == 0 && text != NULL) {
        put_items(&s);
    }
    if (s.rv == 0) {
        finish(&s);
    }
    flo_tree_deinit(&s.tree);
    flo_buf_deinit(&s.text);
    free(s.items);
    free(copy);
    return flo_gbnf_close(&s.gbnf, s.rv, program);
}

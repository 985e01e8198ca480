/* Schema: compiles JSON Schema to a program, with one rule for each schema.
 * Rules are built from a list, one after another.  A schema that a rule calls
 * is added to the list, so a recursive schema is just a rule that calls itself.
 * The grammar may allow less than the schema, never more: order and blanks are
 * fixed, a number has at most 16 digits.  A constraint that cannot be enforced
 * is refused. */
#include "engine/grammar/schema/schema.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/grammar.h"

enum {
    NODES_MORE = 32768,     /* nodes that merging may add to the tree */
    ALTERNATIVES_MAX = 256, /* most alternatives, because each is compared with all others */
};

/* Rules that all schemas share.  Where any JSON value is allowed, it may
 * contain line ends. */
static const char common[] = "plain ::= [^\"\\\\\\x00-\\x1f\\x7f]\n"
                             "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
                             "number ::= integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"
                             "value ::= object | array | string | number | word\n";
static const char quoted[] = "char ::= plain | \"\\\\\" [\"\\\\/bfnrt]\n"
                             "string ::= \"\\\"\" char* \"\\\"\"\n"
                             "ws ::= (\" \" | \"\\n\" \" \"{0,24})?\n"
                             "member ::= string \":\" ws value\n"
                             "object ::= \"{\" ws (member (\",\" ws member)* ws)? \"}\"\n"
                             "array ::= \"[\" ws (value (\",\" ws value)* ws)? \"]\"\n";
static const char json[] = "word ::= \"true\" | \"false\" | \"null\"\n";
static const char python[] = "word ::= \"True\" | \"False\" | \"None\"\n";

/* ---- one rule ---- */

/* Tells whether the value is in the list.  Without a list (NULL) it is not. */
static bool is_in(struct flo_schema *s, const struct flo_tree_node *value,
                  const struct flo_tree_node *list)
{
    const struct flo_tree_node *n = flo_tree_first(list);

    while (s->rv == 0 && n != NULL && !flo_schema_same(s, n, value)) {
        n = n->next;
    }
    return n != NULL;
}

/* Appends the values of the schema's enum or const as alternatives. */
static void put_values(struct flo_schema *s, const struct flo_tree_node *schema, int types)
{
    const struct flo_tree_node *one = FLO_GET(s, schema, "const");
    const struct flo_tree_node *list = FLO_GET(s, schema, "enum"), *n;
    const char *place = one != NULL ? "/const" : "/enum";
    bool has_value = one == NULL || list == NULL || is_in(s, one, list);
    struct flo_choice choice;

    for (n = schema->first; n != NULL; n = n->next) {
        if (flo_schema_constrains(s, n) && n != one && n != list && !flo_schema_key_is(n, "type")) {
            flo_schema_refuse(s, place, "beside '%.*s' is not supported",
                              flo_schema_cut(n->key_bytes), n->key);
        }
    }
    if (list != NULL && list->kind != FLO_TREE_ARRAY) {
        flo_schema_refuse(s, "/enum", "must be a list");
    }
    flo_choice_begin(s->program, &choice);
    for (n = one != NULL ? one : list->first; n != NULL && flo_schema_walk(s, 1);
         n = one != NULL ? NULL : n->next) {
        if (has_value && flo_schema_value_is(n, types)) {
            flo_choice_next(s->program, &choice);
            flo_schema_literal(s, n);
        }
    }
    flo_choice_end(s->program, &choice);
    if (choice.count == 0) {
        flo_schema_refuse(s, place, "has no value of the type");
    }
}

/* ---- alternatives ---- */

/* An alternative of a oneOf, as far as it is compared with the others. */
struct alternative {
    const struct flo_tree_node *schema; /* after its references */
    int types;                          /* possible types */
    bool is_object; /* with the constraints next to oneOf, all its values are objects */
};

/* Returns the types that values of a schema can have, as far as is known
 * without merging. */
static int types_of(struct flo_schema *s, const struct flo_tree_node *schema)
{
    const struct flo_tree_node *type = FLO_GET(s, schema, "type"), *odd;
    const struct flo_tree_node *one = FLO_GET(s, schema, "const");
    int types = 0;

    if (type == NULL && one != NULL) {
        for (int t = 1; t <= FLO_TYPE_NULL; t *= 2) {
            types |= flo_schema_value_is(one, t) ? t : 0;
        }
        return types;
    }
    types = type == NULL ? 0 : flo_schema_named_types(s, type, &odd);
    if (types == 0 || odd != NULL) {
        return FLO_TYPE_ANY;
    }
    return (types & FLO_TYPE_NUMBER) != 0 ? types | FLO_TYPE_INTEGER : types;
}

/* Returns the types to which the keywords of a schema apply. */
static int about(struct flo_schema *s, const struct flo_tree_node *schema)
{
    const struct flo_tree_node *n = flo_tree_first(schema);
    int types = 0;

    for (; s->rv == 0 && n != NULL; n = n->next) {
        types |= flo_schema_keyword_types(s, n);
    }
    return types;
}

static struct alternative read_alternative(struct flo_schema *s, const struct flo_tree_node *rest,
                                           const struct flo_tree_node *schema)
{
    const struct flo_tree_node *target = flo_schema_target(s, schema);
    int types = types_of(s, target), named = types_of(s, rest) & types;

    if (named == FLO_TYPE_ANY) {
        named = about(s, rest) | about(s, target);
    }
    return (struct alternative){target, types, named == FLO_TYPE_OBJECT};
}

static const struct flo_tree_node *
const_of(struct flo_schema *s, const struct flo_tree_node *schema, const struct flo_tree_node *name)
{
    const struct flo_tree_node *properties = FLO_GET(s, schema, "properties");

    return FLO_GET(s, flo_schema_get(s, properties, name->text, name->bytes), "const");
}

/* Tells whether two alternatives certainly have no common value.  Their types,
 * their const, or a required property with different const can show that. */
static bool are_apart(struct flo_schema *s, const struct alternative *a,
                      const struct alternative *b)
{
    const struct flo_tree_node *n;

    if ((a->types & b->types) == 0 ||
        flo_schema_differ(s, FLO_GET(s, a->schema, "const"), FLO_GET(s, b->schema, "const"))) {
        return true;
    }
    n = a->is_object && b->is_object ? flo_tree_first(FLO_GET(s, a->schema, "required")) : NULL;
    for (; s->rv == 0 && n != NULL; n = n->next) {
        if (is_in(s, n, FLO_GET(s, b->schema, "required")) &&
            flo_schema_differ(s, const_of(s, a->schema, n), const_of(s, b->schema, n))) {
            return true;
        }
    }
    return false;
}

/* Refuses a oneOf if two alternatives may have a common value.  `rest` are the
 * constraints next to it.  Each alternative is compared with all before it. */
static void check_apart(struct flo_schema *s, const struct flo_tree_node *rest,
                        const struct flo_tree_node *list)
{
    struct alternative all[ALTERNATIVES_MAX];
    const struct flo_tree_node *n = list->first;
    size_t count = flo_schema_count(s, list);

    if (count > ALTERNATIVES_MAX) {
        flo_schema_refuse(s, "/oneOf", "%zu alternatives, at most %d", count, ALTERNATIVES_MAX);
    }
    for (size_t i = 0; s->rv == 0 && n != NULL; i++, n = n->next) {
        all[i] = read_alternative(s, rest, n);
        for (size_t k = 0; s->rv == 0 && k < i; k++) {
            if (!are_apart(s, &all[k], &all[i])) {
                flo_schema_refuse(s, "/oneOf",
                                  "alternatives that may hold together are "
                                  "not supported; anyOf is");
            }
        }
    }
}

/* Appends the alternatives of anyOf or oneOf, each merged with the constraints
 * next to it. */
static void put_choices(struct flo_schema *s, const struct flo_tree_node *schema,
                        const struct flo_tree_node *list)
{
    bool is_one = flo_schema_key_is(list, "oneOf");
    const char *place = is_one ? "/oneOf" : "/anyOf";
    struct flo_tree_node *rest = flo_tree_new(&s->tree, FLO_TREE_OBJECT);
    struct flo_choice choice;

    if (list->kind != FLO_TREE_ARRAY || list->first == NULL) {
        flo_schema_refuse(s, place, "must be a list of schemas");
        return;
    }
    for (const struct flo_tree_node *n = schema->first; n != NULL; n = n->next) {
        if (flo_schema_constrains(s, n) && n != list) {
            flo_schema_add(s, rest, n);
        }
    }
    if (is_one) {
        check_apart(s, rest, list);
    }
    flo_choice_begin(s->program, &choice);
    for (const struct flo_tree_node *n = list->first; s->rv == 0 && n != NULL; n = n->next) {
        char index[16];

        flo_choice_next(s->program, &choice);
        snprintf(index, sizeof(index), "%u", choice.count - 1);
        flo_schema_call(s, rest->first == NULL ? n : flo_schema_both(s, rest, n), place + 1, index,
                        strlen(index));
    }
    flo_choice_end(s->program, &choice);
}

static void put_item(struct flo_schema *s, const struct flo_tree_node *schema)
{
    struct flo_tree_node *flat = flo_tree_new(&s->tree, FLO_TREE_OBJECT);
    const struct flo_tree_node *list;
    struct flo_choice choice;
    int types;

    flo_schema_flatten(s, schema, flat);
    types = flo_schema_types(s, flat);
    if (s->rv < 0) {
        return;
    }
    list = FLO_GET(s, flat, "anyOf");
    list = list != NULL ? list : FLO_GET(s, flat, "oneOf");
    if (list != NULL) {
        put_choices(s, flat, list);
    } else if (FLO_GET(s, flat, "const") != NULL || FLO_GET(s, flat, "enum") != NULL) {
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

/* ---- the whole ---- */

int flo_schema_read(struct flo_tree *tree, char *text, size_t bytes, uint32_t room,
                    struct flo_err *err)
{
    int rv = flo_tree_read(tree, text, bytes, FLO_SCHEMA_VALUES_MAX, room, NULL, err);

    if (rv == 0 && tree->has_odd) {
        rv = flo_fail(err, FLO_E_INFER_SCHEMA, "a text with U+0000 or half of a surrogate pair");
    }
    /* the error means that the schema is no valid JSON */
    rv = rv == FLO_E_INFER_PARAM ? FLO_E_INFER_SCHEMA : rv;
    return rv < 0 ? flo_wrap(err, rv, "schema") : 0;
}

void flo_schema_put_items(struct flo_schema *s)
{
    struct flo_program *p = s->program;

    for (; s->rv == 0 && !p->failed && s->at < s->count; s->at++) {
        if (s->items[s->at].schema == NULL) {
            continue; /* this item is built already */
        }
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
        s->rv = flo_fail(s->err, FLO_E_INFER_SCHEMA, "schema: %s", problem);
    }
}

uint64_t flo_schema_bytes(void)
{
    return (uint64_t)(FLO_SCHEMA_VALUES_MAX + NODES_MORE) * sizeof(struct flo_tree_node) +
           FLO_SCHEMA_ITEMS_MAX * sizeof(struct flo_schema_item) +
           /* texts of the schema and of one literal */
           3 * FLO_GRAMMAR_TEXT_BYTES_MAX + 2 * FLO_GRAMMAR_RULES_MAX * 24 /* names of rules */;
}

void flo_schema_begin(struct flo_schema *s, struct flo_err *err)
{
    s->text.bytes_max = FLO_GRAMMAR_TEXT_BYTES_MAX;
    s->err = err;
    s->rv = flo_gbnf_open(&s->gbnf, err);
    s->program = s->gbnf.program;
    s->items = calloc(FLO_SCHEMA_ITEMS_MAX, sizeof(*s->items));
    if (s->rv == 0 && s->items == NULL) {
        s->rv = flo_fail(err, FLO_E_MEMORY, "a schema");
    }
    if (s->rv == 0) {
        flo_gbnf_read(&s->gbnf, common, sizeof(common) - 1);
        if (s->mark != NULL) {
            flo_schema_marked_rules(s);
        } else {
            flo_gbnf_read(&s->gbnf, quoted, sizeof(quoted) - 1);
        }
        flo_gbnf_read(&s->gbnf, s->is_python ? python : json, strlen(s->is_python ? python : json));
        s->program->root = flo_gbnf_rule(&s->gbnf, "object");
    }
}

int flo_schema_end(struct flo_schema *s, struct flo_program **program)
{
    if (s->rv == 0) {
        finish(s);
    }
    flo_buf_deinit(&s->text);
    free(s->items);
    return flo_gbnf_close(&s->gbnf, s->rv, program);
}

int flo_schema_compile(const char *text, size_t bytes, struct flo_program **program,
                       struct flo_err *err)
{
    struct flo_schema s = {.is_python = false};
    FLO_CLEANUP(flo_free_cleanup) char *copy = malloc(bytes + 1);

    flo_schema_begin(&s, err);
    if (s.rv == 0 && copy == NULL) {
        s.rv = flo_fail(err, FLO_E_MEMORY, "a schema");
    }
    if (s.rv == 0 && text != NULL) {
        memcpy(copy, text, bytes);
        s.rv = flo_schema_read(&s.tree, copy, bytes, NODES_MORE, err);
    }
    if (s.rv == 0 && text != NULL) {
        s.items[s.count++] = (struct flo_schema_item){
            .schema = s.tree.nodes, .top = s.tree.nodes, .rule = flo_program_rule(s.program)};
        s.program->root = s.items[0].rule;
        flo_schema_put_items(&s);
    }
    int rv = flo_schema_end(&s, program);
    flo_tree_deinit(&s.tree);
    return rv;
}

/* Check: holds a finished answer against a schema. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/plural.h>

#include "engine/grammar/form/form.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"
#include "engine/grammar/schema/schema.h"

enum {
    PATTERNS_MAX = 8,      /* patterns that are kept ready */
    PLACE_BYTES_MAX = 160, /* bytes of a JSON pointer in an error */
    KEYWORD_STEPS = 16,    /* steps that the lookup of one keyword counts as */
    READING_STEPS = 4,     /* steps that one reading of a pattern counts as */
};

/* The first fault of an answer, or of an alternative. */
struct fault {
    const struct flo_tree_node *value;
    int depth; /* depth of the value in the answer */
    char wanted[160];
};

/* A compiled pattern.  The matcher has the program of the pattern in use. */
struct pattern {
    const struct flo_tree_node *of; /* the keyword; NULL: the slot is free */
    struct flo_program *program;
};

struct check {
    struct flo_schema s; /* for references and steps */
    struct flo_schema_item top;
    struct flo_tree tree; /* JSON of the answer */
    struct fault fault;
    struct pattern patterns[PATTERNS_MAX];
    uint32_t next_pattern; /* slot that is used again next */
    struct flo_matcher *matcher;
};

/* A value of the answer, with its depth there and the number of schemas that
 * are being applied. */
struct place {
    const struct flo_tree_node *value;
    int depth, schemas;
};

static bool fits(struct check *c, const struct flo_tree_node *schema, struct place at);

/* Notes a fault, and returns false. */
static FLO_PRINTF(3, 4) bool fault(struct check *c, struct place at, const char *format, ...)
{
    va_list list;

    c->fault.value = at.value;
    c->fault.depth = at.depth;
    va_start(list, format);
    vsnprintf(c->fault.wanted, sizeof(c->fault.wanted), format, list);
    va_end(list);
    return false;
}

static struct place into(struct place at, const struct flo_tree_node *child)
{
    return (struct place){child, at.depth + 1, at.schemas};
}

/* ---- types and values ---- */

static bool is_of(const struct flo_tree_node *value, const struct flo_tree_node *type)
{
    static const char *const names[] = {
        [FLO_TREE_NULL] = "null",     [FLO_TREE_BOOLEAN] = "boolean", [FLO_TREE_NUMBER] = "number",
        [FLO_TREE_STRING] = "string", [FLO_TREE_ARRAY] = "array",     [FLO_TREE_OBJECT] = "object",
    };

    return flo_tree_is(type, names[value->kind]) ||
           (value->kind == FLO_TREE_NUMBER && flo_tree_is(type, "integer") &&
            flo_form_is_whole(value));
}

static bool fits_type(struct check *c, const struct flo_tree_node *type, struct place at)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf names = {.bytes_max = 100};
    bool is_list = type->kind == FLO_TREE_ARRAY;
    const struct flo_tree_node *n = is_list ? type->first : type;

    for (; n != NULL && !is_of(at.value, n); n = is_list ? n->next : NULL) {
        flo_buf_printf(&names, "%s%s", names.bytes > 0 ? " or " : "", n->text);
    }
    return n != NULL ||
           fault(c, at, "must be of type %s", names.failed ? "another list" : names.data);
}

static bool fits_enum(struct check *c, const struct flo_tree_node *list, struct place at)
{
    const struct flo_tree_node *n = list->first;
    size_t count = 0;

    for (; n != NULL && c->s.rv == 0 && !flo_form_same(&c->s, n, at.value); n = n->next) {
        count++;
    }
    return n != NULL || fault(c, at, "must be one of %zu value%s", count, flo_s(count));
}

static bool fits_const(struct check *c, const struct flo_tree_node *value, struct place at)
{
    return flo_form_same(&c->s, value, at.value) || fault(c, at, "must be the value of `const`");
}

/* ---- numbers ---- */

/* Compares a number with a limit.  Another value has no limit. */
static bool fits_limit(struct check *c, const struct flo_tree_node *limit, struct place at,
                       int sign, bool may_equal, const char *words)
{
    if (at.value->kind != FLO_TREE_NUMBER) {
        return true;
    }
    int order = sign * flo_form_compare(at.value, limit);
    return order > 0 || (order == 0 && may_equal) ||
           fault(c, at, "must be %s %.*s", words, flo_schema_cut(limit->bytes), limit->text);
}

static bool fits_minimum(struct check *c, const struct flo_tree_node *limit, struct place at)
{
    return fits_limit(c, limit, at, 1, true, "at least");
}

static bool fits_maximum(struct check *c, const struct flo_tree_node *limit, struct place at)
{
    return fits_limit(c, limit, at, -1, true, "at most");
}

static bool fits_above(struct check *c, const struct flo_tree_node *limit, struct place at)
{
    return fits_limit(c, limit, at, 1, false, "above");
}

static bool fits_below(struct check *c, const struct flo_tree_node *limit, struct place at)
{
    return fits_limit(c, limit, at, -1, false, "below");
}

/* ---- counts ---- */

static size_t characters_of(const struct flo_tree_node *text)
{
    size_t count = 0;

    for (size_t i = 0; i < text->bytes; i++) {
        count += ((unsigned char)text->text[i] & 0xc0) != 0x80;
    }
    return count;
}

static bool fits_count(struct check *c, const struct flo_tree_node *keyword, struct place at,
                       enum flo_tree_kind kind, const char *noun)
{
    bool is_least = keyword->key[1] == 'i'; /* minItems, not maxItems */
    int64_t limit = 0, count;

    if (at.value->kind != kind) {
        return true;
    }
    count = (int64_t)(kind == FLO_TREE_STRING ? characters_of(at.value)
                                              : flo_schema_count(&c->s, at.value));
    (void)flo_tree_whole(keyword, 0, INT64_MAX, &limit);
    return (is_least ? count >= limit : count <= limit) ||
           fault(c, at, "must have at %s %" PRId64 " %s%s", is_least ? "least" : "most", limit,
                 noun, flo_s((uint64_t)limit));
}

static bool fits_length(struct check *c, const struct flo_tree_node *keyword, struct place at)
{
    return fits_count(c, keyword, at, FLO_TREE_STRING, "character");
}

static bool fits_item_count(struct check *c, const struct flo_tree_node *keyword, struct place at)
{
    return fits_count(c, keyword, at, FLO_TREE_ARRAY, "element");
}

static bool fits_member_count(struct check *c, const struct flo_tree_node *keyword, struct place at)
{
    return fits_count(c, keyword, at, FLO_TREE_OBJECT, "member");
}

/* ---- texts ---- */

static void drop_pattern(struct check *c, struct pattern *slot)
{
    if (c->matcher != NULL && c->matcher->program == slot->program) {
        (void)flo_matcher_swap(c->matcher, NULL);
    }
    free(slot->program);
    *slot = (struct pattern){0};
}

/* Returns the program of a pattern, or NULL after an error. */
static struct flo_program *program_of(struct check *c, const struct flo_tree_node *pattern)
{
    struct pattern *slot = &c->patterns[c->next_pattern];

    for (size_t i = 0; i < PATTERNS_MAX; i++) {
        if (c->patterns[i].of == pattern) {
            return c->patterns[i].program;
        }
    }
    drop_pattern(c, slot);
    c->s.rv = flo_pattern_compile(pattern->text, pattern->bytes, &slot->program, c->s.err);
    if (c->s.rv < 0 || !flo_schema_walk(&c->s, FLO_FORM_NODE_STEPS * slot->program->node_count)) {
        return NULL;
    }
    slot->of = pattern;
    c->next_pattern = (c->next_pattern + 1) % PATTERNS_MAX;
    return slot->program;
}

/* Returns the matcher with the program of a pattern, or NULL after an error. */
static struct flo_matcher *matcher_of(struct check *c, const struct flo_tree_node *pattern)
{
    static const struct flo_pieces none;
    struct flo_program *program = program_of(c, pattern);

    if (program != NULL && c->matcher == NULL) {
        c->s.rv = flo_matcher_open(NULL, &none, 1, &c->matcher, c->s.err);
    }
    if (program == NULL || c->s.rv < 0) {
        return NULL;
    }
    if (c->matcher->program != program) {
        (void)flo_matcher_swap(c->matcher, program);
    }
    return c->matcher;
}

static bool fits_pattern(struct check *c, const struct flo_tree_node *pattern, struct place at)
{
    static const uint8_t begin = FLO_PATTERN_BEGIN, end = FLO_PATTERN_END;
    const struct flo_tree_node *text = at.value;

    if (text->kind != FLO_TREE_STRING) {
        return true;
    }
    struct flo_matcher *m = matcher_of(c, pattern);
    if (m == NULL || !flo_schema_walk(&c->s, text->bytes)) {
        return false;
    }
    m->is_ambiguous = false;
    uint32_t state = flo_matcher_start(m);
    bool is_fine = flo_matcher_walk(m, &state, &begin, 1);
    for (size_t i = 0; is_fine && i < text->bytes; i++) {
        uint64_t before = m->work;
        is_fine = flo_matcher_walk(m, &state, &text->text[i], 1) &&
                  flo_schema_walk(&c->s, READING_STEPS * (size_t)(m->work - before));
    }
    is_fine = is_fine && flo_matcher_walk(m, &state, &end, 1) && m->states[state].may_end;
    if (m->is_ambiguous) {
        return fault(c, at, "must match a pattern that has too many readings");
    }
    return is_fine ||
           fault(c, at, "must match '%.*s'", flo_schema_cut(pattern->bytes), pattern->text);
}

static bool fits_format(struct check *c, const struct flo_tree_node *format, struct place at)
{
    return at.value->kind != FLO_TREE_STRING ||
           flo_form_format(format)(at.value->text, at.value->bytes) ||
           fault(c, at, "must be of the format %s", format->text);
}

/* ---- objects ---- */

static bool fits_properties(struct check *c, const struct flo_tree_node *properties,
                            struct place at)
{
    const struct flo_tree_node *n = at.value->kind == FLO_TREE_OBJECT ? at.value->first : NULL;

    for (; n != NULL && c->s.rv == 0; n = n->next) {
        const struct flo_tree_node *schema =
            flo_schema_get(&c->s, properties, n->key, n->key_bytes);
        if (schema != NULL && !fits(c, schema, into(at, n))) {
            return false;
        }
    }
    return true;
}

static bool fits_additional(struct check *c, const struct flo_tree_node *extra,
                            const struct flo_tree_node *schema, struct place at)
{
    const struct flo_tree_node *properties = FLO_GET(&c->s, schema, "properties");
    const struct flo_tree_node *n = at.value->kind == FLO_TREE_OBJECT ? at.value->first : NULL;

    for (; n != NULL && c->s.rv == 0; n = n->next) {
        if (flo_schema_get(&c->s, properties, n->key, n->key_bytes) == NULL &&
            !fits(c, extra, into(at, n))) {
            return false;
        }
    }
    return true;
}

static bool fits_required(struct check *c, const struct flo_tree_node *names, struct place at)
{
    const struct flo_tree_node *n = at.value->kind == FLO_TREE_OBJECT ? names->first : NULL;

    for (; n != NULL && c->s.rv == 0; n = n->next) {
        if (flo_schema_get(&c->s, at.value, n->text, n->bytes) == NULL) {
            return fault(c, at, "must have the member '%.*s'", flo_schema_cut(n->bytes), n->text);
        }
    }
    return true;
}

/* ---- arrays ---- */

static bool fits_prefix(struct check *c, const struct flo_tree_node *prefix, struct place at)
{
    const struct flo_tree_node *n = at.value->kind == FLO_TREE_ARRAY ? at.value->first : NULL;
    const struct flo_tree_node *schema = prefix->first;

    for (; n != NULL && schema != NULL && c->s.rv == 0; n = n->next, schema = schema->next) {
        if (!fits(c, schema, into(at, n))) {
            return false;
        }
    }
    return true;
}

/* Checks the elements behind those of prefixItems. */
static bool fits_items(struct check *c, const struct flo_tree_node *items,
                       const struct flo_tree_node *schema, struct place at)
{
    const struct flo_tree_node *n = at.value->kind == FLO_TREE_ARRAY ? at.value->first : NULL;
    size_t skipped = flo_schema_count(&c->s, FLO_GET(&c->s, schema, "prefixItems"));

    for (; n != NULL && skipped > 0; n = n->next) {
        skipped--;
    }
    for (; n != NULL && c->s.rv == 0; n = n->next) {
        if (!fits(c, items, into(at, n))) {
            return false;
        }
    }
    return true;
}

static bool fits_unique(struct check *c, const struct flo_tree_node *is_unique, struct place at)
{
    const struct flo_tree_node *n = at.value->kind == FLO_TREE_ARRAY ? at.value->first : NULL;

    for (; n != NULL && c->s.rv == 0 && !flo_tree_says(is_unique, false); n = n->next) {
        for (const struct flo_tree_node *m = at.value->first; m != n; m = m->next) {
            if (flo_form_same(&c->s, m, n)) {
                return fault(c, into(at, n), "must differ from each element before it");
            }
        }
    }
    return true;
}

/* ---- several schemas ---- */

static bool fits_all(struct check *c, const struct flo_tree_node *list, struct place at)
{
    const struct flo_tree_node *n = list->first;

    while (n != NULL && c->s.rv == 0 && fits(c, n, at)) {
        n = n->next;
    }
    return n == NULL;
}

/* Counts the alternatives that a value fits, up to `most`.  If there is none,
 * the fault stays that lies deepest within the value. */
static int count_fitting(struct check *c, const struct flo_tree_node *list, struct place at,
                         int most)
{
    struct fault deepest = {.depth = at.depth};
    int count = 0;

    for (const struct flo_tree_node *n = list->first; n != NULL && c->s.rv == 0 && count < most;
         n = n->next) {
        if (fits(c, n, at)) {
            count++;
        } else if (c->fault.depth > deepest.depth) {
            deepest = c->fault;
        }
    }
    if (deepest.value != NULL) {
        c->fault = deepest;
    } else {
        size_t choices = flo_schema_count(&c->s, list);
        (void)fault(c, at, "must fit one of %zu alternative%s", choices, flo_s(choices));
    }
    return count;
}

static bool fits_any(struct check *c, const struct flo_tree_node *list, struct place at)
{
    return count_fitting(c, list, at, 1) > 0;
}

static bool fits_one(struct check *c, const struct flo_tree_node *list, struct place at)
{
    int count = count_fitting(c, list, at, 2);

    return count == 1 ||
           (count > 1 && fault(c, at, "must fit one alternative of `oneOf`, and no second one"));
}

static bool fits_reference(struct check *c, const struct flo_tree_node *reference, struct place at)
{
    const struct flo_tree_node *target = flo_schema_resolve(&c->s, reference);

    return target != NULL && fits(c, target, at);
}

/* ---- one schema ---- */

static bool fits_keyword(struct check *c, const struct flo_tree_node *schema,
                         const struct flo_tree_node *keyword, struct place at)
{
    static const struct {
        const char *name;
        bool (*fits)(struct check *c, const struct flo_tree_node *keyword, struct place at);
    } keywords[] = {
        {"type", fits_type},
        {"enum", fits_enum},
        {"const", fits_const},
        {"anyOf", fits_any},
        {"oneOf", fits_one},
        {"allOf", fits_all},
        {"$ref", fits_reference},
        {"properties", fits_properties},
        {"required", fits_required},
        {"minProperties", fits_member_count},
        {"maxProperties", fits_member_count},
        {"prefixItems", fits_prefix},
        {"minItems", fits_item_count},
        {"maxItems", fits_item_count},
        {"uniqueItems", fits_unique},
        {"minLength", fits_length},
        {"maxLength", fits_length},
        {"pattern", fits_pattern},
        {"format", fits_format},
        {"minimum", fits_minimum},
        {"maximum", fits_maximum},
        {"exclusiveMinimum", fits_above},
        {"exclusiveMaximum", fits_below},
    };

    if (flo_schema_key_is(keyword, "additionalProperties")) {
        return fits_additional(c, keyword, schema, at);
    }
    if (flo_schema_key_is(keyword, "items")) {
        return fits_items(c, keyword, schema, at);
    }
    for (size_t i = 0; i < FLO_COUNT(keywords); i++) {
        if (flo_schema_key_is(keyword, keywords[i].name)) {
            return keywords[i].fits(c, keyword, at);
        }
    }
    return true; /* an annotation */
}

/* Tells whether a value fits a schema.  Otherwise the fault is noted, or the
 * steps are used up. */
static bool fits(struct check *c, const struct flo_tree_node *schema, struct place at)
{
    if (schema->kind == FLO_TREE_BOOLEAN) {
        return !flo_tree_says(schema, false) || fault(c, at, "must not be there");
    }
    if (++at.schemas > FLO_FORM_DEPTH_MAX) {
        return fault(c, at, "must fit %d schemas, one within the other", FLO_FORM_DEPTH_MAX);
    }
    for (const struct flo_tree_node *n = schema->first; n != NULL; n = n->next) {
        if (!flo_schema_walk(&c->s, KEYWORD_STEPS) || !fits_keyword(c, schema, n, at)) {
            return false;
        }
    }
    return c->s.rv == 0;
}

/* ---- telling ---- */

static void put_name(const struct flo_tree_node *member, struct flo_buf *out)
{
    for (size_t i = 0; i < member->key_bytes && out->bytes <= PLACE_BYTES_MAX; i++) {
        const char *c = &member->key[i];
        flo_buf_add(out, *c == '~' ? "~0" : *c == '/' ? "~1" : c, *c == '~' || *c == '/' ? 2 : 1);
    }
}

/* Appends the JSON pointer of a value.  The nodes of a tree stand in the order
 * of the text, so the value is below the last child that begins before it. */
static void put_place(const struct flo_tree_node *root, const struct flo_tree_node *value,
                      struct flo_buf *out)
{
    while (root != value && out->bytes <= PLACE_BYTES_MAX) {
        const struct flo_tree_node *child = root->first;
        size_t index = 0;

        for (; child->next != NULL && child->next <= value; child = child->next) {
            index++;
        }
        flo_buf_text(out, "/");
        if (root->kind == FLO_TREE_OBJECT) {
            put_name(child, out);
        } else {
            flo_buf_printf(out, "%zu", index);
        }
        root = child;
    }
    if (out->bytes > PLACE_BYTES_MAX) {
        out->bytes = flo_utf8_valid(out->data, PLACE_BYTES_MAX);
        flo_buf_text(out, "...");
    }
}

static void describe(const struct flo_tree_node *value, char *out, size_t bytes)
{
    size_t count = value->kind == FLO_TREE_STRING ? characters_of(value) : 0;

    for (const struct flo_tree_node *n = value->first; n != NULL; n = n->next) {
        count++;
    }
    switch (value->kind) {
    case FLO_TREE_STRING:
        snprintf(out, bytes, "a string of %zu character%s", count, flo_s(count));
        break;
    case FLO_TREE_ARRAY:
        snprintf(out, bytes, "an array of %zu element%s", count, flo_s(count));
        break;
    case FLO_TREE_OBJECT:
        snprintf(out, bytes, "an object of %zu member%s", count, flo_s(count));
        break;
    case FLO_TREE_NUMBER:
        snprintf(out, bytes, "%s", flo_form_is_whole(value) ? "an integer" : "a number");
        break;
    default:
        snprintf(out, bytes, "%s", value->kind == FLO_TREE_NULL ? "null" : "a boolean");
        break;
    }
}

static int tell(const struct check *c, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf place = {0};
    char what[80];

    put_place(c->tree.nodes, c->fault.value, &place);
    describe(c->fault.value, what, sizeof(what));
    return flo_fail(err, FLO_E_INFER_FORM, "answer %s: %s, is %s",
                    place.bytes > 0 ? place.data : "/", c->fault.wanted, what);
}

/* ---- the whole ---- */

/* Parses the answer.  `text` is decoded in place. */
static int read_answer(struct check *c, char *text, size_t bytes, struct flo_err *err)
{
    const struct flo_tree_node *twice = NULL;
    int rv = flo_tree_read(&c->tree, text, bytes, FLO_FORM_VALUES_MAX, 0, NULL, err);

    if (rv < 0) {
        return flo_wrap(err, rv == FLO_E_MEMORY ? rv : FLO_E_INFER_FORM, "answer");
    }
    if (c->tree.has_odd) {
        return flo_fail(err, FLO_E_INFER_FORM,
                        "answer: a text with U+0000 or half of a surrogate pair");
    }
    FLO_TRY(flo_form_find_twice(&c->tree, &twice, err));
    if (twice == NULL) {
        return 0;
    }
    c->fault.value = twice;
    snprintf(c->fault.wanted, sizeof(c->fault.wanted), "must be in its object once");
    return tell(c, err);
}

static int check(struct check *c, char *answer, size_t bytes, struct flo_err *err)
{
    struct flo_err why = {0};

    FLO_TRY(read_answer(c, answer, bytes, err));
    const struct place root = {.value = c->tree.nodes};
    c->s.err = &why;
    if (c->s.tree.count == 0) {
        return root.value->kind == FLO_TREE_OBJECT || fault(c, root, "must be a JSON object")
                   ? 0
                   : tell(c, err);
    }
    bool is_fine = fits(c, c->s.tree.nodes, root);
    if (c->s.rv < 0) {
        return flo_fail(err, c->s.rv == FLO_E_MEMORY ? c->s.rv : FLO_E_INFER_FORM, "answer: %s",
                        why.what);
    }
    return is_fine ? 0 : tell(c, err);
}

int flo_form_check(const char *schema, size_t schema_bytes, const char *answer, size_t bytes,
                   struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = malloc(schema_bytes + bytes + 1);
    struct check c = {.s = {.items = &c.top, .count = 1}};
    int rv = text == NULL ? flo_fail(err, FLO_E_MEMORY, "an answer's form") : 0;

    if (rv == 0 && schema != NULL) {
        memcpy(text, schema, schema_bytes);
        rv = flo_schema_read(&c.s.tree, text, schema_bytes, 0, err);
        c.top.schema = c.top.top = c.s.tree.nodes;
    }
    if (rv == 0) {
        memcpy(text + schema_bytes, answer, bytes);
        rv = check(&c, text + schema_bytes, bytes, err);
    }
    for (size_t i = 0; i < PATTERNS_MAX; i++) {
        drop_pattern(&c, &c.patterns[i]);
    }
    flo_matcher_close(c.matcher);
    flo_tree_deinit(&c.s.tree);
    flo_tree_deinit(&c.tree);
    return rv;
}

/* Merge: merges the references and the allOf of a schema into one set of
 * constraints. */
#include "engine/grammar/schema/schema.h"

#include <stdio.h>
#include <string.h>

enum {
    REFS_MAX = 32,
    PARTS_MAX = 4096, /* merged into one */
};

const struct flo_tree_node *flo_schema_resolve(struct flo_schema *s,
                                               const struct flo_tree_node *ref)
{
    const struct flo_tree_node *at = s->items[s->at].top;
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
            for (at = at->first; at != NULL && i > 0 && flo_schema_walk(s, 1); i--) {
                at = at->next;
            }
        } else {
            at = flo_schema_get(s, at, key, bytes);
        }
    }
    return p == end ? at : NULL;
}

const struct flo_tree_node *flo_schema_target(struct flo_schema *s,
                                              const struct flo_tree_node *schema)
{
    for (int i = 0; i < REFS_MAX && FLO_GET(s, schema, "$ref") != NULL; i++) {
        schema = flo_schema_resolve(s, FLO_GET(s, schema, "$ref"));
    }
    return schema;
}

void flo_schema_add(struct flo_schema *s, struct flo_tree_node *to,
                    const struct flo_tree_node *value)
{
    struct flo_tree_node **last = &to->first;

    while (*last != NULL) {
        last = &(*last)->next;
    }
    flo_tree_add(&s->tree, last, value);
}

const struct flo_tree_node *flo_schema_both(struct flo_schema *s, const struct flo_tree_node *a,
                                            const struct flo_tree_node *b)
{
    struct flo_tree_node *list = flo_tree_new(&s->tree, FLO_TREE_ARRAY);
    struct flo_tree_node *all = flo_tree_new(&s->tree, FLO_TREE_OBJECT);

    flo_schema_add(s, list, a);
    flo_schema_add(s, list, b);
    list->key = "allOf";
    list->key_bytes = strlen(list->key);
    flo_schema_add(s, all, list);
    all->key = a->key;
    all->key_bytes = a->key_bytes;
    return all;
}

/* Returns the union of two objects whose members are schemas, or of two lists
 * of names. */
static const struct flo_tree_node *join(struct flo_schema *s, const struct flo_tree_node *a,
                                        const struct flo_tree_node *b)
{
    struct flo_tree_node *out = flo_tree_new(&s->tree, a->kind);
    struct flo_tree_node **last = &out->first;
    const struct flo_tree_node *n, *other;

    for (n = a->first; n != NULL; n = n->next) {
        other = flo_schema_get(s, b, n->key, n->key_bytes);
        last = flo_tree_add(
            &s->tree, last,
            other == NULL || flo_schema_same(s, n, other) ? n : flo_schema_both(s, n, other));
    }
    for (n = b->first; n != NULL; n = n->next) {
        if (flo_schema_get(s, a, n->key, n->key_bytes) == NULL) {
            last = flo_tree_add(&s->tree, last, n);
        }
    }
    return out;
}

/* Adds the constraints of `from` to `to`.  Unknown keywords are refused, so
 * `to` has only known ones. */
static void merge(struct flo_schema *s, struct flo_tree_node *to, const struct flo_tree_node *from)
{
    const struct flo_tree_node *n;

    for (n = from->first; s->rv == 0 && n != NULL; n = n->next) {
        struct flo_tree_node *there;

        if (flo_schema_key_is(n, "$ref") || flo_schema_key_is(n, "allOf") ||
            !flo_schema_constrains(s, n)) {
            continue;
        }
        there = flo_schema_get(s, to, n->key, n->key_bytes);
        if (flo_schema_keyword_types(s, n) < 0) {
            char place[64];

            snprintf(place, sizeof(place), "/%.*s", n->key_bytes < 40 ? (int)n->key_bytes : 40,
                     n->key);
            flo_schema_refuse(s, place, "is not supported");
        } else if (there == NULL) {
            flo_schema_add(s, to, n);
        } else if (flo_schema_same(s, there, n)) {
            continue;
        } else if (n->kind == there->kind &&
                   ((flo_schema_key_is(n, "properties") && n->kind == FLO_TREE_OBJECT) ||
                    (flo_schema_key_is(n, "required") && n->kind == FLO_TREE_ARRAY))) {
            there->first = join(s, there, n)->first;
        } else {
            flo_schema_refuse(s, "/allOf", "two different '%.*s' are not merged",
                              flo_schema_cut(n->key_bytes), n->key);
        }
    }
}

/* Tells whether `part` has properties that additionalProperties of `closed` may
 * forbid or restrict. */
static bool names_extra(struct flo_schema *s, const struct flo_tree_node *closed,
                        const struct flo_tree_node *part)
{
    const struct flo_tree_node *extra = FLO_GET(s, closed, "additionalProperties");
    const struct flo_tree_node *own = FLO_GET(s, closed, "properties");
    const struct flo_tree_node *other = FLO_GET(s, part, "properties");
    bool is_open = extra == NULL || flo_tree_says(extra, true);

    return !is_open && other != NULL && (own == NULL || !flo_schema_same(s, own, other));
}

static void flatten(struct flo_schema *s, const struct flo_tree_node *schema,
                    struct flo_tree_node *to, int depth)
{
    const struct flo_tree_node *ref = FLO_GET(s, schema, "$ref");
    const struct flo_tree_node *all = FLO_GET(s, schema, "allOf");

    if (flo_tree_says(schema, true)) {
        return;
    }
    if (schema->kind != FLO_TREE_OBJECT) {
        flo_schema_refuse(s, "", "no schema that something fits");
    } else if (depth > REFS_MAX) {
        flo_schema_refuse(s, ref != NULL ? "/$ref" : "/allOf", "leads back to itself");
    } else if (s->parts++ == PARTS_MAX) {
        flo_schema_refuse(s, "/allOf", "more than %d parts", PARTS_MAX);
    } else if (ref != NULL && flo_schema_resolve(s, ref) == NULL) {
        flo_schema_refuse(s, "/$ref", "'%.*s' is not in this schema", flo_schema_cut(ref->bytes),
                          ref->text);
    } else if (all != NULL && (all->kind != FLO_TREE_ARRAY || all->first == NULL)) {
        flo_schema_refuse(s, "/allOf", "must be a list of schemas");
    }
    if (s->rv == 0 && ref != NULL) {
        flatten(s, flo_schema_resolve(s, ref), to, depth + 1);
    }
    for (all = flo_tree_first(all); s->rv == 0 && all != NULL; all = all->next) {
        flatten(s, all, to, depth + 1);
    }
    if (s->rv == 0 && (names_extra(s, to, schema) || names_extra(s, schema, to))) {
        flo_schema_refuse(s, "/additionalProperties",
                          "is not merged with the properties of another part");
    }
    if (s->rv == 0) {
        merge(s, to, schema);
    }
}

void flo_schema_flatten(struct flo_schema *s, const struct flo_tree_node *schema,
                        struct flo_tree_node *to)
{
    s->parts = 0;
    flatten(s, schema, to, 0);
}

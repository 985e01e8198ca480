/* Distinct: arrays of different values out of a short list.  A node stands for
 * the set of values that the array has so far.  So n values give up to 2^n
 * nodes, each of which is built once. */
#include <stdlib.h>

#include "engine/grammar/schema/schema.h"

enum {
    VALUES_MAX = 12,
    WAYS_MAX = 6000, /* most edges, each from a set to one with a further value */
};

struct distinct {
    const struct flo_tree_node *values[VALUES_MAX];
    uint32_t rules[VALUES_MAX];
    uint32_t count, least, most;
    uint32_t nodes[1u << VALUES_MAX]; /* node of each set of values; FLO_NOWHERE: not built yet */
};

/* Reads the values that `items` lists.  Returns false if it lists none, or too
 * many. */
static bool read_values(struct flo_schema *s, const struct flo_tree_node *items, struct distinct *d)
{
    struct flo_tree_node *flat = flo_tree_new(&s->tree, FLO_TREE_OBJECT);
    const struct flo_tree_node *n;
    size_t known = 1;
    int types;

    if (items == NULL) {
        return false;
    }
    flo_schema_flatten(s, items, flat);
    types = flo_schema_types(s, flat);
    known += FLO_GET(s, flat, "type") != NULL ? 1 : 0;
    n = flo_tree_first(FLO_GET(s, flat, "enum"));
    for (; n != NULL && s->rv == 0; n = n->next) {
        bool is_new = flo_schema_value_is(n, types);

        for (uint32_t i = 0; i < d->count; i++) {
            is_new = is_new && flo_schema_differ(s, n, d->values[i]);
        }
        if (is_new && d->count == VALUES_MAX) {
            return false;
        }
        if (is_new) {
            d->values[d->count++] = n;
        }
    }
    /* The list must be the only constraint, because another one could exclude
     * values. */
    return d->count > 0 && flo_schema_count(s, flat) == known;
}

/* Counts the edges of the graph: each value is appended to each set without
 * it. */
static uint64_t count_ways(const struct distinct *d)
{
    uint64_t sets = 1, ways = 0;

    for (uint32_t size = 0; size < d->most; size++) {
        ways += sets * (d->count - size);
        sets = sets * (d->count - size) / (size + 1);
    }
    return ways;
}

static void put_set(struct flo_schema *s, struct distinct *d, uint32_t set, uint32_t end)
{
    uint32_t size = (uint32_t)__builtin_popcount(set);
    struct flo_program *p = s->program;
    uint32_t at = d->nodes[set];

    if (size == d->most) {
        p->at = at;
        flo_program_join(p, end);
        return;
    }
    for (uint32_t i = 0; i < d->count; i++) {
        uint32_t next = set | 1u << i;

        if (next == set) {
            continue;
        }
        if (d->nodes[next] == FLO_NOWHERE) {
            d->nodes[next] = flo_program_node(p);
        }
        p->at = at;
        at = flo_program_node(p);
        flo_program_fork(p, at);
        flo_program_text(p, size > 0 ? flo_schema_comma(s) : "");
        flo_program_call(p, d->rules[i]);
        flo_program_join(p, d->nodes[next]);
    }
    if (size >= d->least) {
        p->at = at;
        flo_program_join(p, end);
    }
}

bool flo_schema_distinct(struct flo_schema *s, const struct flo_tree_node *items, uint32_t least,
                         uint32_t most)
{
    struct distinct *d = calloc(1, sizeof(*d));
    struct flo_program *p = s->program;

    if (d == NULL) {
        s->rv = flo_fail(s->err, FLO_E_MEMORY, "an array of distinct values");
        return true;
    }
    if (!read_values(s, items, d)) {
        free(d);
        return false;
    }
    d->least = least;
    d->most = most < d->count ? most : d->count;
    if (d->most < least) {
        flo_schema_refuse(s, "/minItems", "more than there are values");
    } else if (count_ways(d) > WAYS_MAX) {
        flo_schema_refuse(s, "/uniqueItems", "of so many values that differ is not supported");
    }
    for (uint32_t i = 0; i < d->count && s->rv == 0; i++) {
        d->rules[i] = flo_program_rule(p);
        uint32_t back = flo_program_begin(p, d->rules[i]);
        flo_schema_literal(s, d->values[i]);
        flo_program_end(p, back);
    }
    for (uint32_t set = 0; set < 1u << d->count; set++) {
        d->nodes[set] = FLO_NOWHERE;
    }
    flo_program_text(p, "[");
    uint32_t end = flo_program_node(p);
    d->nodes[0] = p->at;
    for (uint32_t set = 0; set < 1u << d->count && s->rv == 0; set++) {
        /* all subsets of the set have smaller numbers, so their nodes exist
         * already */
        if (d->nodes[set] != FLO_NOWHERE) {
            put_set(s, d, set, end);
        }
    }
    p->at = end;
    flo_program_text(p, "]");
    free(d);
    return true;
}

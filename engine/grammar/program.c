/* Program: rules as a graph of bytes, built forwards and checked at the end. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/program.h"
#include "engine/token/unicode.h"

enum { SWEEPS_MAX = 256, LAST_CODE = 0x10ffff };

/* ---- building ---------------------------------------------------------- */

/* Room for one more item of 4-byte-aligned `bytes`; false sets failed. */
static bool grow(struct flo_program *p, void *items, uint32_t count,
                 uint32_t *capacity, uint32_t most, size_t bytes)
{
    void *old, *more;

    if (count < *capacity) {
        return true;
    }
    memcpy(&old, items, sizeof(old));
    uint32_t wanted = *capacity == 0 ? 64 : 2 * *capacity;
    more = count < most ? realloc(old, wanted * bytes) : NULL;
    if (more == NULL) {
        p->failed = true;
        return false;
    }
    memcpy(items, &more, sizeof(more));
    *capacity = wanted;
    return true;
}

uint32_t flo_program_node(struct flo_program *p)
{
    if (p->failed || !grow(p, &p->nodes, p->node_count, &p->node_capacity,
                           FLO_GRAMMAR_NODES_MAX, sizeof(*p->nodes))) {
        return 0;
    }
    p->nodes[p->node_count] = (struct flo_node){.kind = FLO_NODE_OPEN};
    return p->node_count++;
}

uint32_t flo_program_rule(struct flo_program *p)
{
    if (p->failed || !grow(p, &p->starts, p->rule_count, &p->rule_capacity,
                           FLO_GRAMMAR_RULES_MAX, sizeof(*p->starts))) {
        return 0;
    }
    p->starts[p->rule_count] = FLO_NOWHERE;
    return p->rule_count++;
}

static uint32_t fill(struct flo_program *p, uint32_t at, struct flo_node node)
{
    uint32_t next = flo_program_node(p);

    if (!p->failed) {
        node.next = next;
        p->nodes[at] = node;
    }
    return next;
}

static uint32_t add_range(struct flo_program *p, uint32_t at, uint8_t first,
                          uint8_t last)
{
    return fill(p, at,
                (struct flo_node){
                    .kind = FLO_NODE_BYTES, .first = first, .last = last});
}

uint32_t flo_program_bytes(struct flo_program *p, uint32_t at,
                           const void *bytes, size_t count)
{
    const uint8_t *b = bytes;

    for (size_t i = 0; i < count; i++) {
        at = add_range(p, at, b[i], b[i]);
    }
    return at;
}

uint32_t flo_program_call(struct flo_program *p, uint32_t at, uint32_t rule)
{
    return fill(p, at, (struct flo_node){.kind = FLO_NODE_CALL, .other = rule});
}

uint32_t flo_program_fork(struct flo_program *p, uint32_t at, uint32_t *other)
{
    *other = flo_program_node(p);
    return fill(p, at,
                (struct flo_node){.kind = FLO_NODE_FORK, .other = *other});
}

void flo_program_join(struct flo_program *p, uint32_t at, uint32_t to)
{
    if (!p->failed) {
        p->nodes[at] =
            (struct flo_node){.kind = FLO_NODE_FORK, .next = to, .other = to};
    }
}

void flo_program_end(struct flo_program *p, uint32_t at)
{
    if (!p->failed) {
        p->nodes[at].kind = FLO_NODE_END;
    }
}

uint32_t flo_program_repeat(struct flo_program *p, uint32_t at, uint32_t rule,
                            uint32_t least, uint32_t most)
{
    uint32_t out;

    for (uint32_t i = 0; i < least && !p->failed; i++) {
        at = flo_program_call(p, at, rule);
    }
    if (most == UINT32_MAX) {
        uint32_t again = flo_program_fork(p, at, &out);
        flo_program_join(p, flo_program_call(p, again, rule), at);
        return out;
    }
    out = flo_program_node(p);
    for (uint32_t i = least; i < most && !p->failed; i++) {
        uint32_t skip;
        at = flo_program_fork(p, at, &skip);
        flo_program_join(p, skip, out);
        at = flo_program_call(p, at, rule);
    }
    flo_program_join(p, at, out);
    return out;
}

void flo_program_deinit(struct flo_program *p)
{
    free(p->nodes);
    free(p->starts);
    *p = (struct flo_program){0};
}

/* ---- characters ---------------------------------------------------------- */

static int by_first(const void *a, const void *b)
{
    const struct flo_code_range *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

size_t flo_code_ranges_sort(struct flo_code_range *ranges, size_t count)
{
    size_t kept = 0;

    qsort(ranges, count, sizeof(*ranges), by_first);
    for (size_t i = 0; i < count; i++) {
        struct flo_code_range *before = &ranges[kept - (kept > 0)];

        if (kept > 0 && ranges[i].first <= before->last + 1) {
            before->last =
                ranges[i].last > before->last ? ranges[i].last : before->last;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

size_t flo_code_ranges_negate(const struct flo_code_range *ranges, size_t count,
                              struct flo_code_range *out)
{
    uint32_t from = 0;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first > from) {
            out[kept++] = (struct flo_code_range){from, ranges[i].first - 1};
        }
        from = ranges[i].last + 1;
    }
    if (from <= LAST_CODE) {
        out[kept++] = (struct flo_code_range){from, LAST_CODE};
    }
    return kept;
}

/* Both ends have the same length in UTF-8; from `at` to `out`. */
static uint32_t add_sequences(struct flo_program *p, uint32_t at, uint32_t out,
                              uint32_t first, uint32_t last)
{
    char a[4], b[4];
    size_t bytes = flo_utf8_put(first, a);

    for (size_t i = 1; i < bytes; i++) {
        uint32_t low = (1u << 6 * i) - 1;

        if ((first & ~low) == (last & ~low)) {
            continue;
        }
        if ((first & low) != 0) {
            at = add_sequences(p, at, out, first, first | low);
            return add_sequences(p, at, out, (first | low) + 1, last);
        }
        if ((last & low) != low) {
            at = add_sequences(p, at, out, first, (last & ~low) - 1);
            return add_sequences(p, at, out, last & ~low, last);
        }
    }
    flo_utf8_put(last, b);
    uint32_t rest, here = flo_program_fork(p, at, &rest);
    for (size_t i = 0; i < bytes; i++) {
        here = add_range(p, here, (uint8_t)a[i], (uint8_t)b[i]);
    }
    flo_program_join(p, here, out);
    return rest;
}

uint32_t flo_program_class(struct flo_program *p, uint32_t at,
                           const struct flo_code_range *ranges, size_t count)
{
    /* Where the length in UTF-8 changes, and the surrogates. */
    static const struct flo_code_range lengths[] = {{0, 0x7f},
                                                    {0x80, 0x7ff},
                                                    {0x800, 0xd7ff},
                                                    {0xe000, 0xffff},
                                                    {0x10000, LAST_CODE}};
    uint32_t out = flo_program_node(p);

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < FLO_COUNT(lengths); k++) {
            uint32_t first = ranges[i].first, last = ranges[i].last;

            first = first > lengths[k].first ? first : lengths[k].first;
            last = last < lengths[k].last ? last : lengths[k].last;
            if (first <= last) {
                at = add_sequences(p, at, out, first, last);
            }
        }
    }
    return out;
}

/* ---- checking ------------------------------------------------------------ */

static void make_classes(struct flo_program *p)
{
    bool cuts[257] = {false};
    uint32_t found = 0;

    for (uint32_t i = 0; i < p->node_count; i++) {
        if (p->nodes[i].kind == FLO_NODE_BYTES) {
            cuts[p->nodes[i].first] = true;
            cuts[p->nodes[i].last + 1] = true;
        }
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        found += byte > 0 && cuts[byte];
        if (byte == 0 || cuts[byte]) {
            p->byte_of[found] = (uint8_t)byte;
        }
        p->class_of[byte] = (uint8_t)found;
    }
    p->class_count = found + 1;
}

/* Which nodes can reach the end of their rule without a byte; false when the
 * rules hang together in too long a chain. */
static bool find_empty(const struct flo_program *p, bool *is_empty)
{
    for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        bool changed = false;

        for (uint32_t i = p->node_count; i-- > 0;) {
            const struct flo_node *n = &p->nodes[i];
            bool now = n->kind == FLO_NODE_END ||
                       (n->kind == FLO_NODE_FORK &&
                        (is_empty[n->next] || is_empty[n->other])) ||
                       (n->kind == FLO_NODE_CALL && is_empty[n->next] &&
                        is_empty[p->starts[n->other]]);

            changed = changed || now != is_empty[i];
            is_empty[i] = now;
        }
        if (!changed) {
            return true;
        }
    }
    return false;
}

/* Rules that `rule` may call before its first byte, to `out`; how many.  Each
 * node is in one rule, so all calls of this together take linear time. */
static uint32_t first_calls(const struct flo_program *p, uint32_t rule,
                            const bool *is_empty, bool *was_seen,
                            uint32_t *stack, uint32_t *out)
{
    uint32_t depth = 0, found = 0;

    stack[depth++] = p->starts[rule];
    while (depth > 0) {
        uint32_t at = stack[--depth];
        const struct flo_node *n = &p->nodes[at];

        if (was_seen[at]) {
            continue;
        }
        was_seen[at] = true;
        if (n->kind == FLO_NODE_CALL) {
            out[found++] = n->other;
        }
        if (n->kind == FLO_NODE_FORK ||
            (n->kind == FLO_NODE_CALL && is_empty[p->starts[n->other]])) {
            stack[depth++] = n->next;
        }
        if (n->kind == FLO_NODE_FORK) {
            stack[depth++] = n->other;
        }
    }
    return found;
}

/* A rule that is on a cycle of first calls or called from one, or none. */
static uint32_t find_cycle(const struct flo_program *p, const uint32_t *edges,
                           const uint32_t *begins, uint32_t *called,
                           uint32_t *queue)
{
    uint32_t waiting = 0, done = 0;

    for (uint32_t e = 0; e < begins[p->rule_count]; e++) {
        called[edges[e]]++;
    }
    for (uint32_t r = 0; r < p->rule_count; r++) {
        if (called[r] == 0) {
            queue[waiting++] = r;
        }
    }
    for (; done < waiting; done++) {
        uint32_t rule = queue[done];
        for (uint32_t e = begins[rule]; e < begins[rule + 1]; e++) {
            if (--called[edges[e]] == 0) {
                queue[waiting++] = edges[e];
            }
        }
    }
    for (uint32_t r = 0; r < p->rule_count; r++) {
        if (called[r] != 0) {
            return r;
        }
    }
    return FLO_NOWHERE;
}

int flo_program_finish(struct flo_program *p, struct flo_err *err)
{
    size_t nodes = p->node_count + 1, rules = p->rule_count + 1;
    bool *is_empty = calloc(2 * nodes, sizeof(*is_empty));
    uint32_t *room = calloc(3 * nodes + 3 * rules, sizeof(*room));
    int rv = 0;

    if (is_empty == NULL || room == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "a grammar of %zu nodes", nodes);
    } else if (!find_empty(p, is_empty)) {
        rv = flo_fail(err, FLO_E_INFER_PARAM,
                      "rules refer to each other in a chain of more than %d",
                      SWEEPS_MAX);
    } else {
        uint32_t *edges = room, *stack = room + nodes;
        uint32_t *begins = room + 3 * nodes;

        for (uint32_t r = 0; r < p->rule_count; r++) {
            begins[r + 1] =
                begins[r] + first_calls(p, r, is_empty, is_empty + nodes, stack,
                                        edges + begins[r]);
        }
        p->cycle =
            find_cycle(p, edges, begins, begins + rules, begins + 2 * rules);
        make_classes(p);
        if (p->cycle != FLO_NOWHERE) {
            rv = flo_fail(err, FLO_E_INFER_PARAM,
                          "left recursion: a rule begins with itself");
        }
    }
    free(is_empty);
    free(room);
    return rv;
}

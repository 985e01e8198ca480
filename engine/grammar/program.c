/* Program: builds rules as a graph of bytes, and checks the finished graph. */
#include "engine/grammar/program.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/token/unicode.h"

enum { SWEEPS_MAX = 256, LAST_CODE = 0x10ffff };

/* ---- building ---- */

void flo_program_init(struct flo_program *p)
{
    memset(p, 0, offsetof(struct flo_program, nodes));
}

uint32_t flo_program_node(struct flo_program *p)
{
    p->failed = p->failed || p->node_count == FLO_GRAMMAR_NODES_MAX;
    if (p->failed) {
        return 0;
    }
    p->nodes[p->node_count] = (struct flo_node){.kind = FLO_NODE_OPEN};
    return p->node_count++;
}

uint32_t flo_program_rule(struct flo_program *p)
{
    p->failed = p->failed || p->rule_count == FLO_GRAMMAR_RULES_MAX;
    if (p->failed) {
        return 0;
    }
    p->starts[p->rule_count] = FLO_NOWHERE;
    return p->rule_count++;
}

/* Gives the open node its content. */
static void put(struct flo_program *p, struct flo_node node)
{
    if (!p->failed) {
        p->nodes[p->at] = node;
    }
}

/* Gives the open node its content, and opens a new node after it. */
static void extend(struct flo_program *p, struct flo_node node)
{
    node.next = flo_program_node(p);
    put(p, node);
    p->at = node.next;
}

uint32_t flo_program_begin(struct flo_program *p, uint32_t rule)
{
    uint32_t back = p->at;

    p->at = p->starts[rule] = flo_program_node(p);
    return back;
}

void flo_program_end(struct flo_program *p, uint32_t back)
{
    put(p, (struct flo_node){.kind = FLO_NODE_END});
    p->at = back;
}

void flo_program_span(struct flo_program *p, uint8_t first, uint8_t last)
{
    extend(p, (struct flo_node){.kind = FLO_NODE_BYTES, .first = first, .last = last});
}

void flo_program_bytes(struct flo_program *p, const void *bytes, size_t count)
{
    const uint8_t *b = bytes;

    for (size_t i = 0; i < count; i++) {
        flo_program_span(p, b[i], b[i]);
    }
}

void flo_program_text(struct flo_program *p, const char *text)
{
    flo_program_bytes(p, text, strlen(text));
}

void flo_program_call(struct flo_program *p, uint32_t rule)
{
    extend(p, (struct flo_node){.kind = FLO_NODE_CALL, .other = rule});
}

void flo_program_fork(struct flo_program *p, uint32_t other)
{
    extend(p, (struct flo_node){.kind = FLO_NODE_FORK, .other = other});
}

void flo_program_join(struct flo_program *p, uint32_t to)
{
    put(p, (struct flo_node){.kind = FLO_NODE_FORK, .next = to, .other = to});
}

void flo_program_repeat(struct flo_program *p, uint32_t rule, uint32_t least, uint32_t most)
{
    for (uint32_t i = 0; i < least && !p->failed; i++) {
        flo_program_call(p, rule);
    }
    uint32_t from = p->at, out = flo_program_node(p);
    if (most == UINT32_MAX) {
        flo_program_fork(p, out);
        flo_program_call(p, rule);
        put(p, (struct flo_node){.kind = FLO_NODE_AGAIN, .next = from, .other = from});
    } else {
        for (uint32_t i = least; i < most && !p->failed; i++) {
            flo_program_fork(p, out);
            flo_program_call(p, rule);
        }
        flo_program_join(p, out);
    }
    p->at = out;
}

void flo_choice_begin(struct flo_program *p, struct flo_choice *choice)
{
    *choice = (struct flo_choice){.rest = p->at, .out = flo_program_node(p)};
}

void flo_choice_next(struct flo_program *p, struct flo_choice *choice)
{
    if (choice->count++ > 0) {
        flo_program_join(p, choice->out);
    }
    p->at = choice->rest;
    choice->rest = flo_program_node(p);
    flo_program_fork(p, choice->rest);
}

/* Ends the alternatives.  The node `rest` stays open, so nothing matches
 * there. */
void flo_choice_end(struct flo_program *p, struct flo_choice *choice)
{
    if (choice->count > 0) {
        flo_program_join(p, choice->out);
    }
    p->at = choice->out;
}

/* ---- characters and numbers ---- */

void flo_code_set_add(struct flo_code_set *set, uint32_t first, uint32_t last)
{
    set->failed = set->failed || last < first || set->count >= FLO_CODE_RANGES_MAX;
    if (!set->failed) {
        set->ranges[set->count++] = (struct flo_code_range){first, last};
    }
}

static int by_first(const void *a, const void *b)
{
    const struct flo_code_range *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

/* Replaces the set by its complement: the gaps between its ranges, in order.  A
 * set that touches neither end of the code space gets one range more, for which
 * the struct has a spare one.  A negated set touches both ends, so negating it
 * again removes a range. */
void flo_code_set_negate(struct flo_code_set *set)
{
    size_t count = set->count, kept = 0;
    uint32_t from = 0;

    qsort(set->ranges, count, sizeof(set->ranges[0]), by_first);
    for (size_t i = 0; i < count; i++) {
        struct flo_code_range r = set->ranges[i];

        if (r.first > from) {
            set->ranges[kept++] = (struct flo_code_range){from, r.first - 1};
        }
        from = r.last >= from ? r.last + 1 : from;
    }
    if (from <= LAST_CODE) {
        set->ranges[kept++] = (struct flo_code_range){from, LAST_CODE};
    }
    set->count = kept;
}

typedef size_t write_fn(uint64_t number, char out[24]);

static size_t write_utf8(uint64_t number, char out[24])
{
    return flo_utf8_put((uint32_t)number, out);
}

static size_t write_decimal(uint64_t number, char out[24])
{
    return (size_t)snprintf(out, 24, "%" PRIu64, number);
}

/* Appends the numbers from first to last, which have equally many digits of
 * `base`.  The span is split until each digit has a range of its own. */
static void add_span(struct flo_program *p, struct flo_choice *choice, uint64_t first,
                     uint64_t last, uint32_t base, write_fn *write)
{
    char a[24], b[24];
    size_t digits = write(first, a);
    uint64_t unit = base;

    for (size_t i = 1; i < digits && first / unit != last / unit; i++, unit *= base) {
        uint64_t split = first % unit != 0        ? first + unit - first % unit
                         : (last + 1) % unit != 0 ? last - last % unit
                                                  : 0;

        if (split != 0) {
            add_span(p, choice, first, split - 1, base, write);
            add_span(p, choice, split, last, base, write);
            return;
        }
    }
    write(last, b);
    flo_choice_next(p, choice);
    for (size_t i = 0; i < digits; i++) {
        flo_program_span(p, (uint8_t)a[i], (uint8_t)b[i]);
    }
}

void flo_program_class(struct flo_program *p, struct flo_code_set *set)
{
    /* Ranges of code points with the same length in UTF-8, without
     * surrogates. */
    static const uint32_t lengths[][2] = {
        {0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, LAST_CODE}};
    struct flo_choice choice;

    if (p->failed) {
        return; /* returns early, because sorting would take long */
    }
    flo_code_set_negate(set);
    flo_code_set_negate(set); /* after two negations the set is sorted and has no duplicates */
    flo_choice_begin(p, &choice);
    for (size_t i = 0; i < set->count; i++) {
        for (size_t k = 0; k < FLO_COUNT(lengths); k++) {
            uint32_t first = set->ranges[i].first, last = set->ranges[i].last;

            first = first > lengths[k][0] ? first : lengths[k][0];
            last = last < lengths[k][1] ? last : lengths[k][1];
            if (first <= last) {
                add_span(p, &choice, first, last, 64, write_utf8);
            }
        }
    }
    flo_choice_end(p, &choice);
}

void flo_program_decimal(struct flo_program *p, uint64_t low, uint64_t high)
{
    struct flo_choice choice;
    uint64_t first = low, next = 10;

    flo_choice_begin(p, &choice);
    for (; first <= high; first = next > low ? next : low, next *= 10) {
        if (first < next) {
            add_span(p, &choice, first, high < next ? high : next - 1, 10, write_decimal);
        }
    }
    flo_choice_end(p, &choice);
}

/* ---- checking ---- */

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
        p->class_of[byte] = (uint8_t)found;
    }
    p->class_count = found + 1;
}

enum {
    MARK_EMPTY = 1, /* the end of the rule can be reached from the node without a byte */
    /* Every path from the node reads a byte or ends the rule.  So no left
     * recursion begins there. */
    MARK_GROUNDED = 2,
};

static bool marked(const struct flo_program *p, uint32_t node, uint8_t mark)
{
    return (p->nodes[node].marks & mark) != 0;
}

/* Returns the node of a FORK's second branch, or the start of a CALL's rule. */
static uint32_t other_of(const struct flo_program *p, const struct flo_node *n)
{
    return n->kind == FLO_NODE_CALL ? p->starts[n->other] : n->other;
}

static bool is_empty(const struct flo_program *p, const struct flo_node *n)
{
    bool next = marked(p, n->next, MARK_EMPTY);
    bool other = marked(p, other_of(p, n), MARK_EMPTY);

    return n->kind == FLO_NODE_END || (n->kind == FLO_NODE_CALL && next && other) ||
           ((n->kind == FLO_NODE_FORK || n->kind == FLO_NODE_AGAIN) && (next || other));
}

/* Tells whether a node is grounded (MARK_GROUNDED).  AGAIN counts as grounded,
 * because it only leads back to its own repetition. */
static bool is_grounded(const struct flo_program *p, const struct flo_node *n)
{
    bool next = marked(p, n->next, MARK_GROUNDED);
    bool other = marked(p, other_of(p, n), MARK_GROUNDED);

    if (n->kind == FLO_NODE_CALL) {
        return other && (next || !marked(p, other_of(p, n), MARK_EMPTY));
    }
    return n->kind != FLO_NODE_FORK || (next && other);
}

/* Marks all nodes for which `holds`, until nothing changes.  Returns false if
 * rules depend on each other in too long a chain. */
static bool mark_all(struct flo_program *p, uint8_t mark,
                     bool (*holds)(const struct flo_program *, const struct flo_node *))
{
    for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        bool has_changed = false;

        for (uint32_t i = p->node_count; i-- > 0;) {
            if (!marked(p, i, mark) && holds(p, &p->nodes[i])) {
                p->nodes[i].marks |= mark;
                has_changed = true;
            }
        }
        if (!has_changed) {
            return true;
        }
    }
    return false;
}

/* Returns the lowest rule of the left-recursive cycle that a rule leads to.
 * The rule must not be grounded.  Each node that is not grounded leads to
 * another such node, so after node_count steps the path is in the cycle. */
static uint32_t find_cycle(const struct flo_program *p, uint32_t rule)
{
    uint32_t at = p->starts[rule], found = FLO_NOWHERE;

    for (uint32_t i = 0; i < 2 * p->node_count; i++) {
        const struct flo_node *n = &p->nodes[at];

        at = other_of(p, n);
        if (marked(p, at, MARK_GROUNDED)) {
            at = n->next;
        } else if (n->kind == FLO_NODE_CALL && i >= p->node_count && n->other < found) {
            found = n->other;
        }
    }
    return found;
}

const char *flo_program_finish(struct flo_program *p, uint32_t *rule)
{
    *rule = FLO_NOWHERE;
    if (p->failed) {
        return "more than 32768 nodes or 16384 rules";
    }
    for (uint32_t r = 0; r < p->rule_count; r++) {
        if (p->starts[r] == FLO_NOWHERE) {
            *rule = r;
            return "is called, but not there";
        }
    }
    if (!mark_all(p, MARK_EMPTY, is_empty) || !mark_all(p, MARK_GROUNDED, is_grounded)) {
        return "rules refer to each other in a chain of more than 256";
    }
    for (uint32_t r = 0; r < p->rule_count; r++) {
        if (!marked(p, p->starts[r], MARK_GROUNDED)) {
            *rule = find_cycle(p, r);
            return "is left recursive";
        }
    }
    make_classes(p);
    return NULL;
}

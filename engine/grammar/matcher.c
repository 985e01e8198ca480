/* Matcher: builds the readings, stacks and states of a program. */
#include "engine/grammar/matcher.h"

#include <stdlib.h>
#include <string.h>

static uint32_t hash_pair(uint32_t a, uint32_t b)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;

    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 52);
}

uint64_t flo_matcher_bytes(uint32_t n_vocab)
{
    return sizeof(struct flo_matcher) + FLO_MASKS_MAX * flo_mask_words(n_vocab) * sizeof(uint64_t);
}

/* Drops all states but the dead one, and all stacks but the empty one. */
static void clear(struct flo_matcher *m)
{
    memset(m->state_slots, 0, sizeof(m->state_slots));
    memset(m->stack_slots, 0, sizeof(m->stack_slots));
    memset(m->mask_states, 0, sizeof(m->mask_states));
    m->state_count = 1;
    m->stack_count = 1;
    m->reading_count = m->step_count = 0;
    m->forgotten = m->work;
}

int flo_matcher_open(struct flo_program *program, const struct flo_pieces *pieces, uint32_t n_vocab,
                     struct flo_matcher **out, struct flo_err *err)
{
    /* The pages are zeroed; those of states that are never reached take no
     * memory. */
    struct flo_matcher *m = calloc(1, (size_t)flo_matcher_bytes(n_vocab));

    if (m == NULL) {
        free(program);
        return flo_fail(err, FLO_E_MEMORY, "a grammar's states");
    }
    m->program = program;
    m->pieces = pieces;
    m->n_vocab = n_vocab;
    m->visits_max = FLO_VISITS_MIN;
    m->state_count = m->stack_count = 1;
    *out = m;
    return 0;
}

void flo_matcher_close(struct flo_matcher *m)
{
    if (m != NULL) {
        free(m->program);
        free(m);
    }
}

struct flo_program *flo_matcher_swap(struct flo_matcher *m, struct flo_program *program)
{
    struct flo_program *before = m->program;

    clear(m);
    m->program = program;
    m->is_ambiguous = false;
    return before;
}

/* ---- stacks ---- */

/* Returns the stack with `node` on top of `below`.  An existing one is used
 * again.  Returns 0, which is also the empty stack, if there is no room. */
static uint32_t find_stack(struct flo_matcher *m, uint32_t node, uint32_t below)
{
    const uint32_t mask = FLO_COUNT(m->stack_slots) - 1;
    uint32_t at = hash_pair(node, below) & mask;

    for (; m->stack_slots[at] != 0; at = (at + 1) & mask) {
        const struct flo_stack *s = &m->stacks[0][m->stack_slots[at]];
        if (s->node == node && s->below == below) {
            return m->stack_slots[at];
        }
    }
    if (m->stack_count == FLO_STACKS_MAX) {
        return 0;
    }
    m->stacks[0][m->stack_count] =
        (struct flo_stack){node, below, below == 0 ? 1 : m->stacks[0][below].depth + 1};
    m->stack_slots[at] = (uint16_t)m->stack_count;
    return m->stack_count++;
}

/* Tells whether the rule ends at this node without a choice. */
static bool is_tail(const struct flo_program *p, uint32_t node)
{
    const struct flo_node *n = &p->nodes[node];

    for (int i = 0; i < 8 && n->kind == FLO_NODE_FORK && n->next == n->other; i++) {
        n = &p->nodes[n->next];
    }
    return n->kind == FLO_NODE_END;
}

/* ---- closing a set over what needs no byte ---- */

/* A set of readings that is being collected.  They are stored behind the
 * readings of all states. */
struct closure {
    struct flo_matcher *m;
    uint32_t visits, found;
    bool may_end, is_full;
};

static void push(struct closure *c, uint32_t node, uint32_t stack)
{
    struct flo_matcher *m = c->m;
    const uint32_t mask = 2 * m->visits_max - 1;
    uint32_t at = hash_pair(node, stack) & mask, i;

    for (; (i = m->visited[at]) < c->visits && m->visit_slots[i] == at; at = (at + 1) & mask) {
        if (m->visits[i].node == node && m->visits[i].stack == stack) {
            return;
        }
    }
    if (c->visits == FLO_VISITS_MAX) {
        m->is_ambiguous = true;
        return;
    }
    if (c->visits == m->visits_max) { /* moves all readings to a table of twice the size */
        uint32_t count = c->visits;
        m->visits_max *= 2;
        for (c->visits = 0; c->visits < count;) {
            push(c, m->visits[c->visits].node, m->visits[c->visits].stack);
        }
        push(c, node, stack);
        return;
    }
    m->visits[c->visits] = (struct flo_reading){node, stack};
    m->visit_slots[c->visits] = (uint16_t)at;
    m->visited[at] = (uint16_t)c->visits++;
}

/* Adds the reading at the start of a called rule.  A call deeper than the limit
 * is dropped, so a text that needs it does not fit. */
static void call(struct closure *c, const struct flo_node *n, uint32_t stack)
{
    struct flo_matcher *m = c->m;

    if (!is_tail(m->program, n->next)) {
        if (stack != 0 && m->stacks[0][stack].depth == FLO_STACK_DEPTH_MAX) {
            return;
        }
        stack = find_stack(m, n->next, stack);
        if (stack == 0) {
            c->is_full = true;
            return;
        }
    }
    push(c, m->program->starts[n->other], stack);
}

/* Adds all readings that can be reached from those of the set without a
 * byte. */
static void close_over(struct closure *c)
{
    struct flo_matcher *m = c->m;

    for (uint32_t i = 0; i < c->visits && !c->is_full; i++) {
        struct flo_reading r = m->visits[i];
        const struct flo_node *n = &m->program->nodes[r.node];

        switch ((enum flo_node_kind)n->kind) {
        case FLO_NODE_OPEN:
            break;
        case FLO_NODE_BYTES:
            c->is_full = m->reading_count + c->found == FLO_READINGS_MAX;
            if (!c->is_full) {
                m->readings[m->reading_count + c->found++] = r;
            }
            break;
        case FLO_NODE_FORK:
        case FLO_NODE_AGAIN:
            push(c, n->next, r.stack);
            push(c, n->other, r.stack);
            break;
        case FLO_NODE_CALL:
            call(c, n, r.stack);
            break;
        case FLO_NODE_END:
            if (r.stack == 0) {
                c->may_end = true;
            } else {
                push(c, m->stacks[0][r.stack].node, m->stacks[0][r.stack].below);
            }
            break;
        }
    }
}

/* ---- states ---- */

static int by_node(const void *a, const void *b)
{
    const struct flo_reading *x = a, *y = b;

    return x->node != y->node     ? (x->node > y->node) - (x->node < y->node)
           : x->stack != y->stack ? (x->stack > y->stack) - (x->stack < y->stack)
                                  : 0;
}

static int forced_byte(const struct closure *c)
{
    const struct flo_program *p = c->m->program;
    const struct flo_reading *found = &c->m->readings[c->m->reading_count];
    int byte = -1;

    for (uint32_t i = 0; i < c->found && !c->may_end; i++) {
        const struct flo_node *n = &p->nodes[found[i].node];
        if (n->first != n->last || (byte >= 0 && byte != n->first)) {
            return -1;
        }
        byte = n->first;
    }
    return byte;
}

/* Returns the state with the readings of the collected set.  An existing one is
 * used again. */
static uint32_t find_state(struct closure *c)
{
    struct flo_matcher *m = c->m;
    const uint32_t mask = FLO_COUNT(m->state_slots) - 1;
    struct flo_reading *found = &m->readings[m->reading_count];
    size_t bytes = c->found * sizeof(*found);
    uint32_t at, classes = m->program->class_count;

    if (c->is_full) {
        return FLO_STATE_FULL;
    }
    if (c->found == 0 && !c->may_end) {
        return FLO_STATE_DEAD;
    }
    qsort(found, c->found, sizeof(*found), by_node);
    at = flo_crc32c(c->may_end, found, bytes) & mask;
    for (; m->state_slots[at] != 0; at = (at + 1) & mask) {
        const struct flo_state *s = &m->states[m->state_slots[at]];
        if (s->count == c->found && s->may_end == c->may_end &&
            memcmp(&m->readings[s->first], found, bytes) == 0) {
            return m->state_slots[at];
        }
    }
    if (m->state_count == FLO_STATES_MAX || m->step_count + classes > FLO_STEPS_MAX) {
        return FLO_STATE_FULL;
    }
    m->states[m->state_count] = (struct flo_state){
        .first = m->reading_count,
        .count = (uint16_t)c->found,
        .steps = m->step_count,
        .forced = (int16_t)forced_byte(c),
        .may_end = c->may_end,
    };
    memset(&m->steps[m->step_count], 0xff, classes * sizeof(m->steps[0]));
    m->reading_count += c->found;
    m->step_count += classes;
    m->state_slots[at] = (uint16_t)m->state_count;
    return m->state_count++;
}

uint32_t flo_matcher_start(struct flo_matcher *m)
{
    uint32_t state = FLO_STATE_FULL;

    for (int attempt = 0; attempt < 2 && state == FLO_STATE_FULL; attempt++) {
        struct closure c = {.m = m};

        if (attempt > 0) {
            clear(m);
        }
        push(&c, m->program->starts[m->program->root], 0);
        close_over(&c);
        state = find_state(&c);
    }
    m->is_ambiguous = m->is_ambiguous || state == FLO_STATE_FULL;
    return state == FLO_STATE_FULL ? FLO_STATE_DEAD : state;
}

uint32_t flo_matcher_step(struct flo_matcher *m, uint32_t state, uint8_t byte)
{
    const struct flo_state *s = &m->states[state];
    uint16_t *step = &m->steps[s->steps + m->program->class_of[byte]];
    struct closure c = {.m = m};

    if (state == FLO_STATE_DEAD || *step != FLO_STATE_FULL) {
        return state == FLO_STATE_DEAD ? FLO_STATE_DEAD : *step;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const struct flo_reading *r = &m->readings[s->first + i];
        const struct flo_node *n = &m->program->nodes[r->node];

        if (byte >= n->first && byte <= n->last) {
            push(&c, n->next, r->stack);
        }
    }
    close_over(&c);
    m->work += s->count + c.visits;
    return *step = (uint16_t)find_state(&c);
}

/* ---- making room ---- */

/* Copies a stack from the old table to the new one, and returns its new
 * number. */
static uint32_t move_stack(struct flo_matcher *m, uint32_t old)
{
    uint32_t chain[FLO_STACK_DEPTH_MAX + 1], depth = 0, stack = 0;

    for (; old != 0; old = m->stacks[1][old].below) {
        chain[depth++] = m->stacks[1][old].node;
    }
    while (depth > 0) {
        stack = find_stack(m, chain[--depth], stack);
    }
    return stack;
}

uint32_t flo_matcher_drop(struct flo_matcher *m, uint32_t state)
{
    const struct flo_state *s = &m->states[state];
    struct closure c = {.m = m, .found = s->count, .may_end = s->may_end};

    if (state == FLO_STATE_DEAD) {
        clear(m);
        return state;
    }
    memmove(m->readings, &m->readings[s->first], c.found * sizeof(m->readings[0]));
    memcpy(m->stacks[1], m->stacks[0], sizeof(m->stacks[0]));
    clear(m);
    for (uint32_t i = 0; i < c.found; i++) {
        m->readings[i].stack = move_stack(m, m->readings[i].stack);
    }
    return find_state(&c);
}

bool flo_matcher_walk(struct flo_matcher *m, uint32_t *state, const void *bytes, size_t count)
{
    const uint8_t *b = bytes;
    uint32_t at = FLO_STATE_FULL;

    for (int attempt = 0; attempt < 2 && at == FLO_STATE_FULL; attempt++) {
        if (attempt > 0) {
            *state = flo_matcher_drop(m, *state);
        }
        at = *state;
        for (size_t i = 0; i < count && at != FLO_STATE_DEAD && at != FLO_STATE_FULL; i++) {
            at = flo_matcher_step(m, at, b[i]);
        }
    }
    if (at == FLO_STATE_DEAD || at == FLO_STATE_FULL) {
        m->is_ambiguous = m->is_ambiguous || at == FLO_STATE_FULL;
        return false;
    }
    *state = at;
    return true;
}

/* Automaton: a table of states, each of which stands for the steps that a
 * backtracking engine would try from one place, in their order.
 *
 * A state's list ends after a match, because later steps never count then.  A
 * lookahead stays in the list until the next character is known; so a match is
 * told with the character after it.
 *
 * Method: R. Cox, "Regular Expression Matching: the Virtual Machine Approach"
 * (2009) and "Regular Expression Matching in the Wild" (2010). */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/expression/automaton.h"

#define LISTS_MAX (1u << 20) /* most steps of all states' lists together */
#define WORK_MAX (1u << 24)  /* most steps looked at while states are made */
#define TABLE_BYTES_MAX (FLO_EXPRESSION_BYTES_MAX / 2)
#define SLOTS (4 * FLO_STATES_MAX)
#define UNKNOWN UINT32_MAX /* no class: the next character is not known */

struct state {
    uint32_t at; /* the first step of its list in `lists` */
    uint32_t count;
};

struct maker {
    const struct flo_regex_act *program;
    uint32_t program_count, class_count;
    struct state states[FLO_STATES_MAX];
    uint32_t state_count;
    uint16_t slots[SLOTS]; /* state + 1 by the hash of its list */
    uint16_t *lists;       /* [LISTS_MAX] */
    uint32_t list_count;
    /* [FLO_ACTS_MAX]: the round in which a step was added last */
    uint32_t seen[FLO_ACTS_MAX], resolved[FLO_ACTS_MAX];
    uint32_t round;
    uint16_t stack[2 * FLO_ACTS_MAX];
    uint16_t next[FLO_ACTS_MAX], known[FLO_ACTS_MAX]; /* lists that are being made */
    uint32_t next_count, known_count;
    bool is_cut; /* the list ended with a match */
    uint64_t work;
};

/* Appends to `list` the steps that read, look ahead or match, which are reached
 * from `step` without reading.  If the class of the next character is known,
 * lookaheads are decided. */
static void follow(struct maker *m, uint16_t step, uint32_t class, uint32_t *seen, uint16_t *list,
                   uint32_t *count)
{
    uint32_t depth = 0;
    m->stack[depth++] = step;
    while (depth > 0) {
        uint16_t at = m->stack[--depth];
        const struct flo_regex_act *s = &m->program[at];
        m->work++;
        if (seen[at] == m->round) {
            continue;
        }
        seen[at] = m->round;
        if (s->kind == FLO_ACT_FORK) {
            if (s->otherwise != s->to) {
                m->stack[depth++] = s->otherwise;
            }
            m->stack[depth++] = s->to;
        } else if (s->kind == FLO_ACT_AHEAD && class != UNKNOWN) {
            if ((s->mask >> class & 1) != 0) {
                m->stack[depth++] = (uint16_t)(at + 1);
            }
        } else {
            list[(*count)++] = at;
        }
    }
}

/* Appends what is reached from a step to the next state's list. */
static void extend(struct maker *m, uint16_t step)
{
    uint32_t from = m->next_count;
    follow(m, step, UNKNOWN, m->seen, m->next, &m->next_count);
    for (uint32_t i = from; i < m->next_count && !m->is_cut; i++) {
        m->is_cut = m->program[m->next[i]].kind == FLO_ACT_MATCH;
        m->next_count = m->is_cut ? i + 1 : m->next_count;
    }
}

static uint32_t hash_list(const uint16_t *list, uint32_t count)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < count; i++) {
        hash = (hash ^ list[i]) * 16777619u;
    }
    return hash ^ hash >> 15;
}

/* Returns the state of the list `next`, which may be new; UINT16_MAX if there
 * are too many. */
static uint16_t state_of_next(struct maker *m)
{
    uint32_t slot = hash_list(m->next, m->next_count) % SLOTS;
    for (; m->slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        const struct state *s = &m->states[m->slots[slot] - 1];
        if (s->count == m->next_count &&
            memcmp(&m->lists[s->at], m->next, s->count * sizeof(*m->next)) == 0) {
            return (uint16_t)(m->slots[slot] - 1);
        }
        m->work++;
    }
    uint64_t bytes = (uint64_t)(m->state_count + 1) * (m->class_count + 1) * sizeof(uint16_t);
    if (m->state_count == FLO_STATES_MAX || bytes > TABLE_BYTES_MAX ||
        m->list_count + m->next_count > LISTS_MAX) {
        return UINT16_MAX;
    }
    m->states[m->state_count] = (struct state){m->list_count, m->next_count};
    memcpy(&m->lists[m->list_count], m->next, m->next_count * sizeof(*m->next));
    m->list_count += m->next_count;
    m->slots[slot] = (uint16_t)++m->state_count;
    return (uint16_t)(m->state_count - 1);
}

/* Computes where a state goes with a character of a class.  Returns UINT16_MAX
 * if there are too many states. */
static uint16_t transition(struct maker *m, uint32_t state, uint32_t class)
{
    uint32_t bit = class == m->class_count ? FLO_CLASS_END_BIT : class;
    bool is_match = false;
    m->round++;
    m->next_count = m->known_count = 0;
    m->is_cut = false;
    for (uint32_t i = 0; i < m->states[state].count; i++) {
        follow(m, m->lists[m->states[state].at + i], bit, m->resolved, m->known, &m->known_count);
    }
    for (uint32_t i = 0; i < m->known_count && !m->is_cut && !is_match; i++) {
        const struct flo_regex_act *s = &m->program[m->known[i]];
        is_match = s->kind == FLO_ACT_MATCH;
        if (s->kind == FLO_ACT_READ && bit != FLO_CLASS_END_BIT && (s->mask >> bit & 1) != 0) {
            extend(m, (uint16_t)(m->known[i] + 1));
        }
    }
    uint16_t next = state_of_next(m);
    return next == UINT16_MAX ? next : (uint16_t)(next << 1 | is_match);
}

static int make_states(struct maker *m, struct flo_automaton *out, struct flo_err *err)
{
    size_t row = m->class_count + 1;
    out->table = malloc(TABLE_BYTES_MAX);
    if (out->table == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the states of an expression");
    }
    state_of_next(m); /* state 0, of the empty list */
    m->round = 1;
    extend(m, 0);
    out->start = state_of_next(m);
    for (uint32_t state = 0; state < m->state_count; state++) {
        for (uint32_t class = 0; class < row; class ++) {
            uint16_t next = transition(m, state, class);
            if (next == UINT16_MAX || m->work > WORK_MAX) {
                return flo_fail(err, FLO_E_GGUF_VOCAB,
                                "an expression needs more than %u states or too much work",
                                m->state_count);
            }
            out->table[state * row + class] = next;
        }
    }
    out->state_count = m->state_count;
    void *smaller = realloc(out->table, m->state_count * row * sizeof(*out->table));
    out->table = smaller != NULL ? smaller : out->table;
    return 0;
}

int flo_automaton_make(const struct flo_regex_act *program, uint32_t count, uint32_t class_count,
                       struct flo_automaton *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct maker *m = calloc(1, sizeof(*m));
    int rv = m == NULL ? FLO_E_MEMORY : 0;
    if (m != NULL) {
        m->program = program;
        m->program_count = count;
        m->class_count = class_count;
        m->lists = malloc(LISTS_MAX * sizeof(*m->lists));
        rv = m->lists == NULL ? FLO_E_MEMORY : make_states(m, out, err);
        free(m->lists);
    }
    return rv != FLO_E_MEMORY ? rv : flo_fail(err, rv, "the states of an expression");
}

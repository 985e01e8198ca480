/* Program: writes an expression's tree as steps, in the order in which a
 * backtracking engine would try them. */
#include <stdlib.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/expression/automaton.h"

struct writer {
    const struct flo_regex *syntax;
    const struct flo_classes *classes;
    struct flo_regex_act *steps; /* [FLO_ACTS_MAX] */
    uint32_t count;
    struct flo_err *err;
};

static int write_node(struct writer *w, uint16_t at);

static const struct flo_regex_node *node_at(const struct writer *w, uint16_t at)
{
    return &w->syntax->nodes[at];
}

static int put(struct writer *w, struct flo_regex_act step)
{
    if (w->count == FLO_ACTS_MAX) {
        return flo_fail(w->err, FLO_E_GGUF_VOCAB, "an expression of more than %u steps",
                        FLO_ACTS_MAX);
    }
    w->steps[w->count++] = step;
    return 0;
}

/* ---- what may come first ---- */

/* Returns the classes of characters before which the node can go on.  *may_pass
 * is true if the node matches the empty text too, whatever follows. */
static uint64_t first_of(const struct writer *w, uint16_t at, bool *may_pass)
{
    const struct flo_regex_node *node = node_at(w, at);
    bool passes = false;
    uint64_t mask = 0;
    *may_pass = false;
    switch (node->kind) {
    case FLO_REGEX_SET:
    case FLO_REGEX_AHEAD:
        return w->classes->masks[node->set];
    case FLO_REGEX_REPEAT:
        mask = first_of(w, node->child, &passes);
        *may_pass = passes || node->least == 0;
        return mask;
    case FLO_REGEX_LIST:
        *may_pass = true;
        for (uint16_t child = node->child; child != 0 && *may_pass;
             child = node_at(w, child)->next) {
            mask |= first_of(w, child, may_pass);
        }
        return mask;
    default:
        for (uint16_t child = node->child; child != 0; child = node_at(w, child)->next) {
            mask |= first_of(w, child, &passes);
            *may_pass = *may_pass || passes;
        }
        return mask;
    }
}

static bool is_line_end(const struct writer *w, uint16_t at)
{
    const struct flo_regex_node *node = node_at(w, at);
    const struct flo_ranges *set = &w->syntax->sets[node->set];
    return node->kind == FLO_REGEX_AHEAD && node->at_end && set->count == 1 &&
           set->items[0].first == '\n' && set->items[0].last == '\n';
}

/* Checks that a possessive repetition finds what a greedy one finds: giving
 * characters back would not let the rest of the list match. */
static int check_possessive(const struct writer *w, uint16_t at, bool is_top)
{
    const struct flo_regex_node *node = node_at(w, at);
    bool may_pass = true;
    uint64_t rest = 0;
    if (!is_top || node_at(w, node->child)->kind != FLO_REGEX_SET) {
        return flo_fail(w->err, FLO_E_NOT_BUILT,
                        "a possessive repetition of more than a character, or in a group, is not "
                        "built");
    }
    for (uint16_t next = node->next; next != 0 && may_pass; next = node_at(w, next)->next) {
        if (!is_line_end(w, next)) {
            rest |= first_of(w, next, &may_pass);
        }
    }
    if (!may_pass && (rest & w->classes->masks[node_at(w, node->child)->set]) != 0) {
        return flo_fail(w->err, FLO_E_NOT_BUILT,
                        "a possessive repetition before its own characters is not built");
    }
    return 0;
}

/* ---- steps ---- */

static int write_list(struct writer *w, uint16_t at, bool is_top)
{
    bool was_possessive = false;
    for (uint16_t child = node_at(w, at)->child; child != 0; child = node_at(w, child)->next) {
        bool is_possessive = node_at(w, child)->is_possessive;
        if (is_possessive) {
            FLO_TRY(check_possessive(w, child, is_top));
        }
        FLO_TRY(write_node(w, child));
        if (was_possessive && is_line_end(w, child)) {
            /* all line ends before it are taken, and stay so */
            w->steps[w->count - 1].mask = (uint64_t)1 << FLO_CLASS_END_BIT;
        }
        was_possessive = is_possessive;
    }
    return 0;
}

static int write_choice(struct writer *w, uint16_t at, bool is_top)
{
    uint32_t ends = UINT32_MAX; /* the last jump to the end; each has the one before in `to` */
    for (uint16_t child = node_at(w, at)->child; child != 0; child = node_at(w, child)->next) {
        bool is_last = node_at(w, child)->next == 0;
        uint32_t fork = w->count;
        if (!is_last) {
            FLO_TRY(
                put(w, (struct flo_regex_act){.kind = FLO_ACT_FORK, .to = (uint16_t)(fork + 1)}));
        }
        FLO_TRY(write_list(w, child, is_top));
        if (!is_last) {
            FLO_TRY(put(w, (struct flo_regex_act){.kind = FLO_ACT_FORK, .to = (uint16_t)ends}));
            ends = w->count - 1;
            w->steps[fork].otherwise = (uint16_t)w->count;
        }
    }
    while (ends != UINT32_MAX) {
        uint32_t before = w->steps[ends].to;
        w->steps[ends].to = w->steps[ends].otherwise = (uint16_t)w->count;
        ends = before == UINT16_MAX ? UINT32_MAX : before;
    }
    return 0;
}

/* Writes the fork in front of a repeated part.  The way past it is set
 * later. */
static int put_fork(struct writer *w, bool is_lazy)
{
    uint16_t next = (uint16_t)(w->count + 1);
    return put(w, is_lazy ? (struct flo_regex_act){.kind = FLO_ACT_FORK, .otherwise = next}
                          : (struct flo_regex_act){.kind = FLO_ACT_FORK, .to = next});
}

static void set_past(struct writer *w, uint32_t fork, bool is_lazy)
{
    if (is_lazy) {
        w->steps[fork].to = (uint16_t)w->count;
    } else {
        w->steps[fork].otherwise = (uint16_t)w->count;
    }
}

static int write_repeat(struct writer *w, uint16_t at)
{
    const struct flo_regex_node *node = node_at(w, at);
    uint32_t forks[FLO_REPEAT_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->least; i++) {
        FLO_TRY(write_node(w, node->child));
    }
    if (node->most == FLO_REPEAT_ALWAYS) {
        uint32_t fork = w->count;
        FLO_TRY(put_fork(w, node->is_lazy));
        FLO_TRY(write_node(w, node->child));
        FLO_TRY(put(w, (struct flo_regex_act){.kind = FLO_ACT_FORK,
                                              .to = (uint16_t)fork,
                                              .otherwise = (uint16_t)fork}));
        set_past(w, fork, node->is_lazy);
        return 0;
    }
    for (uint32_t i = node->least; i < node->most; i++) {
        forks[count++] = w->count;
        FLO_TRY(put_fork(w, node->is_lazy));
        FLO_TRY(write_node(w, node->child));
    }
    while (count > 0) {
        set_past(w, forks[--count], node->is_lazy);
    }
    return 0;
}

static int write_node(struct writer *w, uint16_t at)
{
    const struct flo_regex_node *node = node_at(w, at);
    uint64_t mask = w->classes->masks[node->set];
    switch (node->kind) {
    case FLO_REGEX_SET:
        return put(w, (struct flo_regex_act){.kind = FLO_ACT_READ, .mask = mask});
    case FLO_REGEX_AHEAD:
        mask |= (uint64_t)node->at_end << FLO_CLASS_END_BIT;
        return put(w, (struct flo_regex_act){.kind = FLO_ACT_AHEAD, .mask = mask});
    case FLO_REGEX_REPEAT:
        return write_repeat(w, at);
    case FLO_REGEX_CHOICE:
        return write_choice(w, at, false);
    default:
        return write_list(w, at, false);
    }
}

int flo_program_make(const struct flo_regex *syntax, const struct flo_classes *classes,
                     struct flo_regex_act **out, uint32_t *count, struct flo_err *err)
{
    struct writer w = {.syntax = syntax, .classes = classes, .err = err};
    w.steps = calloc(FLO_ACTS_MAX, sizeof(*w.steps));
    if (w.steps == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the steps of an expression");
    }
    int rv = write_choice(&w, 1, true);
    if (rv == 0) {
        rv = put(&w, (struct flo_regex_act){.kind = FLO_ACT_MATCH});
    }
    if (rv == 0) {
        *out = w.steps;
        *count = w.count;
    } else {
        free(w.steps);
    }
    return rv;
}

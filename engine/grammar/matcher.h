/* Matcher: the states of a program, built lazily.
 *
 * A state is a set of readings, each a node that needs a byte and the stack of
 * rule calls above it.  Equal stacks and equal sets are stored once, and each
 * transition by a class of bytes is computed once.  All tables are bounded.
 * When a table is full, everything but the current state is dropped, and built
 * again on demand. */
#ifndef FLOTILLA_GRAMMAR_MATCHER_H
#define FLOTILLA_GRAMMAR_MATCHER_H

#include "engine/grammar/program.h"
#include "engine/token/vocab/pieces.h"

#define FLO_STATE_DEAD 0u
/* a table is full: call flo_matcher_drop(), then try again */
#define FLO_STATE_FULL UINT16_MAX

#define FLO_STATES_MAX 2048u
#define FLO_READINGS_MAX 16384u /* most readings in all states together */
#define FLO_VISITS_MIN 512u
#define FLO_VISITS_MAX 16384u /* visits for one state; half as many as a program may have nodes */
#define FLO_STACKS_MAX 4096u
#define FLO_STACK_DEPTH_MAX 160u
#define FLO_STEPS_MAX 65536u
#define FLO_MASKS_MAX 16u
/* takes 0.15 s; common grammars need 40,000 units */
#define FLO_MASK_WORK_MAX (1u << 24)

struct flo_reading {
    uint32_t node, stack;
};
struct flo_stack {
    uint32_t node, below; /* node at which matching continues after the call; stack below */
    uint32_t depth;
};
struct flo_state {
    uint32_t first; /* reading */
    uint32_t steps; /* place of its steps [class_count]; FLO_STATE_FULL: not computed yet */
    uint16_t count; /* readings */
    uint16_t mask;
    int16_t forced; /* the only byte that can follow, or -1 */
    bool may_end;
};

struct flo_matcher {
    struct flo_program *program;
    const struct flo_pieces *pieces; /* borrowed */
    uint32_t state_count, reading_count, stack_count, step_count;
    uint32_t visits_max; /* size of the table in use, which is small for small grammars */
    uint64_t work;       /* number of readings and nodes visited in all steps */
    uint64_t forgotten;  /* part of `work` done for states that were dropped */
    uint32_t mask_next;
    uint32_t n_vocab;
    bool is_ambiguous; /* one of the states had more readings than the limit */
    struct flo_state states[FLO_STATES_MAX];
    struct flo_reading readings[FLO_READINGS_MAX];
    struct flo_stack stacks[2][FLO_STACKS_MAX]; /* [0] in use */
    uint16_t steps[FLO_STEPS_MAX];
    uint16_t state_slots[2 * FLO_STATES_MAX]; /* hash tables */
    uint16_t stack_slots[2 * FLO_STACKS_MAX];
    /* Readings of the state that is being built, in order, with a hash table of
     * their indices.  An entry of the table is valid only if its reading refers
     * back to it. */
    struct flo_reading visits[FLO_VISITS_MAX];
    uint16_t visit_slots[FLO_VISITS_MAX];
    uint16_t visited[2 * FLO_VISITS_MAX];
    uint16_t mask_states[FLO_MASKS_MAX];
    uint64_t masks[]; /* [FLO_MASKS_MAX][flo_mask_words()] */
};

/* Returns how many 64-bit words a mask has, with one bit per token. */
static inline size_t flo_mask_words(uint32_t n_vocab)
{
    return ((size_t)n_vocab + 63) / 64;
}

/* Opens a matcher for a program.  Takes ownership of the program, also on
 * failure.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_matcher_open(struct flo_program *program, const struct flo_pieces *pieces,
                                  uint32_t n_vocab, struct flo_matcher **out, struct flo_err *err);
void flo_matcher_close(struct flo_matcher *matcher);
/* Gives the matcher another program (NULL: none), which it then owns, and drops
 * all states.  Returns the program before, which the caller owns. */
struct flo_program *flo_matcher_swap(struct flo_matcher *matcher, struct flo_program *program);
uint64_t flo_matcher_bytes(uint32_t n_vocab);

/* Returns the state before the first byte, or FLO_STATE_DEAD if the tables are
 * too small for it. */
uint32_t flo_matcher_start(struct flo_matcher *matcher);
/* Returns the state after a byte.  FLO_STATE_DEAD means that the byte does not
 * fit, FLO_STATE_FULL that a table is full. */
uint32_t flo_matcher_step(struct flo_matcher *matcher, uint32_t state, uint8_t byte);
/* Drops all states but one, and returns its new number. */
uint32_t flo_matcher_drop(struct flo_matcher *matcher, uint32_t state);
/* Steps over several bytes, and drops states when a table is full.  Returns
 * false if the bytes do not fit.  *state then is the same state, perhaps with a
 * new number. */
bool flo_matcher_walk(struct flo_matcher *matcher, uint32_t *state, const void *bytes,
                      size_t count);

/* Tells whether the text must end in this state. */
static inline bool flo_matcher_must_end(const struct flo_matcher *matcher, uint32_t state)
{
    return matcher->states[state].may_end && matcher->states[state].count == 0;
}

/* Returns a mask with a bit for each token that fits after *state, which may
 * get a new number.  If that takes too long, some bits are missing, but one is
 * set if any token fits.  The mask is valid until the next call.  The caller
 * may change it only if *is_new. */
uint64_t *flo_matcher_mask(struct flo_matcher *matcher, uint32_t *state, bool *is_new);
/* Returns an empty mask that belongs to no state.  It is valid until the next
 * call. */
uint64_t *flo_matcher_blank_mask(struct flo_matcher *matcher);

#endif

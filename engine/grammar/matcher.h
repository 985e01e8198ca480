/* Matcher: the states of a program, made as they are met.
 *
 * A state is a set of readings: a node that wants a byte, and the stack of
 * calls above it.  Equal stacks are one stack, equal sets are one state, and
 * the step from a state by a class of bytes is computed once.  All room is
 * bounded; when it is used up everything but the present state is forgotten and
 * made again as it is met. */
#ifndef FLOTILLA_GRAMMAR_MATCHER_H
#define FLOTILLA_GRAMMAR_MATCHER_H

#include "engine/grammar/program.h"
#include "engine/token/vocab/pieces.h"

#define FLO_STATE_DEAD 0u
#define FLO_STATE_FULL UINT16_MAX /* no room: flo_matcher_drop(), try again */

#define FLO_STATES_MAX 2048u
#define FLO_READINGS_MAX 16384u /* readings of all states */
#define FLO_VISITS_MIN 512u
#define FLO_VISITS_MAX 16384u /* half as many as a program has nodes */
#define FLO_STACKS_MAX 4096u
#define FLO_STACK_DEPTH_MAX 160u
#define FLO_STEPS_MAX 65536u
#define FLO_MASKS_MAX 16u
#define FLO_MASK_WORK_MAX (1u << 24) /* 0.15 s; common grammars need 40,000 */

struct flo_reading {
    uint32_t node, stack;
};
struct flo_stack {
    uint32_t node, below; /* where to go on after the call; the rest */
    uint32_t depth;
};
struct flo_state {
    uint32_t first; /* reading */
    uint32_t steps; /* [class_count], FLO_STATE_FULL: not known yet */
    uint16_t count; /* readings */
    uint16_t mask;
    int16_t forced; /* the only byte that can follow, or -1 */
    bool may_end;
};

struct flo_matcher {
    struct flo_program *program;
    const struct flo_pieces *pieces; /* borrowed */
    uint32_t state_count, reading_count, stack_count, step_count;
    uint32_t visits_max; /* for now: small grammars use a small table */
    uint64_t work;       /* readings looked at and nodes passed, of all steps */
    uint64_t forgotten;  /* work on states that are forgotten */
    uint32_t mask_next;
    uint32_t n_vocab;
    bool is_ambiguous; /* some state had more readings than are followed */
    struct flo_state states[FLO_STATES_MAX];
    struct flo_reading readings[FLO_READINGS_MAX];
    struct flo_stack stacks[2][FLO_STACKS_MAX]; /* [0] in use */
    uint16_t steps[FLO_STEPS_MAX];
    uint16_t state_slots[2 * FLO_STATES_MAX]; /* hash tables */
    uint16_t stack_slots[2 * FLO_STACKS_MAX];
    /* The readings of one state, in order, and their places in the hash table.
     * An entry of the table counts only if its reading names it back. */
    struct flo_reading visits[FLO_VISITS_MAX];
    uint16_t visit_slots[FLO_VISITS_MAX];
    uint16_t visited[2 * FLO_VISITS_MAX];
    uint16_t mask_states[FLO_MASKS_MAX];
    uint64_t masks[]; /* [FLO_MASKS_MAX][flo_mask_words()] */
};

/* Words of a mask: a bit for each token. */
static inline size_t flo_mask_words(uint32_t n_vocab)
{
    return ((size_t)n_vocab + 63) / 64;
}

/* Takes the program, also on failure.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_matcher_open(struct flo_program *program, const struct flo_pieces *pieces,
                                  uint32_t n_vocab, struct flo_matcher **out, struct flo_err *err);
void flo_matcher_close(struct flo_matcher *matcher);
uint64_t flo_matcher_bytes(uint32_t n_vocab);

/* The state before the first byte; FLO_STATE_DEAD when there is no room for
 * it. */
uint32_t flo_matcher_start(struct flo_matcher *matcher);
/* The state after a byte, FLO_STATE_DEAD when it does not fit, or
 * FLO_STATE_FULL. */
uint32_t flo_matcher_step(struct flo_matcher *matcher, uint32_t state, uint8_t byte);
/* Forget all states but one; returns its new number. */
uint32_t flo_matcher_drop(struct flo_matcher *matcher, uint32_t state);
/* Like flo_matcher_step() over many bytes, but it makes room when needed.
 * false: the bytes do not fit; *state stays, but may get a new number. */
bool flo_matcher_walk(struct flo_matcher *matcher, uint32_t *state, const void *bytes,
                      size_t count);

/* May the text end here, and can nothing follow? */
static inline bool flo_matcher_must_end(const struct flo_matcher *matcher, uint32_t state)
{
    return matcher->states[state].may_end && matcher->states[state].count == 0;
}

/* A bit per token that fits after *state, which may get a new number.  Where
 * that takes too long there are fewer bits, but one if any token fits.  Valid
 * until the next call; may be changed by the caller when *is_new. */
uint64_t *flo_matcher_mask(struct flo_matcher *matcher, uint32_t *state, bool *is_new);
/* One without a bit, of no state.  Valid until the next call. */
uint64_t *flo_matcher_blank_mask(struct flo_matcher *matcher);

#endif

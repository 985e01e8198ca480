/* Held out: answers that are kept from a table of drafts, to measure how many of
 * their tokens it guesses. */
#ifndef FLOTILLA_ENGINE_HELD_OUT_H
#define FLOTILLA_ENGINE_HELD_OUT_H

#include "engine/publish/draft/table_make.h"

/* Answers with the end of their prompts.  Zero-initialise. */
struct flo_held_out {
    struct flo_buf list; /* uint32_t or int32_t: tokens of the prompt, of both, then both */
    uint32_t count;      /* number of answers */
};
/* Keeps an answer; the parameters are those of flo_draft_maker_add().
 * FLO_E_MEMORY: no memory, or more than 64 MiB of answers. */
FLO_MUST_USE int flo_held_out_add(struct flo_held_out *held, const int32_t *tokens,
                                  uint32_t n_prompt, uint32_t count, struct flo_err *err);
void flo_held_out_deinit(struct flo_held_out *held);

struct flo_held_out_score {
    uint64_t tokens;  /* tokens of all answers */
    uint64_t guessed; /* tokens for which the table has a guess */
    uint64_t right;
};
/* Has the table guess each token of the answers from the tokens before it. */
void flo_held_out_measure(const struct flo_held_out *held, const struct flo_draft_table *table,
                          struct flo_held_out_score *score);
/* Adds the answers to a maker.  Errors of flo_draft_maker_add(). */
FLO_MUST_USE int flo_held_out_release(const struct flo_held_out *held,
                                      struct flo_draft_maker *maker, struct flo_err *err);

#endif

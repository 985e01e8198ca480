/* Table make: counts which tokens follow which in answers, and makes a table of
 * drafts (engine/draft/table.h).
 *
 * A context is stored if the table without it would guess otherwise after it.
 * So contexts that only repeat what a shorter one says take no slot.  One case is
 * enough: a table of contexts with two cases had guesses that were right as
 * often, but fewer of them.  The same answers give the same bytes, in whatever
 * order they are added.  Pure. */
#ifndef FLOTILLA_ENGINE_TABLE_MAKE_H
#define FLOTILLA_ENGINE_TABLE_MAKE_H

#include "engine/draft/table.h"

#define FLO_DRAFT_LIST_MAX (1u << 24) /* tokens of all answers, with what is in front of them */
/* Most contexts of a table: half of the most slots, so that the search for a
 * context is short. */
#define FLO_DRAFT_CONTEXTS_MAX (1u << (FLO_DRAFT_SLOTS_LOG2_MAX - 1))

struct flo_draft_maker;

/* Opens a maker without answers.  `longest` is the number of tokens of the
 * longest context, 1 to 8.  `contexts_max` is 1 to FLO_DRAFT_CONTEXTS_MAX.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_draft_maker_open(uint32_t longest, uint32_t n_vocab, uint32_t contexts_max,
                                      struct flo_draft_maker **out, struct flo_err *err);
/* Frees the maker; NULL is allowed. */
void flo_draft_maker_close(struct flo_draft_maker *maker);
/* Adds an answer: of the `count` tokens the first `n_prompt` are the prompt, and
 * the others are counted.  Each is less than n_vocab.  Their contexts reach back
 * into the prompt, but not into another answer.
 *
 * FLO_E_USAGE   the answers have more than FLO_DRAFT_LIST_MAX tokens
 * FLO_E_MEMORY  no memory; the maker can only be closed */
FLO_MUST_USE int flo_draft_maker_add(struct flo_draft_maker *maker, const int32_t *tokens,
                                     uint32_t n_prompt, uint32_t count, struct flo_err *err);
/* Appends the file of a table of all answers so far to `file`.  If they have
 * more than contexts_max contexts, those of the fewest cases are left out.
 * Answers may be added afterwards.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_draft_maker_write(struct flo_draft_maker *maker, uint64_t checksum,
                                       struct flo_buf *file, struct flo_err *err);

#endif

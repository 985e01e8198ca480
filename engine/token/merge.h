/* Merging a text's characters to tokens, for BPE and SPM alike.
 *
 * The characters are a linked list; again and again the two neighbours whose
 * joined text is the token of the lowest rank become one, leftmost on a tie.
 * BPE ranks a pair by its place in the list of merges, SPM by the score of
 * the joined token.  Each merge makes at most two new pairs, so n characters
 * cost n log n: a hostile megabyte without a blank is slow by a constant
 * only. */
#ifndef FLOTILLA_ENGINE_MERGE_H
#define FLOTILLA_ENGINE_MERGE_H

#include "engine/token/vocab.h"

#define FLO_MERGE_TEXT_BYTES_MAX (UINT32_MAX / 4)

/* Zero-initialise with the vocabulary; may be used for many texts. */
struct flo_merger {
    const struct flo_vocab *vocab;
    const char *text;
    struct flo_symbol *symbols; /* [0] is the first */
    struct flo_pair *pairs;
    size_t pair_count;
    size_t capacity; /* of symbols; twice as many pairs */
};

/* Merge `bytes` > 0 of text and append the ids.  A byte that begins no
 * character claims as many bytes as its upper half says, as the common engines
 * do.  false when there is no memory. */
bool flo_merger_run(struct flo_merger *merger, const char *text, size_t bytes,
                    struct flo_tokens *tokens);
void flo_merger_deinit(struct flo_merger *merger);

#endif

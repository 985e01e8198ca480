/* Merging a text's characters to tokens, for BPE and SPM alike.
 *
 * Again and again the two neighbours whose joined text is the token of the
 * lowest rank become one, leftmost on a tie.  BPE ranks a pair by its place in
 * the list of merges, SPM by the score of the joined token.  Each merge changes
 * the ranks of at most two pairs, so n characters cost n log n: a hostile
 * megabyte without a blank is slow by a constant only. */
#ifndef FLOTILLA_ENGINE_MERGE_H
#define FLOTILLA_ENGINE_MERGE_H

#include "engine/token/vocab/vocab.h"

#define FLO_MERGE_TEXT_BYTES_MAX (UINT32_MAX / 4)
/* Memory of merging for each byte of a text, rounded up. */
#define FLO_MERGE_BYTES_PER_BYTE 7

/* Zero-initialise with the vocabulary; may be used for many texts. */
struct flo_merger {
    const struct flo_vocab *vocab;
    const char *text;
    size_t bytes;
    /* [capacity], by the byte where a symbol begins: the rank of the pair that
     * it makes with the next one. */
    uint32_t *ranks;
    /* [capacity], at a symbol's first and last byte: its length. */
    uint16_t *lengths;
    /* [2 * leaves], the lowest rank of a block of `ranks` in each leaf, of two
     * nodes in their parent; the root is [1]. */
    uint32_t *lowest;
    size_t leaves; /* a power of two */
    size_t capacity;
};

/* Merge `bytes` > 0 of text and append the ids, unless they are surely too
 * many: then tokens->failed is set before anything is allocated.  A byte that
 * begins no character claims as many bytes as its upper half says, as the
 * common engines do.  false when there is no memory. */
bool flo_merger_run(struct flo_merger *merger, const char *text, size_t bytes,
                    struct flo_tokens *tokens);
void flo_merger_deinit(struct flo_merger *merger);

#endif

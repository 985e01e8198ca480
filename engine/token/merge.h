/* Merge: merges a text's characters to tokens, for BPE and SPM.
 *
 * Two adjacent symbols are merged again and again: those whose joined text is
 * the token of the lowest rank.  On a tie the leftmost pair comes first.  BPE
 * ranks a pair by its place in the list of merges, SPM by the score of the
 * joined token.  Each merge changes the ranks of at most two pairs, so n
 * characters take n log n time, even in a hostile megabyte without a blank. */
#ifndef FLOTILLA_ENGINE_MERGE_H
#define FLOTILLA_ENGINE_MERGE_H

#include "engine/token/vocab/vocab.h"

#define FLO_MERGE_TEXT_BYTES_MAX (UINT32_MAX / 4)
/* Most bytes of memory that merging takes for each byte of text. */
#define FLO_MERGE_BYTES_PER_BYTE 7

/* State of merging, usable for many texts.  Zero-initialise it with the
 * vocabulary. */
struct flo_merger {
    const struct flo_vocab *vocab;
    const char *text;
    size_t bytes;
    size_t end_bytes; /* at the end of each text, which belong to its last character */
    /* [capacity]: the rank of a symbol's pair with the next symbol, stored at
     * the symbol's first byte. */
    uint32_t *ranks;
    /* [capacity]: the length of a symbol, stored at its first and its last
     * byte. */
    uint16_t *lengths;
    /* [2 * leaves], a tree of minimums with the root at [1].  A leaf has the
     * lowest rank of a block of `ranks`, a parent the lower one of its
     * children. */
    uint32_t *lowest;
    size_t leaves; /* number of leaves of the tree, a power of two */
    size_t capacity;
};

/* Merges `bytes` > 0 of text and appends the ids.  If there would surely be too
 * many, tokens->failed is set before anything is allocated.  A byte that begins
 * no character takes as many bytes as its upper half says, as in other engines.
 * Returns false if there is no memory. */
bool flo_merger_run(struct flo_merger *merger, const char *text, size_t bytes,
                    struct flo_tokens *tokens);
/* Appends the ids of a word of BPE, which may be a token as a whole.  Returns
 * false if there is no memory (bpe.c). */
bool flo_bpe_word(struct flo_merger *merger, const char *word, size_t bytes,
                  struct flo_tokens *tokens);
void flo_merger_deinit(struct flo_merger *merger);

#endif

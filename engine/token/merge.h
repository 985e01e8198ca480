/* Merge: merges a text's characters to tokens, for BPE and SPM.
 *
 * Repeatedly, the two adjacent symbols whose joined text is the token of the
 * lowest rank are merged, the leftmost pair on a tie.  BPE ranks a pair by its
 * place in the list of merges, SPM by the score of the joined token.  Each
 * merge changes the ranks of at most two pairs, so n characters take n log n
 * time, even in a hostile megabyte without a blank. */
#ifndef FLOTILLA_ENGINE_MERGE_H
#define FLOTILLA_ENGINE_MERGE_H

#include "engine/token/vocab/vocab.h"

#define FLO_MERGE_TEXT_BYTES_MAX (UINT32_MAX / 4)
/* Bytes of merging memory per byte of text, rounded up. */
#define FLO_MERGE_BYTES_PER_BYTE 7

/* State of merging, reusable for many texts.  Zero-initialise with the
 * vocabulary. */
struct flo_merger {
    const struct flo_vocab *vocab;
    const char *text;
    size_t bytes;
    /* [capacity]: at the first byte of a symbol, the rank of the pair that it
     * forms with the next one. */
    uint32_t *ranks;
    /* [capacity]: at a symbol's first and last byte, its length. */
    uint16_t *lengths;
    /* [2 * leaves], a tree of minimums: each leaf has the lowest rank of a
     * block of `ranks`, each parent the lower one of its children; the root is
     * [1]. */
    uint32_t *lowest;
    size_t leaves; /* a power of two */
    size_t capacity;
};

/* Merges `bytes` > 0 of text and appends the ids.  If there would surely be too
 * many, tokens->failed is set before anything is allocated.  A byte that begins
 * no character takes as many bytes as its upper half says, as in other engines.
 * false: out of memory. */
bool flo_merger_run(struct flo_merger *merger, const char *text, size_t bytes,
                    struct flo_tokens *tokens);
void flo_merger_deinit(struct flo_merger *merger);

#endif

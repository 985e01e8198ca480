/* Prefix: finds the tokens that a text begins with, for WordPiece and
 * Unigram. */
#ifndef FLOTILLA_ENGINE_PREFIX_H
#define FLOTILLA_ENGINE_PREFIX_H

#include "engine/token/token.h"

/* Most bytes of a token that is found so. */
#define FLO_PREFIX_BYTES_MAX 512u

struct flo_vocab_token;

/* Tokens sorted by their text.  Zero-initialise. */
struct flo_prefix {
    const struct flo_vocab_token *tokens;
    uint32_t *ids;
    uint32_t count;
    uint32_t firsts[257]; /* where the tokens of each first byte begin */
    uint32_t bytes_max;   /* bytes of the longest one */
};
/* Sorts the normal and user-defined tokens.
 * FLO_E_GGUF_VOCAB   one has more than FLO_PREFIX_BYTES_MAX bytes
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_prefix_open(struct flo_prefix *prefix, const struct flo_vocab *vocab,
                                 struct flo_err *err);
void flo_prefix_close(struct flo_prefix *prefix);

/* Tokens that begin with the bytes read so far. */
struct flo_prefix_walk {
    uint32_t low, high, depth;
};
/* Reads one more byte; a zero-initialised walk reads the first.  Returns false
 * if no token goes on with it. */
bool flo_prefix_step(const struct flo_prefix *prefix, struct flo_prefix_walk *walk, uint8_t byte);
/* Returns the token that is exactly what was read, or -1. */
int32_t flo_prefix_hit(const struct flo_prefix *prefix, const struct flo_prefix_walk *walk);

#endif

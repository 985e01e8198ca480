/* Pieces: the bytes of a vocabulary's tokens, sorted, to find all tokens that
 * fit a grammar quickly.
 *
 * Each is stored from where it differs from the one before.  A control token
 * has its seven bytes (control.h).  Tokens without text, or with more than
 * FLO_PIECE_BYTES_MAX bytes, are left out. */
#ifndef FLOTILLA_ENGINE_PIECES_H
#define FLOTILLA_ENGINE_PIECES_H

#include "engine/token/token.h"

#define FLO_PIECE_BYTES_MAX 64u

struct flo_pieces {
    uint32_t count;
    uint32_t *ids;
    /* position in `text` of each token's bytes after those shared with the
     * previous token */
    uint32_t *places;
    uint8_t *lengths; /* number of bytes of the whole token */
    uint8_t *shared;  /* number of first bytes shared with the previous token */
    char *text;
};

/* Returns the pieces of the vocabulary, which the first call makes.  Any thread
 * may call it.  They are freed with the vocabulary.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_vocab_pieces(struct flo_vocab *vocab, const struct flo_pieces **out,
                                  struct flo_err *err);
void flo_pieces_free(struct flo_pieces *pieces);

/* Most bytes of memory per token, also while the pieces are being made. */
#define FLO_PIECES_TOKEN_BYTES 80u

#endif

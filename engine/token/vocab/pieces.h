/* Pieces: the bytes of a vocabulary's tokens in order, for finding at once all
 * tokens that fit somewhere.
 *
 * Each is stored from where it differs from the one before; a control token as
 * the bytes of control.h.  Tokens that show nothing or more than
 * FLO_PIECE_BYTES_MAX bytes are not in it. */
#ifndef FLOTILLA_ENGINE_PIECES_H
#define FLOTILLA_ENGINE_PIECES_H

#include "engine/token/token.h"

#define FLO_PIECE_BYTES_MAX 64u

struct flo_pieces {
    uint32_t count;
    uint32_t *ids;
    uint32_t *places; /* in text: of the bytes after the shared ones */
    uint8_t *lengths; /* bytes of the whole token */
    uint8_t *shared;  /* bytes in common with the one before */
    char *text;
};

/* The vocabulary's, made when first asked for, from any thread; it goes away
 * with the vocabulary.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_vocab_pieces(struct flo_vocab *vocab, const struct flo_pieces **out,
                                  struct flo_err *err);
void flo_pieces_free(struct flo_pieces *pieces);

/* Bytes that having (and, for a moment, making) them takes at most, for each
 * token. */
#define FLO_PIECES_TOKEN_BYTES 80u

#endif

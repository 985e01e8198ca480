/* Pieces: the tokens of a folder's tokenizer, from tokenizer.json or from a
 * SentencePiece model. */
#ifndef FLOTILLA_ENGINE_IMPORT_PIECES_H
#define FLOTILLA_ENGINE_IMPORT_PIECES_H

#include "base/tree/tree.h"

#define FLO_PIECES_MAX (1u << 22)
#define FLO_PIECES_ADDED_MAX 65536 /* added tokens; the largest known vocabularies have 6,000 */
#define FLO_PIECE_BYTES_MAX 65536

/* Types of tokens, as a GGUF file numbers them. */
enum {
    FLO_PIECE_NORMAL = 1,
    FLO_PIECE_UNKNOWN = 2,
    FLO_PIECE_CONTROL = 3,
    FLO_PIECE_DEFINED = 4, /* taken whole from a text, and shown */
    FLO_PIECE_UNUSED = 5,
    FLO_PIECE_BYTE = 6,
};

struct flo_import_piece {
    const char *text; /* borrowed from the source; NULL: an id without a token */
    uint32_t bytes;
    uint32_t type;
    float score;
    bool is_added_only; /* the model's vocabulary lacks it */
};
struct flo_import_pieces {
    struct flo_import_piece *items; /* [count] */
    uint32_t count;
};
void flo_pieces_deinit(struct flo_import_pieces *pieces);
/* Makes `count` unused pieces with this score.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_pieces_init(struct flo_import_pieces *pieces, uint32_t count, float score,
                                 struct flo_err *err);

/* Tells whether a token that is not marked so is a control token by its
 * looks. */
bool flo_piece_looks_special(const char *text, size_t bytes);

/* Reads the vocabulary and the added tokens of a tokenizer.json that is already
 * a tree; the pieces borrow its texts.  `size` is the size that config.json
 * says.
 *
 * FLO_E_MODEL_FOLDER: a token lies outside the vocabulary, an id is used
 * twice, or there are too many added tokens.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_pieces_read_json(const struct flo_tree_node *root, uint32_t size,
                                      struct flo_import_pieces *out, struct flo_err *err);
/* Sets the score of each token by its place in a BPE's merges: earlier is
 * higher.  Returns false if some token of several characters is in no merge, or
 * the memory does not suffice: scores alone then say too little. */
bool flo_pieces_score_merges(const struct flo_tree_node *merges, struct flo_import_pieces *pieces);

/* A SentencePiece model, whose texts are borrowed from its bytes. */
struct flo_sentencepiece {
    struct flo_import_pieces pieces;
    const uint8_t *map; /* the normalising map, or NULL */
    size_t map_bytes;
    bool adds_blank, removes_blanks; /* before the text; several in a row */
    bool is_unigram;
};
/* Reads a model file.  FLO_E_MODEL_FOLDER: it is malformed.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_sentencepiece_read(const uint8_t *data, size_t bytes,
                                        struct flo_sentencepiece *out, struct flo_err *err);

#endif

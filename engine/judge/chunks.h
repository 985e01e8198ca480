/* Chunks: splits a text into chunks on which models are scored.
 *
 * Chunks of `length` tokens do not overlap; the rest after the last one is not
 * used.  Only the second half of each is scored, so that every scored token has
 * at least half a chunk before it.  If the model begins texts with a begin
 * token, that replaces a chunk's first token. */
#ifndef FLOTILLA_ENGINE_CHUNKS_H
#define FLOTILLA_ENGINE_CHUNKS_H

#include "engine/tools/common.h"

/* Zero-initialise; flo_chunks_free() is needed also after a failure. */
struct flo_chunks {
    int32_t *tokens;
    size_t tokens_count;
    int32_t begin;   /* the model's begin token, or -1 */
    uint32_t length; /* tokens of a chunk; 0 before flo_chunks_cut() */
    size_t count;
};

/* Tokenises a text file, for a model with a vocabulary. */
FLO_MUST_USE int flo_chunks_of_text(const struct flo_tool_model *model, const char *path,
                                    struct flo_chunks *chunks, struct flo_err *err);
/* Reads token ids from a file, separated by blanks, commas or line ends. */
FLO_MUST_USE int flo_chunks_of_ids(const struct flo_tool_model *model, const char *path,
                                   struct flo_chunks *chunks, struct flo_err *err);
/* Splits the tokens into chunks.  FLO_E_USAGE: the text is shorter than one
 * chunk. */
FLO_MUST_USE int flo_chunks_cut(struct flo_chunks *chunks, uint32_t length, struct flo_err *err);
void flo_chunks_free(struct flo_chunks *chunks);

/* Returns how many tokens of each chunk are scored. */
uint32_t flo_chunks_scored(const struct flo_chunks *chunks);
/* Computes the logits that predict each scored token of a chunk, in order:
 * `position` is the row's index in the chunk, and its token is the next one. */
FLO_MUST_USE int flo_chunks_run(struct flo_chunks *chunks, size_t index,
                                const struct flo_tool_model *model, flo_logits_fn *row,
                                void *context, struct flo_err *err);

#endif

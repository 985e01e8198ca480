/* Chunks: splits a text into chunks on which models are scored.
 *
 * Chunks of `length` tokens do not overlap; the rest after the last one is not
 * used.  Only the second half of a chunk is scored, so that every scored token
 * has at least half a chunk before it.  If the model begins texts with a begin
 * token, this token replaces the first one of each chunk. */
#ifndef FLOTILLA_ENGINE_CHUNKS_H
#define FLOTILLA_ENGINE_CHUNKS_H

#include "engine/tools/common.h"

/* A text's tokens, cut into chunks.  Zero-initialise.  flo_chunks_free() is
 * needed also after a failure. */
struct flo_chunks {
    int32_t *tokens;
    size_t tokens_count;
    int32_t begin;   /* begin token of the model, or -1 */
    uint32_t length; /* tokens of each chunk; 0 before flo_chunks_cut() */
    size_t count;
};

/* Reads a text file and tokenises it.  The model has a vocabulary. */
FLO_MUST_USE int flo_chunks_of_text(const struct flo_tool_model *model, const char *path,
                                    struct flo_chunks *chunks, struct flo_err *err);
/* Tokenises a text in memory.  The model has a vocabulary. */
FLO_MUST_USE int flo_chunks_of_bytes(const struct flo_tool_model *model, const char *text,
                                     size_t bytes, struct flo_chunks *chunks, struct flo_err *err);
/* Reads token ids from a file, separated by blanks, commas or line ends. */
FLO_MUST_USE int flo_chunks_of_ids(const struct flo_tool_model *model, const char *path,
                                   struct flo_chunks *chunks, struct flo_err *err);
/* Splits the tokens into chunks.  FLO_E_USAGE: the text is shorter than one
 * chunk. */
FLO_MUST_USE int flo_chunks_cut(struct flo_chunks *chunks, uint32_t length, struct flo_err *err);
void flo_chunks_free(struct flo_chunks *chunks);

/* Returns how many tokens of each chunk are scored. */
uint32_t flo_chunks_scored(const struct flo_chunks *chunks);
/* Computes logits for the scored tokens of a chunk, in order.  `row` gets the
 * logits at `position` of the chunk, which predict the token after it. */
FLO_MUST_USE int flo_chunks_run(struct flo_chunks *chunks, size_t index,
                                const struct flo_tool_model *model, flo_logits_fn *row,
                                void *context, struct flo_err *err);

#endif

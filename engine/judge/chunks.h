/* A text cut into chunks on which models are judged.
 *
 * Chunks of `length` tokens do not overlap; what is left after the last is not
 * used.  In each the second half is scored, so that every scored token has seen
 * half a chunk at least; where the model begins texts with a token of its own,
 * that stands in place of a chunk's first. */
#ifndef FLOTILLA_ENGINE_CHUNKS_H
#define FLOTILLA_ENGINE_CHUNKS_H

#include "engine/tools/common.h"

/* Zero-initialise; flo_chunks_free() also after a failure. */
struct flo_chunks {
    int32_t *tokens;
    size_t tokens_count;
    int32_t begin;   /* the model's first token of a text, or -1 */
    uint32_t length; /* tokens of a chunk; 0 before flo_chunks_cut() */
    size_t count;
};

/* Tokens of a file of text, by a model with a vocabulary. */
FLO_MUST_USE int flo_chunks_of_text(const struct flo_tool_model *model, const char *path,
                                    struct flo_chunks *chunks, struct flo_err *err);
/* Token ids of a file, with blanks, commas or line ends between. */
FLO_MUST_USE int flo_chunks_of_ids(const struct flo_tool_model *model, const char *path,
                                   struct flo_chunks *chunks, struct flo_err *err);
/* FLO_E_USAGE: the text is shorter than one chunk. */
FLO_MUST_USE int flo_chunks_cut(struct flo_chunks *chunks, uint32_t length, struct flo_err *err);
void flo_chunks_free(struct flo_chunks *chunks);

/* Tokens of each chunk that are scored. */
uint32_t flo_chunks_scored(const struct flo_chunks *chunks);
/* The logits that foretell each scored token of a chunk, in order: `position`
 * is the row's place in the chunk, its token the next one. */
FLO_MUST_USE int flo_chunks_run(struct flo_chunks *chunks, size_t index,
                                const struct flo_tool_model *model, flo_logits_fn *row,
                                void *context, struct flo_err *err);

#endif

/* Distance: how far a model's distributions are from those of another, over the
 * scored tokens of a text's chunks. */
#ifndef FLOTILLA_ENGINE_DISTANCE_H
#define FLOTILLA_ENGINE_DISTANCE_H

#include "engine/judge/chunks.h"

/* The first model's logits for one chunk.  Zero-initialise; the fields are
 * private. */
struct flo_distance {
    uint32_t n_vocab;
    size_t scored;
    float *rows;    /* [scored][n_vocab] */
    double *totals; /* [scored] */
    size_t row;
    double sum;
};

/* Reserves memory for the chunks of models with `n_vocab` tokens.
 * FLO_E_MEMORY.  flo_distance_close() is needed also after a failure. */
FLO_MUST_USE int flo_distance_open(struct flo_distance *distance, uint32_t n_vocab,
                                   const struct flo_chunks *chunks, struct flo_err *err);
void flo_distance_close(struct flo_distance *distance);
/* Computes a chunk with the first model and keeps its logits. */
FLO_MUST_USE int flo_distance_keep(struct flo_distance *distance, struct flo_chunks *chunks,
                                   size_t index, const struct flo_tool_model *model,
                                   struct flo_err *err);
/* Computes the kept chunk with another model.  *mean gets the mean divergence
 * from the first one, in nats per token.
 * FLO_E_MODEL_NONFINITE: a probability is not finite. */
FLO_MUST_USE int flo_distance_mean(struct flo_distance *distance, struct flo_chunks *chunks,
                                   size_t index, const struct flo_tool_model *model, double *mean,
                                   struct flo_err *err);

#endif

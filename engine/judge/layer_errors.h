/* Layer errors: how far the hidden states of a model are from those of another,
 * by layer.
 *
 * The error of a token is |difference| / |state|, so that a token with a large
 * state (often the first of a text) counts like any other.  A layer's error is
 * the root mean square over all tokens.  Place 0 is the embedding, and place i
 * the state after layer i - 1. */
#ifndef FLOTILLA_ENGINE_LAYER_ERRORS_H
#define FLOTILLA_ENGINE_LAYER_ERRORS_H

#include <flotilla/base.h>

#define FLO_LAYER_PLACES_MAX 513 /* one more than a model has layers */
#define FLO_NO_PLACE UINT32_MAX

/* Zero-initialise. */
struct flo_layer_errors {
    uint32_t places; /* 0: nothing was compared */
    uint64_t tokens;
    double squares[FLO_LAYER_PLACES_MAX];     /* sums of the tokens' squared errors */
    uint64_t nonfinite[FLO_LAYER_PLACES_MAX]; /* number of tokens whose error is not finite */
};

/* Adds the states [places][count][width] of `count` tokens: those of the model
 * from which errors are measured, and those of the other. */
void flo_layer_errors_add(struct flo_layer_errors *errors, const float *from, const float *other,
                          uint32_t count, uint32_t width);
/* Returns a place's error, or NaN if a token's is not finite. */
double flo_layer_errors_at(const struct flo_layer_errors *errors, uint32_t place);
/* Returns how much larger a place's error is than the one before it. */
double flo_layer_errors_step(const struct flo_layer_errors *errors, uint32_t place);
/* Returns the first place whose error is not finite, else the one with the
 * largest step, or FLO_NO_PLACE if no error grows. */
uint32_t flo_layer_errors_jump(const struct flo_layer_errors *errors);

#endif

/* Sampler: samples without an engine (for tests), and with a mask (for
 * grammars); the rest is in <flotilla/engine.h>. */
#ifndef FLOTILLA_ENGINE_SAMPLER_H
#define FLOTILLA_ENGINE_SAMPLER_H

#include <flotilla/engine.h>

#include "engine/sample/random.h"

FLO_MUST_USE int flo_sampler_make(uint32_t n_vocab, const struct flo_sampling *sampling,
                                  struct flo_sampler **sampler, struct flo_err *err);

/* Returns the bytes of a sampler. */
uint64_t flo_sampler_bytes(uint32_t n_vocab);

/* Does what flo_sampler_sample() does, but among the tokens whose bit is set in
 * `allowed` [n_vocab / 64, rounded up] (NULL: all), and without recording the
 * token.  At least one bit must be set. */
void flo_sampler_choose(struct flo_sampler *sampler, const float *logits, const uint64_t *allowed,
                        struct flo_sample *sample);

/* State from which an answer is resumed, in addition to the options. */
struct flo_sampler_state {
    struct flo_random_stream random;
    int32_t recent[FLO_REPEAT_LAST_MAX]; /* ring buffer of recorded tokens */
    uint32_t recent_count;               /* ever */
};
const struct flo_sampler_state *flo_sampler_state(const struct flo_sampler *sampler);
/* Resumes from a saved state.  Call it after flo_sampler_reset() with the same
 * options. */
void flo_sampler_go_on(struct flo_sampler *sampler, const struct flo_sampler_state *state);

#endif

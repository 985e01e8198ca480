/* Sampler: samples without an engine (for tests), and among the tokens of a
 * mask (for grammars).  Other functions of a sampler are in
 * <flotilla/engine.h>. */
#ifndef FLOTILLA_ENGINE_SAMPLER_H
#define FLOTILLA_ENGINE_SAMPLER_H

#include <flotilla/engine.h>

#include "engine/sample/random.h"

FLO_MUST_USE int flo_sampler_make(uint32_t n_vocab, const struct flo_sampling *sampling,
                                  struct flo_sampler **sampler, struct flo_err *err);

/* Returns the memory of a sampler in bytes. */
uint64_t flo_sampler_bytes(uint32_t n_vocab);

/* Does what flo_sampler_sample() does, but chooses among the tokens whose bit
 * is set in `allowed` [n_vocab / 64, rounded up], and records nothing.  NULL
 * allows all tokens; otherwise at least one bit must be set. */
void flo_sampler_choose(struct flo_sampler *sampler, const float *logits, const uint64_t *allowed,
                        struct flo_sample *sample);

/* State of a sampler that an answer needs, besides the options, to resume. */
struct flo_sampler_state {
    struct flo_random_stream random;
    int32_t recent[FLO_REPEAT_LAST_MAX]; /* ring buffer of the tokens recorded last */
    uint32_t recent_count;               /* ever */
};
const struct flo_sampler_state *flo_sampler_state(const struct flo_sampler *sampler);
/* Resumes from a saved state.  The caller calls flo_sampler_reset() with the
 * same options before. */
void flo_sampler_go_on(struct flo_sampler *sampler, const struct flo_sampler_state *state);

#endif

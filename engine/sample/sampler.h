/* Sampler without an engine, for tests, and behind a mask, for grammars; the
 * rest is in <flotilla/engine.h>. */
#ifndef FLOTILLA_ENGINE_SAMPLER_H
#define FLOTILLA_ENGINE_SAMPLER_H

#include <flotilla/engine.h>

#include "engine/sample/random.h"

FLO_MUST_USE int flo_sampler_make(uint32_t n_vocab,
                                  const struct flo_sampling *sampling,
                                  struct flo_sampler **sampler,
                                  struct flo_err *err);

/* Bytes that one has. */
uint64_t flo_sampler_bytes(uint32_t n_vocab);

/* As flo_sampler_sample(), among the tokens whose bit is set in `allowed`
 * [n_vocab / 64, rounded up] (NULL: all), and without accepting the token.
 * At least one bit must be set. */
void flo_sampler_choose(struct flo_sampler *sampler, const float *logits,
                        const uint64_t *allowed, struct flo_sample *sample);

/* The seed with which a sampler that accepted the same tokens would go on as
 * this one. */
uint64_t flo_sampler_seed(const struct flo_sampler *sampler);

#endif

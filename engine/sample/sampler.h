/* Sampler without an engine, for tests; the rest is in <flotilla/engine.h>. */
#ifndef FLOTILLA_ENGINE_SAMPLER_H
#define FLOTILLA_ENGINE_SAMPLER_H

#include <flotilla/engine.h>

#include "engine/sample/random.h"

FLO_MUST_USE int flo_sampler_make(uint32_t n_vocab,
                                  const struct flo_sampling *sampling,
                                  struct flo_sampler **sampler,
                                  struct flo_err *err);

#endif

/* Produce: reads the rows of a plan's tensors and writes them in their new
 * types, a few megabytes at a time. */
#ifndef FLOTILLA_ENGINE_IMPORT_PRODUCE_H
#define FLOTILLA_ENGINE_IMPORT_PRODUCE_H

#include "engine/publish/fit.h"
#include "engine/publish/import/packed.h"
#include "engine/publish/import/plan.h"
#include "engine/publish/mix.h"

#define FLO_QUANT_MXFP4_ID 39

struct flo_produce {
    struct flo_pool *pool;
    unsigned threads;
    struct flo_fit_counters fit; /* sums over all values that were encoded */
    /* buffers for one piece of a tensor */
    uint8_t *raw, *encoded;
    float *floats, *turned;
    struct flo_packed_load packed; /* the quantised matrix that is being read */
};

/* Chooses the type of each output.  Floats that llama.cpp needs as they are
 * stay F32.  MXFP4 stays as it is, unless the mix is F32.
 * FLO_E_MODEL_FOLDER: a source is of a type that is not read. */
FLO_MUST_USE int flo_produce_types(struct flo_import *import, const struct flo_mix *mix,
                                   struct flo_err *err);
FLO_MUST_USE int flo_produce_open(struct flo_produce *produce, unsigned threads,
                                  struct flo_err *err);
void flo_produce_close(struct flo_produce *produce);
/* Writes the bytes of one output.
 * FLO_E_MODEL_NONFINITE: a value is NaN, infinite, or too large for the type.
 * FLO_E_IO_READ, FLO_E_IO_WRITE, FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_produce_write(struct flo_produce *produce, const struct flo_output *output,
                                   int fd, struct flo_err *err);

#endif

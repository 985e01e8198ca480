/* The search for NaN and infinity in the tensors of a file.
 *
 * One pass over every float and every block scale, in bounded memory, whatever
 * the file's format is: who reads the format says where its tensors lie. */
#ifndef FLOTILLA_BASE_FINITE_H
#define FLOTILLA_BASE_FINITE_H

#include <flotilla/base.h>

#include "base/quant/quant.h"

struct flo_finite_tensor {
    const char *name; /* as long as the file is open */
    const struct flo_quant_type *type;
    uint64_t offset; /* from the beginning of the file */
    uint64_t bytes;  /* whole blocks */
};
/* Tensor `index` in the order of offsets, none over another; false: the file
 * has no more. */
typedef bool flo_finite_tensor_at(const void *file, size_t index, struct flo_finite_tensor *out);

/* Feed the file's bytes in order from offset 0 in pieces of any size (while
 * they are hashed anyway).  Caller's struct; nothing to free.  The reader of a
 * format fills in the first three and zero for the rest. */
struct flo_finite {
    const void *file;
    flo_finite_tensor_at *tensor_at;
    int cut;            /* the error when tensors are missing at the end */
    uint64_t position;  /* place of the next byte in the file */
    size_t next;        /* index of the tensor at hand */
    uint8_t carry[512]; /* a block that was cut by the end of a piece */
    size_t carry_bytes;
};
/* FLO_E_MODEL_NONFINITE names the tensor and the element or block index;
 * FLO_E_GGUF_TYPE for a type whose scales are not known. */
FLO_MUST_USE int flo_finite_add(struct flo_finite *scan, const void *data, size_t bytes,
                                struct flo_err *err);
/* ->cut when tensors are still missing. */
FLO_MUST_USE int flo_finite_finish(const struct flo_finite *scan, struct flo_err *err);

#endif

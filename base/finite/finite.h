/* Finite search: finds NaN and infinity in the tensors of a file.
 *
 * It makes one pass over every float and every block scale, in bounded memory.
 * It works for any file format: the format's reader says where the tensors
 * are. */
#ifndef FLOTILLA_BASE_FINITE_H
#define FLOTILLA_BASE_FINITE_H

#include <flotilla/base.h>

#include "base/quant/quant.h"

struct flo_finite_tensor {
    const char *name; /* name of the tensor, valid while the file is open */
    const struct flo_quant_type *type;
    uint64_t offset; /* offset of the tensor in the file */
    uint64_t bytes;  /* bytes of the tensor, in whole blocks */
};
/* Gives tensor `index`, in ascending order of offsets, without overlaps.
 * Returns false when the file has no more tensors. */
typedef bool flo_finite_tensor_at(const void *file, size_t index, struct flo_finite_tensor *out);

/* State of one scan.  The caller passes the file's bytes in order from offset
 * 0, in pieces of any size (for example while they are hashed).  The caller
 * owns the struct, which needs no freeing.  A format's reader fills in the
 * first three members and zeroes the others. */
struct flo_finite {
    const void *file;
    flo_finite_tensor_at *tensor_at;
    int cut;            /* error code to return for a file that ends before its last tensor */
    uint64_t position;  /* offset in the file of the next byte */
    size_t next;        /* index of the tensor that is being read */
    uint8_t carry[512]; /* first bytes of a block that continues in the next piece */
    size_t carry_bytes;
};
/* Tests the next bytes of the file.  FLO_E_MODEL_NONFINITE names the tensor and
 * the element or block index.  Returns FLO_E_GGUF_TYPE for a type whose scales
 * are not known. */
FLO_MUST_USE int flo_finite_add(struct flo_finite *scan, const void *data, size_t bytes,
                                struct flo_err *err);
/* Returns the error code `cut` when the file ended before its last tensor. */
FLO_MUST_USE int flo_finite_finish(const struct flo_finite *scan, struct flo_err *err);

#endif

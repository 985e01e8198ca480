/* Safetensors files: a bounded reader for the files that trainers save and
 * other runtimes load.
 *
 * A file begins with the length of the head, a u64 (little-endian).  The head
 * follows, a JSON object {"NAME": {"dtype": "F32", "shape": [r, c],
 * "data_offsets": [from, to]}}, then the data, in which offset 0 is the first
 * byte.  Every number is checked against the file's size before use.  As the
 * format demands, tensors must fill the data without gaps or overlaps. */
#ifndef FLOTILLA_BASE_SAFETENSORS_H
#define FLOTILLA_BASE_SAFETENSORS_H

#include <flotilla/base.h>

#include "base/finite/finite.h"

#define FLO_SAFETENSORS_HEAD_BYTES_MAX (8u << 20)
#define FLO_SAFETENSORS_COUNT_MAX 16384
#define FLO_SAFETENSORS_DIMS_MAX 8
/* An id for types that have no row in base/quant/quant.h. */
#define FLO_SAFETENSORS_NO_ID UINT32_MAX

struct flo_safetensor {
    const char *name; /* borrowed from the reader */
    /* type of the values; it has no decoders, and only its sizes and the places
     * of its floats are used */
    const struct flo_quant_type *type;
    uint32_t dim_count;
    uint64_t dims[FLO_SAFETENSORS_DIMS_MAX]; /* outermost first */
    uint64_t offset;                         /* offset from the file's beginning */
    uint64_t bytes;
    /* the tensor's bytes, unaligned; NULL: the file was opened by a
     * descriptor */
    const uint8_t *data;
};

struct flo_safetensors; /* an open file */

/* Tells whether a file is probably safetensors, by its first nine bytes, or
 * fewer, and its size. */
bool flo_safetensors_looks_like(const void *data, size_t bytes, uint64_t file_bytes);

/* Opens a whole file in memory, which must not change until the close.  Returns
 * FLO_E_SAFETENSORS for an invalid file.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_safetensors_open(const void *data, size_t bytes, struct flo_safetensors **out,
                                      struct flo_err *err);
/* Opens a file by its descriptor; only the head is read, by pread.  Also
 * FLO_E_IO_READ. */
FLO_MUST_USE int flo_safetensors_open_fd(int fd, struct flo_safetensors **out, struct flo_err *err);
/* NULL is fine. */
void flo_safetensors_close(struct flo_safetensors *file);
size_t flo_safetensors_count(const struct flo_safetensors *file);
uint64_t flo_safetensors_file_bytes(const struct flo_safetensors *file);
/* Returns tensor `index` in the order of offsets. */
const struct flo_safetensor *flo_safetensors_at(const struct flo_safetensors *file, size_t index);
/* Prepares a scan for flo_finite_add(). */
void flo_safetensors_scan_init(struct flo_finite *scan, const struct flo_safetensors *file);

#endif

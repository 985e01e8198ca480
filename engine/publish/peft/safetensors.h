/* Safetensors files: a bounded reader of what trainers save.
 *
 * u64 little endian: bytes of the head; the head, a JSON object
 *   {"NAME": {"dtype": "F32", "shape": [r, c], "data_offsets": [from, to]}};
 * then the data, from which offsets count.  Every number is checked against the
 * bytes that are there before anything is kept. */
#ifndef FLOTILLA_ENGINE_SAFETENSORS_H
#define FLOTILLA_ENGINE_SAFETENSORS_H

#include <flotilla/base.h>

#define FLO_SAFETENSORS_HEAD_BYTES_MAX (16u << 20)
#define FLO_SAFETENSORS_COUNT_MAX 16384

struct flo_safetensor {
    const char *name; /* the reader's */
    uint32_t type;    /* FLO_QUANT_F32, _F16, _BF16 */
    uint64_t rows, columns;
    const uint8_t *data; /* rows * columns values, no alignment */
    uint64_t bytes;
};

struct flo_safetensors; /* an open file */

/* `data` stays as it is until the close.  Matrices of plain floats only:
 * FLO_E_NOT_BUILT for others, FLO_E_MODEL_ADAPTER for a file that is none,
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_safetensors_open(const void *data, size_t bytes,
                                      struct flo_safetensors **out,
                                      struct flo_err *err);
/* NULL is fine. */
void flo_safetensors_close(struct flo_safetensors *file);
size_t flo_safetensors_count(const struct flo_safetensors *file);
const struct flo_safetensor *
flo_safetensors_at(const struct flo_safetensors *file, size_t index);

#endif

/* Tensor ranges: which bytes of a model file hold rows of which type, whatever
 * the format.
 *
 * Formats: GGUF, safetensors and ONNX (base/gguf, base/safetensors, onnx.h). */
#ifndef FLOTILLA_PUBLISH_RANGES_H
#define FLOTILLA_PUBLISH_RANGES_H

#include "updater/delta/tensor/model.h"

struct tensor_range {
    const char *name; /* borrowed, not NUL-terminated */
    size_t name_bytes;
    const struct block_type *type; /* NULL: a type that the typed delta does not support */
    uint64_t columns;              /* values per row, at least 1 */
    uint64_t values;               /* number of values, in whole rows */
    uint64_t offset;               /* offset of the tensor's bytes in the file */
    uint64_t bytes;
};

/* The tensors of a file; the file's bytes must outlive the list. */
struct tensor_ranges {
    struct tensor_range *all; /* sorted by offset, no overlaps */
    size_t count;
    struct tensor_range **by_name; /* [count] */
    /* Open files, which own the tensors' names.  NULL: the file has another
     * format. */
    struct flo_gguf *gguf;
    struct flo_safetensors *safetensors;
};

/* Lists the tensors of a file.  A file of another format, or a damaged one, has
 * no tensors and is compared as bytes.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_tensor_ranges_open(const uint8_t *data, uint64_t bytes,
                                        struct tensor_ranges *out, struct flo_err *err);
void flo_tensor_ranges_close(struct tensor_ranges *ranges);
/* Returns the first range with that name, or NULL. */
const struct tensor_range *flo_tensor_ranges_find(const struct tensor_ranges *ranges,
                                                  const char *name, size_t name_bytes);
/* Returns how many bytes are in tensors whose type the codec supports. */
uint64_t flo_tensor_ranges_typed(const struct tensor_ranges *ranges);

#endif

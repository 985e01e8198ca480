/* The tensors of a model file, whatever its format: which bytes hold rows of
 * which type.  A plan needs to know no more of a file.
 *
 * GGUF, safetensors and ONNX are known (base/gguf, base/safetensors, onnx.h).
 */
#ifndef FLOTILLA_PUBLISH_RANGES_H
#define FLOTILLA_PUBLISH_RANGES_H

#include "updater/delta/tensor/model.h"

struct tensor_range {
    const char *name; /* borrowed, not NUL-terminated */
    size_t name_bytes;
    const struct block_type *type; /* NULL: none that the codec knows */
    uint64_t columns;              /* values of a row, at least 1 */
    uint64_t values;               /* whole rows */
    uint64_t offset;               /* from the file's beginning */
    uint64_t bytes;
};

/* The file must stay as long as the list. */
struct tensor_ranges {
    struct tensor_range *all; /* by offset; none overlaps another */
    size_t count;
    struct tensor_range **by_name; /* [count] */
    /* Open files that have the names; NULL: another format. */
    struct flo_gguf *gguf;
    struct flo_safetensors *safetensors;
};

/* FLO_E_MEMORY.  A file of another format, or one that is damaged, has no
 * tensors: its bytes are compared as bytes. */
FLO_MUST_USE int flo_tensor_ranges_open(const uint8_t *data, uint64_t bytes,
                                        struct tensor_ranges *out, struct flo_err *err);
void flo_tensor_ranges_close(struct tensor_ranges *ranges);
/* The first of that name, or NULL. */
const struct tensor_range *flo_tensor_ranges_find(const struct tensor_ranges *ranges,
                                                  const char *name, size_t name_bytes);
/* Bytes in tensors of a type that the codec knows. */
uint64_t flo_tensor_ranges_typed(const struct tensor_ranges *ranges);

#endif

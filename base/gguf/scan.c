/* GGUF scan: gives the tensor offsets of a file, for the search for NaN and
 * infinity.
 *
 * A model may pass its golden prompts (test cases) although a weight is NaN.
 * So each update is searched before it is staged, in the same pass as its
 * hash. */
#include <flotilla/errors/gguf.h>

#include "base/gguf/open_file.h"

static bool tensor_at(const void *file, size_t index, struct flo_finite_tensor *out)
{
    const struct flo_gguf *gguf = file;

    if (index >= gguf->tensor_count) {
        return false;
    }
    const struct flo_gguf_tensor *tensor = &gguf->tensors[gguf->tensor_by_offset[index]];
    *out = (struct flo_finite_tensor){.name = tensor->name,
                                      .type = flo_quant_type(tensor->type),
                                      .offset = tensor->offset,
                                      .bytes = tensor->bytes};
    return true;
}

void flo_gguf_scan_init(struct flo_finite *scan, const struct flo_gguf *gguf)
{
    *scan = (struct flo_finite){.file = gguf, .tensor_at = tensor_at, .cut = FLO_E_GGUF_TRUNCATED};
}

int flo_gguf_scan_nonfinite(const struct flo_gguf *gguf, struct flo_err *err)
{
    struct flo_finite scan;
    flo_gguf_scan_init(&scan, gguf);
    FLO_TRY(flo_finite_add(&scan, gguf->data, (size_t)gguf->file_bytes, err));
    return flo_finite_finish(&scan, err);
}

/* ONNX files, of which a publisher's planner takes the ranges of weights: no
 * range leaves the file, and no two share a byte. */
#include <stdlib.h>

#include "updater/delta/publish/onnx.h"
#include "updater/delta/publish/ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_tensors(const uint8_t *data, size_t bytes)
{
    struct onnx_tensor *tensors = NULL;
    size_t count = 0;

    if (!flo_onnx_tensors(data, bytes, &tensors, &count)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct onnx_tensor *tensor = &tensors[i];
        if (tensor->bytes == 0 || tensor->offset > bytes ||
            tensor->bytes > bytes - tensor->offset || tensor->name_bytes > bytes ||
            tensor->dim_count > ONNX_DIMS_MAX) {
            abort();
        }
    }
    free(tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tensor_ranges ranges;
    uint64_t end = 0;

    check_tensors(data, bytes);
    if (flo_tensor_ranges_open(data, bytes, &ranges, NULL) < 0) {
        return 0;
    }
    for (size_t i = 0; i < ranges.count; i++) {
        const struct tensor_range *range = &ranges.all[i];
        if (range->offset < end || range->bytes > bytes - range->offset ||
            (range->type != NULL &&
             (range->values % range->columns != 0 ||
              flo_tensor_bytes(range->type, range->values) != range->bytes)) ||
            flo_tensor_ranges_find(&ranges, range->name, range->name_bytes) == NULL) {
            abort();
        }
        end = range->offset + range->bytes;
    }
    flo_tensor_ranges_close(&ranges);
    return 0;
}

/* Adapters of a trainer, mapped by the tables of a family: what is accepted has
 * all bytes of each half. */
#include <stdlib.h>

#include "engine/publish/import/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void give_all(struct flo_import_adapter *adapter)
{
    for (size_t i = 0; i < adapter->head_count; i++) {
        const void *half = NULL;
        struct flo_err err = {0};
        int rv = flo_import_adapter_give(adapter, i, &half, &err);

        if (rv < 0 ? err.what[0] == '\0' : half == NULL) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_safetensors *file = NULL;
    struct flo_import_adapter adapter = {0};
    struct flo_err err = {0};

    if (flo_safetensors_open(data, bytes, &file, &err) < 0) {
        return 0;
    }
    if (flo_import_adapter_open(&adapter, "tests/models/lfm2-folder", file, "lfm2", &err) == 0) {
        give_all(&adapter);
    } else if (err.what[0] == '\0') {
        abort();
    }
    flo_import_adapter_close(&adapter);
    flo_safetensors_close(file);
    return 0;
}

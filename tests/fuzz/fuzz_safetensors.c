/* PEFT folders: matrices and configuration that a publisher was given.  Bytes
 * up to the first NUL are the configuration, the others the matrices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/peft/peft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_config(const uint8_t *data, size_t bytes)
{
    struct flo_peft_config config;
    struct flo_err err = {0};
    char *text = malloc(bytes + 1);

    if (text == NULL) {
        return;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    int rv = flo_peft_config_read(text, bytes, &config, &err);
    if (rv < 0 ? err.what[0] == '\0'
               : config.rank == 0 || config.rank > FLO_PEFT_RANK_MAX) {
        abort();
    }
    free(text);
}

/* All bytes that a tensor claims are there. */
static void read_tensors(const uint8_t *data, size_t bytes)
{
    struct flo_safetensors *file;
    struct flo_err err = {0};

    if (flo_safetensors_open(data, bytes, &file, &err) < 0) {
        if (err.what[0] == '\0') {
            abort();
        }
        return;
    }
    for (size_t i = 0; i < flo_safetensors_count(file); i++) {
        const struct flo_safetensor *tensor = flo_safetensors_at(file, i);
        const struct flo_peft_tensor mapped = {
            .head_rows = tensor->rows % 2 == 0 ? tensor->rows : 0};
        uint8_t *out = malloc((size_t)tensor->bytes);
        if (tensor->bytes == 0 || tensor->bytes > bytes) {
            abort();
        }
        if (out != NULL) {
            flo_peft_tensor_rows(tensor, &mapped, out);
        }
        free(out);
    }
    flo_safetensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = memchr(data, '\0', bytes);
    size_t config = end == NULL ? bytes : (size_t)(end - data);

    read_config(data, config);
    if (end != NULL) {
        read_tensors(end + 1, bytes - config - 1);
    }
    return 0;
}

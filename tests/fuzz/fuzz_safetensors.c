/* Safetensors files, which devices scan and publishers convert, and a PEFT
 * folder's configuration.  Bytes up to the first NUL are the configuration, the
 * others the file. */
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
    if (rv < 0 ? err.what[0] == '\0' : config.rank == 0 || config.rank > FLO_PEFT_RANK_MAX) {
        abort();
    }
    free(text);
}

/* A matrix is mapped only when it is one of plain floats. */
static void turn_rows(const struct flo_safetensor *tensor)
{
    uint64_t rows = tensor->dims[0];
    const struct flo_peft_tensor mapped = {.head_rows = rows % 2 == 0 ? rows : 0};
    uint8_t *out = malloc((size_t)tensor->bytes);

    if (out != NULL) {
        flo_peft_tensor_rows(tensor, &mapped, out);
    }
    free(out);
}

/* The verdict is the same however the bytes come. */
static int scan(const struct flo_safetensors *file, const uint8_t *data, size_t bytes, size_t piece)
{
    struct flo_finite scan;
    struct flo_err err = {0};
    int rv = 0;

    flo_safetensors_scan_init(&scan, file);
    for (size_t at = 0; rv == 0 && at < bytes; at += piece) {
        size_t some = bytes - at < piece ? bytes - at : piece;
        rv = flo_finite_add(&scan, data + at, some, &err);
    }
    if (rv == 0 && flo_finite_finish(&scan, &err) < 0) {
        abort(); /* the reader said that all of it is here */
    }
    if (rv < 0 && (rv != FLO_E_MODEL_NONFINITE || err.what[0] == '\0')) {
        abort();
    }
    return rv;
}

/* All bytes that a tensor claims are there, and each is in one tensor. */
static void read_tensors(const uint8_t *data, size_t bytes)
{
    struct flo_safetensors *file;
    struct flo_err err = {0};
    uint64_t sum = 0;

    if (flo_safetensors_open(data, bytes, &file, &err) < 0) {
        if (err.what[0] == '\0') {
            abort();
        }
        return;
    }
    for (size_t i = 0; i < flo_safetensors_count(file); i++) {
        const struct flo_safetensor *tensor = flo_safetensors_at(file, i);
        if (tensor->bytes > bytes || tensor->data + tensor->bytes > data + bytes) {
            abort();
        }
        sum += tensor->bytes;
        if (tensor->dim_count == 2 && tensor->bytes > 0 &&
            tensor->type->id != FLO_SAFETENSORS_NO_ID) {
            turn_rows(tensor);
        }
    }
    if (sum > bytes || scan(file, data, bytes, bytes) != scan(file, data, bytes, bytes % 7 + 1)) {
        abort();
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

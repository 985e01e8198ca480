/* GGUF: whatever opens is safe to walk, to search and to decode. */
#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "base/quant/quant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void walk_key(const struct flo_gguf *gguf, const struct flo_gguf_kv *kv)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < kv->bytes; i++) {
        sum += kv->data[i];
    }
    if (kv->type == FLO_GGUF_ARRAY && kv->item_type == FLO_GGUF_STRING) {
        const uint8_t *cursor = kv->data;
        for (uint64_t i = 0; i < kv->count; i++) {
            sum += flo_gguf_next_string(&cursor).bytes;
        }
        if (cursor != kv->data + kv->bytes) {
            abort();
        }
    }
    char key[64];
    if (kv->key.bytes < sizeof(key)) {
        uint64_t number;
        float real;
        memcpy(key, kv->key.data, kv->key.bytes);
        key[kv->key.bytes] = '\0';
        if (flo_gguf_find(gguf, key) != kv ||
            (flo_gguf_u64(gguf, key, &number, NULL) == 0 &&
             flo_gguf_f32(gguf, key, &real, NULL) == 0) ||
            sum == UINT64_MAX) {
            abort();
        }
    }
}

static void walk_tensor(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor)
{
    const struct flo_quant_type *type = flo_quant_type(tensor->type);
    const uint8_t *blocks = flo_gguf_tensor_data(gguf, tensor);
    float values[256];
    if (flo_gguf_tensor_find(gguf, tensor->name) != tensor) {
        abort();
    }
    for (uint64_t at = 0; type->decode != NULL && at < tensor->values; at += type->block_values) {
        /* Blocks are aligned in a file; a fuzzer's bytes may not be. */
        uint8_t block[256] __attribute__((aligned(8)));
        memcpy(block, blocks + (size_t)flo_quant_bytes(type, at), type->block_bytes);
        type->decode(block, values, type->block_values);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_gguf *gguf;
    struct flo_err err = {0};
    if (flo_gguf_open(data, bytes, &gguf, &err) < 0) {
        return 0;
    }
    for (size_t i = 0; i < flo_gguf_kv_count(gguf); i++) {
        walk_key(gguf, flo_gguf_kv_at(gguf, i));
    }
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        walk_tensor(gguf, flo_gguf_tensor_at(gguf, i));
    }
    /* In one piece and in two, the same verdict. */
    struct flo_finite scan;
    int whole = flo_gguf_scan_nonfinite(gguf, &err);
    flo_gguf_scan_init(&scan, gguf);
    size_t cut = bytes / 2;
    int rv = flo_finite_add(&scan, data, cut, NULL);
    if (rv == 0) {
        rv = flo_finite_add(&scan, data + cut, bytes - cut, NULL);
    }
    if (rv == 0) {
        rv = flo_finite_finish(&scan, NULL);
    }
    if (rv != whole) {
        abort();
    }
    flo_gguf_close(gguf);
    return 0;
}

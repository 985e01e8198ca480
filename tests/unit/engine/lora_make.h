/* Adapters of a model, made by a seed, and the model with one merged into it:
 * for tests. */
#ifndef FLOTILLA_TESTS_LORA_MAKE_H
#define FLOTILLA_TESTS_LORA_MAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quant/quant.h"
#include "engine/model/adapter/lora_file.h"
#include "engine/model/session.h"

static inline float *values_of(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor)
{
    float *values = malloc((size_t)tensor->values * sizeof(*values));

    assert_non_null(values);
    flo_quant_type(tensor->type)
        ->decode(flo_gguf_tensor_data(gguf, tensor), values, (size_t)tensor->values);
    return values;
}

static inline struct flo_gguf *open_file(const char *path)
{
    struct flo_gguf *gguf = NULL;

    assert_int_equal(flo_gguf_open_path(path, &gguf, NULL), 0);
    return gguf;
}

/* ---- a merged model ---- */

struct merging {
    const struct flo_gguf *base;
    struct flo_lora lora;
    float scale;
    float *values; /* of the last tensor */
};

/* F32 of a tensor, plus scale * alpha / rank * B A of each of its matrices. */
static inline int merge_one(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                            struct flo_err *err)
{
    struct merging *merging = context;
    const struct flo_gguf *lora = merging->lora.gguf;
    const struct flo_gguf_tensor *source = flo_gguf_tensor_find(merging->base, tensor->name);
    const struct flo_gguf_tensor *a, *b;

    (void)err;
    free(merging->values);
    merging->values = values_of(merging->base, source);
    *data = merging->values;
    if (!flo_lora_halves(&merging->lora, tensor->name, &a, &b)) {
        return 0;
    }
    size_t columns = (size_t)a->dims[0], rank = (size_t)a->dims[1], rows = (size_t)b->dims[1];
    float *to_a = values_of(lora, a), *to_b = values_of(lora, b);
    double scale = (double)merging->scale * (double)merging->lora.alpha / (double)rank;

    for (size_t i = 0; i < source->values; i++) {
        size_t row = i / columns; /* of all matrices of the tensor */
        double sum = 0;

        for (size_t r = 0; r < rank; r++) {
            sum += (double)to_b[row * rank + r] *
                   (double)to_a[(row / rows * rank + r) * columns + i % columns];
        }
        merging->values[i] += (float)(sum * scale);
    }
    free(to_a);
    free(to_b);
    return 0;
}

/* Writes base + scale * adapter as F32 to a new file, whose name `path` gets. */
static inline void write_merged(const char *base_path, const char *lora_path, float scale,
                                char *path)
{
    struct flo_gguf *base = open_file(base_path), *lora = open_file(lora_path);
    struct merging merging = {.base = base, .scale = scale};
    uint32_t *types = calloc(flo_gguf_tensor_count(base), sizeof(*types)); /* 0: F32 */
    int fd = mkstemp(path);

    assert_true(fd >= 0 && types != NULL);
    assert_int_equal(flo_lora_check(lora, base, &merging.lora, NULL), 0);
    assert_int_equal(flo_gguf_write(base, types, NULL, 0, merge_one, &merging, fd, NULL), 0);
    free(merging.values);
    free(types);
    close(fd);
    flo_gguf_close(lora);
    flo_gguf_close(base);
}

#endif

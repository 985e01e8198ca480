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

/* ---- a random adapter ---- */

enum { LORA_RANK = 3, LORA_TENSORS_MAX = 2048 };

struct making {
    struct flo_engine *engine;
    uint64_t seed;
    struct flo_gguf_tensor heads[LORA_TENSORS_MAX];
    float most[LORA_TENSORS_MAX]; /* of each tensor's numbers */
    size_t count;
    float *values; /* of the last tensor */
};

/* Returns a number from -1 to 1. */
static inline float random_number(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*seed >> 32) / 2147483648.0f;
}

static inline int give_random(void *context, const struct flo_gguf_tensor *tensor,
                              const void **data, struct flo_err *err)
{
    struct making *making = context;
    size_t i = 0;

    (void)err;
    while (strcmp(making->heads[i].name, tensor->name) != 0) {
        i++;
    }
    free(making->values);
    making->values = malloc((size_t)tensor->values * sizeof(float));
    assert_non_null(making->values);
    for (size_t k = 0; k < tensor->values; k++) {
        making->values[k] = making->most[i] * random_number(&making->seed);
    }
    *data = making->values;
    return 0;
}

static inline void add_half(struct making *making, const struct flo_gguf_tensor *tensor,
                            const char *tail, uint64_t columns, uint64_t rows, float most)
{
    struct flo_gguf_tensor *head = &making->heads[making->count];

    assert_true(making->count < LORA_TENSORS_MAX);
    making->most[making->count++] = most;
    *head = *tensor;
    assert_true(snprintf(head->name, sizeof(head->name), "%s%s", tensor->name, tail) <
                (int)sizeof(head->name));
    head->type = FLO_QUANT_F32;
    head->dims[0] = columns;
    head->dims[1] = rows;
    head->values = columns * rows * tensor->dims[2];
}

/* Adds a pair that changes the tensor by a share of its own size. */
static inline void add_pair(struct making *making, const struct flo_gguf_tensor *tensor,
                            float share)
{
    float *values = values_of(making->engine->gguf, tensor);
    double squares = 0;

    for (size_t i = 0; i < tensor->values; i++) {
        squares += (double)values[i] * (double)values[i];
    }
    free(values);
    /* the mean square of B A is rank * most^2 / 9 */
    float size = (float)sqrt(squares / (double)tensor->values);
    add_half(making, tensor, ".lora_a", tensor->dims[0], LORA_RANK, 1);
    add_half(making, tensor, ".lora_b", LORA_RANK, tensor->dims[1],
             3 * share * size / sqrtf(LORA_RANK));
}

/* Writes an adapter of all matrices that one may change, by a seed, to a new
 * file.  Returns how many matrices that are. */
static inline size_t write_adapter(struct flo_engine *engine, uint64_t seed, float share,
                                   char *path)
{
    static struct making making;
    const struct flo_gguf_edit keys[] = {
        {.key = "general.architecture",
         .type = FLO_GGUF_STRING,
         .text = flo_arch_name(engine->arch)},
        {.key = "adapter.type", .type = FLO_GGUF_STRING, .text = "lora"},
        {.key = "adapter.lora.alpha", .type = FLO_GGUF_F32, .f32 = LORA_RANK},
    };
    const struct flo_matrix *places[FLO_PLACES_MAX];
    int fd = mkstemp(path);

    making = (struct making){.engine = engine, .seed = seed};
    for (size_t i = 0; i < flo_gguf_tensor_count(engine->gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(engine->gguf, i);

        if (flo_weights_places(&engine->weights, tensor, places) > 0) {
            add_pair(&making, tensor, share);
        }
    }
    assert_true(fd >= 0);
    assert_int_equal(flo_gguf_create(making.heads, making.count, keys, FLO_COUNT(keys), give_random,
                                     &making, fd, NULL),
                     0);
    free(making.values);
    close(fd);
    return making.count / 2;
}

/* Returns how far results are apart, as a share of the first ones. */
static inline double lora_distance(const float *a, const float *b, size_t count)
{
    double sum = 0, whole = 0;

    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
        whole += (double)a[i] * (double)a[i];
    }
    return sqrt(sum / whole);
}

#endif

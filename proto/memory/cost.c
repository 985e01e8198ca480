/* Memory cost: computes the bytes that a model needs, and the order of
 * importance. */
#include "proto/memory/set.h"

#include <assert.h>
#include <string.h>

static bool maps(const struct flo_memory_model *model, uint32_t before,
                 const struct flo_digest *digest)
{
    for (uint32_t i = 0; i < before; i++) {
        if (flo_digest_equal(&model->files[i].digest, digest)) {
            return true;
        }
    }
    return false;
}

static bool is_counted(const struct flo_memory_set *set, const struct flo_digest *digest)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->is_in[i] && maps(&set->models[i], set->models[i].n_files, digest)) {
            return true;
        }
    }
    return false;
}

uint64_t flo_memory_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Returns the bytes of the model's files that no model of the set maps. */
static uint64_t files_new(const struct flo_memory_set *set, const struct flo_memory_model *model)
{
    uint64_t bytes = 0;

    assert(model->n_files <= FLO_MEMORY_FILES_MAX);
    for (uint32_t i = 0; i < model->n_files; i++) {
        const struct flo_memory_file *file = &model->files[i];
        if (!maps(model, i, &file->digest) && !is_counted(set, &file->digest)) {
            bytes = flo_memory_add(bytes, file->bytes);
        }
    }
    return bytes;
}

uint32_t flo_memory_last_rung(const struct flo_memory_model *model)
{
    assert(model->rungs >= 1 && model->rungs <= FLO_MEMORY_RUNGS);
    return model->rungs - 1;
}

static uint64_t private_at(const struct flo_memory_model *model, uint32_t rung)
{
    uint32_t last = flo_memory_last_rung(model);
    return model->private_bytes[rung < last ? rung : last];
}

uint64_t flo_memory_cost_new(const struct flo_memory_set *set, const struct flo_memory_model *model,
                             uint32_t rung)
{
    return flo_memory_add(private_at(model, rung), files_new(set, model));
}

/* ---- order ---- */

/* Tells whether model a is more important than b: pinned first, then greater
 * weight, then lower name. */
static bool is_before(const struct flo_memory_model *a, const struct flo_memory_model *b)
{
    if (a->is_pinned != b->is_pinned) {
        return a->is_pinned;
    }
    if (a->weight != b->weight) {
        return a->weight > b->weight;
    }
    return strcmp(a->name, b->name) < 0;
}

void flo_memory_order(const struct flo_memory_model *models, size_t count,
                      size_t order[FLO_MEMORY_MODELS_MAX])
{
    for (size_t i = 0; i < count; i++) {
        size_t place = i;
        while (place > 0 && is_before(&models[i], &models[order[place - 1]])) {
            order[place] = order[place - 1];
            place--;
        }
        order[place] = i;
    }
}

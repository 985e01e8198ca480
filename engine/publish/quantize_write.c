/* Quantize write: writes the tensors of a model in other types. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/quantize.h"
#include "engine/publish/quantize_run.h"

/* Returns the tensor with this one's name and shape in another file, or
 * NULL. */
static const struct flo_gguf_tensor *same_tensor(const struct flo_gguf *gguf,
                                                 const struct flo_gguf_tensor *tensor)
{
    const struct flo_gguf_tensor *other =
        gguf != NULL ? flo_gguf_tensor_find(gguf, tensor->name) : NULL;
    bool is_same = other != NULL && memcmp(other->dims, tensor->dims, sizeof(tensor->dims)) == 0;
    return is_same ? other : NULL;
}

static int fill_work(const struct quantize *q, const struct flo_gguf_tensor *tensor,
                     const struct flo_gguf_tensor *source, struct flo_fit *work,
                     struct flo_err *err)
{
    const struct flo_gguf_tensor *old = same_tensor(q->old, tensor);
    const struct flo_gguf_tensor *floats = same_tensor(q->old_floats, tensor);
    work->from = flo_quant_type(source->type);
    work->to = flo_quant_type(tensor->type);
    work->source = flo_gguf_tensor_data(q->source, source);
    work->data = q->data;
    work->values = tensor->values;
    work->name = tensor->name;
    work->importance =
        q->importance != NULL ? flo_importance_find(q->importance, tensor->name) : NULL;
    work->row = tensor->dims[0];
    work->plane = tensor->dims[0] * tensor->dims[1];
    if (work->from->decode == NULL || work->to->encode == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT, "tensor '%s': from %s to %s is not built yet",
                        tensor->name, work->from->name, work->to->name);
    }
    if (old != NULL && old->type == tensor->type && work->to->pin != NULL) {
        work->old = flo_gguf_tensor_data(q->old, old);
    }
    if (floats != NULL && flo_quant_type(floats->type)->decode != NULL) {
        work->floats_type = flo_quant_type(floats->type);
        work->floats = flo_gguf_tensor_data(q->old_floats, floats);
    }
    return 0;
}

static int replace(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                   struct flo_err *err)
{
    struct quantize *q = context;
    const struct flo_gguf_tensor *source = flo_gguf_tensor_find(q->source, tensor->name);
    size_t index = (size_t)(source - flo_gguf_tensor_at(q->source, 0));
    struct flo_fit_counters *counters = &q->tallies[index];
    struct flo_fit work = {0};
    flo_tool_progress("tensor", q->done++, flo_gguf_tensor_count(q->source), q->started_us);
    q->bytes += tensor->bytes;
    if (source->type == tensor->type &&
        (q->old == NULL || flo_quant_type(tensor->type)->scale_count == 0)) {
        return 0; /* the bytes of the source are copied as they are */
    }
    FLO_TRY(fill_work(q, tensor, source, &work, err));
    FLO_TRY(flo_fit_run(&work, q->pool, (unsigned)q->tool.threads, counters, err));
    flo_fit_add(&q->all, counters);
    *data = q->data;
    return 0;
}

int flo_quantize_tensors(struct quantize *q, int fd, struct flo_err *err)
{
    const struct flo_gguf_edit edits[] = {
        {.key = "general.file_type", .type = FLO_GGUF_U32, .u32 = q->mix->file_type},
        {.key = "general.quantization_version", .type = FLO_GGUF_U32, .u32 = 2},
    };
    q->started_us = flo_now_us();
    int rv = flo_gguf_write(q->source, q->types, edits, FLO_COUNT(edits), replace, q, fd, err);
    flo_tool_progress("tensor", 1, 1, q->started_us);
    return rv;
}

int flo_quantize_types(struct quantize *q, struct flo_err *err)
{
    size_t count = flo_gguf_tensor_count(q->source);
    struct flo_mix_model model = flo_mix_learn(q->source);
    uint64_t most = 0;
    q->types = calloc(count + 1, sizeof(*q->types));
    q->tallies = calloc(count + 1, sizeof(*q->tallies));
    if (q->types == NULL || q->tallies == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(q->source, i);
        uint32_t id =
            flo_quantize_is_chosen(q) ? tensor->type : flo_mix_type(q->mix, &model, tensor);
        const struct flo_quant_type *type = flo_quant_type(id);
        uint64_t bytes;
        q->types[i] = id;
        if (!flo_mul_u64(tensor->values / type->block_values, type->block_bytes, &bytes) ||
            bytes > SIZE_MAX / 2) {
            return flo_fail(err, FLO_E_MEMORY, "tensor '%s'", tensor->name);
        }
        most = bytes > most ? bytes : most;
    }
    q->data = malloc((size_t)most + 1);
    return q->data != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " bytes for the largest tensor", most);
}

unsigned flo_quantize_threads(void)
{
    unsigned cpus = flo_cpus_allowed();

    return cpus < FLO_QUANTIZE_THREADS_MAX ? cpus : FLO_QUANTIZE_THREADS_MAX;
}

int flo_quantize(const char *from, const struct flo_mix *mix, int fd, struct flo_err *err)
{
    struct quantize q = {.mix = mix, .tool.threads = flo_quantize_threads()};
    int rv = flo_tool_gguf(from, &q.source, err);

    if (rv == 0) {
        rv = flo_pool_open((unsigned)q.tool.threads, &q.pool, err);
    }
    if (rv == 0) {
        rv = flo_quantize_types(&q, err);
    }
    if (rv == 0) {
        rv = flo_quantize_tensors(&q, fd, err);
    }
    flo_pool_close(q.pool);
    flo_gguf_close(q.source);
    free(q.types);
    free(q.tallies);
    free(q.data);
    return rv;
}

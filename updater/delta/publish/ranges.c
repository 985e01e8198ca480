/* Tensor ranges: reads them from the three formats; see ranges.h. */
#include "updater/delta/publish/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "base/safetensors/safetensors.h"
#include "updater/delta/publish/onnx.h"

/* Shortest row of a tensor, in values.  Shorter rows (kernels of a convolution)
 * are joined, because the predictor learns for each column. */
#define COLUMNS_MIN 32

/* Ids of tensor types are those of GGUF. */
#define ID_F32 0
#define ID_F16 1
#define ID_BF16 30
#define ID_I8 24
#define ID_U8 254 /* an id of types.def that GGUF does not have */
#define ID_NONE UINT32_MAX

/* Sets rows and columns from a shape, outermost dimension first.  Returns false
 * when the shape has no values. */
static bool set_shape(struct tensor_range *tensor, const uint64_t *dims, uint32_t count)
{
    tensor->columns = 1;
    tensor->values = 1;
    for (uint32_t i = count; i-- > 0;) {
        if (!flo_mul_u64(tensor->values, dims[i], &tensor->values)) {
            return false;
        }
        if (tensor->columns < COLUMNS_MIN) {
            tensor->columns = tensor->values;
        }
    }
    return tensor->values > 0;
}

static bool is_whole(const struct tensor_range *tensor)
{
    return tensor->type == NULL ||
           (tensor->values <= UINT64_MAX / tensor->type->bytes &&
            tensor->bytes == flo_tensor_bytes(tensor->type, tensor->values));
}

/* ---- formats ---- */

static int lack_of_memory(struct flo_err *err)
{
    return flo_fail(err, FLO_E_MEMORY, "no memory to compare files");
}

static int make_room(struct tensor_ranges *out, size_t count, struct flo_err *err)
{
    out->all = calloc(count + 1, sizeof *out->all);
    return out->all != NULL ? 0 : lack_of_memory(err);
}

static void add(struct tensor_ranges *out, const struct tensor_range *tensor)
{
    if (tensor->bytes > 0) {
        out->all[out->count++] = *tensor;
    }
}

/* Adds a tensor of this shape.  A tensor whose bytes do not fit its shape gets
 * no type. */
static void add_shaped(struct tensor_ranges *out, struct tensor_range *tensor, const uint64_t *dims,
                       uint32_t dim_count)
{
    if (!set_shape(tensor, dims, dim_count) || !is_whole(tensor)) {
        tensor->type = NULL;
    }
    add(out, tensor);
}

/* Ignores errors other than lack of memory: a damaged file counts as one
 * without tensors. */
static int passes(int rv, struct flo_err *err)
{
    return rv == FLO_E_MEMORY ? lack_of_memory(err) : 0;
}

static int read_gguf(const uint8_t *data, uint64_t bytes, struct tensor_ranges *out,
                     struct flo_err *err)
{
    struct flo_gguf *gguf = NULL;
    int rv = flo_gguf_open(data, (size_t)bytes, &gguf, NULL);

    if (rv < 0) {
        return passes(rv, err);
    }
    out->gguf = gguf;
    FLO_TRY(make_room(out, flo_gguf_tensor_count(gguf), err));
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *one = flo_gguf_tensor_at(gguf, i);
        add(out, &(struct tensor_range){one->name, strlen(one->name), flo_block_type(one->type),
                                        one->dims[0], one->values, one->offset, one->bytes});
    }
    return 0;
}

/* Returns the type id of a safetensors type.  8-bit floats count as unsigned
 * bytes, because their bits sort as integers do, except for the sign. */
static uint32_t safetensors_id(const struct flo_quant_type *type)
{
    static const struct {
        const char *name;
        uint32_t id;
    } bytes[] = {{"I8", ID_I8}, {"U8", ID_U8}, {"F8_E4M3", ID_U8}, {"F8_E5M2", ID_U8}};

    for (size_t i = 0; i < FLO_COUNT(bytes); i++) {
        if (strcmp(type->name, bytes[i].name) == 0) {
            return bytes[i].id;
        }
    }
    return type->id;
}

static int read_safetensors(const uint8_t *data, uint64_t bytes, struct tensor_ranges *out,
                            struct flo_err *err)
{
    struct flo_safetensors *file = NULL;
    int rv = flo_safetensors_open(data, (size_t)bytes, &file, NULL);

    if (rv < 0) {
        return passes(rv, err);
    }
    out->safetensors = file;
    FLO_TRY(make_room(out, flo_safetensors_count(file), err));
    for (size_t i = 0; i < flo_safetensors_count(file); i++) {
        const struct flo_safetensor *one = flo_safetensors_at(file, i);
        struct tensor_range tensor = {.name = one->name,
                                      .name_bytes = strlen(one->name),
                                      .type = flo_block_type(safetensors_id(one->type)),
                                      .offset = one->offset,
                                      .bytes = one->bytes};
        add_shaped(out, &tensor, one->dims, one->dim_count);
    }
    return 0;
}

static uint32_t id_of(uint64_t onnx_type)
{
    return onnx_type == ONNX_FLOAT      ? ID_F32
           : onnx_type == ONNX_FLOAT16  ? ID_F16
           : onnx_type == ONNX_BFLOAT16 ? ID_BF16
           : onnx_type == ONNX_INT8     ? ID_I8
           : onnx_type == ONNX_UINT8    ? ID_U8
                                        : ID_NONE;
}

static int read_onnx(const uint8_t *data, uint64_t bytes, struct tensor_ranges *out,
                     struct flo_err *err)
{
    struct onnx_tensor *found = NULL;
    size_t count = 0;

    if (!flo_onnx_tensors(data, bytes, &found, &count)) {
        return 0;
    }
    int rv = make_room(out, count, err);
    for (size_t i = 0; rv == 0 && i < count; i++) {
        struct tensor_range tensor = {.name = found[i].name,
                                      .name_bytes = found[i].name_bytes,
                                      .type = flo_block_type(id_of(found[i].type)),
                                      .offset = found[i].offset,
                                      .bytes = found[i].bytes};
        add_shaped(out, &tensor, found[i].dims, found[i].dim_count);
    }
    free(found);
    return rv;
}

/* ---- the list ---- */

static int by_offset(const void *a, const void *b)
{
    const struct tensor_range *one = a;
    const struct tensor_range *other = b;

    return one->offset < other->offset ? -1 : one->offset > other->offset;
}

static int compare_names(const struct tensor_range *tensor, const char *name, size_t name_bytes)
{
    size_t least = tensor->name_bytes < name_bytes ? tensor->name_bytes : name_bytes;
    int order = least == 0 ? 0 : memcmp(tensor->name, name, least);

    return order != 0 ? order
                      : (tensor->name_bytes > name_bytes) - (tensor->name_bytes < name_bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor_range *const *one = a;
    const struct tensor_range *const *other = b;
    int order = compare_names(*one, (*other)->name, (*other)->name_bytes);

    return order != 0 ? order : by_offset(*one, *other);
}

static int sort(struct tensor_ranges *out, struct flo_err *err)
{
    out->by_name = calloc(out->count + 1, sizeof(out->by_name[0]));
    if (out->by_name == NULL) {
        return lack_of_memory(err);
    }
    if (out->count > 0) {
        qsort(out->all, out->count, sizeof *out->all, by_offset);
        for (size_t i = 0; i < out->count; i++) {
            out->by_name[i] = &out->all[i];
        }
        qsort(out->by_name, out->count, sizeof(out->by_name[0]), by_name);
    }
    return 0;
}

int flo_tensor_ranges_open(const uint8_t *data, uint64_t bytes, struct tensor_ranges *out,
                           struct flo_err *err)
{
    int rv;

    *out = (struct tensor_ranges){0};
    if (bytes >= 4 && memcmp(data, "GGUF", 4) == 0) {
        rv = read_gguf(data, bytes, out, err);
    } else if (flo_safetensors_looks_like(data, (size_t)bytes, bytes)) {
        rv = read_safetensors(data, bytes, out, err);
    } else {
        rv = read_onnx(data, bytes, out, err);
    }
    if (rv == 0) {
        rv = sort(out, err);
    }
    if (rv < 0) {
        flo_tensor_ranges_close(out);
    }
    return rv;
}

void flo_tensor_ranges_close(struct tensor_ranges *ranges)
{
    free(ranges->all);
    free(ranges->by_name);
    flo_gguf_close(ranges->gguf);
    flo_safetensors_close(ranges->safetensors);
    *ranges = (struct tensor_ranges){0};
}

const struct tensor_range *flo_tensor_ranges_find(const struct tensor_ranges *ranges,
                                                  const char *name, size_t name_bytes)
{
    size_t low = 0;
    size_t high = ranges->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(ranges->by_name[middle], name, name_bytes) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < ranges->count && compare_names(ranges->by_name[low], name, name_bytes) == 0
               ? ranges->by_name[low]
               : NULL;
}

uint64_t flo_tensor_ranges_typed(const struct tensor_ranges *ranges)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < ranges->count; i++) {
        bytes += ranges->all[i].type == NULL ? 0 : ranges->all[i].bytes;
    }
    return bytes;
}

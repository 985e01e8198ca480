/* Safetensors files: see safetensors.h. */
#include "engine/publish/peft/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/publish/peft/json_member.h"

#define LENGTH_BYTES 8
#define VALUES_MAX (FLO_SAFETENSORS_COUNT_MAX * 16)

struct flo_safetensors {
    char *head; /* decoded in place; names point into it */
    struct flo_tree tree;
    const uint8_t *data;
    uint64_t data_bytes;
    size_t count;
    struct flo_safetensor *tensors;
};

static const struct {
    const char *name;
    uint32_t type;
    uint32_t bytes; /* of a value */
} dtypes[] = {
    {"F32", FLO_QUANT_F32, 4},
    {"F16", FLO_QUANT_F16, 2},
    {"BF16", FLO_QUANT_BF16, 2},
};

static int broken(struct flo_err *err, const char *what, const char *name)
{
    return flo_fail(err, FLO_E_MODEL_ADAPTER, "safetensors: '%.64s': %s", name,
                    what);
}

/* Exactly two whole numbers. */
static bool read_pair(const struct flo_tree_node *list, uint64_t out[2])
{
    const struct flo_tree_node *item = flo_tree_first(list);
    if (list == NULL || list->kind != FLO_TREE_ARRAY) {
        return false;
    }
    for (int i = 0; i < 2; i++, item = item->next) {
        int64_t value;
        if (item == NULL || !flo_tree_whole(item, 0, INT64_MAX, &value)) {
            return false;
        }
        out[i] = (uint64_t)value;
    }
    return item == NULL;
}

static int read_tensor(const struct flo_safetensors *file,
                       const struct flo_tree_node *node,
                       struct flo_safetensor *out, struct flo_err *err)
{
    const struct flo_tree_node *dtype = flo_json_member(node, "dtype");
    uint64_t shape[2], range[2], bytes;
    size_t kind = 0;
    while (kind < FLO_COUNT(dtypes) && !flo_tree_is(dtype, dtypes[kind].name)) {
        kind++;
    }
    if (kind == FLO_COUNT(dtypes)) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "safetensors: '%.64s' is no F32, F16 or BF16",
                        node->key);
    }
    if (!read_pair(flo_json_member(node, "shape"), shape) || shape[0] == 0 ||
        shape[1] == 0) {
        return broken(err, "its shape is no matrix's", node->key);
    }
    if (!read_pair(flo_json_member(node, "data_offsets"), range) ||
        range[0] > range[1] || range[1] > file->data_bytes) {
        return broken(err, "its data lies outside the file", node->key);
    }
    if (!flo_mul_u64(shape[0], shape[1], &bytes) ||
        !flo_mul_u64(bytes, dtypes[kind].bytes, &bytes) ||
        bytes != range[1] - range[0]) {
        return broken(err, "its data is not as long as its shape says",
                      node->key);
    }
    *out = (struct flo_safetensor){.name = node->key,
                                   .type = dtypes[kind].type,
                                   .rows = shape[0],
                                   .columns = shape[1],
                                   .data = file->data + range[0],
                                   .bytes = bytes};
    return 0;
}

static int read_tensors(struct flo_safetensors *file, struct flo_err *err)
{
    const struct flo_tree_node *root = file->tree.nodes;
    size_t count = 0;
    if (root->kind != FLO_TREE_OBJECT || file->tree.has_odd) {
        return broken(err, "no object of plain names", "head");
    }
    for (const struct flo_tree_node *node = flo_tree_first(root); node != NULL;
         node = node->next) {
        count++;
    }
    if (count > FLO_SAFETENSORS_COUNT_MAX) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER,
                        "safetensors: %zu tensors, at most %d", count,
                        FLO_SAFETENSORS_COUNT_MAX);
    }
    file->tensors = calloc(count + 1, sizeof(*file->tensors));
    if (file->tensors == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (const struct flo_tree_node *node = flo_tree_first(root); node != NULL;
         node = node->next) {
        if (strcmp(node->key, "__metadata__") == 0) {
            continue;
        }
        int rv = read_tensor(file, node, &file->tensors[file->count], err);
        if (rv < 0) {
            return rv;
        }
        file->count++;
    }
    return 0;
}

static int read_head(struct flo_safetensors *file, const uint8_t *data,
                     size_t bytes, struct flo_err *err)
{
    uint64_t head_bytes = bytes < LENGTH_BYTES ? 0 : flo_get_u64(data);
    if (bytes < LENGTH_BYTES || head_bytes > bytes - LENGTH_BYTES) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER,
                        "safetensors: a head of %" PRIu64
                        " bytes in a file of %zu",
                        head_bytes, bytes);
    }
    if (head_bytes > FLO_SAFETENSORS_HEAD_BYTES_MAX) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER,
                        "safetensors: a head of %" PRIu64
                        " bytes, at most %u are read",
                        head_bytes, FLO_SAFETENSORS_HEAD_BYTES_MAX);
    }
    file->data = data + LENGTH_BYTES + head_bytes;
    file->data_bytes = bytes - LENGTH_BYTES - head_bytes;
    file->head = malloc((size_t)head_bytes + 1);
    if (file->head == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " bytes", head_bytes);
    }
    memcpy(file->head, data + LENGTH_BYTES, (size_t)head_bytes);
    file->head[head_bytes] = '\0';
    int rv = flo_json_read(&file->tree, file->head, (size_t)head_bytes,
                           VALUES_MAX, err);
    return rv < 0 ? flo_wrap(err, rv, "safetensors") : 0;
}

int flo_safetensors_open(const void *data, size_t bytes,
                         struct flo_safetensors **out, struct flo_err *err)
{
    struct flo_safetensors *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a safetensors file");
    }
    int rv = read_head(file, data, bytes, err);
    if (rv == 0) {
        rv = read_tensors(file, err);
    }
    if (rv < 0) {
        flo_safetensors_close(file);
        return rv;
    }
    *out = file;
    return 0;
}

void flo_safetensors_close(struct flo_safetensors *file)
{
    if (file == NULL) {
        return;
    }
    flo_tree_deinit(&file->tree);
    free(file->tensors);
    free(file->head);
    free(file);
}

size_t flo_safetensors_count(const struct flo_safetensors *file)
{
    return file->count;
}

const struct flo_safetensor *
flo_safetensors_at(const struct flo_safetensors *file, size_t index)
{
    return &file->tensors[index];
}

/* Safetensors reader: reads the head and checks every tensor; see
 * safetensors.h. */
#include "base/safetensors/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <flotilla/errors/model.h>

#include "base/tree/tree.h"

#define LENGTH_BYTES 8
#define VALUES_MAX (FLO_SAFETENSORS_COUNT_MAX * 16)

struct flo_safetensors {
    char *head; /* the head, decoded in place; tensor names point into it */
    struct flo_tree tree;
    const uint8_t *whole; /* the whole file; NULL: opened by a descriptor */
    uint64_t data_offset, file_bytes;
    size_t count;
    struct flo_safetensor *tensors;
};

#define DTYPE(name, id, bits, floats)                                                              \
    {                                                                                              \
        {name,                                                                                     \
         id,                                                                                       \
         1,                                                                                        \
         (bits) < 8 ? 1 : (bits) / 8,                                                              \
         FLO_QUANT_FLOATS_##floats,                                                                \
         0,                                                                                        \
         {0, 0},                                                                                   \
         NULL,                                                                                     \
         NULL,                                                                                     \
         NULL,                                                                                     \
         NULL,                                                                                     \
         NULL},                                                                                    \
            bits                                                                                   \
    }
#define NO_ID FLO_SAFETENSORS_NO_ID
/* Table of the format's types.  Floats of 4 and 6 bits have no NaN; complex
 * numbers are pairs of F32. */
static const struct dtype {
    struct flo_quant_type type;
    uint32_t bits; /* bits per value */
} dtypes[] = {
    DTYPE("F32", FLO_QUANT_F32, 32, F32),
    DTYPE("F16", FLO_QUANT_F16, 16, F16),
    DTYPE("BF16", FLO_QUANT_BF16, 16, BF16),
    DTYPE("F64", NO_ID, 64, F64),
    DTYPE("C64", NO_ID, 64, F32),
    DTYPE("F8_E5M2", NO_ID, 8, F8_E5M2),
    DTYPE("F8_E4M3", NO_ID, 8, F8_E4M3),
    DTYPE("F8_E8M0", NO_ID, 8, E8M0),
    DTYPE("F6_E3M2", NO_ID, 6, NONE),
    DTYPE("F6_E2M3", NO_ID, 6, NONE),
    DTYPE("F4", NO_ID, 4, NONE),
    DTYPE("BOOL", NO_ID, 8, NONE),
    DTYPE("U8", NO_ID, 8, NONE),
    DTYPE("I8", NO_ID, 8, NONE),
    DTYPE("U16", NO_ID, 16, NONE),
    DTYPE("I16", NO_ID, 16, NONE),
    DTYPE("U32", NO_ID, 32, NONE),
    DTYPE("I32", NO_ID, 32, NONE),
    DTYPE("U64", NO_ID, 64, NONE),
    DTYPE("I64", NO_ID, 64, NONE),
};

static int broken(struct flo_err *err, const char *what, const char *name)
{
    return flo_fail(err, FLO_E_SAFETENSORS, "tensor '%.64s': %s", name, what);
}

/* Reads a list of at most `most` whole numbers. */
static bool read_list(const struct flo_tree_node *list, uint64_t *out, uint32_t most,
                      uint32_t *count)
{
    *count = 0;
    if (list == NULL || list->kind != FLO_TREE_ARRAY) {
        return false;
    }
    for (const struct flo_tree_node *item = list->first; item != NULL; item = item->next) {
        int64_t value;
        if (*count == most || !flo_tree_whole(item, 0, INT64_MAX, &value)) {
            return false;
        }
        out[(*count)++] = (uint64_t)value;
    }
    return true;
}

static bool name_is_plain(const char *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return false;
        }
    }
    return bytes > 0;
}

/* Computes the bytes of a tensor.  Returns false for an overflow, or half a
 * byte. */
static bool sum_bytes(const struct flo_safetensor *tensor, uint32_t bits, uint64_t *out)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->dim_count; i++) {
        if (!flo_mul_u64(count, tensor->dims[i], &count)) {
            return false;
        }
    }
    if (!flo_mul_u64(count, bits, &count) || count % 8 != 0) {
        return false;
    }
    *out = count / 8;
    return true;
}

static int read_tensor(const struct flo_safetensors *file, const struct flo_tree_node *node,
                       struct flo_safetensor *out, struct flo_err *err)
{
    const struct flo_tree_node *dtype = flo_tree_member(node, "dtype");
    struct flo_safetensor tensor = {.name = node->key};
    uint64_t range[2], bytes;
    uint32_t count;
    size_t kind = 0;

    if (!name_is_plain(node->key, node->key_bytes)) {
        return flo_fail(err, FLO_E_SAFETENSORS,
                        "the name of tensor %zu is empty or has a control "
                        "character",
                        file->count);
    }
    while (kind < FLO_COUNT(dtypes) && !flo_tree_is(dtype, dtypes[kind].type.name)) {
        kind++;
    }
    if (kind == FLO_COUNT(dtypes)) {
        return broken(err, "its dtype is not known", node->key);
    }
    if (!read_list(flo_tree_member(node, "shape"), tensor.dims, FLO_SAFETENSORS_DIMS_MAX,
                   &tensor.dim_count)) {
        return broken(err, "its shape is no list of up to 8 numbers", node->key);
    }
    if (!read_list(flo_tree_member(node, "data_offsets"), range, 2, &count) || count != 2 ||
        range[0] > range[1] || range[1] > file->file_bytes - file->data_offset) {
        return broken(err, "its data lies outside the file", node->key);
    }
    tensor.type = &dtypes[kind].type;
    tensor.offset = file->data_offset + range[0];
    tensor.bytes = range[1] - range[0];
    if (!sum_bytes(&tensor, dtypes[kind].bits, &bytes) || bytes != tensor.bytes) {
        return broken(err, "its data is not as long as its shape says", node->key);
    }
    tensor.data = file->whole == NULL ? NULL : file->whole + tensor.offset;
    *out = tensor;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct flo_safetensor *x = a, *y = b;

    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Checks that the tensors cover the data without gaps or overlaps. */
static int check_order(struct flo_safetensors *file, struct flo_err *err)
{
    uint64_t end = file->data_offset;

    qsort(file->tensors, file->count, sizeof(*file->tensors), by_offset);
    for (size_t i = 0; i < file->count; i++) {
        if (file->tensors[i].offset != end) {
            return broken(err, "its data does not follow the tensor before it",
                          file->tensors[i].name);
        }
        end += file->tensors[i].bytes;
    }
    if (end != file->file_bytes) {
        return flo_fail(err, FLO_E_SAFETENSORS, "%" PRIu64 " bytes after the last tensor",
                        file->file_bytes - end);
    }
    return 0;
}

static int read_tensors(struct flo_safetensors *file, struct flo_err *err)
{
    const struct flo_tree_node *root = file->tree.nodes;
    size_t count = flo_tree_count(root);
    if (root->kind != FLO_TREE_OBJECT || file->tree.has_odd) {
        return flo_fail(err, FLO_E_SAFETENSORS, "the head is no object of plain names");
    }
    if (count > FLO_SAFETENSORS_COUNT_MAX) {
        return flo_fail(err, FLO_E_SAFETENSORS, "%zu tensors, at most %d", count,
                        FLO_SAFETENSORS_COUNT_MAX);
    }
    file->tensors = calloc(count + 1, sizeof(*file->tensors));
    if (file->tensors == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (const struct flo_tree_node *node = flo_tree_first(root); node != NULL; node = node->next) {
        if (strcmp(node->key, "__metadata__") == 0) {
            continue;
        }
        int rv = read_tensor(file, node, &file->tensors[file->count], err);
        FLO_TRY(rv);
        file->count++;
    }
    return check_order(file, err);
}

/* ---- the head ---- */

static int take_length(struct flo_safetensors *file, const uint8_t *first, uint64_t file_bytes,
                       struct flo_err *err)
{
    uint64_t head_bytes = file_bytes < LENGTH_BYTES ? 0 : flo_get_u64(first);
    if (file_bytes < LENGTH_BYTES || head_bytes > file_bytes - LENGTH_BYTES) {
        return flo_fail(err, FLO_E_SAFETENSORS, "a head of %" PRIu64 " bytes in a file of %" PRIu64,
                        head_bytes, file_bytes);
    }
    if (head_bytes > FLO_SAFETENSORS_HEAD_BYTES_MAX) {
        return flo_fail(err, FLO_E_SAFETENSORS, "a head of %" PRIu64 " bytes, at most %u are read",
                        head_bytes, FLO_SAFETENSORS_HEAD_BYTES_MAX);
    }
    file->file_bytes = file_bytes;
    file->data_offset = LENGTH_BYTES + head_bytes;
    file->head = malloc((size_t)head_bytes + 1);
    return file->head != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " bytes", head_bytes);
}

static int read_head(struct flo_safetensors *file, struct flo_err *err)
{
    size_t bytes = (size_t)(file->data_offset - LENGTH_BYTES), bad = 0;

    file->head[bytes] = '\0';
    int rv = flo_tree_read(&file->tree, file->head, bytes, VALUES_MAX, 0, &bad, err);
    if (rv == FLO_E_INFER_PARAM) {
        return flo_fail(err, FLO_E_SAFETENSORS,
                        "the head is no JSON at byte %zu, or has more than %d "
                        "values",
                        bad, VALUES_MAX);
    }
    FLO_TRY(rv);
    return read_tensors(file, err);
}

static int open_memory(struct flo_safetensors *file, const void *data, size_t bytes,
                       struct flo_err *err)
{
    FLO_TRY(take_length(file, data, bytes, err));
    file->whole = data;
    memcpy(file->head, file->whole + LENGTH_BYTES, (size_t)(file->data_offset - LENGTH_BYTES));
    return read_head(file, err);
}

static int open_fd(struct flo_safetensors *file, int fd, struct flo_err *err)
{
    uint8_t first[LENGTH_BYTES] = {0};
    struct stat status;

    if (fstat(fd, &status) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "the file's descriptor");
    }
    uint64_t bytes = status.st_size > 0 ? (uint64_t)status.st_size : 0;
    FLO_TRY(bytes < LENGTH_BYTES ? 0 : flo_fd_pread_all(fd, first, sizeof(first), 0, err));
    FLO_TRY(take_length(file, first, bytes, err));
    FLO_TRY(flo_fd_pread_all(fd, file->head, (size_t)(file->data_offset - LENGTH_BYTES),
                             LENGTH_BYTES, err));
    return read_head(file, err);
}

static int finish(struct flo_safetensors *file, int rv, struct flo_safetensors **out,
                  struct flo_err *err)
{
    if (rv < 0) {
        flo_safetensors_close(file);
        return flo_wrap(err, rv, "safetensors");
    }
    *out = file;
    return 0;
}

int flo_safetensors_open(const void *data, size_t bytes, struct flo_safetensors **out,
                         struct flo_err *err)
{
    struct flo_safetensors *file = calloc(1, sizeof(*file));
    int rv =
        file == NULL ? flo_fail(err, FLO_E_MEMORY, "a file") : open_memory(file, data, bytes, err);
    return finish(file, rv, out, err);
}

int flo_safetensors_open_fd(int fd, struct flo_safetensors **out, struct flo_err *err)
{
    struct flo_safetensors *file = calloc(1, sizeof(*file));
    int rv = file == NULL ? flo_fail(err, FLO_E_MEMORY, "a file") : open_fd(file, fd, err);
    return finish(file, rv, out, err);
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

/* ---- what stands in it ---- */

bool flo_safetensors_looks_like(const void *data, size_t bytes, uint64_t file_bytes)
{
    const uint8_t *first = data;

    return bytes > LENGTH_BYTES && first[LENGTH_BYTES] == '{' &&
           flo_get_u64(first) <= file_bytes - LENGTH_BYTES;
}

size_t flo_safetensors_count(const struct flo_safetensors *file)
{
    return file->count;
}

uint64_t flo_safetensors_file_bytes(const struct flo_safetensors *file)
{
    return file->file_bytes;
}

const struct flo_safetensor *flo_safetensors_at(const struct flo_safetensors *file, size_t index)
{
    return &file->tensors[index];
}

static bool tensor_at(const void *context, size_t index, struct flo_finite_tensor *out)
{
    const struct flo_safetensors *file = context;

    if (index >= file->count) {
        return false;
    }
    const struct flo_safetensor *tensor = &file->tensors[index];
    *out = (struct flo_finite_tensor){.name = tensor->name,
                                      .type = tensor->type,
                                      .offset = tensor->offset,
                                      .bytes = tensor->bytes};
    return true;
}

void flo_safetensors_scan_init(struct flo_finite *scan, const struct flo_safetensors *file)
{
    *scan = (struct flo_finite){.file = file, .tensor_at = tensor_at, .cut = FLO_E_SAFETENSORS};
}

/* GGUF writer: copies an open file with other keys and tensor bytes.
 *
 * The header is built in memory, then tensors are written one by one.  So
 * memory is bounded by the largest replaced tensor.  Tensors keep their offsets
 * in the data section: the output is reproducible, and a delta against the
 * source stays small. */
#include "base/gguf/open_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "base/quant/quant.h"

#define HEADER_BYTES_MAX (256u << 20)

static const uint8_t zeros[FLO_GGUF_ALIGNMENT_MAX];

static void add_u32(struct flo_buf *out, uint32_t value)
{
    uint8_t bytes[4];
    flo_put_u32(bytes, value);
    flo_buf_add(out, bytes, sizeof(bytes));
}

static void add_u64(struct flo_buf *out, uint64_t value)
{
    uint8_t bytes[8];
    flo_put_u64(bytes, value);
    flo_buf_add(out, bytes, sizeof(bytes));
}

static void add_text(struct flo_buf *out, const void *text, size_t bytes)
{
    add_u64(out, bytes);
    flo_buf_add(out, text, bytes);
}

static void add_edit(struct flo_buf *out, const struct flo_gguf_edit *edit)
{
    uint8_t is_set = edit->is_set ? 1 : 0;
    uint32_t bits;
    add_text(out, edit->key, strlen(edit->key));
    add_u32(out, edit->type);
    switch (edit->type) {
    case FLO_GGUF_STRING:
        add_text(out, edit->text, strlen(edit->text));
        break;
    case FLO_GGUF_U32:
    case FLO_GGUF_I32:
        add_u32(out, edit->u32);
        break;
    case FLO_GGUF_ARRAY:
        add_u32(out, edit->item_type);
        add_u64(out, edit->item_count);
        flo_buf_add(out, edit->items, edit->items_bytes);
        break;
    case FLO_GGUF_F32:
        memcpy(&bits, &edit->f32, sizeof(bits));
        add_u32(out, bits);
        break;
    default:
        flo_buf_add(out, &is_set, 1);
        break;
    }
}

static void add_kv(struct flo_buf *out, const struct flo_gguf_kv *kv)
{
    add_text(out, kv->key.data, kv->key.bytes);
    add_u32(out, kv->type);
    if (kv->type == FLO_GGUF_ARRAY) {
        add_u32(out, kv->item_type);
        add_u64(out, kv->count);
    } else if (kv->type == FLO_GGUF_STRING) {
        add_u64(out, kv->bytes);
    }
    flo_buf_add(out, kv->data, (size_t)kv->bytes);
}

/* Adds a tensor's entry to the header; its offset is relative to the data
 * section. */
static void add_tensor(struct flo_buf *out, const struct flo_gguf_tensor *tensor)
{
    add_text(out, tensor->name, strlen(tensor->name));
    add_u32(out, tensor->dim_count);
    for (int i = 0; i < tensor->dim_count; i++) {
        add_u64(out, tensor->dims[i]);
    }
    add_u32(out, tensor->type);
    add_u64(out, tensor->offset);
}

static bool is_writable(uint32_t type)
{
    return type == FLO_GGUF_STRING || type == FLO_GGUF_U32 || type == FLO_GGUF_I32 ||
           type == FLO_GGUF_F32 || type == FLO_GGUF_BOOL || type == FLO_GGUF_ARRAY;
}

static int check_edits(const struct flo_gguf_edit *edits, size_t count, struct flo_err *err)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t type = edits[i].type;
        if (strcmp(edits[i].key, "general.alignment") == 0 || !is_writable(type)) {
            return flo_fail(err, FLO_E_USAGE, "key '%s' cannot be written as a %s", edits[i].key,
                            flo_gguf_type_name(type));
        }
    }
    return 0;
}

static const struct flo_gguf_edit *edit_of(const struct flo_gguf_edit *edits, size_t count,
                                           struct flo_gguf_text key)
{
    for (size_t i = 0; i < count; i++) {
        if (flo_gguf_text_is(key, edits[i].key)) {
            return &edits[i];
        }
    }
    return NULL;
}

static void build_header(struct flo_buf *out, const struct flo_gguf *source,
                         const struct flo_gguf_tensor *tensors, const struct flo_gguf_edit *edits,
                         size_t edit_count)
{
    uint64_t kv_count = source->kv_count;
    for (size_t i = 0; i < edit_count; i++) {
        kv_count += flo_gguf_find(source, edits[i].key) == NULL ? 1 : 0;
    }
    flo_buf_add(out, "GGUF", 4);
    add_u32(out, FLO_GGUF_VERSION);
    add_u64(out, source->tensor_count);
    add_u64(out, kv_count);
    for (size_t i = 0; i < source->kv_count; i++) {
        const struct flo_gguf_kv *kv = &source->kvs[i];
        const struct flo_gguf_edit *edit = edit_of(edits, edit_count, kv->key);
        if (edit != NULL) {
            add_edit(out, edit);
        } else {
            add_kv(out, kv);
        }
    }
    for (size_t i = 0; i < edit_count; i++) {
        if (flo_gguf_find(source, edits[i].key) == NULL) {
            add_edit(out, &edits[i]);
        }
    }
    for (size_t i = 0; i < source->tensor_count; i++) {
        add_tensor(out, &tensors[i]);
    }
    flo_buf_add(out, zeros, -out->bytes & (source->alignment - 1));
}

static bool is_of_split(const struct flo_gguf_kv *kv)
{
    return kv->key.bytes > 6 && memcmp(kv->key.data, "split.", 6) == 0;
}

void flo_gguf_join_header(struct flo_buf *out, const struct flo_gguf *source,
                          const struct flo_gguf_tensor *tensors, size_t count)
{
    uint64_t kv_count = 0, data_offset = 0;
    for (size_t i = 0; i < source->kv_count; i++) {
        kv_count += is_of_split(&source->kvs[i]) ? 0 : 1;
    }
    for (int pass = 0; pass < 2; pass++) { /* the first one only measures */
        out->bytes = 0;
        flo_buf_add(out, "GGUF", 4);
        add_u32(out, FLO_GGUF_VERSION);
        add_u64(out, count);
        add_u64(out, kv_count);
        for (size_t i = 0; i < source->kv_count; i++) {
            if (!is_of_split(&source->kvs[i])) {
                add_kv(out, &source->kvs[i]);
            }
        }
        for (size_t i = 0; i < count; i++) {
            struct flo_gguf_tensor tensor = tensors[i];
            tensor.offset -= data_offset;
            add_tensor(out, &tensor);
        }
        data_offset = (out->bytes + source->alignment - 1) & ~(uint64_t)(source->alignment - 1);
    }
}

/* Writes zeros up to offset `place` of the data section. */
static int pad_to(int fd, uint64_t *position, uint64_t place, struct flo_err *err)
{
    while (*position < place) {
        uint64_t some = place - *position;
        if (some > sizeof(zeros)) {
            some = sizeof(zeros);
        }
        FLO_TRY(flo_fd_write_all(fd, zeros, (size_t)some, err));
        *position += some;
    }
    return 0;
}

static int write_tensors(const struct flo_gguf *source, const struct flo_gguf_tensor *tensors,
                         uint64_t data_bytes, flo_gguf_tensor_source *replace, void *context,
                         int fd, struct flo_err *err)
{
    uint64_t position = 0; /* offset in the data section of the next byte to write */
    for (size_t i = 0; i < source->tensor_count; i++) {
        uint32_t index = source->tensor_by_offset[i];
        const struct flo_gguf_tensor *tensor = &tensors[index];
        const void *data = NULL;
        if (replace != NULL) {
            struct flo_gguf_tensor asked = *tensor;
            asked.offset = source->tensors[index].offset;
            FLO_TRY(replace(context, &asked, &data, err));
        }
        FLO_TRY(pad_to(fd, &position, tensor->offset, err));
        if (data == NULL) {
            data = flo_gguf_tensor_data(source, &source->tensors[index]);
        }
        int rv = flo_fd_write_all(fd, data, (size_t)tensor->bytes, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "tensor '%s'", tensor->name);
        }
        position += tensor->bytes;
    }
    return pad_to(fd, &position, data_bytes, err);
}

static int write_header(const struct flo_gguf *source, const struct flo_gguf_tensor *tensors,
                        const struct flo_gguf_edit *edits, size_t edit_count, int fd,
                        struct flo_err *err)
{
    struct flo_buf header = {.bytes_max = HEADER_BYTES_MAX};
    int rv = check_edits(edits, edit_count, err);
    FLO_TRY(rv);
    build_header(&header, source, tensors, edits, edit_count);
    if (header.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "a GGUF header of more than %u MiB",
                      HEADER_BYTES_MAX >> 20);
    } else {
        rv = flo_fd_write_all(fd, header.data, header.bytes, err);
    }
    flo_buf_deinit(&header);
    return rv;
}

static int write_file(const struct flo_gguf *source, const struct flo_gguf_tensor *tensors,
                      uint64_t data_bytes, const struct flo_gguf_edit *edits, size_t edit_count,
                      flo_gguf_tensor_source *replace, void *context, int fd, struct flo_err *err)
{
    FLO_TRY(write_header(source, tensors, edits, edit_count, fd, err));
    return write_tensors(source, tensors, data_bytes, replace, context, fd, err);
}

/* Describes the tensors of the new file, with offsets relative to the data
 * section. */
static int copy_tensors(const struct flo_gguf *source, struct flo_gguf_tensor **out,
                        struct flo_err *err)
{
    size_t count = source->tensor_count;
    struct flo_gguf_tensor *tensors = calloc(count + 1, sizeof(*tensors));
    if (tensors == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        tensors[i] = source->tensors[i];
        tensors[i].offset -= source->data_offset;
    }
    *out = tensors;
    return 0;
}

/* Sets new types and sizes, and offsets without gaps. */
static int lay_out(const struct flo_gguf *source, const uint32_t *types,
                   struct flo_gguf_tensor *tensors, uint64_t *data_bytes, struct flo_err *err)
{
    uint64_t mask = source->alignment - 1;
    uint64_t at = 0;
    for (size_t i = 0; i < source->tensor_count; i++) {
        uint32_t index = source->tensor_by_offset[i];
        struct flo_gguf_tensor *tensor = &tensors[index];
        const struct flo_quant_type *type = flo_quant_type(types[index]);
        if (type == NULL || tensor->dims[0] % type->block_values != 0 ||
            !flo_mul_u64(tensor->values / type->block_values, type->block_bytes, &tensor->bytes)) {
            return flo_fail(err, FLO_E_GGUF_SHAPE,
                            "tensor '%s': rows of %" PRIu64 " values cannot be of type %" PRIu32,
                            tensor->name, tensor->dims[0], types[index]);
        }
        tensor->type = types[index];
        tensor->offset = at;
        if (!flo_add_u64(at, tensor->bytes + mask, &at)) {
            return flo_fail(err, FLO_E_GGUF_SHAPE, "tensor '%s' ends behind 2^64", tensor->name);
        }
        at &= ~mask;
    }
    *data_bytes = at;
    return 0;
}

int flo_gguf_write(const struct flo_gguf *source, const uint32_t *types,
                   const struct flo_gguf_edit *edits, size_t edit_count,
                   flo_gguf_tensor_source *replace, void *context, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_gguf_tensor *tensors = NULL;
    /* The copy reaches to the source's own end, which usually has the last
     * tensor's padding. */
    uint64_t data_bytes = source->file_bytes - source->data_offset;
    FLO_TRY(copy_tensors(source, &tensors, err));
    if (types != NULL) {
        FLO_TRY(lay_out(source, types, tensors, &data_bytes, err));
    }
    return write_file(source, tensors, data_bytes, edits, edit_count, replace, context, fd, err);
}

#define CREATED_ALIGNMENT 32

/* A file of the caller's tensors only: the "source" of a new file. */
struct created {
    struct flo_gguf file;
    uint32_t *order, *types;
};

static void created_deinit(struct created *created)
{
    free(created->order);
    free(created->types);
}

/* Lays out the tensors, which may lie in `tensors` itself. */
static int created_init(struct created *created, struct flo_gguf_tensor *tensors, size_t count,
                        uint64_t *data_bytes, struct flo_err *err)
{
    created->order = calloc(count + 1, sizeof(*created->order));
    created->types = calloc(count + 1, sizeof(*created->types));
    if (created->order == NULL || created->types == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        created->order[i] = (uint32_t)i;
        created->types[i] = tensors[i].type;
    }
    created->file = (struct flo_gguf){.alignment = CREATED_ALIGNMENT,
                                      .tensor_count = count,
                                      .tensors = tensors,
                                      .tensor_by_offset = created->order};
    return lay_out(&created->file, created->types, tensors, data_bytes, err);
}

int flo_gguf_create(const struct flo_gguf_tensor *tensors, size_t tensor_count,
                    const struct flo_gguf_edit *keys, size_t key_count,
                    flo_gguf_tensor_source *give, void *context, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct flo_gguf_tensor *laid = NULL;
    FLO_CLEANUP(created_deinit) struct created created = {0};
    uint64_t data_bytes;

    laid = calloc(tensor_count + 1, sizeof(*laid));
    if (laid == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", tensor_count);
    }
    for (size_t i = 0; i < tensor_count; i++) {
        laid[i] = tensors[i];
    }
    FLO_TRY(created_init(&created, laid, tensor_count, &data_bytes, err));
    return write_file(&created.file, laid, data_bytes, keys, key_count, give, context, fd, err);
}

int flo_gguf_create_head(struct flo_gguf_tensor *tensors, size_t tensor_count,
                         const struct flo_gguf_edit *keys, size_t key_count, int fd,
                         uint64_t *data_bytes, struct flo_err *err)
{
    FLO_CLEANUP(created_deinit) struct created created = {0};
    FLO_TRY(created_init(&created, tensors, tensor_count, data_bytes, err));
    return write_header(&created.file, tensors, keys, key_count, fd, err);
}

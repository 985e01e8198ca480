/* GGUF reader: from bytes to a table of keys and a table of tensors.
 *
 * The reader walks once over the header.  Before memory is allocated, each
 * count is compared with the most that the rest of the file could hold.  So a
 * hostile header costs at most a few times its own size.  Lookup tables are
 * sorted indices, not hashes, so a hostile file cannot cause collisions. */
#include "base/gguf/open_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <flotilla/errors/gguf.h>

#include "base/quant/quant.h"

#define KV_BYTES_MIN 14 /* least bytes of a key: its length 8, the key 1, type 4, value 1 */
/* least bytes of a tensor's entry: name length 8, name 1, dims 4 + 8, type 4,
 * offset 8 */
#define TENSOR_BYTES_MIN 33
#define ALIGNMENT_DEFAULT 32
#define ALIGNMENT_MIN 8

/* Skips the strings of `kv` up to the first that does not lie in the file.  The
 * caller's slower loop then reports that string's fault. */
static uint64_t skip_texts(struct flo_cursor *at, struct flo_gguf_kv *kv)
{
    const uint8_t *data = at->gguf->data;
    uint64_t position = at->position;
    uint64_t end = at->gguf->file_bytes;
    uint64_t i = 0;
    for (; i < kv->count && end - position >= 8; i++) {
        uint64_t bytes = flo_get_u64(data + position);
        if (bytes > end - position - 8) {
            break;
        }
        kv->longest = bytes > kv->longest ? bytes : kv->longest;
        position += 8 + bytes;
    }
    at->position = position;
    return i;
}

/* Skips the items of an array, and checks each string. */
static int take_items(struct flo_cursor *at, struct flo_gguf_kv *kv, struct flo_err *err)
{
    uint64_t item_bytes = flo_gguf_type_bytes(kv->item_type);
    uint64_t start = at->position;
    uint64_t bytes;
    uint64_t least = item_bytes != 0 ? item_bytes : 8;

    if (!flo_mul_u64(kv->count, least, &bytes) || bytes > flo_cursor_left(at)) {
        return flo_fail(err, FLO_E_GGUF_BOUNDS,
                        "key '%.*s': array of %" PRIu64 " %s is longer than "
                        "the %" PRIu64 " bytes left in the file",
                        (int)kv->key.bytes, kv->key.data, kv->count,
                        flo_gguf_type_name(kv->item_type), flo_cursor_left(at));
    }
    if (item_bytes != 0) {
        kv->bytes = bytes;
        return flo_cursor_take(at, bytes, &kv->data, err);
    }
    for (uint64_t i = skip_texts(at, kv); i < kv->count; i++) {
        struct flo_gguf_text text;
        int rv = flo_cursor_text(at, &text, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "key '%.*s', item %" PRIu64, (int)kv->key.bytes, kv->key.data,
                            i);
        }
    }
    kv->data = at->gguf->data + start;
    kv->bytes = at->position - start;
    return 0;
}

/* Checks that each bool is 0 or 1: readers differ on other values. */
static int check_bools(const struct flo_gguf_kv *kv, struct flo_err *err)
{
    for (size_t i = 0; kv->item_type == FLO_GGUF_BOOL && i < kv->bytes; i++) {
        if (kv->data[i] > 1) {
            return flo_fail(err, FLO_E_GGUF_TYPE,
                            "key '%.*s': a bool of value %u, 0 and 1 are known", (int)kv->key.bytes,
                            kv->key.data, kv->data[i]);
        }
    }
    return 0;
}

static int take_kv(struct flo_cursor *at, struct flo_gguf_kv *kv, struct flo_err *err)
{
    FLO_TRY(flo_cursor_name(at, FLO_GGUF_KEY_BYTES_MAX, &kv->key, err));
    int rv = flo_cursor_u32(at, &kv->type, err);
    FLO_TRY(rv);
    kv->item_type = kv->type;
    kv->count = 1;
    if (kv->type == FLO_GGUF_ARRAY) {
        FLO_TRY(flo_cursor_u32(at, &kv->item_type, err));
        FLO_TRY(flo_cursor_u64(at, &kv->count, err));
        if (kv->item_type >= FLO_GGUF_VALUE_TYPE_COUNT || kv->item_type == FLO_GGUF_ARRAY) {
            return flo_fail(err, FLO_E_GGUF_TYPE, "key '%.*s': array of items of type %" PRIu32,
                            (int)kv->key.bytes, kv->key.data, kv->item_type);
        }
        FLO_TRY(take_items(at, kv, err));
        return check_bools(kv, err);
    }
    if (kv->type == FLO_GGUF_STRING) {
        struct flo_gguf_text text;
        rv = flo_cursor_text(at, &text, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "key '%.*s'", (int)kv->key.bytes, kv->key.data);
        }
        kv->data = (const uint8_t *)text.data;
        kv->bytes = text.bytes;
        return 0;
    }
    kv->bytes = flo_gguf_type_bytes(kv->type);
    if (kv->bytes == 0) {
        return flo_fail(err, FLO_E_GGUF_TYPE,
                        "key '%.*s' has value type %" PRIu32 ", 0 to 12 are known",
                        (int)kv->key.bytes, kv->key.data, kv->type);
    }
    FLO_TRY(flo_cursor_take(at, kv->bytes, &kv->data, err));
    return check_bools(kv, err);
}

/* Computes the number of values and bytes from dimensions and type. */
static int measure(struct flo_gguf_tensor *tensor, struct flo_err *err)
{
    const struct flo_quant_type *type = flo_quant_type(tensor->type);
    if (type == NULL) {
        return flo_fail(err, FLO_E_GGUF_TYPE,
                        "tensor '%s' has type %" PRIu32 ", which is unknown or was removed",
                        tensor->name, tensor->type);
    }
    if (tensor->dims[0] % type->block_values != 0) {
        return flo_fail(err, FLO_E_GGUF_SHAPE,
                        "tensor '%s': rows of %" PRIu64
                        " values are no multiple of the %u of a %s block",
                        tensor->name, tensor->dims[0], type->block_values, type->name);
    }
    tensor->values = 1;
    for (int i = 0; i < FLO_GGUF_DIMS_MAX; i++) {
        if (!flo_mul_u64(tensor->values, tensor->dims[i], &tensor->values) ||
            tensor->values > INT64_MAX) {
            return flo_fail(err, FLO_E_GGUF_SHAPE, "tensor '%s' has more values than 2^63",
                            tensor->name);
        }
    }
    if (!flo_mul_u64(tensor->values / type->block_values, type->block_bytes, &tensor->bytes) ||
        tensor->bytes > INT64_MAX) { /* the sum of bytes and alignment must not overflow */
        return flo_fail(err, FLO_E_GGUF_SHAPE, "tensor '%s' has more bytes than 2^63",
                        tensor->name);
    }
    return 0;
}

static int take_tensor(struct flo_cursor *at, struct flo_gguf_tensor *tensor, struct flo_err *err)
{
    struct flo_gguf_text name;
    uint32_t dim_count = 0;
    FLO_TRY(flo_cursor_name(at, FLO_GGUF_NAME_BYTES_MAX, &name, err));
    FLO_TRY(flo_cursor_u32(at, &dim_count, err));
    memcpy(tensor->name, name.data, name.bytes);
    tensor->name[name.bytes] = '\0';
    if (dim_count == 0 || dim_count > FLO_GGUF_DIMS_MAX) {
        return flo_fail(err, FLO_E_GGUF_SHAPE,
                        "tensor '%s' has %" PRIu32 " dimensions, 1 to %d are allowed", tensor->name,
                        dim_count, FLO_GGUF_DIMS_MAX);
    }
    tensor->dim_count = (uint8_t)dim_count;
    for (uint32_t i = 0; i < FLO_GGUF_DIMS_MAX; i++) {
        tensor->dims[i] = 1;
        if (i >= dim_count) {
            continue;
        }
        FLO_TRY(flo_cursor_u64(at, &tensor->dims[i], err));
        if (tensor->dims[i] == 0 || tensor->dims[i] > INT64_MAX) {
            return flo_fail(err, FLO_E_GGUF_SHAPE, "tensor '%s': dimension %" PRIu32 " is %" PRId64,
                            tensor->name, i, (int64_t)tensor->dims[i]);
        }
    }
    FLO_TRY(flo_cursor_u32(at, &tensor->type, err));
    FLO_TRY(flo_cursor_u64(at, &tensor->offset, err));
    return measure(tensor, err);
}

/* Makes the offset absolute and refuses tensors outside the file. */
static int place(const struct flo_gguf *gguf, struct flo_gguf_tensor *tensor, struct flo_err *err)
{
    uint64_t start;
    uint64_t end;
    if (tensor->offset % gguf->alignment != 0) {
        return flo_fail(err, FLO_E_GGUF_BOUNDS,
                        "tensor '%s': offset %" PRIu64 " is not aligned to %" PRIu32, tensor->name,
                        tensor->offset, gguf->alignment);
    }
    if (!flo_add_u64(gguf->data_offset, tensor->offset, &start) ||
        !flo_add_u64(start, tensor->bytes, &end) || end > gguf->file_bytes) {
        return flo_fail(err, FLO_E_GGUF_BOUNDS,
                        "tensor '%s': %" PRIu64 " bytes at offset %" PRIu64
                        " of the data end behind the file's %" PRIu64 " bytes; it may be cut short",
                        tensor->name, tensor->bytes, tensor->offset, gguf->file_bytes);
    }
    tensor->offset = start;
    return 0;
}

static int by_key(const void *a, const void *b, void *context)
{
    const struct flo_gguf *gguf = context;
    return flo_gguf_text_order(gguf->kvs[*(const uint32_t *)a].key,
                               gguf->kvs[*(const uint32_t *)b].key);
}

static int by_name(const void *a, const void *b, void *context)
{
    const struct flo_gguf *gguf = context;
    return strcmp(gguf->tensors[*(const uint32_t *)a].name,
                  gguf->tensors[*(const uint32_t *)b].name);
}

static int by_offset(const void *a, const void *b, void *context)
{
    const struct flo_gguf *gguf = context;
    uint64_t x = gguf->tensors[*(const uint32_t *)a].offset;
    uint64_t y = gguf->tensors[*(const uint32_t *)b].offset;
    return (x > y) - (x < y);
}

static int sorted(struct flo_gguf *gguf, size_t count, uint32_t **out,
                  int (*compare)(const void *, const void *, void *), struct flo_err *err)
{
    uint32_t *order = malloc(sizeof(*order) * (count + 1));
    if (order == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu entries of a GGUF", count);
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = (uint32_t)i;
    }
    qsort_r(order, count, sizeof(*order), compare, gguf);
    *out = order;
    return 0;
}

static int read_kvs(struct flo_gguf *gguf, struct flo_cursor *at, uint64_t count,
                    struct flo_err *err)
{
    if (count > FLO_GGUF_KV_COUNT_MAX || count > flo_cursor_left(at) / KV_BYTES_MIN) {
        return flo_fail(err, FLO_E_GGUF_LIMIT,
                        "the header declares %" PRIu64 " keys; %d are allowed"
                        " and %" PRIu64 " bytes left",
                        count, FLO_GGUF_KV_COUNT_MAX, flo_cursor_left(at));
    }
    gguf->kvs = calloc((size_t)count + 1, sizeof(*gguf->kvs));
    if (gguf->kvs == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " keys", count);
    }
    for (; gguf->kv_count < count; gguf->kv_count++) {
        FLO_TRY(take_kv(at, &gguf->kvs[gguf->kv_count], err));
    }
    int rv = sorted(gguf, gguf->kv_count, &gguf->kv_by_key, by_key, err);
    for (size_t i = 1; rv == 0 && i < gguf->kv_count; i++) {
        const struct flo_gguf_text *key = &gguf->kvs[gguf->kv_by_key[i]].key;
        if (by_key(&gguf->kv_by_key[i - 1], &gguf->kv_by_key[i], gguf) == 0) {
            rv = flo_fail(err, FLO_E_GGUF_DUP, "key '%.*s' stands twice", (int)key->bytes,
                          key->data);
        }
    }
    return rv;
}

static int read_tensors(struct flo_gguf *gguf, struct flo_cursor *at, uint64_t count,
                        struct flo_err *err)
{
    gguf->tensors = calloc((size_t)count + 1, sizeof(*gguf->tensors));
    if (gguf->tensors == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " tensors", count);
    }
    for (; gguf->tensor_count < count; gguf->tensor_count++) {
        FLO_TRY(take_tensor(at, &gguf->tensors[gguf->tensor_count], err));
    }
    int rv = sorted(gguf, gguf->tensor_count, &gguf->tensor_by_name, by_name, err);
    for (size_t i = 1; rv == 0 && i < gguf->tensor_count; i++) {
        const uint32_t *pair = &gguf->tensor_by_name[i - 1];
        if (by_name(&pair[0], &pair[1], gguf) == 0) {
            rv = flo_fail(err, FLO_E_GGUF_DUP, "tensor '%s' stands twice",
                          gguf->tensors[pair[1]].name);
        }
    }
    return rv;
}

static int place_tensors(struct flo_gguf *gguf, struct flo_err *err)
{
    for (size_t i = 0; i < gguf->tensor_count; i++) {
        FLO_TRY(place(gguf, &gguf->tensors[i], err));
    }
    int rv = sorted(gguf, gguf->tensor_count, &gguf->tensor_by_offset, by_offset, err);
    for (size_t i = 1; rv == 0 && i < gguf->tensor_count; i++) {
        const struct flo_gguf_tensor *first = &gguf->tensors[gguf->tensor_by_offset[i - 1]];
        const struct flo_gguf_tensor *second = &gguf->tensors[gguf->tensor_by_offset[i]];
        if (first->offset + first->bytes > second->offset) {
            rv = flo_fail(err, FLO_E_GGUF_BOUNDS, "tensors '%s' and '%s' overlap", first->name,
                          second->name);
        }
    }
    return rv;
}

static int read_alignment(struct flo_gguf *gguf, struct flo_err *err)
{
    gguf->alignment = ALIGNMENT_DEFAULT;
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, "general.alignment");
    if (kv == NULL) {
        return 0;
    }
    if (kv->type != FLO_GGUF_U32) {
        return flo_fail(err, FLO_E_GGUF_TYPE, "key 'general.alignment' is a %s, u32 is needed",
                        flo_gguf_type_name(kv->type));
    }
    uint32_t value = flo_get_u32(kv->data);
    if (value < ALIGNMENT_MIN || value > FLO_GGUF_ALIGNMENT_MAX || (value & (value - 1)) != 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "general.alignment is %" PRIu32 ", a power of two from %d to %d is needed",
                        value, ALIGNMENT_MIN, FLO_GGUF_ALIGNMENT_MAX);
    }
    gguf->alignment = value;
    return 0;
}

static int read_magic(struct flo_cursor *at, uint32_t *version, struct flo_err *err)
{
    const uint8_t *magic;
    if (flo_cursor_left(at) < 4 || flo_cursor_take(at, 4, &magic, err) < 0 ||
        memcmp(magic, "GGUF", 4) != 0) {
        return flo_fail(err, FLO_E_GGUF_MAGIC, "the first four bytes are not 'GGUF'");
    }
    FLO_TRY(flo_cursor_u32(at, version, err));
    if (*version < FLO_GGUF_VERSION_MIN || *version > FLO_GGUF_VERSION) {
        return flo_fail(err, FLO_E_GGUF_VERSION, "version %" PRIu32 "%s; %d and %d are read",
                        *version, *version == 0x03000000 ? " (big-endian 3)" : "",
                        FLO_GGUF_VERSION_MIN, FLO_GGUF_VERSION);
    }
    return 0;
}

static int read_header(struct flo_gguf *gguf, struct flo_err *err)
{
    struct flo_cursor at = {.gguf = gguf, .part = "the header"};
    uint64_t tensor_count = 0;
    uint64_t kv_count = 0;
    FLO_TRY(read_magic(&at, &gguf->version, err));
    FLO_TRY(flo_cursor_u64(&at, &tensor_count, err));
    FLO_TRY(flo_cursor_u64(&at, &kv_count, err));
    if (tensor_count > FLO_GGUF_TENSOR_COUNT_MAX ||
        tensor_count > flo_cursor_left(&at) / TENSOR_BYTES_MIN) {
        return flo_fail(err, FLO_E_GGUF_LIMIT,
                        "the header declares %" PRIu64 " tensors; %d are "
                        "allowed and %" PRIu64 " bytes left",
                        tensor_count, FLO_GGUF_TENSOR_COUNT_MAX, flo_cursor_left(&at));
    }
    at.part = "a key";
    FLO_TRY(read_kvs(gguf, &at, kv_count, err));
    FLO_TRY(read_alignment(gguf, err));
    at.part = "a tensor";
    FLO_TRY(read_tensors(gguf, &at, tensor_count, err));
    /* The sum cannot wrap: the position is at most a file's size, and the
     * alignment at most 2^16. */
    gguf->data_offset = (at.position + gguf->alignment - 1) & ~((uint64_t)gguf->alignment - 1);
    return place_tensors(gguf, err);
}

int flo_gguf_open(const void *data, size_t bytes, struct flo_gguf **out, struct flo_err *err)
{
    struct flo_gguf *gguf = calloc(1, sizeof(*gguf));
    if (gguf == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a GGUF");
    }
    gguf->data = data;
    gguf->file_bytes = bytes;
    int rv = read_header(gguf, err);
    if (rv < 0) {
        flo_gguf_close(gguf);
        return rv;
    }
    *out = gguf;
    return 0;
}

void flo_gguf_close(struct flo_gguf *gguf)
{
    if (gguf == NULL) {
        return;
    }
    if (gguf->is_mapped) {
        /* munmap takes a non-const pointer, but writes no bytes. */
        munmap((void *)(uintptr_t)gguf->data, (size_t)gguf->file_bytes);
    }
    free(gguf->kvs);
    free(gguf->tensors);
    free(gguf->kv_by_key);
    free(gguf->tensor_by_name);
    free(gguf->tensor_by_offset);
    free(gguf);
}

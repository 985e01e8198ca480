/* GGUF lookups: finds keys by name and type, and tensors by name. */
#include "base/gguf/open_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

uint64_t flo_gguf_file_bytes(const struct flo_gguf *gguf)
{
    return gguf->file_bytes;
}

uint64_t flo_gguf_data_offset(const struct flo_gguf *gguf)
{
    return gguf->data_offset;
}

uint32_t flo_gguf_version(const struct flo_gguf *gguf)
{
    return gguf->version;
}

uint32_t flo_gguf_alignment(const struct flo_gguf *gguf)
{
    return gguf->alignment;
}

size_t flo_gguf_kv_count(const struct flo_gguf *gguf)
{
    return gguf->kv_count;
}

const struct flo_gguf_kv *flo_gguf_kv_at(const struct flo_gguf *gguf, size_t index)
{
    return index < gguf->kv_count ? &gguf->kvs[index] : NULL;
}

int flo_gguf_text_order(struct flo_gguf_text a, struct flo_gguf_text b)
{
    int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes);
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* The text that a binary search looks for in a file's sorted indices. */
struct wanted {
    const struct flo_gguf *gguf;
    const char *name;
};

static int key_order(const void *a, const void *index)
{
    const struct wanted *wanted = a;
    const struct flo_gguf_text key = {wanted->name, strlen(wanted->name)};
    return flo_gguf_text_order(key, wanted->gguf->kvs[*(const uint32_t *)index].key);
}

const struct flo_gguf_kv *flo_gguf_find(const struct flo_gguf *gguf, const char *key)
{
    const struct wanted wanted = {gguf, key};
    const uint32_t *index = gguf->kv_count == 0 ? NULL
                                                : bsearch(&wanted, gguf->kv_by_key, gguf->kv_count,
                                                          sizeof(*index), key_order);
    return index == NULL ? NULL : &gguf->kvs[*index];
}

static int wrong_type(const struct flo_gguf_kv *kv, const char *key, const char *wanted,
                      struct flo_err *err)
{
    return flo_fail(err, FLO_E_GGUF_TYPE, "key '%s' is a %s, %s is needed", key,
                    flo_gguf_type_name(kv->type), wanted);
}

/* Reads an integer of any type as 64 bits; *is_signed says how to interpret
 * them. */
static bool integer(const struct flo_gguf_kv *kv, uint64_t *bits, bool *is_signed)
{
    *is_signed = false;
    switch (kv->type) {
    case FLO_GGUF_U8:
        *bits = kv->data[0];
        return true;
    case FLO_GGUF_U16:
        *bits = flo_get_u16(kv->data);
        return true;
    case FLO_GGUF_U32:
        *bits = flo_get_u32(kv->data);
        return true;
    case FLO_GGUF_U64:
        *bits = flo_get_u64(kv->data);
        return true;
    case FLO_GGUF_I8:
        *bits = (uint64_t)(int64_t)(int8_t)kv->data[0];
        break;
    case FLO_GGUF_I16:
        *bits = (uint64_t)(int64_t)(int16_t)flo_get_u16(kv->data);
        break;
    case FLO_GGUF_I32:
        *bits = (uint64_t)(int64_t)(int32_t)flo_get_u32(kv->data);
        break;
    case FLO_GGUF_I64:
        *bits = flo_get_u64(kv->data);
        break;
    default:
        return false;
    }
    *is_signed = true;
    return true;
}

static int unsigned_at_most(const struct flo_gguf *gguf, const char *key, uint64_t most,
                            uint64_t *out, struct flo_err *err)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    uint64_t bits;
    bool is_signed;
    if (kv == NULL) {
        return 0;
    }
    if (!integer(kv, &bits, &is_signed)) {
        return wrong_type(kv, key, "an integer", err);
    }
    if (is_signed && (int64_t)bits < 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM, "key '%s' is %" PRId64, key, (int64_t)bits);
    }
    if (bits > most) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "key '%s' is %" PRIu64 ", at most %" PRIu64 " is allowed", key, bits, most);
    }
    *out = bits;
    return 0;
}

int flo_gguf_u64(const struct flo_gguf *gguf, const char *key, uint64_t *out, struct flo_err *err)
{
    return unsigned_at_most(gguf, key, UINT64_MAX, out, err);
}

int flo_gguf_u32(const struct flo_gguf *gguf, const char *key, uint32_t *out, struct flo_err *err)
{
    /* a value that no u32 has; if it stays, the key is absent and *out is left
     * unchanged */
    uint64_t value = UINT64_MAX;
    int rv = unsigned_at_most(gguf, key, UINT32_MAX, &value, err);
    if (value <= UINT32_MAX) {
        *out = (uint32_t)value;
    }
    return rv;
}

int flo_gguf_f32(const struct flo_gguf *gguf, const char *key, float *out, struct flo_err *err)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    if (kv == NULL) {
        return 0;
    }
    if (kv->type == FLO_GGUF_F32) {
        *out = flo_get_f32(kv->data);
        return 0;
    }
    if (kv->type == FLO_GGUF_F64) {
        uint64_t bits = flo_get_u64(kv->data);
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (!(fabs(value) <= 3.4e38)) {
            return flo_fail(err, FLO_E_GGUF_HPARAM, "key '%s' does not fit an f32", key);
        }
        *out = (float)value;
        return 0;
    }
    return wrong_type(kv, key, "a float", err);
}

int flo_gguf_bool(const struct flo_gguf *gguf, const char *key, bool *out, struct flo_err *err)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    if (kv == NULL) {
        return 0;
    }
    if (kv->type != FLO_GGUF_BOOL) {
        return wrong_type(kv, key, "a bool", err);
    }
    *out = kv->data[0] != 0;
    return 0;
}

int flo_gguf_string(const struct flo_gguf *gguf, const char *key, struct flo_gguf_text *out,
                    struct flo_err *err)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    if (kv == NULL) {
        return 0;
    }
    if (kv->type != FLO_GGUF_STRING) {
        return wrong_type(kv, key, "a string", err);
    }
    out->data = (const char *)kv->data;
    out->bytes = (size_t)kv->bytes;
    return 0;
}

void flo_gguf_copy_string(const struct flo_gguf *gguf, const char *key, char *out, size_t bytes)
{
    struct flo_gguf_text text = {0};

    if (flo_gguf_string(gguf, key, &text, NULL) == 0 && text.data != NULL) {
        snprintf(out, bytes, "%.*s", (int)(text.bytes < bytes ? text.bytes : bytes - 1), text.data);
        out[flo_utf8_valid(out, strlen(out))] = '\0';
    }
}

int flo_gguf_array(const struct flo_gguf *gguf, const char *key, uint32_t item_type,
                   const struct flo_gguf_kv **out, struct flo_err *err)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    if (kv == NULL) {
        *out = NULL;
        return 0;
    }
    if (kv->type != FLO_GGUF_ARRAY || kv->item_type != item_type) {
        return flo_fail(err, FLO_E_GGUF_TYPE, "key '%s' is a %s of %s, an array of %s is needed",
                        key, flo_gguf_type_name(kv->type), flo_gguf_type_name(kv->item_type),
                        flo_gguf_type_name(item_type));
    }
    *out = kv;
    return 0;
}

int flo_gguf_require(const struct flo_gguf *gguf, const char *key, struct flo_err *err)
{
    if (flo_gguf_find(gguf, key) == NULL) {
        return flo_fail(err, FLO_E_GGUF_MISSING, "key '%s' is missing", key);
    }
    return 0;
}

struct flo_gguf_text flo_gguf_next_string(const uint8_t **cursor)
{
    struct flo_gguf_text text = {(const char *)*cursor + 8, (size_t)flo_get_u64(*cursor)};
    *cursor += 8 + text.bytes;
    return text;
}

bool flo_gguf_text_is(struct flo_gguf_text text, const char *word)
{
    size_t bytes = strlen(word);
    return text.bytes == bytes && memcmp(text.data, word, bytes) == 0;
}

size_t flo_gguf_tensor_count(const struct flo_gguf *gguf)
{
    return gguf->tensor_count;
}

const struct flo_gguf_tensor *flo_gguf_tensor_at(const struct flo_gguf *gguf, size_t index)
{
    return index < gguf->tensor_count ? &gguf->tensors[index] : NULL;
}

static int name_order(const void *a, const void *index)
{
    const struct wanted *wanted = a;
    return strcmp(wanted->name, wanted->gguf->tensors[*(const uint32_t *)index].name);
}

const struct flo_gguf_tensor *flo_gguf_tensor_find(const struct flo_gguf *gguf, const char *name)
{
    const struct wanted wanted = {gguf, name};
    const uint32_t *index = gguf->tensor_count == 0
                                ? NULL
                                : bsearch(&wanted, gguf->tensor_by_name, gguf->tensor_count,
                                          sizeof(*index), name_order);
    return index == NULL ? NULL : &gguf->tensors[*index];
}

const void *flo_gguf_tensor_data(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor)
{
    return gguf->data + tensor->offset;
}

#include "engine/publish/import/keys.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES_MAX 160

static void full_name(const struct flo_keys *keys, const char *key, char *out)
{
    snprintf(out, KEY_BYTES_MAX, "%s%s", key[0] == '.' ? keys->arch : "", key);
}

static size_t place_of(const struct flo_keys *keys, const char *key)
{
    char name[KEY_BYTES_MAX];
    size_t i = 0;
    full_name(keys, key, name);
    while (i < keys->count && strcmp(keys->edits[i].key, name) != 0) {
        i++;
    }
    return i;
}

static void edit_deinit(struct flo_gguf_edit *edit)
{
    free((void *)(uintptr_t)edit->key);
    free((void *)(uintptr_t)edit->text);
    free((void *)(uintptr_t)edit->items);
}

/* Returns room for one more edit, or NULL. */
static bool grow(struct flo_keys *keys)
{
    if (keys->count == keys->capacity) {
        size_t capacity = keys->capacity * 2 + 32;
        struct flo_gguf_edit *edits = realloc(keys->edits, capacity * sizeof(*edits));
        if (edits == NULL) {
            return false;
        }
        keys->edits = edits;
        keys->capacity = capacity;
    }
    return true;
}

/* Sets a key; owns the text and items of `value` from now on. */
static void set_take(struct flo_keys *keys, const char *key, struct flo_gguf_edit value)
{
    char name[KEY_BYTES_MAX];
    size_t at = place_of(keys, key);
    full_name(keys, key, name);
    value.key = strdup(name);
    if (value.key == NULL || !grow(keys)) {
        keys->failed = true;
        edit_deinit(&value);
        return;
    }
    if (at == keys->count) {
        keys->count++;
    } else {
        edit_deinit(&keys->edits[at]);
    }
    keys->edits[at] = value;
}

void flo_keys_u32(struct flo_keys *keys, const char *key, uint32_t value)
{
    set_take(keys, key, (struct flo_gguf_edit){.type = FLO_GGUF_U32, .u32 = value});
}

void flo_keys_i32(struct flo_keys *keys, const char *key, int32_t value)
{
    set_take(keys, key, (struct flo_gguf_edit){.type = FLO_GGUF_I32, .u32 = (uint32_t)value});
}

void flo_keys_f32(struct flo_keys *keys, const char *key, double value)
{
    set_take(keys, key, (struct flo_gguf_edit){.type = FLO_GGUF_F32, .f32 = (float)value});
}

void flo_keys_bool(struct flo_keys *keys, const char *key, bool value)
{
    set_take(keys, key, (struct flo_gguf_edit){.type = FLO_GGUF_BOOL, .is_set = value});
}

void flo_keys_text(struct flo_keys *keys, const char *key, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        keys->failed = true;
        return;
    }
    set_take(keys, key, (struct flo_gguf_edit){.type = FLO_GGUF_STRING, .text = copy});
}

void flo_keys_array(struct flo_keys *keys, const char *key, uint32_t item_type, uint64_t count,
                    const void *items, size_t bytes)
{
    void *copy = malloc(bytes + 1);
    if (copy == NULL) {
        keys->failed = true;
        return;
    }
    if (bytes > 0) {
        memcpy(copy, items, bytes);
    }
    set_take(keys, key,
             (struct flo_gguf_edit){.type = FLO_GGUF_ARRAY,
                                    .item_type = item_type,
                                    .item_count = count,
                                    .items = copy,
                                    .items_bytes = bytes});
}

void flo_keys_item(struct flo_buf *out, const char *text, size_t bytes)
{
    uint8_t length[8];
    flo_put_u64(length, bytes);
    flo_buf_add(out, length, sizeof(length));
    flo_buf_add(out, text, bytes);
}

void flo_keys_drop(struct flo_keys *keys, const char *key)
{
    size_t at = place_of(keys, key);
    if (at < keys->count) {
        edit_deinit(&keys->edits[at]);
        keys->count--;
        memmove(keys->edits + at, keys->edits + at + 1, (keys->count - at) * sizeof(*keys->edits));
    }
}

const struct flo_gguf_edit *flo_keys_find(const struct flo_keys *keys, const char *key)
{
    size_t at = place_of(keys, key);
    return at < keys->count ? &keys->edits[at] : NULL;
}

void flo_keys_deinit(struct flo_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        edit_deinit(&keys->edits[i]);
    }
    free(keys->edits);
    *keys = (struct flo_keys){0};
}

/* Keys: the keys of a new GGUF file, collected with memory of their own.
 *
 * A key that begins with a dot gets the architecture's name in front.  A key
 * that is set twice keeps its place and gets the newer value.  Memory that
 * cannot be had sets `failed`, which the caller checks once. */
#ifndef FLOTILLA_ENGINE_IMPORT_KEYS_H
#define FLOTILLA_ENGINE_IMPORT_KEYS_H

#include "base/gguf/gguf.h"

/* Zero-initialise; the caller sets `arch`. */
struct flo_keys {
    struct flo_gguf_edit *edits;
    size_t count, capacity;
    char arch[32];
    bool failed;
};

void flo_keys_u32(struct flo_keys *keys, const char *key, uint32_t value);
void flo_keys_i32(struct flo_keys *keys, const char *key, int32_t value);
void flo_keys_f32(struct flo_keys *keys, const char *key, double value);
void flo_keys_bool(struct flo_keys *keys, const char *key, bool value);
/* Sets a text, cut at its first NUL. */
void flo_keys_text(struct flo_keys *keys, const char *key, const char *text);
/* Sets an array of `count` items whose bytes are copied as a file has them. */
void flo_keys_array(struct flo_keys *keys, const char *key, uint32_t item_type, uint64_t count,
                    const void *items, size_t bytes);
/* Appends one item of an array of strings to `out`. */
void flo_keys_item(struct flo_buf *out, const char *text, size_t bytes);
void flo_keys_drop(struct flo_keys *keys, const char *key);
/* Returns the key's edit, or NULL. */
const struct flo_gguf_edit *flo_keys_find(const struct flo_keys *keys, const char *key);
void flo_keys_deinit(struct flo_keys *keys);

#endif

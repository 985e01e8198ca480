/* An open GGUF file as the files of this folder see it. */
#ifndef FLOTILLA_BASE_GGUF_OPEN_FILE_H
#define FLOTILLA_BASE_GGUF_OPEN_FILE_H

#include "base/gguf/gguf.h"

struct flo_gguf {
    const uint8_t *data;
    uint64_t file_bytes;
    bool is_mapped; /* true: this library mapped the file */
    uint32_t version;
    uint32_t alignment;
    uint64_t data_offset;
    size_t kv_count;
    size_t tensor_count;
    struct flo_gguf_kv *kvs;         /* in file order */
    struct flo_gguf_tensor *tensors; /* in file order */
    uint32_t *kv_by_key;             /* indices of `kvs`, sorted by key */
    uint32_t *tensor_by_name;        /* indices of the tensors, sorted by name */
    uint32_t *tensor_by_offset;      /* indices of `tensors`, sorted by offset */
};

/* Cursor over a header.  A read that fails sets the error. */
struct flo_cursor {
    const struct flo_gguf *gguf;
    uint64_t position;
    const char *part; /* name of the part of the header, for errors */
};
uint64_t flo_cursor_left(const struct flo_cursor *at);
int flo_cursor_take(struct flo_cursor *at, uint64_t bytes, const uint8_t **out,
                    struct flo_err *err);
int flo_cursor_u32(struct flo_cursor *at, uint32_t *out, struct flo_err *err);
int flo_cursor_u64(struct flo_cursor *at, uint64_t *out, struct flo_err *err);
int flo_cursor_text(struct flo_cursor *at, struct flo_gguf_text *out, struct flo_err *err);
/* Reads a text of 1..bytes_max bytes without control characters. */
int flo_cursor_name(struct flo_cursor *at, size_t bytes_max, struct flo_gguf_text *out,
                    struct flo_err *err);

/* Writes the header of a file with the keys of `source`, without those of a split model, and
 * with these tensors, whose offsets are those in the whole file. */
void flo_gguf_join_header(struct flo_buf *out, const struct flo_gguf *source,
                          const struct flo_gguf_tensor *tensors, size_t count);

/* Compares two texts: returns < 0, 0 or > 0, as memcmp() and strcmp() do. */
int flo_gguf_text_order(struct flo_gguf_text a, struct flo_gguf_text b);

#define FLO_GGUF_VALUE_TYPE_COUNT 13
/* Returns the bytes of one value of a type, or 0 for strings, arrays and
 * unknown types. */
size_t flo_gguf_type_bytes(uint32_t type);
const char *flo_gguf_type_name(uint32_t type);

#endif

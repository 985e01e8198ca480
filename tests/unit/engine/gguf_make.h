/* GGUF files in memory, byte by byte, right or wrong: for tests. */
#ifndef FLOTILLA_TESTS_GGUF_MAKE_H
#define FLOTILLA_TESTS_GGUF_MAKE_H

#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"

/* Control tokens of all families of chat templates. */
static const char *const controls[] = {"<|im_start|>",
                                       "<|im_end|>",
                                       "<|start_header_id|>",
                                       "<|end_header_id|>",
                                       "<|eot_id|>",
                                       "<s>",
                                       "</s>",
                                       "<start_of_turn>",
                                       "<end_of_turn>",
                                       "<|user|>",
                                       "<|assistant|>",
                                       "<|system|>",
                                       "<|end|>",
                                       "<|start|>",
                                       "<|channel|>",
                                       "<|message|>",
                                       "<|constrain|>",
                                       "<|return|>",
                                       "<|call|>",
                                       "<|tool_call>",
                                       "<tool_call|>",
                                       "<|\"|>",
                                       "<|channel>",
                                       "<channel|>"};

static inline void put_u32(struct flo_buf *out, uint32_t value)
{
    uint8_t bytes[4];
    flo_put_u32(bytes, value);
    flo_buf_add(out, bytes, sizeof(bytes));
}

static inline void put_u64(struct flo_buf *out, uint64_t value)
{
    uint8_t bytes[8];
    flo_put_u64(bytes, value);
    flo_buf_add(out, bytes, sizeof(bytes));
}

static inline void put_text(struct flo_buf *out, const char *text)
{
    put_u64(out, strlen(text));
    flo_buf_add(out, text, strlen(text));
}

static inline void put_head(struct flo_buf *out, uint64_t tensors, uint64_t keys)
{
    flo_buf_add(out, "GGUF", 4);
    put_u32(out, FLO_GGUF_VERSION);
    put_u64(out, tensors);
    put_u64(out, keys);
}

static inline void put_key(struct flo_buf *out, const char *key, uint32_t type)
{
    put_text(out, key);
    put_u32(out, type);
}

static inline void put_key_u32(struct flo_buf *out, const char *key, uint32_t value)
{
    put_key(out, key, FLO_GGUF_U32);
    put_u32(out, value);
}

static inline void put_key_text(struct flo_buf *out, const char *key, const char *text)
{
    put_key(out, key, FLO_GGUF_STRING);
    put_text(out, text);
}

static inline void put_key_texts(struct flo_buf *out, const char *key, const char *const *texts,
                                 size_t count)
{
    put_key(out, key, FLO_GGUF_ARRAY);
    put_u32(out, FLO_GGUF_STRING);
    put_u64(out, count);
    for (size_t i = 0; i < count; i++) {
        put_text(out, texts[i]);
    }
}

static inline void put_tensor(struct flo_buf *out, const char *name, uint64_t columns,
                              uint64_t rows, uint32_t type, uint64_t offset)
{
    put_text(out, name);
    put_u32(out, 2);
    put_u64(out, columns);
    put_u64(out, rows);
    put_u32(out, type);
    put_u64(out, offset);
}

static inline void put_zeros(struct flo_buf *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        flo_buf_add(out, "", 1);
    }
}

/* Zeros up to a multiple of 32. */
static inline void put_padding(struct flo_buf *out)
{
    put_zeros(out, -out->bytes & 31);
}

/* The text after the last blank or comma of a golden line, and so on. */
static inline char *read_whole(const char *path, size_t *bytes)
{
    char *data = NULL;
    struct flo_err err = {0};
    if (flo_file_read(path, 64u << 20, &data, bytes, &err) < 0) {
        flo_err_print(stderr, &err);
        return NULL;
    }
    return data;
}

/* Hex to a malloc'ed block; "-" is empty. */
static inline char *from_hex(const char *hex, size_t chars, size_t *bytes)
{
    char *text = calloc(1, chars + 1);
    char *out = malloc(chars / 2 + 1);
    *bytes = 0;
    if (text != NULL && out != NULL) {
        memcpy(text, hex, chars);
        if (flo_hex_decode(text, out, chars / 2)) {
            *bytes = chars / 2;
        }
    }
    free(text);
    return out;
}

#endif

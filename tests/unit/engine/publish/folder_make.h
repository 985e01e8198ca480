/* Folder make: builds model folders as people share them, of a few bytes. */
#ifndef TESTS_FOLDER_MAKE_H
#define TESTS_FOLDER_MAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <flotilla/base.h>

struct made_tensor {
    const char *name, *type; /* "F32", "BF16", "U8" */
    uint32_t dims[4];        /* outermost first; 0 ends them */
    const void *data;        /* NULL: value i is i + 1 */
};

static inline size_t made_values(const struct made_tensor *tensor)
{
    size_t values = 1;
    for (int i = 0; i < 4 && tensor->dims[i] != 0; i++) {
        values *= tensor->dims[i];
    }
    return values;
}

static inline void make_file(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

static inline void make_text(const char *folder, const char *name, const char *text)
{
    make_file(folder, name, text, strlen(text));
}

/* Returns the bytes of a value of this type. */
static inline size_t made_bytes(const char *type)
{
    return strcmp(type, "I64") == 0     ? 8
           : strstr(type, "32") != NULL ? 4
           : strstr(type, "16") != NULL ? 2
                                        : 1;
}

/* Appends the values of a tensor: numbers that count up, or its own bytes. */
static inline void add_values(struct flo_buf *out, const struct made_tensor *tensor)
{
    size_t bytes = made_bytes(tensor->type);
    for (size_t i = 0; i < made_values(tensor); i++) {
        float value = (float)(i + 1);
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        bits = bytes == 2 ? bits >> 16 : bytes == 1 ? (uint32_t)i : bits;
        const uint8_t raw[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                                (uint8_t)(bits >> 24)};
        const uint8_t *from = tensor->data;
        flo_buf_add(out, from != NULL ? from + i * bytes : raw, bytes);
    }
}

/* Writes a safetensors file. */
static inline void make_weights(const char *folder, const char *name,
                                const struct made_tensor *tensors, size_t count)
{
    struct flo_buf head = {0}, data = {0};
    uint8_t length[8];
    for (size_t i = 0; i < count; i++) {
        size_t from = data.bytes;
        add_values(&data, &tensors[i]);
        flo_buf_printf(&head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i == 0 ? "{" : ",",
                       tensors[i].name, tensors[i].type);
        for (int d = 0; d < 4 && tensors[i].dims[d] != 0; d++) {
            flo_buf_printf(&head, "%s%u", d == 0 ? "" : ",", tensors[i].dims[d]);
        }
        flo_buf_printf(&head, "],\"data_offsets\":[%zu,%zu]}", from, data.bytes);
    }
    flo_buf_text(&head, count == 0 ? "{}" : "}");
    flo_put_u64(length, head.bytes);
    struct flo_buf all = {0};
    flo_buf_add(&all, length, sizeof(length));
    flo_buf_add(&all, head.data, head.bytes);
    flo_buf_add(&all, data.bytes > 0 ? data.data : "", data.bytes);
    assert_false(all.failed);
    make_file(folder, name, all.data, all.bytes);
    flo_buf_deinit(&head);
    flo_buf_deinit(&data);
    flo_buf_deinit(&all);
}

#endif

#include "formats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bytes taken(struct flo_buf *buf)
{
    struct bytes out = {.data = malloc(buf->bytes), .bytes = buf->bytes};

    memcpy(out.data, buf->data, buf->bytes);
    flo_buf_deinit(buf);
    return out;
}

/* U8 is no type of GGUF. */
static size_t bytes_of(const struct model_tensor *tensor)
{
    struct model_tensor like = *tensor;

    like.type = like.type == TYPE_U8 ? TYPE_I8 : like.type;
    return (size_t)model_tensor_bytes(&like);
}

static const char *dtype_of(uint32_t type)
{
    return type == TYPE_F32    ? "F32"
           : type == TYPE_F16  ? "F16"
           : type == TYPE_BF16 ? "BF16"
           : type == TYPE_I8   ? "I8"
                               : "U8";
}

struct bytes safetensors_of(const struct model_tensor *tensors, size_t count, const char *note)
{
    struct flo_buf head = {0};
    struct flo_buf file = {0};
    uint8_t length[8];
    uint64_t at = 0;
    char text[256];

    (void)snprintf(text, sizeof text, "{\"__metadata__\": {\"note\": \"%s\"}", note);
    flo_buf_add(&head, text, strlen(text));
    for (size_t i = 0; i < count; i++) {
        uint64_t end = at + bytes_of(&tensors[i]);
        (void)snprintf(text, sizeof text,
                       ", \"%s\": {\"dtype\": \"%s\", \"shape\": [%" PRIu64 ", %" PRIu64
                       "], \"data_offsets\": [%" PRIu64 ", %" PRIu64 "]}",
                       tensors[i].name, dtype_of(tensors[i].type), tensors[i].rows,
                       tensors[i].columns, at, end);
        flo_buf_add(&head, text, strlen(text));
        at = end;
    }
    flo_buf_add(&head, "}", 1);
    flo_put_u64(length, head.bytes);
    flo_buf_add(&file, length, sizeof length);
    flo_buf_add(&file, head.data, head.bytes);
    for (size_t i = 0; i < count; i++) {
        flo_buf_add(&file, tensors[i].data, bytes_of(&tensors[i]));
    }
    flo_buf_deinit(&head);
    return taken(&file);
}

/* ---- protobuf, written once more by hand ---- */

static void add_number(struct flo_buf *out, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        flo_buf_add(out, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void add_varint(struct flo_buf *out, unsigned field, uint64_t value)
{
    add_number(out, field << 3);
    add_number(out, value);
}

static void add_bytes(struct flo_buf *out, unsigned field, const void *data, size_t bytes)
{
    add_number(out, field << 3 | 2);
    add_number(out, bytes);
    flo_buf_add(out, data, bytes);
}

static void add_message(struct flo_buf *out, unsigned field, struct flo_buf *message)
{
    add_bytes(out, field, message->data, message->bytes);
    flo_buf_deinit(message);
}

static uint64_t data_type_of(uint32_t type)
{
    return type == TYPE_F32    ? 1
           : type == TYPE_F16  ? 10
           : type == TYPE_BF16 ? 16
           : type == TYPE_I8   ? 3
                               : 2;
}

static struct flo_buf tensor_of(const struct model_tensor *tensor, enum onnx_way way)
{
    size_t bytes = bytes_of(tensor);
    struct flo_buf out = {0};

    if (way == ONNX_FLOATS) { /* dimensions may be packed */
        struct flo_buf dims = {0};
        add_number(&dims, tensor->rows);
        add_number(&dims, tensor->columns);
        add_message(&out, 1, &dims);
    } else {
        add_varint(&out, 1, tensor->rows);
        add_varint(&out, 1, tensor->columns);
    }
    add_varint(&out, 2, data_type_of(tensor->type));
    add_bytes(&out, 8, tensor->name, strlen(tensor->name));
    if (way == ONNX_EXTERNAL) {
        add_bytes(&out, 13, "\n\10location\22\4data", 16);
        add_varint(&out, 14, 1);
    } else {
        add_bytes(&out, way == ONNX_FLOATS ? 4 : 9, tensor->data, bytes);
    }
    return out;
}

struct bytes onnx_of(const struct model_tensor *tensors, size_t count, const char *note,
                     enum onnx_way way)
{
    struct flo_buf model = {0};
    struct flo_buf graph = {0};

    for (size_t i = 0; i < count; i++) {
        struct flo_buf tensor = tensor_of(&tensors[i], way);
        if (way == ONNX_CONSTANT) {
            struct flo_buf attribute = {0};
            struct flo_buf node = {0};
            add_bytes(&attribute, 1, "value", 5);
            add_message(&attribute, 5, &tensor);
            add_bytes(&node, 4, "Constant", 8);
            add_message(&node, 5, &attribute);
            add_message(&graph, 1, &node);
        } else {
            add_message(&graph, 5, &tensor);
        }
    }
    add_varint(&model, 1, 8);
    add_bytes(&model, 2, note, strlen(note));
    add_message(&model, 7, &graph);
    return taken(&model);
}

/* ONNX weights: walks the protobuf message; see onnx.h. */
#include "updater/delta/publish/onnx.h"

#include <stdlib.h>

/* Wire types of protobuf fields. */
enum wire { WIRE_NUMBER = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Numbers of the protobuf fields that lead from the whole message to a tensor's
 * values.  A name begins with the message that has the field. */
enum {
    MODEL_VERSION = 1,
    MODEL_GRAPH = 7,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_TENSOR = 5,
    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_FLOATS = 4,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9
};

/* A protobuf message: the bytes of the file from `at` to `end`. */
struct span {
    const uint8_t *data; /* the whole file */
    uint64_t at;
    uint64_t end;
};

struct field {
    uint64_t number;
    enum wire wire;
    uint64_t value;   /* value of a number field */
    struct span body; /* bytes of a field */
};

static bool take_number(struct span *span, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (span->at == span->end) {
            return false;
        }
        uint8_t byte = span->data[span->at++];
        *out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return true;
        }
    }
    return false;
}

static bool skip(struct span *span, uint64_t bytes)
{
    bool fits = bytes <= span->end - span->at;

    span->at += fits ? bytes : 0;
    return fits;
}

/* Takes the next field of the message.  Returns false at the end or at
 * malformed bytes; after malformed bytes `span->at` is not at the end. */
static bool take_field(struct span *span, struct field *out)
{
    struct span rest = *span;
    uint64_t tag;
    bool is_whole = rest.at < rest.end && take_number(&rest, &tag);

    if (!is_whole) {
        return false;
    }
    *out = (struct field){.number = tag >> 3, .wire = (enum wire)(tag & 7)};
    switch (out->wire) {
    case WIRE_NUMBER:
        is_whole = take_number(&rest, &out->value);
        break;
    case WIRE_FIXED64:
        is_whole = skip(&rest, 8);
        break;
    case WIRE_FIXED32:
        is_whole = skip(&rest, 4);
        break;
    case WIRE_BYTES:
        is_whole = take_number(&rest, &out->value);
        out->body = (struct span){rest.data, rest.at, rest.at};
        is_whole = is_whole && skip(&rest, out->value);
        out->body.end = rest.at;
        break;
    default: /* a group: an obsolete kind of field that ONNX never has */
        return false;
    }
    if (is_whole) {
        *span = rest;
    }
    return is_whole;
}

/* ---- a tensor ---- */

static bool add_dim(struct onnx_tensor *tensor, uint64_t dim)
{
    bool has_room = tensor->dim_count < ONNX_DIMS_MAX;

    if (has_room) {
        tensor->dims[tensor->dim_count++] = dim;
    }
    return has_room;
}

static bool add_dims(struct onnx_tensor *tensor, struct field field)
{
    uint64_t dim;

    if (field.wire == WIRE_NUMBER) {
        return add_dim(tensor, field.value);
    }
    while (field.body.at < field.body.end) {
        if (!take_number(&field.body, &dim) || !add_dim(tensor, dim)) {
            return false;
        }
    }
    return true;
}

/* Sets where the values are.  Returns false when they come in more than one
 * piece. */
static bool set_values(struct onnx_tensor *tensor, const struct field *field)
{
    bool is_first = field->wire == WIRE_BYTES && tensor->bytes == 0;

    tensor->offset = field->body.at;
    tensor->bytes = field->body.end - field->body.at;
    return is_first;
}

static bool set_name(struct onnx_tensor *tensor, const struct field *field)
{
    bool is_text = field->wire == WIRE_BYTES;

    if (is_text) {
        tensor->name = (const char *)field->body.data + field->body.at;
        tensor->name_bytes = (size_t)(field->body.end - field->body.at);
    }
    return is_text;
}

static bool use_field(struct onnx_tensor *tensor, const struct field *field)
{
    switch (field->number) {
    case TENSOR_DIMS:
        return add_dims(tensor, *field);
    case TENSOR_DATA_TYPE:
        tensor->type = field->value;
        return true;
    case TENSOR_NAME:
        return set_name(tensor, field);
    case TENSOR_FLOATS:
    case TENSOR_RAW:
        return set_values(tensor, field);
    default:
        return true;
    }
}

/* Reads the description of a tensor.  Returns false unless its values are in
 * this file in one piece. */
static bool read_tensor(struct span span, struct onnx_tensor *out)
{
    struct field field;

    *out = (struct onnx_tensor){.name = ""};
    while (take_field(&span, &field)) {
        if (!use_field(out, &field)) {
            return false;
        }
    }
    return span.at == span.end && out->bytes > 0;
}

/* ---- the way to it ---- */

struct walk {
    struct onnx_tensor *tensors;
    size_t count;
    size_t room;
    bool failed;
};

static void add_tensor(struct walk *walk, struct span span)
{
    struct onnx_tensor tensor;

    if (!read_tensor(span, &tensor)) {
        return;
    }
    if (walk->count == walk->room) {
        size_t room = walk->room == 0 ? 64 : walk->room * 2;
        struct onnx_tensor *more =
            room > ONNX_TENSORS_MAX ? NULL : realloc(walk->tensors, room * sizeof *more);
        walk->failed = walk->failed || more == NULL;
        if (more == NULL) {
            return;
        }
        walk->tensors = more;
        walk->room = room;
    }
    walk->tensors[walk->count++] = tensor;
}

/* Visits a Constant node, which has a tensor in an attribute. */
static void walk_node(struct walk *walk, struct span node)
{
    struct field attribute;
    struct field tensor;

    while (take_field(&node, &attribute)) {
        while (attribute.number == NODE_ATTRIBUTE && take_field(&attribute.body, &tensor)) {
            if (tensor.number == ATTRIBUTE_TENSOR) {
                add_tensor(walk, tensor.body);
            }
        }
    }
}

static bool walk_graph(struct walk *walk, struct span graph)
{
    struct field field;

    while (take_field(&graph, &field) && !walk->failed) {
        if (field.number == GRAPH_INITIALIZER) {
            add_tensor(walk, field.body);
        } else if (field.number == GRAPH_NODE) {
            walk_node(walk, field.body);
        }
    }
    return graph.at == graph.end && !walk->failed;
}

bool flo_onnx_tensors(const uint8_t *data, uint64_t bytes, struct onnx_tensor **out, size_t *count)
{
    struct span model = {data, 0, bytes};
    struct walk walk = {0};
    struct field field;
    bool is_sound = true;
    bool has_version = false;
    bool has_graph = false;

    while (is_sound && take_field(&model, &field)) {
        has_version = has_version || field.number == MODEL_VERSION;
        if (field.number == MODEL_GRAPH) {
            is_sound = !has_graph && walk_graph(&walk, field.body);
            has_graph = true;
        }
    }
    if (!is_sound || model.at != model.end || !has_version || !has_graph) {
        free(walk.tensors);
        return false;
    }
    *out = walk.tensors;
    *count = walk.count;
    return true;
}

/* ONNX weights: finds which bytes of an ONNX file hold which values.
 *
 * The file is one protobuf message, a ModelProto.  Weights are initializers of
 * the graph, and values of its Constant nodes, as raw bytes or packed floats.
 * The parser follows this path alone and skips other fields by their length, so
 * its time is linear in tensors and nodes.  Source: onnx.proto of ONNX 1.17
 * (field numbers and data types). */
#ifndef FLOTILLA_PUBLISH_ONNX_H
#define FLOTILLA_PUBLISH_ONNX_H

#include <flotilla/base.h>

#define ONNX_TENSORS_MAX 65536
#define ONNX_DIMS_MAX 8

/* Types of ONNX values (TensorProto.DataType); only those that are used
 * here. */
enum onnx_type {
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_FLOAT16 = 10,
    ONNX_BFLOAT16 = 16
};

struct onnx_tensor {
    const char *name; /* borrowed, not NUL-terminated; may hold any bytes */
    size_t name_bytes;
    uint64_t type; /* enum onnx_type, or an unknown type */
    uint32_t dim_count;
    uint64_t dims[ONNX_DIMS_MAX]; /* outermost first */
    uint64_t offset;              /* offset of the values in the file */
    uint64_t bytes;
};

/* Lists the tensors whose values are in this file, sorted by offset; the caller
 * frees *out.  Values in another file, in other fields or in pieces are
 * skipped.  Returns false when the file is not ONNX, has too many tensors, or
 * memory is out. */
FLO_MUST_USE bool flo_onnx_tensors(const uint8_t *data, uint64_t bytes, struct onnx_tensor **out,
                                   size_t *count);

#endif

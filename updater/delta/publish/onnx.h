/* The weights of an ONNX file: which bytes hold which values.
 *
 * A file of the format is one protobuf message, a ModelProto.  Its weights are
 * initializers of the graph, and values of its Constant nodes, as raw bytes or
 * as packed floats.  The walk goes over this path alone; lengths lead past all
 * else, so it takes no more time than there are tensors and nodes.
 * Source: onnx.proto of ONNX 1.17 (field numbers and types of data). */
#ifndef FLOTILLA_PUBLISH_ONNX_H
#define FLOTILLA_PUBLISH_ONNX_H

#include <flotilla/base.h>

#define ONNX_TENSORS_MAX 65536
#define ONNX_DIMS_MAX 8

/* TensorProto.DataType, as far as something is done with it. */
enum onnx_type {
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_FLOAT16 = 10,
    ONNX_BFLOAT16 = 16
};

struct onnx_tensor {
    const char *name; /* borrowed, not NUL-terminated; any bytes */
    size_t name_bytes;
    uint64_t type; /* enum onnx_type, or another */
    uint32_t dim_count;
    uint64_t dims[ONNX_DIMS_MAX]; /* outermost first */
    uint64_t offset;              /* place of the values in the file */
    uint64_t bytes;
};

/* The tensors whose values lie in this file, by offset; the caller frees *out.
 * Values in another file, in other fields or in pieces are left out.  False:
 * not such a file, too many tensors, or no memory. */
FLO_MUST_USE bool flo_onnx_tensors(const uint8_t *data, uint64_t bytes, struct onnx_tensor **out,
                                   size_t *count);

#endif

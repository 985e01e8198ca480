/* The tensors of a model as files of other formats than GGUF. */
#ifndef FLOTILLA_TEST_FORMATS_H
#define FLOTILLA_TEST_FORMATS_H

#include "model_help.h"

#define TYPE_F32 0
#define TYPE_F16 1
#define TYPE_I8 24
#define TYPE_BF16 30
#define TYPE_U8 254

/* The caller frees their data.  `note` stands in the head. */
struct bytes safetensors_of(const struct model_tensor *tensors, size_t count, const char *note);

/* Where an ONNX file has its values. */
enum onnx_way {
    ONNX_RAW,      /* initializers with raw bytes */
    ONNX_FLOATS,   /* initializers with packed floats (F32 alone) */
    ONNX_CONSTANT, /* Constant nodes */
    ONNX_EXTERNAL, /* another file */
    ONNX_WAYS
};
struct bytes onnx_of(const struct model_tensor *tensors, size_t count, const char *note,
                     enum onnx_way way);

#endif

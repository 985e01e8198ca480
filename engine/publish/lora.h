/* LoRA: merges a LoRA adapter into the weights of its base model. */
#ifndef FLOTILLA_ENGINE_LORA_H
#define FLOTILLA_ENGINE_LORA_H

#include "base/quant/dither.h"
#include "engine/model/adapter/lora_file.h"

#define FLO_MERGE_THREADS_MAX 16
#define FLO_MERGE_KEPT_MIN 0.93 /* less is FLO_E_MODEL_UPDATE_LOST */

enum flo_merge_method {
    /* adds the change and keeps the scales of the base model
     * (base/quant/dither.h) */
    FLO_MERGE_DITHER,
    /* decodes the weights, adds the change and encodes them again, as other
     * tools do */
    FLO_MERGE_REQUANTIZE,
};

struct flo_merge_options {
    enum flo_merge_method method;
    uint64_t seed;
    uint32_t threads; /* 1 to FLO_MERGE_THREADS_MAX */
};

struct flo_merge_result {
    struct flo_dither_result dither; /* sums of the changes over all tensors */
    uint64_t bytes_changed;
    size_t tensors;
};

/* Checks an adapter as flo_lora_check() does.  Checks also that the base's
 * tensors can be merged with this method.  FLO_E_NOT_BUILT: one of their types
 * cannot. */
FLO_MUST_USE int flo_lora_read(const struct flo_gguf *adapter, const struct flo_gguf *base,
                               enum flo_merge_method method, struct flo_lora *out,
                               struct flo_err *err);

/* Merges one tensor and writes its new bytes, tensor->bytes of them, to `data`.
 * If the adapter has no pair for the tensor, *is_changed is false.  The changes
 * are added to `result`.  FLO_E_MEMORY, FLO_E_MODEL_NONFINITE. */
FLO_MUST_USE int flo_lora_merge_tensor(const struct flo_lora *lora, const struct flo_gguf *base,
                                       const struct flo_gguf_tensor *tensor,
                                       const struct flo_merge_options *options, void *data,
                                       bool *is_changed, struct flo_merge_result *result,
                                       struct flo_err *err);

#endif

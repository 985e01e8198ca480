/* PEFT: adapters as trainers save them: their configuration, and the conversion
 * of their matrices to names, shapes and row order of a base's GGUF. */
#ifndef FLOTILLA_ENGINE_PEFT_H
#define FLOTILLA_ENGINE_PEFT_H

#include "base/gguf/gguf.h"
#include "base/safetensors/safetensors.h"

#define FLO_PEFT_RANK_MAX 256

struct flo_peft_config {
    uint32_t rank;
    float alpha; /* alpha for the GGUF, where a product is scaled by alpha / rank */
};

/* Reads adapter_config.json; `text` is modified.  FLO_E_MODEL_ADAPTER: not a
 * LoRA, or a number is out of range; FLO_E_NOT_BUILT: an extension of plain
 * LoRA is used. */
FLO_MUST_USE int flo_peft_config_read(char *text, size_t bytes, struct flo_peft_config *out,
                                      struct flo_err *err);

/* A tensor in the form that the GGUF file will have. */
struct flo_peft_tensor {
    struct flo_gguf_tensor head; /* offset and bytes are not set */
    /* Rows of a head, if its rows are reordered from two halves to pairs; else
     * 0. */
    uint64_t head_rows;
};

/* Maps a tensor to this base.  FLO_E_MODEL_ADAPTER: not a matrix, no such
 * tensor in the base's architecture, or the rank is too large; FLO_E_NOT_BUILT:
 * not F32, F16 or BF16. */
FLO_MUST_USE int flo_peft_tensor_map(const struct flo_safetensor *tensor,
                                     const struct flo_gguf *base, struct flo_peft_tensor *out,
                                     struct flo_err *err);
/* Copies a mapped tensor's bytes in the GGUF's row order; `out` has
 * tensor->bytes. */
void flo_peft_tensor_rows(const struct flo_safetensor *tensor, const struct flo_peft_tensor *mapped,
                          uint8_t *out);

#endif

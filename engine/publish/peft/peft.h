/* PEFT adapters, as trainers save them: their configuration, and the names,
 * shapes and row order of their matrices in the terms of a base's GGUF. */
#ifndef FLOTILLA_ENGINE_PEFT_H
#define FLOTILLA_ENGINE_PEFT_H

#include "base/gguf/gguf.h"
#include "base/safetensors/safetensors.h"

#define FLO_PEFT_RANK_MAX 256

struct flo_peft_config {
    uint32_t rank;
    float alpha; /* alpha of the GGUF: a product is scaled by alpha / rank */
};

/* adapter_config.json; `text` is changed.  FLO_E_MODEL_ADAPTER: it is no LoRA's
 * or its numbers are out of range; FLO_E_NOT_BUILT: what it uses on top of
 * plain LoRA. */
FLO_MUST_USE int flo_peft_config_read(char *text, size_t bytes, struct flo_peft_config *out,
                                      struct flo_err *err);

/* A tensor as it stands in the GGUF. */
struct flo_peft_tensor {
    struct flo_gguf_tensor head; /* offset and bytes are not set */
    /* Rows go from two halves of a head to pairs: 0, or the rows of a head. */
    uint64_t head_rows;
};

/* For this base.  FLO_E_MODEL_ADAPTER: it is no matrix, the base's architecture
 * has no such tensor, or its rank is too large; FLO_E_NOT_BUILT: no F32, F16 or
 * BF16. */
FLO_MUST_USE int flo_peft_tensor_map(const struct flo_safetensor *tensor,
                                     const struct flo_gguf *base, struct flo_peft_tensor *out,
                                     struct flo_err *err);
/* A mapped tensor's bytes in the GGUF's row order; `out` holds tensor->bytes.
 */
void flo_peft_tensor_rows(const struct flo_safetensor *tensor, const struct flo_peft_tensor *mapped,
                          uint8_t *out);

#endif

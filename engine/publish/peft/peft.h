/* PEFT: adapters as trainers save them.  Their configuration is read, and their
 * matrices get the names, shapes and row order of a base's GGUF file. */
#ifndef FLOTILLA_ENGINE_PEFT_H
#define FLOTILLA_ENGINE_PEFT_H

#include "base/gguf/gguf.h"
#include "base/safetensors/safetensors.h"

#define FLO_PEFT_RANK_MAX 256

#define FLO_PEFT_TARGETS_BYTES 4096

struct flo_peft_config {
    uint32_t rank;
    float alpha; /* alpha for the GGUF file, in which alpha / rank scales the product */
    char targets[FLO_PEFT_TARGETS_BYTES]; /* list of modules as JSON; "": any */
};

/* Reads adapter_config.json; `text` is modified.  FLO_E_MODEL_ADAPTER: it is no
 * LoRA, or a number is out of range.  FLO_E_NOT_BUILT: an extension of plain
 * LoRA is used. */
FLO_MUST_USE int flo_peft_config_read(char *text, size_t bytes, struct flo_peft_config *out,
                                      struct flo_err *err);

/* Checks that target_modules names the module of a tensor, since the trainer's library
 * passes over any other.  FLO_E_MODEL_ADAPTER. */
FLO_MUST_USE int flo_peft_tensor_named(const struct flo_peft_config *config, const char *name,
                                       struct flo_err *err);

/* A tensor of an adapter, in the form that the GGUF file will have. */
struct flo_peft_tensor {
    struct flo_gguf_tensor head; /* head of the tensor, without offset and bytes */
    /* Number of rows of a head, if they are reordered from two halves to pairs;
     * 0: the order stays. */
    uint64_t head_rows;
};

/* Finds the tensor of the base model for which an adapter's tensor is made.
 * FLO_E_MODEL_ADAPTER: it is no matrix, the base's architecture has no such
 * tensor, or the rank is too large.  FLO_E_NOT_BUILT: it is not F32, F16 or
 * BF16. */
FLO_MUST_USE int flo_peft_tensor_map(const struct flo_safetensor *tensor,
                                     const struct flo_gguf *base, struct flo_peft_tensor *out,
                                     struct flo_err *err);
/* Copies the bytes of a tensor in the row order of the GGUF file.  `out` has
 * room for tensor->bytes. */
void flo_peft_tensor_rows(const struct flo_safetensor *tensor, const struct flo_peft_tensor *mapped,
                          uint8_t *out);

#endif

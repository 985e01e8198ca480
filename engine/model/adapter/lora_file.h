/* LoRA file: a GGUF file with low-rank changes of a base model's matrices.  W
 * becomes W + alpha / rank * B A.  For the tensor NAME it has NAME.lora_a
 * [rank][columns] and NAME.lora_b [rows][rank].  A tensor with the matrices of
 * several experts has both halves for each: [experts][rank][columns] and
 * [experts][rows][rank]. */
#ifndef FLOTILLA_ENGINE_LORA_FILE_H
#define FLOTILLA_ENGINE_LORA_FILE_H

#include "base/gguf/gguf.h"

#define FLO_LORA_RANK_MAX 4096

struct flo_lora {
    const struct flo_gguf *gguf;
    float alpha;
    size_t pair_count;
};

/* Reads the head of an adapter's file and compares it with the base model.
 * Kind, architecture and scale must fit.  Each A needs its B and a tensor of
 * the model, with matching shapes and types that can be decoded.
 *
 * FLO_E_MODEL_ADAPTER  the adapter does not fit the model
 * FLO_E_GGUF_TYPE      a key is of another type
 * FLO_E_NOT_BUILT      a type is not supported, or the adapter begins at
 *                      certain tokens only */
FLO_MUST_USE int flo_lora_check(const struct flo_gguf *adapter, const struct flo_gguf *base,
                                struct flo_lora *out, struct flo_err *err);
/* Finds A and B for a tensor of the base model.  Returns false if the file has
 * none. */
bool flo_lora_halves(const struct flo_lora *lora, const char *tensor,
                     const struct flo_gguf_tensor **a, const struct flo_gguf_tensor **b);

#endif

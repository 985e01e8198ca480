/* LoRA file: GGUF with low-rank changes of a base model's matrices, W + alpha /
 * rank * B A: NAME.lora_a [rank][columns] and NAME.lora_b [rows][rank] for the
 * tensor NAME. */
#ifndef FLOTILLA_ENGINE_LORA_FILE_H
#define FLOTILLA_ENGINE_LORA_FILE_H

#include "base/gguf/gguf.h"

#define FLO_LORA_RANK_MAX 4096

struct flo_lora {
    const struct flo_gguf *gguf;
    float alpha;
    size_t pair_count;
};

/* Reads the adapter's header and compares it with the base model: kind,
 * architecture and scale; each pair is complete, its tensor exists, shapes
 * match, types can be decoded.  FLO_E_MODEL_ADAPTER, FLO_E_GGUF_TYPE;
 * FLO_E_NOT_BUILT for an unsupported type, and for an adapter that begins at
 * certain tokens. */
FLO_MUST_USE int flo_lora_check(const struct flo_gguf *adapter, const struct flo_gguf *base,
                                struct flo_lora *out, struct flo_err *err);
/* Finds A and B for a tensor of the base model; false: the file has none. */
bool flo_lora_halves(const struct flo_lora *lora, const char *tensor,
                     const struct flo_gguf_tensor **a, const struct flo_gguf_tensor **b);

#endif

/* Tensors of gemma, gemma2 (what attention and feed-forward give is normed
 * too, before it is added) and gemma3 (also each head's query and key).  The
 * norm weights in the files hold the 1 that the paper adds to them. */
#include "engine/model/arch_rows.h"

/* clang-format off */
static const struct flo_tensor_spec model[] = {
    {"token_embd.weight",  MATRIX, MODEL(embedding),   EMBD, VOCAB, NEEDED},
    {"output_norm.weight", VECTOR, MODEL(output_norm), EMBD, NONE, NEEDED},
    {"output.weight",      MATRIX, MODEL(output),      EMBD, VOCAB, OPTIONAL},
};

#define COMMON                                                                 \
    {"attn_norm.weight",   VECTOR, LAYER(attn_norm), EMBD, NONE, NEEDED},      \
    {"attn_q.weight",      MATRIX, LAYER(q),         EMBD, Q,  UNLESS_FUSED},  \
    {"attn_k.weight",      MATRIX, LAYER(k),         EMBD, KV, UNLESS_FUSED},  \
    {"attn_v.weight",      MATRIX, LAYER(v),         EMBD, KV, UNLESS_FUSED},  \
    {"attn_qkv.weight",    MATRIX, LAYER(qkv),       EMBD, QKV,  OPTIONAL},    \
    {"attn_output.weight", MATRIX, LAYER(o),         Q,    EMBD, NEEDED},      \
    {"ffn_norm.weight",    VECTOR, LAYER(ffn_norm),  EMBD, NONE, NEEDED},      \
    {"ffn_gate.weight",    MATRIX, LAYER(gate),      EMBD, FF,   NEEDED},      \
    {"ffn_up.weight",      MATRIX, LAYER(up),        EMBD, FF,   NEEDED},      \
    {"ffn_down.weight",    MATRIX, LAYER(down),      FF,   EMBD, NEEDED}
#define POST_NORMS                                                             \
    {"post_attention_norm.weight", VECTOR, LAYER(attn_post_norm),              \
                                                     EMBD, NONE, NEEDED},      \
    {"post_ffw_norm.weight", VECTOR, LAYER(ffn_post_norm), EMBD, NONE, NEEDED}

static const struct flo_tensor_spec layer_1[] = {COMMON};
static const struct flo_tensor_spec layer_2[] = {COMMON, POST_NORMS};
static const struct flo_tensor_spec layer_3[] = {
    COMMON,
    POST_NORMS,
    {"attn_q_norm.weight", VECTOR, LAYER(q_norm), HEAD, NONE, NEEDED},
    {"attn_k_norm.weight", VECTOR, LAYER(k_norm), HEAD, NONE, NEEDED},
};
/* clang-format on */

TENSOR_LIST(flo_gemma_model, model);
TENSOR_LIST(flo_gemma_layer, layer_1);
TENSOR_LIST(flo_gemma2_layer, layer_2);
TENSOR_LIST(flo_gemma3_layer, layer_3);

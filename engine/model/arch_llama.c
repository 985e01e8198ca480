/* Tensors of llama (2, 3, TinyLlama, SmolLM2, Mistral). */
#include "engine/model/arch_rows.h"

/* clang-format off */
static const struct flo_tensor_spec model[] = {
    {"token_embd.weight",  MATRIX, MODEL(embedding),   EMBD, VOCAB, NEEDED},
    {"output_norm.weight", VECTOR, MODEL(output_norm), EMBD, NONE, NEEDED},
    {"output.weight",      MATRIX, MODEL(output),      EMBD, VOCAB, OPTIONAL},
    {"rope_freqs.weight",  VECTOR, MODEL(rope_factors),
                                                  HALF_ROPE, NONE, OPTIONAL},
    {"rope_factors_short.weight", VECTOR, MODEL(rope_factors_short),
                                                  HALF_ROPE, NONE, OPTIONAL},
    {"rope_factors_long.weight",  VECTOR, MODEL(rope_factors_long),
                                                  HALF_ROPE, NONE, OPTIONAL},
};

static const struct flo_tensor_spec layer[] = {
    {"attn_norm.weight",   VECTOR, LAYER(attn_norm), EMBD, NONE, NEEDED},
    {"attn_q.weight",      MATRIX, LAYER(q),         EMBD, Q,  UNLESS_FUSED},
    {"attn_k.weight",      MATRIX, LAYER(k),         EMBD, KV, UNLESS_FUSED},
    {"attn_v.weight",      MATRIX, LAYER(v),         EMBD, KV, UNLESS_FUSED},
    {"attn_qkv.weight",    MATRIX, LAYER(qkv),       EMBD, QKV,  OPTIONAL},
    {"attn_output.weight", MATRIX, LAYER(o),         Q,    EMBD, NEEDED},
    {"ffn_norm.weight",    VECTOR, LAYER(ffn_norm),  EMBD, NONE, NEEDED},
    {"ffn_gate.weight",    MATRIX, LAYER(gate),      EMBD, FF,   NEEDED},
    {"ffn_up.weight",      MATRIX, LAYER(up),        EMBD, FF,   NEEDED},
    {"ffn_down.weight",    MATRIX, LAYER(down),      FF,   EMBD, NEEDED},
    {"attn_q.bias",        VECTOR, LAYER(q_bias),    Q,    NONE, OPTIONAL},
    {"attn_k.bias",        VECTOR, LAYER(k_bias),    KV,   NONE, OPTIONAL},
    {"attn_v.bias",        VECTOR, LAYER(v_bias),    KV,   NONE, OPTIONAL},
    {"attn_qkv.bias",      VECTOR, LAYER(qkv_bias),  QKV,  NONE, OPTIONAL},
    {"attn_output.bias",   VECTOR, LAYER(o_bias),    EMBD, NONE, OPTIONAL},
    {"ffn_gate.bias",      VECTOR, LAYER(gate_bias), FF,   NONE, OPTIONAL},
    {"ffn_up.bias",        VECTOR, LAYER(up_bias),   FF,   NONE, OPTIONAL},
    {"ffn_down.bias",      VECTOR, LAYER(down_bias), EMBD, NONE, OPTIONAL},
};
/* clang-format on */

TENSOR_LIST(flo_llama_model, model);
TENSOR_LIST(flo_llama_layer, layer);

/* Tensors of qwen2 (2 and 2.5: biases on queries, keys and values) and qwen3
 * (none, but each head's query and key is normed before it is rotated). */
#include "engine/model/arch_rows.h"

/* clang-format off */
static const struct flo_tensor_spec model[] = {
    {"token_embd.weight",  MATRIX, MODEL(embedding),   EMBD, VOCAB, NEEDED},
    {"output_norm.weight", VECTOR, MODEL(output_norm), EMBD, NONE, NEEDED},
    {"output.weight",      MATRIX, MODEL(output),      EMBD, VOCAB, OPTIONAL},
    {"output.bias",        VECTOR, MODEL(output_bias), VOCAB, NONE, OPTIONAL},
};

static const struct flo_tensor_spec layer_2[] = {
    {"attn_norm.weight",   VECTOR, LAYER(attn_norm), EMBD, NONE, NEEDED},
    {"attn_q.weight",      MATRIX, LAYER(q),         EMBD, Q,  UNLESS_FUSED},
    {"attn_k.weight",      MATRIX, LAYER(k),         EMBD, KV, UNLESS_FUSED},
    {"attn_v.weight",      MATRIX, LAYER(v),         EMBD, KV, UNLESS_FUSED},
    {"attn_q.bias",        VECTOR, LAYER(q_bias),    Q,  NONE, UNLESS_FUSED},
    {"attn_k.bias",        VECTOR, LAYER(k_bias),    KV, NONE, UNLESS_FUSED},
    {"attn_v.bias",        VECTOR, LAYER(v_bias),    KV, NONE, UNLESS_FUSED},
    {"attn_qkv.weight",    MATRIX, LAYER(qkv),       EMBD, QKV,  OPTIONAL},
    {"attn_qkv.bias",      VECTOR, LAYER(qkv_bias),  QKV,  NONE, OPTIONAL},
    {"attn_output.weight", MATRIX, LAYER(o),         Q,    EMBD, NEEDED},
    {"ffn_norm.weight",    VECTOR, LAYER(ffn_norm),  EMBD, NONE, NEEDED},
    {"ffn_gate.weight",    MATRIX, LAYER(gate),      EMBD, FF,   NEEDED},
    {"ffn_up.weight",      MATRIX, LAYER(up),        EMBD, FF,   NEEDED},
    {"ffn_down.weight",    MATRIX, LAYER(down),      FF,   EMBD, NEEDED},
};

static const struct flo_tensor_spec layer_3[] = {
    {"attn_norm.weight",   VECTOR, LAYER(attn_norm), EMBD, NONE, NEEDED},
    {"attn_q.weight",      MATRIX, LAYER(q),         EMBD, Q,  UNLESS_FUSED},
    {"attn_k.weight",      MATRIX, LAYER(k),         EMBD, KV, UNLESS_FUSED},
    {"attn_v.weight",      MATRIX, LAYER(v),         EMBD, KV, UNLESS_FUSED},
    {"attn_qkv.weight",    MATRIX, LAYER(qkv),       EMBD, QKV,  OPTIONAL},
    {"attn_q_norm.weight", VECTOR, LAYER(q_norm),    HEAD, NONE, NEEDED},
    {"attn_k_norm.weight", VECTOR, LAYER(k_norm),    HEAD, NONE, NEEDED},
    {"attn_output.weight", MATRIX, LAYER(o),         Q,    EMBD, NEEDED},
    {"ffn_norm.weight",    VECTOR, LAYER(ffn_norm),  EMBD, NONE, NEEDED},
    {"ffn_gate.weight",    MATRIX, LAYER(gate),      EMBD, FF,   NEEDED},
    {"ffn_up.weight",      MATRIX, LAYER(up),        EMBD, FF,   NEEDED},
    {"ffn_down.weight",    MATRIX, LAYER(down),      FF,   EMBD, NEEDED},
};
/* clang-format on */

TENSOR_LIST(flo_qwen_model, model);
TENSOR_LIST(flo_qwen2_layer, layer_2);
TENSOR_LIST(flo_qwen3_layer, layer_3);

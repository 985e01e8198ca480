/* Tensors of phi2 (one LayerNorm per block, biases everywhere, no gate) and
 * phi3 (3, 3.5, 4 mini: gate and up in one matrix, gate first). */
#include "engine/model/arch_rows.h"

/* clang-format off */
static const struct flo_tensor_spec model_2[] = {
    {"token_embd.weight",  MATRIX, MODEL(embedding),   EMBD, VOCAB, NEEDED},
    {"output_norm.weight", VECTOR, MODEL(output_norm), EMBD, NONE, NEEDED},
    {"output_norm.bias",   VECTOR, MODEL(output_norm_bias),
                                                       EMBD, NONE, NEEDED},
    {"output.weight",      MATRIX, MODEL(output),      EMBD, VOCAB, NEEDED},
    {"output.bias",        VECTOR, MODEL(output_bias), VOCAB, NONE, NEEDED},
};

static const struct flo_tensor_spec layer_2[] = {
    {"attn_norm.weight",   VECTOR, LAYER(attn_norm), EMBD, NONE, NEEDED},
    {"attn_norm.bias",     VECTOR, LAYER(attn_norm_bias), EMBD, NONE, NEEDED},
    {"attn_qkv.weight",    MATRIX, LAYER(qkv),       EMBD, QKV,  OPTIONAL},
    {"attn_qkv.bias",      VECTOR, LAYER(qkv_bias),  QKV,  NONE, OPTIONAL},
    {"attn_q.weight",      MATRIX, LAYER(q),         EMBD, Q,  UNLESS_FUSED},
    {"attn_k.weight",      MATRIX, LAYER(k),         EMBD, KV, UNLESS_FUSED},
    {"attn_v.weight",      MATRIX, LAYER(v),         EMBD, KV, UNLESS_FUSED},
    {"attn_q.bias",        VECTOR, LAYER(q_bias),    Q,  NONE, UNLESS_FUSED},
    {"attn_k.bias",        VECTOR, LAYER(k_bias),    KV, NONE, UNLESS_FUSED},
    {"attn_v.bias",        VECTOR, LAYER(v_bias),    KV, NONE, UNLESS_FUSED},
    {"attn_output.weight", MATRIX, LAYER(o),         Q,    EMBD, NEEDED},
    {"attn_output.bias",   VECTOR, LAYER(o_bias),    EMBD, NONE, NEEDED},
    {"ffn_up.weight",      MATRIX, LAYER(up),        EMBD, FF,   NEEDED},
    {"ffn_up.bias",        VECTOR, LAYER(up_bias),   FF,   NONE, NEEDED},
    {"ffn_down.weight",    MATRIX, LAYER(down),      FF,   EMBD, NEEDED},
    {"ffn_down.bias",      VECTOR, LAYER(down_bias), EMBD, NONE, NEEDED},
};

static const struct flo_tensor_spec model_3[] = {
    {"token_embd.weight",  MATRIX, MODEL(embedding),   EMBD, VOCAB, NEEDED},
    {"output_norm.weight", VECTOR, MODEL(output_norm), EMBD, NONE, NEEDED},
    {"output.weight",      MATRIX, MODEL(output),      EMBD, VOCAB, OPTIONAL},
    {"rope_factors_short.weight", VECTOR, MODEL(rope_factors_short),
                                                  HALF_ROPE, NONE, OPTIONAL},
    {"rope_factors_long.weight",  VECTOR, MODEL(rope_factors_long),
                                                  HALF_ROPE, NONE, OPTIONAL},
};

static const struct flo_tensor_spec layer_3[] = {
    {"attn_norm.weight",   VECTOR, LAYER(attn_norm), EMBD, NONE, NEEDED},
    {"attn_qkv.weight",    MATRIX, LAYER(qkv),       EMBD, QKV,  OPTIONAL},
    {"attn_q.weight",      MATRIX, LAYER(q),         EMBD, Q,  UNLESS_FUSED},
    {"attn_k.weight",      MATRIX, LAYER(k),         EMBD, KV, UNLESS_FUSED},
    {"attn_v.weight",      MATRIX, LAYER(v),         EMBD, KV, UNLESS_FUSED},
    {"attn_output.weight", MATRIX, LAYER(o),         Q,    EMBD, NEEDED},
    {"ffn_norm.weight",    VECTOR, LAYER(ffn_norm),  EMBD, NONE, NEEDED},
    {"ffn_up.weight",      MATRIX, LAYER(gate_up),   EMBD, FF_TWICE, NEEDED},
    {"ffn_down.weight",    MATRIX, LAYER(down),      FF,   EMBD, NEEDED},
};
/* clang-format on */

TENSOR_LIST(flo_phi2_model, model_2);
TENSOR_LIST(flo_phi2_layer, layer_2);
TENSOR_LIST(flo_phi3_model, model_3);
TENSOR_LIST(flo_phi3_layer, layer_3);

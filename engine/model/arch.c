/* Architectures: which tensors each has.  A new one is a table here and, if
 * it computes otherwise, its own pass beside forward.c. */
#include <stddef.h>

#include "engine/model/weights.h"

#define MODEL(member) offsetof(struct flo_weights, member)
#define LAYER(member) offsetof(struct flo_layer, member)

#define MATRIX FLO_TENSOR_MATRIX
#define VECTOR FLO_TENSOR_VECTOR
#define EMBD FLO_DIM_EMBD
#define Q FLO_DIM_Q
#define KV FLO_DIM_KV
#define FF FLO_DIM_FF
#define VOCAB FLO_DIM_VOCAB
#define NONE FLO_DIM_NONE

/* clang-format off */
static const struct flo_tensor_spec llama_model[] = {
    {"token_embd.weight",  MATRIX, MODEL(embedding),    EMBD, VOCAB, false},
    {"output_norm.weight", VECTOR, MODEL(output_norm),  EMBD, NONE,  false},
    {"output.weight",      MATRIX, MODEL(output),       EMBD, VOCAB, true},
    {"rope_freqs.weight",  VECTOR, MODEL(rope_factors), FLO_DIM_HALF_ROPE,
                                                              NONE,  true},
};

static const struct flo_tensor_spec llama_layer[] = {
    {"attn_norm.weight",   VECTOR, LAYER(attn_norm), EMBD, NONE, false},
    {"attn_q.weight",      MATRIX, LAYER(q),         EMBD, Q,    false},
    {"attn_k.weight",      MATRIX, LAYER(k),         EMBD, KV,   false},
    {"attn_v.weight",      MATRIX, LAYER(v),         EMBD, KV,   false},
    {"attn_output.weight", MATRIX, LAYER(o),         Q,    EMBD, false},
    {"ffn_norm.weight",    VECTOR, LAYER(ffn_norm),  EMBD, NONE, false},
    {"ffn_gate.weight",    MATRIX, LAYER(gate),      EMBD, FF,   false},
    {"ffn_up.weight",      MATRIX, LAYER(up),        EMBD, FF,   false},
    {"ffn_down.weight",    MATRIX, LAYER(down),      FF,   EMBD, false},
    {"attn_q.bias",        VECTOR, LAYER(q_bias),    Q,    NONE, true},
    {"attn_k.bias",        VECTOR, LAYER(k_bias),    KV,   NONE, true},
    {"attn_v.bias",        VECTOR, LAYER(v_bias),    KV,   NONE, true},
    {"attn_output.bias",   VECTOR, LAYER(o_bias),    EMBD, NONE, true},
    {"ffn_gate.bias",      VECTOR, LAYER(gate_bias), FF,   NONE, true},
    {"ffn_up.bias",        VECTOR, LAYER(up_bias),   FF,   NONE, true},
    {"ffn_down.bias",      VECTOR, LAYER(down_bias), EMBD, NONE, true},
};
/* clang-format on */

static const struct flo_arch archs[] = {
    {"llama", llama_model, FLO_COUNT(llama_model), llama_layer,
     FLO_COUNT(llama_layer)},
};

const struct flo_arch *flo_arch_find(struct flo_gguf_text name)
{
    for (size_t i = 0; i < FLO_COUNT(archs); i++) {
        if (flo_gguf_text_is(name, archs[i].name)) {
            return &archs[i];
        }
    }
    return NULL;
}

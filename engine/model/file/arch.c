/* Arch: tables that say how each architecture computes, and which tensors it
 * has. */
#include "engine/model/file/arch.h"

#include <flotilla/errors/model.h>

#include "engine/model/file/weights.h"

static const char *const names[] = {
#define FLO_ARCHITECTURE(name, id) id,
#include "base/architectures.def"
#undef FLO_ARCHITECTURE
};

/* clang-format off */
static const struct flo_arch archs[FLO_ARCHS] = {
    [FLO_ARCH_LLAMA] = {
        .rotation = FLO_ROTATE_PAIRS,
    },
    [FLO_ARCH_QWEN2] = {
        .rotation = FLO_ROTATE_HALVES,
    },
    [FLO_ARCH_QWEN3] = {
        .rotation = FLO_ROTATE_HALVES,
    },
    [FLO_ARCH_GEMMA] = {
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
    },
    [FLO_ARCH_GEMMA2] = {
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
        .window_period = 2,
        .window = 4096,
        .attention_cap = 50,
        .has_output_cap = true,
        .output_cap = 30,
        .wide_scale_layers = 46,
    },
    [FLO_ARCH_GEMMA3] = {
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
        .window_period = 6,
        .local_rope_base = 10000,
        .is_local_rope_plain = true,
        .has_output_cap = true,
        .wide_scale_layers = 62,
    },
    [FLO_ARCH_PHI2] = {
        .norm = FLO_NORM_LAYER,
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .is_parallel = true,
    },
    [FLO_ARCH_PHI3] = {
        .rotation = FLO_ROTATE_HALVES,
    },
};
/* clang-format on */

/* Tensors of the families.  A row begins with one letter (enum flo_need) per
 * family.  Norm weights of gemma already include the 1 that the paper adds to
 * them.  gemma2 and gemma3 also normalise the results of attention and
 * feed-forward before they are added.  phi3 has gate and up in one matrix, gate
 * first. */
#define ROW(need, type, name, member, columns, rows)                                               \
    {                                                                                              \
        need, name, offsetof(struct type, member), FLO_DIM_##columns, FLO_DIM_##rows               \
    }
#define MODEL(need, name, member, columns, rows) ROW(need, flo_weights, name, member, columns, rows)
#define LAYER(need, name, member, columns, rows) ROW(need, flo_layer, name, member, columns, rows)

/* clang-format off */
static const struct flo_tensor_spec model[] = {
    /* Families of the letters in each row, in this order:
     *     llama
     *     |qwen2
     *     ||qwen3
     *     |||gemma
     *     ||||gemma2
     *     |||||gemma3
     *     ||||||phi2
     *     |||||||phi3 */
    MODEL("nnnnnnnn", "token_embd.weight",   embedding,        EMBD,  VOCAB),
    MODEL("nnnnnnnn", "output_norm.weight",  output_norm,      EMBD,  NONE),
    MODEL("......n.", "output_norm.bias",    output_norm_bias, EMBD,  NONE),
    MODEL("oooooono", "output.weight",       output,           EMBD,  VOCAB),
    MODEL(".oo...n.", "output.bias",         output.bias,      VOCAB, NONE),
    MODEL("o.......", "rope_freqs.weight",   rope_factors,     HALF_ROPE, NONE),
    MODEL("o......o", "rope_factors_short.weight", rope_short, HALF_ROPE, NONE),
    MODEL("o......o", "rope_factors_long.weight", rope_long, HALF_ROPE, NONE),
    MODEL("oooooooo", "cls.output.weight",   head,             EMBD,  LABELS),
    MODEL("oooooooo", "cls.output.bias",     head.bias,        LABELS, NONE),
};

static const struct flo_tensor_spec layer[] = {
    LAYER("nnnnnnnn", "attn_norm.weight",    attn_norm,      EMBD,  NONE),
    LAYER("......n.", "attn_norm.bias",      attn_norm_bias, EMBD,  NONE),
    LAYER("oooooooo", "attn_qkv.weight",     qkv,            EMBD,  QKV),
    LAYER("ow....w.", "attn_qkv.bias",       qkv.bias,       QKV,   NONE),
    LAYER("ffffffff", "attn_q.weight",       q,              EMBD,  Q),
    LAYER("ffffffff", "attn_k.weight",       k,              EMBD,  KV),
    LAYER("ffffffff", "attn_v.weight",       v,              EMBD,  KV),
    LAYER("of....f.", "attn_q.bias",         q.bias,         Q,     NONE),
    LAYER("of....f.", "attn_k.bias",         k.bias,         KV,    NONE),
    LAYER("of....f.", "attn_v.bias",         v.bias,         KV,    NONE),
    LAYER("..n..n..", "attn_q_norm.weight",  q_norm,         HEAD,  NONE),
    LAYER("..n..n..", "attn_k_norm.weight",  k_norm,         HEAD,  NONE),
    LAYER("nnnnnnnn", "attn_output.weight",  o,              Q,     EMBD),
    LAYER("o.....n.", "attn_output.bias",    o.bias,         EMBD,  NONE),
    LAYER("....nn..", "post_attention_norm.weight", attn_post_norm, EMBD, NONE),
    LAYER("nnnnnn.n", "ffn_norm.weight",     ffn_norm,       EMBD,  NONE),
    LAYER("nnnnnn..", "ffn_gate.weight",     gate,           EMBD,  FF),
    LAYER("o.......", "ffn_gate.bias",       gate.bias,      FF,    NONE),
    LAYER("nnnnnnn.", "ffn_up.weight",       up,             EMBD,  FF),
    LAYER(".......n", "ffn_up.weight",       gate_up,        EMBD,  FF_TWICE),
    LAYER("o.....n.", "ffn_up.bias",         up.bias,        FF,    NONE),
    LAYER("nnnnnnnn", "ffn_down.weight",     down,           FF,    EMBD),
    LAYER("o.....n.", "ffn_down.bias",       down.bias,      EMBD,  NONE),
    LAYER("....nn..", "post_ffw_norm.weight", ffn_post_norm, EMBD, NONE),
};
/* clang-format on */

const struct flo_tensor_list flo_model_tensors = {model, FLO_COUNT(model)};
const struct flo_tensor_list flo_layer_tensors = {layer, FLO_COUNT(layer)};

/* Returns the architecture of this name, or NULL if it is unknown. */
static const struct flo_arch *find(struct flo_gguf_text name)
{
    for (size_t i = 0; i < FLO_COUNT(archs); i++) {
        if (flo_gguf_text_is(name, names[i])) {
            return &archs[i];
        }
    }
    return NULL;
}

int flo_arch_read(const struct flo_gguf *gguf, const struct flo_arch **arch, struct flo_err *err)
{
    struct flo_gguf_text name = {0};

    FLO_TRY(flo_gguf_require(gguf, "general.architecture", err));
    FLO_TRY(flo_gguf_string(gguf, "general.architecture", &name, err));
    *arch = find(name);
    return *arch != NULL ? 0
                         : flo_fail(err, FLO_E_MODEL_ARCH, "architecture \"%.*s\" is not known",
                                    (int)(name.bytes < 32 ? name.bytes : 32), name.data);
}

const char *flo_arch_name(const struct flo_arch *arch)
{
    return names[arch - archs];
}

enum flo_need flo_arch_need(const struct flo_arch *arch, const struct flo_tensor_spec *spec)
{
    return (enum flo_need)spec->need[arch - archs];
}

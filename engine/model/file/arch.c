/* Arch: tables that say how each architecture computes, and which tensors it
 * has. */
#include "engine/model/file/arch.h"

#include <flotilla/errors/model.h>

#include "engine/model/file/weights.h"

static const char *const names[] = {
#define FLO_ARCHITECTURE(name, id, ...) id,
#include "base/architectures.def"
};

/* Sets of tensors that a family has if its row does not say otherwise. */
#define NEEDED_BY_ALL                                                                              \
    (FLO_SET(ALWAYS) | FLO_SET(OUTPUT_NORM) | FLO_SET(ATTN_NORM) | FLO_SET(ATTENTION) |            \
     FLO_SET(FFN_NORM) | FLO_SET(GATE) | FLO_SET(UP) | FLO_SET(DOWN) | FLO_SET(CONV) |             \
     FLO_SET(STATE) | FLO_SET(DELTA) | FLO_SET(EXPERTS))
#define POSSIBLE_IN_ALL (FLO_SET(OUTPUT) | FLO_SET(HEAD))
/* Families that normalise results, not inputs. */
#define POST_NORMS_ALONE                                                                           \
    .needs = FLO_SET(POST_NORM) | FLO_SET(QK_NORM), .lacks = FLO_SET(ATTN_NORM) | FLO_SET(FFN_NORM)
#define EXPERTS_GATED FLO_SET(EXPERT_UP) | FLO_SET(EXPERT_GATE)

/* clang-format off */
static const struct flo_arch archs[FLO_ARCHS] = {
    [FLO_ARCH_LLAMA] = {
        .may = FLO_SET(QKV_BIAS) | FLO_SET(O_BIAS) | FLO_SET(GATE_BIAS) | FLO_SET(FFN_BIAS) |
               FLO_SET(ROPE_FREQS) | FLO_SET(ROPE_FACTORS),
        .rotation = FLO_ROTATE_PAIRS,
    },
    [FLO_ARCH_QWEN2] = {
        .needs = FLO_SET(QKV_BIAS),
        .may = FLO_SET(OUTPUT_BIAS) | FLO_SET(ROPE_FREQS),
        .rotation = FLO_ROTATE_HALVES,
    },
    [FLO_ARCH_QWEN3] = {
        .needs = FLO_SET(QK_NORM),
        .may = FLO_SET(OUTPUT_BIAS) | FLO_SET(ROPE_FREQS),
        .rotation = FLO_ROTATE_HALVES,
    },
    [FLO_ARCH_QWEN3MOE] = {
        .needs = FLO_SET(QK_NORM) | EXPERTS_GATED,
        .rotation = FLO_ROTATE_HALVES,
        .has_experts = true,
        .normalises_experts = true,
    },
    [FLO_ARCH_GEMMA] = {
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
    },
    [FLO_ARCH_GEMMA2] = {
        .needs = FLO_SET(POST_NORM),
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
        .needs = FLO_SET(POST_NORM) | FLO_SET(QK_NORM),
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
        .needs = FLO_SET(NORM_BIAS) | FLO_SET(OUTPUT_NORM_BIAS) | FLO_SET(OUTPUT) |
                 FLO_SET(OUTPUT_BIAS) | FLO_SET(QKV_BIAS) | FLO_SET(O_BIAS) | FLO_SET(FFN_BIAS),
        .lacks = FLO_SET(FFN_NORM) | FLO_SET(GATE),
        .norm = FLO_NORM_LAYER,
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .is_parallel = true,
    },
    [FLO_ARCH_PHI3] = {
        .needs = FLO_SET(GATE_UP),
        .may = FLO_SET(ROPE_FACTORS),
        .lacks = FLO_SET(GATE) | FLO_SET(UP),
        .rotation = FLO_ROTATE_HALVES,
    },
    [FLO_ARCH_SMOLLM3] = {
        .may = FLO_SET(ROPE_FREQS),
        .rotation = FLO_ROTATE_PAIRS,
        .unrotated_period = 4,
    },
    [FLO_ARCH_MISTRAL3] = {
        .rotation = FLO_ROTATE_PAIRS,
        .scales_by_position = true,
    },
    [FLO_ARCH_ERNIE4_5] = {
        .rotation = FLO_ROTATE_PAIRS,
    },
    [FLO_ARCH_HUNYUAN_DENSE] = {
        .needs = FLO_SET(QK_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .qk_norm = FLO_QK_NORM_AFTER,
    },
    [FLO_ARCH_OLMO2] = {
        POST_NORMS_ALONE,
        .rotation = FLO_ROTATE_HALVES,
        .qk_norm = FLO_QK_NORM_ROW,
        .window_period = 4,
        .is_local_rope_plain = true,
    },
    [FLO_ARCH_EXAONE4] = {
        POST_NORMS_ALONE,
        .may = FLO_SET(ROPE_FREQS),
        .rotation = FLO_ROTATE_HALVES,
        .window_period = 4,
        .is_global_unrotated = true,
    },
    [FLO_ARCH_GRANITE] = {
        .may = FLO_SET(ROPE_FREQS),
        .rotation = FLO_ROTATE_PAIRS,
    },
    [FLO_ARCH_MINICPM] = {
        .may = FLO_SET(ROPE_FACTORS),
        .rotation = FLO_ROTATE_PAIRS,
        .needs_factors = true,
    },
    [FLO_ARCH_GRANITE_SWA] = {
        .needs = FLO_SET(SINKS),
        .rotation = FLO_ROTATE_PAIRS,
        .window_period = 4,
        .is_global_unrotated = true,
    },
    [FLO_ARCH_GRANITE_HYBRID] = {
        .needs = FLO_SET(STATE_NORM) | EXPERTS_GATED | FLO_SET(SHARED) | FLO_SET(SHARED_GATE),
        .rotation = FLO_ROTATE_PAIRS,
        .pattern = FLO_PATTERN_HEADS,
        .recurrent = FLO_MIX_STATE,
        .is_unrotated = true,
        .has_experts = true,
        .router = FLO_ROUTE_TOP_SOFTMAX,
    },
    [FLO_ARCH_MELLUM] = {
        .needs = FLO_SET(QK_NORM) | EXPERTS_GATED,
        .rotation = FLO_ROTATE_HALVES,
        .window_period = 4,
        .has_experts = true,
        .normalises_experts = true,
    },
    [FLO_ARCH_LFM2] = {
        .needs = FLO_SET(QK_NORM) | FLO_SET(OUTPUT_NORM_NAMED),
        .lacks = FLO_SET(OUTPUT_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .pattern = FLO_PATTERN_HEADS,
        .recurrent = FLO_MIX_CONV,
    },
    [FLO_ARCH_LFM2MOE] = {
        .needs = FLO_SET(QK_NORM) | FLO_SET(OUTPUT_NORM_NAMED) | FLO_SET(EXPERT_CHOICE) |
                 EXPERTS_GATED,
        .lacks = FLO_SET(OUTPUT_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .pattern = FLO_PATTERN_HEADS,
        .recurrent = FLO_MIX_CONV,
        .has_experts = true,
        .normalises_experts = true,
        .router = FLO_ROUTE_SIGMOID,
    },
    [FLO_ARCH_LFM3] = {
        .needs = FLO_SET(QK_NORM) | FLO_SET(OUTPUT_NORM_NAMED) | FLO_SET(POST_NORM) |
                 FLO_SET(HEAD_GATE),
        .may = FLO_SET(ROPE_FREQS),
        .lacks = FLO_SET(OUTPUT_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .pattern = FLO_PATTERN_HEADS,
        .recurrent = FLO_MIX_CONV,
        .window_period = 4,
        .is_local_rope_plain = true,
    },
    [FLO_ARCH_QWEN35] = {
        .needs = FLO_SET(QK_NORM) | FLO_SET(STATE_NORM) | FLO_SET(FFN_NORM_NAMED),
        .lacks = FLO_SET(FFN_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .pattern = FLO_PATTERN_INTERVAL,
        .recurrent = FLO_MIX_DELTA,
        .tiles_key_heads = true,
        .gates_queries = true,
    },
    [FLO_ARCH_QWEN3NEXT] = {
        .needs = FLO_SET(QK_NORM) | FLO_SET(STATE_NORM) | FLO_SET(FFN_NORM_NAMED) |
                 EXPERTS_GATED | FLO_SET(SHARED) | FLO_SET(SHARED_GATE) | FLO_SET(SHARED_SWITCH),
        .lacks = FLO_SET(FFN_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .pattern = FLO_PATTERN_INTERVAL,
        .recurrent = FLO_MIX_DELTA,
        .gates_queries = true,
        .has_experts = true,
        .normalises_experts = true,
    },
    [FLO_ARCH_FALCON_H1] = {
        .needs = FLO_SET(FFN_NORM_PLAIN),
        .may = FLO_SET(STATE_NORM),
        .lacks = FLO_SET(FFN_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .pattern = FLO_PATTERN_BESIDE,
        .recurrent = FLO_MIX_BESIDE,
    },
    [FLO_ARCH_NEMOTRON_H] = {
        .needs = FLO_SET(STATE_NORM),
        .lacks = FLO_SET(FFN_NORM) | FLO_SET(GATE),
        .activation = FLO_RELU2,
        .pattern = FLO_PATTERN_SINGLE,
        .recurrent = FLO_MIX_STATE,
        .is_unrotated = true,
    },
    [FLO_ARCH_NEMOTRON_H_MOE] = {
        .needs = FLO_SET(STATE_NORM) | FLO_SET(EXPERT_UP) | FLO_SET(EXPERT_CHOICE) |
                 FLO_SET(SHARED),
        .lacks = FLO_SET(FFN_NORM) | FLO_SET(GATE),
        .activation = FLO_RELU2,
        .pattern = FLO_PATTERN_SINGLE,
        .recurrent = FLO_MIX_STATE,
        .is_unrotated = true,
        .has_experts = true,
        .normalises_experts = true,
        .router = FLO_ROUTE_SIGMOID,
    },
    [FLO_ARCH_GEMMA3N] = {
        .needs = FLO_SET(POST_NORM) | FLO_SET(QK_NORM) | FLO_SET(PER_LAYER) | FLO_SET(STREAMS),
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
        .has_streams = true,
        .normalises_values = true,
        .has_layer_widths = true,
        .has_plain_scale = true,
        .window_period = 5,
        .local_rope_base = 10000,
        .is_local_rope_plain = true,
        .has_output_cap = true,
        .output_cap = 30,
    },
    [FLO_ARCH_GEMMA4] = {
        .needs = FLO_SET(POST_NORM) | FLO_SET(QK_NORM) | FLO_SET(PER_LAYER) |
                 FLO_SET(EXPERT_GATE_UP) | FLO_SET(EXPERT_NORMS),
        .may = FLO_SET(ROPE_FREQS) | FLO_SET(LAYER_SCALE),
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
        .has_experts = true,
        .has_dense_beside = true,
        .normalises_experts = true,
        .normalises_values = true,
        .may_lack_values = true,
        .has_layer_widths = true,
        .has_plain_scale = true,
        .window_period = 6,
        .is_local_rope_plain = true,
        .has_output_cap = true,
    },
    [FLO_ARCH_BERT] = {
        .needs = FLO_SET(EMBED_NORM) | FLO_SET(EMBED_NORM_BIAS) | FLO_SET(POSITIONS) |
                 FLO_SET(QKV_BIAS) | FLO_SET(O_BIAS) | FLO_SET(FFN_BIAS) | FLO_SET(OUT_NORM),
        .may = FLO_SET(POOLER),
        .lacks = FLO_SET(OUTPUT_NORM) | FLO_SET(ATTN_NORM) | FLO_SET(FFN_NORM) | FLO_SET(GATE),
        .norm = FLO_NORM_LAYER,
        .activation = FLO_GELU_ERF,
        .is_encoder = true,
        .is_unrotated = true,
    },
    [FLO_ARCH_MODERN_BERT] = {
        .needs = FLO_SET(EMBED_NORM) | FLO_SET(GATE_UP),
        .may = FLO_SET(POOLER) | FLO_SET(ATTN_NORM),
        .lacks = FLO_SET(ATTN_NORM) | FLO_SET(GATE) | FLO_SET(UP),
        .norm = FLO_NORM_LAYER,
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU_ERF,
        .is_encoder = true,
        .window_period = 3,
        .is_window_first = true,
        .local_rope_base = 10000,
    },
    [FLO_ARCH_GEMMA_EMBEDDING] = {
        .needs = FLO_SET(POST_NORM) | FLO_SET(QK_NORM),
        .may = FLO_SET(DENSE),
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .is_encoder = true,
        .scales_embedding = true,
        .window_period = 6,
        .local_rope_base = 10000,
        .is_local_rope_plain = true,
    },
    [FLO_ARCH_GPT_OSS] = {
        .needs = FLO_SET(QKV_BIAS) | FLO_SET(O_BIAS) | FLO_SET(SINKS) | FLO_SET(FFN_NORM_NAMED) |
                 EXPERTS_GATED | FLO_SET(EXPERT_BIAS),
        .lacks = FLO_SET(FFN_NORM),
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_SWIGLU_CLAMPED,
        .window_period = 2,
        .has_experts = true,
        .router = FLO_ROUTE_TOP_SOFTMAX,
    },
};

/* ---- tensors ---- */

/* Tensors of the families.  Norm weights of gemma already include the 1 that
 * the paper adds to them.  phi3 has gate and up in one matrix, gate first. */
#define ROW(type, set, need, is_values, name, member, ...)                                         \
    {                                                                                              \
        FLO_SET_##set, FLO_##need, is_values, name, offsetof(struct type, member), { __VA_ARGS__ } \
    }
#define D(name) FLO_DIM_##name
#define MATRIX(set, need, name, member, columns, rows)                                             \
    ROW(TYPE, set, need, false, name, member, D(columns), D(rows))
#define VALUES(set, need, name, member, ...)                                                       \
    ROW(TYPE, set, need, true, name, member, __VA_ARGS__)
#define VECTOR(set, need, name, member, count) VALUES(set, need, name, member, D(count))
#define EXPERTS(set, name, member, columns, rows)                                                  \
    ROW(TYPE, set, NEEDED, false, name, member, D(columns), D(rows), D(EXPERTS))

#define TYPE flo_weights
static const struct flo_tensor_spec model[] = {
    MATRIX(ALWAYS,            NEEDED, "token_embd.weight",         embedding,        EMBD, VOCAB),
    VECTOR(OUTPUT_NORM,       NEEDED, "output_norm.weight",        output_norm,      EMBD),
    VECTOR(OUTPUT_NORM_NAMED, NEEDED, "token_embd_norm.weight",    output_norm,      EMBD),
    VECTOR(OUTPUT_NORM_BIAS,  NEEDED, "output_norm.bias",          output_norm_bias, EMBD),
    MATRIX(OUTPUT,            NEEDED, "output.weight",             output,           EMBD, VOCAB),
    VECTOR(OUTPUT_BIAS,       NEEDED, "output.bias",               output.bias,      VOCAB),
    VECTOR(ROPE_FREQS,        NEEDED, "rope_freqs.weight",         rope_factors,     HALF_ROPE),
    VECTOR(ROPE_FACTORS,      NEEDED, "rope_factors_short.weight", rope_short,       HALF_ROPE),
    VECTOR(ROPE_FACTORS,      NEEDED, "rope_factors_long.weight",  rope_long,        HALF_ROPE),
    MATRIX(PER_LAYER,         NEEDED, "per_layer_token_embd.weight", per_layer, PER_LAYER_ALL, VOCAB),
    MATRIX(PER_LAYER,         NEEDED, "per_layer_model_proj.weight", per_layer_proj, EMBD, PER_LAYER_ALL),
    VECTOR(PER_LAYER,         NEEDED, "per_layer_proj_norm.weight", per_layer_norm, PER_LAYER),
    ROW(TYPE, STREAMS, NEEDED, false, "altup_proj.weight", spread, D(EMBD), D(EMBD), D(STREAMS_OTHER)),
    ROW(TYPE, STREAMS, NEEDED, false, "altup_unembd_proj.weight", merge, D(EMBD), D(EMBD), D(STREAMS_OTHER)),
    VECTOR(EMBED_NORM,        NEEDED, "token_embd_norm.weight",    embedding_norm,   EMBD),
    VECTOR(EMBED_NORM_BIAS,   NEEDED, "token_embd_norm.bias",      embedding_norm_bias, EMBD),
    VALUES(POSITIONS,         NEEDED, "position_embd.weight",      positions,        D(EMBD), D(CONTEXT)),
    VALUES(POSITIONS,         NEEDED, "token_types.weight",        types,            D(EMBD), D(TYPES)),
    MATRIX(DENSE,             NEEDED, "dense_2.weight",            dense_wide,       EMBD, DENSE),
    MATRIX(DENSE,             NEEDED, "dense_3.weight",            dense_narrow,     DENSE, EMBD),
    MATRIX(POOLER,            NEEDED, "cls.weight",                pooler,           EMBD, EMBD),
    VECTOR(POOLER,          OPTIONAL, "cls.bias",                  pooler.bias,      EMBD),
    VECTOR(POOLER,          OPTIONAL, "cls.norm.weight",           pooler_norm,      EMBD),
    MATRIX(HEAD,              NEEDED, "cls.output.weight",         head,             EMBD, LABELS),
    VECTOR(HEAD,            OPTIONAL, "cls.output.bias",           head.bias,        LABELS),
};
#undef TYPE

#define TYPE flo_layer
static const struct flo_tensor_spec layer[] = {
    VECTOR(ATTN_NORM,     NEEDED,       "attn_norm.weight",   attn_norm,      EMBD),
    VECTOR(NORM_BIAS,     NEEDED,       "attn_norm.bias",     attn_norm_bias, EMBD),
    MATRIX(ATTENTION,     OPTIONAL,     "attn_qkv.weight",    qkv,            EMBD, QKV),
    VECTOR(QKV_BIAS,      WITH_FUSED,   "attn_qkv.bias",      qkv.bias,       QKV),
    MATRIX(ATTENTION,     UNLESS_FUSED, "attn_q.weight",      q,              EMBD, QUERY),
    MATRIX(ATTENTION,     UNLESS_FUSED, "attn_k.weight",      k,              EMBD, KV),
    MATRIX(ATTENTION,     UNLESS_FUSED, "attn_v.weight",      v,              EMBD, KV),
    VECTOR(QKV_BIAS,      UNLESS_FUSED, "attn_q.bias",        q.bias,         QUERY),
    VECTOR(QKV_BIAS,      UNLESS_FUSED, "attn_k.bias",        k.bias,         KV),
    VECTOR(QKV_BIAS,      UNLESS_FUSED, "attn_v.bias",        v.bias,         KV),
    VECTOR(QK_NORM,       NEEDED,       "attn_q_norm.weight", q_norm,         Q_NORM),
    VECTOR(QK_NORM,       NEEDED,       "attn_k_norm.weight", k_norm,         K_NORM),
    VECTOR(SINKS,         NEEDED,       "attn_sinks.weight",  sinks,          HEADS),
    MATRIX(ATTENTION,     NEEDED,       "attn_output.weight", o,              Q, EMBD),
    MATRIX(HEAD_GATE,     NEEDED,       "attn_gate.weight",   head_gate,      EMBD, HEADS),
    VECTOR(O_BIAS,        NEEDED,       "attn_output.bias",   o.bias,         EMBD),
    VECTOR(POST_NORM,     NEEDED,       "post_attention_norm.weight", attn_post_norm, EMBD),
    VECTOR(FFN_NORM,      NEEDED,       "ffn_norm.weight",    ffn_norm,       EMBD),
    VECTOR(FFN_NORM_NAMED, NEEDED,      "post_attention_norm.weight", ffn_norm, EMBD),
    VECTOR(FFN_NORM_PLAIN, NEEDED,      "ffn_norm",           ffn_norm,       EMBD),
    MATRIX(GATE,          NEEDED,       "ffn_gate.weight",    gate,           EMBD, FF),
    VECTOR(GATE_BIAS,     NEEDED,       "ffn_gate.bias",      gate.bias,      FF),
    MATRIX(UP,            NEEDED,       "ffn_up.weight",      up,             EMBD, FF),
    MATRIX(GATE_UP,       NEEDED,       "ffn_up.weight",      gate_up,        EMBD, FF_TWICE),
    VECTOR(FFN_BIAS,      NEEDED,       "ffn_up.bias",        up.bias,        FF),
    MATRIX(DOWN,          NEEDED,       "ffn_down.weight",    down,           FF, EMBD),
    VECTOR(FFN_BIAS,      NEEDED,       "ffn_down.bias",      down.bias,      EMBD),
    VECTOR(POST_NORM,     NEEDED,       "post_ffw_norm.weight", ffn_post_norm, EMBD),
    VECTOR(STREAMS,       NEEDED,       "altup_router_norm.weight", stream_norm, EMBD),
    MATRIX(STREAMS,       NEEDED,       "altup_router.weight", stream_router, EMBD, STREAMS),
    VALUES(STREAMS,       NEEDED,       "altup_predict_coef.weight", predict, D(STREAMS), D(STREAMS_SQUARE)),
    VALUES(STREAMS,       NEEDED,       "altup_correct_coef.weight", correct, D(STREAMS), D(STREAMS)),
    VECTOR(STREAMS,       NEEDED,       "altup_correct_scale.weight", correct_scale, EMBD),
    MATRIX(STREAMS,       NEEDED,       "laurel_l.weight",    low_in,         EMBD, LOW),
    MATRIX(STREAMS,       NEEDED,       "laurel_r.weight",    low_out,        LOW, EMBD),
    VECTOR(STREAMS,       NEEDED,       "laurel_post_norm.weight", low_norm,  EMBD),
    VECTOR(OUT_NORM,      NEEDED,       "attn_output_norm.weight", attn_out_norm, EMBD),
    VECTOR(OUT_NORM,      NEEDED,       "attn_output_norm.bias", attn_out_norm_bias, EMBD),
    VECTOR(OUT_NORM,      NEEDED,       "layer_output_norm.weight", out_norm, EMBD),
    VECTOR(OUT_NORM,      NEEDED,       "layer_output_norm.bias", out_norm_bias, EMBD),
    MATRIX(CONV,          NEEDED,       "shortconv.in_proj.weight", in,       EMBD, EMBD_THRICE),
    VALUES(CONV,          NEEDED,       "shortconv.conv.weight", conv,        D(TAPS), D(EMBD)),
    MATRIX(CONV,          NEEDED,       "shortconv.out_proj.weight", out,     EMBD, EMBD),
    MATRIX(STATE,         NEEDED,       "ssm_in.weight",      in,             EMBD, STATE_IN),
    VALUES(STATE,         NEEDED,       "ssm_conv1d.weight",  conv,           D(TAPS), D(MIXED)),
    VECTOR(STATE,         NEEDED,       "ssm_conv1d.bias",    conv_bias,      MIXED),
    VALUES(STATE,         NEEDED,       "ssm_a",              decay,          D(ONE), D(STATE_HEADS)),
    VALUES(STATE,         NEEDED,       "ssm_d",              skip,           D(ONE), D(STATE_HEADS)),
    VECTOR(STATE,         NEEDED,       "ssm_dt.bias",        step_bias,      STATE_HEADS),
    VALUES(STATE_NORM,    NEEDED,       "ssm_norm.weight",    state_norm,     D(GROUP), D(GROUPS)),
    MATRIX(STATE,         NEEDED,       "ssm_out.weight",     out,            INNER, EMBD),
    MATRIX(DELTA,         NEEDED,       "attn_qkv.weight",    in,             EMBD, MIXED),
    MATRIX(DELTA,         NEEDED,       "attn_gate.weight",   in_gate,        EMBD, INNER),
    MATRIX(DELTA,         OPTIONAL,     "ssm_alpha.weight",   alpha,          EMBD, STATE_HEADS),
    MATRIX(DELTA,         OPTIONAL,     "ssm_beta.weight",    beta,           EMBD, STATE_HEADS),
    MATRIX(DELTA,         OPTIONAL,     "ssm_ba.weight",      beta_alpha,     EMBD, STATE_HEADS_TWICE),
    VALUES(DELTA,         NEEDED,       "ssm_conv1d.weight",  conv,           D(TAPS), D(MIXED)),
    VECTOR(DELTA,         NEEDED,       "ssm_a",              decay,          STATE_HEADS),
    VECTOR(DELTA,         NEEDED,       "ssm_dt.bias",        step_bias,      STATE_HEADS),
    VECTOR(DELTA,         NEEDED,       "ssm_norm.weight",    state_norm,     STATE),
    MATRIX(DELTA,         NEEDED,       "ssm_out.weight",     out,            INNER, EMBD),
    MATRIX(EXPERTS,       NEEDED,       "ffn_gate_inp.weight", router,        EMBD, EXPERTS),
    VECTOR(EXPERT_BIAS,   NEEDED,       "ffn_gate_inp.bias",  router.bias,    EXPERTS),
    VECTOR(EXPERT_CHOICE, NEEDED,       "exp_probs_b.bias",   choice_bias,    EXPERTS),
    EXPERTS(EXPERT_GATE,                "ffn_gate_exps.weight", expert_gate,  EMBD, EXPERT_FF),
    EXPERTS(EXPERT_UP,                  "ffn_up_exps.weight", expert_up,      EMBD, EXPERT_FF),
    EXPERTS(EXPERT_GATE_UP,             "ffn_gate_up_exps.weight", expert_gate_up, EMBD, EXPERT_FF_TWICE),
    VECTOR(EXPERT_NORMS,  NEEDED,       "ffn_gate_inp.scale", router_norm,    EMBD),
    VECTOR(EXPERT_NORMS,  NEEDED,       "ffn_down_exps.scale", expert_scale,  EXPERTS),
    VECTOR(EXPERT_NORMS,  NEEDED,       "pre_ffw_norm_2.weight", expert_norm, EMBD),
    VECTOR(EXPERT_NORMS,  NEEDED,       "post_ffw_norm_1.weight", dense_post_norm, EMBD),
    VECTOR(EXPERT_NORMS,  NEEDED,       "post_ffw_norm_2.weight", expert_post_norm, EMBD),
    MATRIX(PER_LAYER,     NEEDED,       "inp_gate.weight",    own_gate,       EMBD, PER_LAYER),
    MATRIX(PER_LAYER,     NEEDED,       "proj.weight",        own_proj,       PER_LAYER, EMBD),
    VECTOR(PER_LAYER,     NEEDED,       "post_norm.weight",   own_norm,       EMBD),
    VECTOR(LAYER_SCALE,   NEEDED,       "layer_output_scale.weight", scale,   ONE),
    EXPERTS(EXPERTS,                    "ffn_down_exps.weight", expert_down,  EXPERT_FF, EMBD),
    VALUES(EXPERT_BIAS,   NEEDED,       "ffn_gate_exps.bias", expert_gate.bias, D(EXPERT_FF), D(EXPERTS)),
    VALUES(EXPERT_BIAS,   NEEDED,       "ffn_up_exps.bias",   expert_up.bias, D(EXPERT_FF), D(EXPERTS)),
    VALUES(EXPERT_BIAS,   NEEDED,       "ffn_down_exps.bias", expert_down.bias, D(EMBD), D(EXPERTS)),
    MATRIX(SHARED_GATE,   NEEDED,       "ffn_gate_shexp.weight", shared_gate, EMBD, SHARED_FF),
    MATRIX(SHARED,        NEEDED,       "ffn_up_shexp.weight", shared_up,     EMBD, SHARED_FF),
    MATRIX(SHARED,        NEEDED,       "ffn_down_shexp.weight", shared_down, SHARED_FF, EMBD),
    MATRIX(SHARED_SWITCH, NEEDED,       "ffn_gate_inp_shexp.weight", shared_switch, EMBD, ONE),
};
#undef TYPE
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
    uint64_t bit = UINT64_C(1) << spec->set;

    if (((arch->needs | (NEEDED_BY_ALL & ~arch->lacks)) & bit) != 0) {
        return (enum flo_need)spec->need;
    }
    return ((arch->may | POSSIBLE_IN_ALL) & bit) != 0 ? FLO_OPTIONAL : FLO_NO_TENSOR;
}

bool flo_arch_has_part(enum flo_tensor_set set, enum flo_mixer mixer, enum flo_feed feed)
{
    bool is_attention = mixer == FLO_MIX_ATTENTION || mixer == FLO_MIX_BESIDE;
    bool is_state = mixer == FLO_MIX_STATE || mixer == FLO_MIX_BESIDE;
    bool is_dense = feed == FLO_FEED_DENSE || feed == FLO_FEED_BOTH;

    switch (set) {
    case FLO_SET_ATTENTION:
    case FLO_SET_QKV_BIAS:
    case FLO_SET_O_BIAS:
    case FLO_SET_QK_NORM:
    case FLO_SET_SINKS:
    case FLO_SET_HEAD_GATE:
        return is_attention;
    case FLO_SET_CONV:
        return mixer == FLO_MIX_CONV;
    case FLO_SET_STATE:
    case FLO_SET_STATE_NORM:
        return is_state;
    case FLO_SET_DELTA:
        return mixer == FLO_MIX_DELTA;
    case FLO_SET_GATE:
    case FLO_SET_UP:
    case FLO_SET_DOWN:
    case FLO_SET_GATE_UP:
    case FLO_SET_GATE_BIAS:
    case FLO_SET_FFN_BIAS:
        return is_dense;
    case FLO_SET_EXPERTS:
    case FLO_SET_EXPERT_UP:
    case FLO_SET_EXPERT_GATE:
    case FLO_SET_EXPERT_GATE_UP:
    case FLO_SET_EXPERT_CHOICE:
    case FLO_SET_EXPERT_BIAS:
    case FLO_SET_EXPERT_NORMS:
    case FLO_SET_SHARED:
    case FLO_SET_SHARED_GATE:
    case FLO_SET_SHARED_SWITCH:
        return feed == FLO_FEED_EXPERTS || feed == FLO_FEED_BOTH;
    default:
        return true;
    }
}

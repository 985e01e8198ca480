/* Gemma: Gemma 3, 3n and 4, and the embedder. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"

#define SQRT_2 1.41421356237309504880
#define SQRT_2_PI 2.50662827463100050242
#define ROPE_MAX 1024

/* ---- Gemma 3 ---- */

const struct flo_import_row flo_rows_gemma3[] = {
    {"norm", "output_norm", flo_make_plus_one, NULL},
    {"layers.#.input_layernorm", "blk.#.attn_norm", flo_make_plus_one, NULL},
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", flo_make_plus_one, NULL},
    {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", flo_make_plus_one, NULL},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", flo_make_plus_one, NULL},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", flo_make_plus_one, NULL},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", flo_make_plus_one, NULL},
    {"dense_2.linear", "dense_2", NULL, NULL},
    {"dense_3.linear", "dense_3", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* Sets a cap.  null says that there is none; where nothing is said, the engine
 * knows the family's. */
static int set_cap(struct flo_import *import, const char *key, const char *name,
                   struct flo_err *err)
{
    if (flo_config_is_null(&import->config, name)) {
        flo_keys_f32(&import->keys, key, 0);
    }
    return flo_family_f32(import, key, name, err);
}

/* Sets the factor of queries where it is not that of the family: the root of a
 * head's size, or of the largest model's embedding by its heads. */
static void set_query_scale(struct flo_import *import, uint32_t largest)
{
    double scalar = flo_config_number(&import->config, "query_pre_attn_scalar", 0);
    double usual = import->layers == largest ? (double)import->embedding / import->heads
                                             : (double)import->head_dim;
    if (scalar > 0 && fabs(scalar - usual) > 1e-6 * usual) {
        flo_keys_f32(&import->keys, ".attention.scale", 1 / sqrt(scalar));
    }
}

int flo_finish_gemma2(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(set_cap(import, ".attn_logit_softcapping", "attn_logit_softcapping", err));
    FLO_TRY(set_cap(import, ".final_logit_softcapping", "final_logit_softcapping", err));
    set_query_scale(import, 46);
    return flo_family_u32(import, ".attention.sliding_window", "sliding_window", err);
}

int flo_finish_gemma3(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(flo_family_f32(import, ".final_logit_softcapping", "final_logit_softcapping", err));
    if (import->family->rows == flo_rows_gemma3) {
        set_query_scale(import, 62);
    }
    if (flo_keys_find(&import->keys, ".rope.freq_base") == NULL) {
        flo_keys_f32(&import->keys, ".rope.freq_base", 1000000);
    }
    return flo_family_u32(import, ".attention.sliding_window", "sliding_window", err);
}

int flo_finish_embeddinggemma(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(flo_finish_gemma3(import, err));
    return flo_family_dense(import, err);
}

/* ---- Gemma 3n ---- */

/* One of three square matrices of the four streams. */
static int make_stream(struct flo_import *import, const struct flo_import_match *match,
                       struct flo_err *err)
{
    uint32_t experts = import->experts;
    import->experts = 3;
    int rv = flo_make_expert(import, match, err);
    import->experts = experts;
    return rv;
}

/* Rows for tokens of pictures and sound, which no text has, are zeros. */
static int make_padded(struct flo_import *import, const struct flo_import_match *match,
                       struct flo_err *err)
{
    const struct flo_safetensor *at = &match->tensor->at;
    if (at->dim_count != 2 || at->dims[0] >= import->vocabulary) {
        return flo_make_plain(import, match, err);
    }
    char name[FLO_GGUF_NAME_BYTES_MAX + 1];
    struct flo_output *output;
    const uint64_t dims[] = {at->dims[1], import->vocabulary};
    FLO_TRY(flo_match_name(match, 0, name, err));
    FLO_TRY(flo_output_add(import, name, 2, dims, match, &output, err));
    FLO_TRY(flo_output_parts(output, 2, err));
    output->parts[0] = (struct flo_part){.source = match->tensor, .rows = at->dims[0]};
    output->parts[1] = (struct flo_part){.rows = import->vocabulary - at->dims[0]};
    return 0;
}

#define NORMS                                                                                      \
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", NULL, NULL},                \
        {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", NULL, NULL},                      \
        {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", NULL, NULL},                \
        {"layers.#.post_per_layer_input_norm", "blk.#.post_norm", NULL, NULL},                     \
        {"layers.#.per_layer_input_gate", "blk.#.inp_gate", NULL, NULL},                           \
        {"layers.#.per_layer_projection", "blk.#.proj", NULL, NULL},                               \
        {"per_layer_model_projection", "per_layer_model_proj", NULL, NULL},                        \
    {                                                                                              \
        "per_layer_projection_norm", "per_layer_proj_norm", NULL, NULL                             \
    }

const struct flo_import_row flo_rows_gemma3n[] = {
    {"embed_tokens", "token_embd", make_padded, NULL},
    {"embed_tokens_per_layer", "per_layer_token_embd", make_padded, NULL},
    {"altup_projections.%.weight", "altup_proj.weight", make_stream, NULL},
    {"altup_unembed_projections.%.weight", "altup_unembd_proj.weight", make_stream, NULL},
    {"layers.#.altup.correct_output_scale", "blk.#.altup_correct_scale.weight", NULL, NULL},
    {"layers.#.altup.correction_coefs", "blk.#.altup_correct_coef", NULL, NULL},
    {"layers.#.altup.prediction_coefs", "blk.#.altup_predict_coef", NULL, NULL},
    {"layers.#.altup.modality_router", "blk.#.altup_router", NULL, NULL},
    {"layers.#.altup.router_norm", "blk.#.altup_router_norm", NULL, NULL},
    {"layers.#.laurel.linear_left", "blk.#.laurel_l", NULL, NULL},
    {"layers.#.laurel.linear_right", "blk.#.laurel_r", NULL, NULL},
    {"layers.#.laurel.post_laurel_norm", "blk.#.laurel_post_norm", NULL, NULL},
    NORMS,
    {NULL, NULL, NULL, NULL},
};

/* Returns the point below which a share of all normally distributed values
 * lies. */
static double normal_point(double share)
{
    double x = 0;
    if (share <= 0 || share >= 1) {
        return share <= 0 ? -INFINITY : INFINITY;
    }
    for (int i = 0; i < 60; i++) { /* Newton's method */
        double below = 0.5 * erfc(-x / SQRT_2);
        x -= (below - share) * SQRT_2_PI * exp(x * x / 2);
        x = x > 8 ? 8 : x < -8 ? -8 : x;
    }
    return x;
}

static int set_sparsity(struct flo_import *import, struct flo_err *err)
{
    uint8_t items[FLO_IMPORT_LAYERS_MAX * 4];
    const struct flo_tree_node *node =
        flo_tree_first(flo_config_find(&import->config, "activation_sparsity_pattern"));
    uint32_t count = 0;
    for (; node != NULL && count < import->layers; node = node->next) {
        double share;
        uint32_t bits;
        if (!flo_tree_number(node, &share)) {
            return flo_folder_fail(err, "config.json: activation_sparsity_pattern has no numbers");
        }
        float point = (float)normal_point((double)(float)share);
        memcpy(&bits, &point, sizeof(bits));
        flo_put_u32(items + 4 * count++, bits);
    }
    flo_keys_array(&import->keys, ".activation_sparsity_scale", FLO_GGUF_F32, count, items,
                   (size_t)count * 4);
    return 0;
}

int flo_finish_gemma3n(struct flo_import *import, struct flo_err *err)
{
    uint32_t streams = 4;
    FLO_TRY(flo_finish_gemma3(import, err));
    FLO_TRY(set_cap(import, ".final_logit_softcapping", "final_logit_softcapping", err));
    FLO_TRY(flo_config_u32(&import->config, "altup_num_inputs", 16, &streams, err));
    if (streams != 4) {
        return flo_folder_fail(err, "%u streams, only 4 are known", streams);
    }
    FLO_TRY(flo_family_u32(import, ".altup.active_idx", "altup_active_idx", err));
    flo_keys_u32(&import->keys, ".altup.num_inputs", streams);
    FLO_TRY(flo_family_u32(import, ".embedding_length_per_layer_input",
                           "hidden_size_per_layer_input", err));
    FLO_TRY(flo_family_u32(import, ".attention.shared_kv_layers", "num_kv_shared_layers", err));
    FLO_TRY(set_sparsity(import, err));
    return flo_family_layers(import, ".attention.sliding_window_pattern", "sliding_attention", err);
}

/* ---- Gemma 4 ---- */

const struct flo_import_row flo_rows_gemma4[] = {
    {"embed_tokens_per_layer", "per_layer_token_embd", NULL, NULL},
    {"layers.#.layer_scalar", "blk.#.layer_output_scale.weight", NULL, NULL},
    NORMS,
    {"layers.#.pre_feedforward_layernorm_2", "blk.#.pre_ffw_norm_2", NULL, NULL},
    {"layers.#.post_feedforward_layernorm_1", "blk.#.post_ffw_norm_1", NULL, NULL},
    {"layers.#.post_feedforward_layernorm_2", "blk.#.post_ffw_norm_2", NULL, NULL},
    {"layers.#.experts.gate_up_proj", "blk.#.ffn_gate_up_exps.weight", NULL, NULL},
    {"layers.#.experts.down_proj", "blk.#.ffn_down_exps.weight", NULL, NULL},
    {"layers.#.router.proj", "blk.#.ffn_gate_inp", NULL, NULL},
    {"layers.#.router.scale", "blk.#.ffn_gate_inp.scale", NULL, NULL},
    {"layers.#.router.per_expert_scale", "blk.#.ffn_down_exps.scale", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* Layers without keys of their own have a feed-forward of twice the size. */
static int set_wide(struct flo_import *import, uint32_t shared, struct flo_err *err)
{
    uint8_t items[FLO_IMPORT_LAYERS_MAX * 4];
    uint32_t size = 0;
    FLO_TRY(flo_config_u32(&import->config, "intermediate_size", INT32_MAX / 2, &size, err));
    for (uint32_t i = 0; i < import->layers; i++) {
        flo_put_u32(items + 4 * i, i + shared < import->layers ? size : 2 * size);
    }
    flo_keys_array(&import->keys, ".feed_forward_length", FLO_GGUF_I32, import->layers, items,
                   (size_t)import->layers * 4);
    return 0;
}

int flo_finish_gemma4(struct flo_import *import, struct flo_err *err)
{
    const struct flo_config *config = &import->config;
    struct flo_keys *keys = &import->keys;
    uint32_t full = import->head_dim, shared = 0, inputs = 0, heads = 0;
    FLO_TRY(flo_finish_gemma3(import, err));
    FLO_TRY(flo_config_u32(config, "global_head_dim", ROPE_MAX, &full, err));
    FLO_TRY(flo_config_u32(config, "num_kv_shared_layers", import->layers, &shared, err));
    FLO_TRY(flo_config_u32(config, "hidden_size_per_layer_input", INT32_MAX, &inputs, err));
    FLO_TRY(flo_config_u32(config, "num_global_key_value_heads", UINT16_MAX, &heads, err));
    flo_keys_u32(keys, ".attention.shared_kv_layers", shared);
    flo_keys_u32(keys, ".embedding_length_per_layer_input", inputs);
    FLO_TRY(
        flo_family_layers(import, ".attention.sliding_window_pattern", "sliding_attention", err));
    flo_keys_u32(keys, ".attention.key_length", full);
    flo_keys_u32(keys, ".attention.value_length", full);
    flo_keys_u32(keys, ".attention.key_length_swa", import->head_dim);
    flo_keys_u32(keys, ".attention.value_length_swa", import->head_dim);
    FLO_TRY(flo_family_u32(import, ".expert_feed_forward_length",
                           "expert_intermediate_size moe_intermediate_size", err));
    if (flo_config_is(config, "use_double_wide_mlp")) {
        FLO_TRY(set_wide(import, shared, err));
    }
    if (heads > 0) {
        FLO_TRY(flo_family_numbers(import, ".attention.head_count_kv", "sliding_attention",
                                   import->heads_kv, heads, err));
    }
    flo_keys_u32(keys, ".rope.dimension_count", full);
    flo_keys_u32(keys, ".rope.dimension_count_swa", import->head_dim);
    double part = flo_config_rope_number(config, false, "partial_rotary_factor", 1);
    return flo_family_proportional(import, full, part, err);
}

/* Mamba: families that mix attention with Mamba-2 layers (Granite 4, Falcon-H1,
 * Nemotron-H), and the dense ones of Granite. */
#include <string.h>

#include "engine/publish/import/family.h"

#define LONG_CONTEXT (1u << 20) /* context of models without positions */
#define MAMBA(layer)                                                                               \
    {layer ".A_log", "blk.#.ssm_a", flo_make_minus_exp_column, NULL},                              \
        {layer ".D", "blk.#.ssm_d", flo_make_column, NULL},                                        \
        {layer ".conv1d.weight", "blk.#.ssm_conv1d.weight", flo_make_squeezed, NULL},              \
        {layer ".conv1d.bias", "blk.#.ssm_conv1d.bias", NULL, NULL},                               \
        {layer ".dt_bias", "blk.#.ssm_dt.bias", NULL, NULL},                                       \
    {                                                                                              \
        layer ".norm.weight", "blk.#.ssm_norm.weight", flo_make_groups, "mamba_n_groups n_groups"  \
    }

/* ---- Granite ---- */

/* The feed-forward of all tokens.  In a model with experts it is the shared
 * one. */
static int make_shared_in(struct flo_import *import, const struct flo_import_match *match,
                          struct flo_err *err)
{
    struct flo_import_match named = *match;
    named.ours = import->experts > 0 ? "blk.#.ffn_gate_shexp.weight|blk.#.ffn_up_shexp.weight"
                                     : "blk.#.ffn_gate.weight|blk.#.ffn_up.weight";
    return flo_make_halves(import, &named, err);
}

static int make_shared_out(struct flo_import *import, const struct flo_import_match *match,
                           struct flo_err *err)
{
    struct flo_import_match named = *match;
    named.ours = import->experts > 0 ? "blk.#.ffn_down_shexp.weight" : "blk.#.ffn_down.weight";
    return flo_make_plain(import, &named, err);
}

const struct flo_import_row flo_rows_granite[] = {
    MAMBA("layers.#.mamba"),
    {"layers.#.mamba.in_proj", "blk.#.ssm_in", NULL, NULL},
    {"layers.#.mamba.out_proj", "blk.#.ssm_out", NULL, NULL},
    {"layers.#.block_sparse_moe.input_linear.weight",
     "blk.#.ffn_gate_exps.weight|blk.#.ffn_up_exps.weight", flo_make_halves, NULL},
    {"layers.#.block_sparse_moe.output_linear", "blk.#.ffn_down_exps", NULL, NULL},
    {"layers.#.block_sparse_moe.router.layer", "blk.#.ffn_gate_inp", NULL, NULL},
    {"layers.#.shared_mlp.input_linear.weight", "shared", make_shared_in, NULL},
    {"layers.#.shared_mlp.output_linear.weight", "shared", make_shared_out, NULL},
    {NULL, NULL, NULL, NULL},
};

int flo_finish_granite(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(flo_family_f32(import, ".attention.scale", "attention_multiplier", err));
    FLO_TRY(flo_family_f32(import, ".embedding_scale", "embedding_multiplier", err));
    FLO_TRY(flo_family_f32(import, ".residual_scale", "residual_multiplier", err));
    FLO_TRY(flo_family_f32(import, ".logit_scale", "logits_scaling", err));
    return flo_family_llama3(import, err);
}

/* Sets the bases of layers with a window and of all others, and which layers are
 * rotated at all, by a list with a base for each layer; 0: not rotated. */
static int set_bases(struct flo_import *import, const struct flo_tree_node *list,
                     struct flo_err *err)
{
    const struct flo_tree_node *types = flo_config_find(&import->config, "layer_types");
    const struct flo_tree_node *node = list->first, *type = flo_tree_first(types);
    uint8_t items[FLO_IMPORT_LAYERS_MAX];
    double bases[2] = {0, 0};
    for (uint32_t i = 0; i < import->layers; i++, node = node->next) {
        double base;
        bool is_local = types == NULL ? i % 4 != 0 : flo_tree_is(type, "sliding_attention");
        if (node == NULL || !flo_tree_number(node, &base) || base < 0 ||
            (base > 0 && bases[is_local] > 0 && base != bases[is_local])) {
            return flo_folder_fail(err, "config.json: layer_rope_theta has not one base for layers "
                                        "with a window, and one for all others");
        }
        items[i] = base > 0 ? 1 : 0;
        bases[is_local] = base > 0 ? base : bases[is_local];
        type = type != NULL ? type->next : NULL;
    }
    if (bases[0] > 0) {
        flo_keys_f32(&import->keys, ".rope.freq_base", bases[0]);
    }
    if (bases[1] > 0) {
        flo_keys_f32(&import->keys, ".rope.freq_base_swa", bases[1]);
    }
    flo_keys_array(&import->keys, ".attention.rope_pattern", FLO_GGUF_BOOL, import->layers, items,
                   import->layers);
    return 0;
}

int flo_finish_granite_swa(struct flo_import *import, struct flo_err *err)
{
    const struct flo_tree_node *bases = flo_config_find(&import->config, "layer_rope_theta");
    uint8_t items[FLO_IMPORT_LAYERS_MAX];
    uint32_t count = 0;
    const struct flo_tree_node *node = flo_config_find(&import->config, "no_rope_layers");
    for (node = flo_tree_first(node); node != NULL && count < import->layers; node = node->next) {
        int64_t value;
        items[count++] = flo_tree_whole(node, 1, 1, &value) ? 1 : 0;
    }
    flo_keys_array(&import->keys, ".attention.rope_pattern", FLO_GGUF_BOOL, count, items, count);
    FLO_TRY(bases != NULL && bases->kind == FLO_TREE_ARRAY ? set_bases(import, bases, err) : 0);
    return flo_finish_granite(import, err);
}

/* Sets the sizes of Mamba layers, of which `inner` values pass the state. */
static int set_mamba(struct flo_import *import, uint32_t inner, struct flo_err *err)
{
    struct flo_keys *keys = &import->keys;
    FLO_TRY(flo_family_u32(import, ".ssm.conv_kernel", "mamba_d_conv conv_kernel", err));
    FLO_TRY(flo_family_u32(import, ".ssm.state_size", "mamba_d_state ssm_state_size", err));
    FLO_TRY(flo_family_u32(import, ".ssm.group_count", "mamba_n_groups n_groups", err));
    flo_keys_u32(keys, ".ssm.inner_size", inner);
    return flo_family_u32(import, ".ssm.time_step_rank", "mamba_n_heads mamba_num_heads", err);
}

int flo_finish_granite_hybrid(struct flo_import *import, struct flo_err *err)
{
    struct flo_keys *keys = &import->keys;
    bool is_dense = strcmp(import->family->arch, "granite") == 0;
    bool is_rotated =
        flo_tree_is(flo_config_find(&import->config, "position_embedding_type"), "rope");
    uint32_t expand = 2;
    FLO_TRY(flo_config_u32(&import->config, "mamba_expand", 64, &expand, err));
    flo_keys_drop(keys, ".attention.key_length"); /* the converter knows no head_dim here */
    flo_keys_drop(keys, ".attention.value_length");
    flo_keys_u32(keys, ".vocab_size", import->vocabulary);
    flo_keys_u32(keys, ".rope.dimension_count", import->embedding / import->heads);
    FLO_TRY(flo_finish_granite(import, err));
    FLO_TRY(flo_family_u32(import, ".expert_shared_feed_forward_length", "shared_intermediate_size",
                           err));
    FLO_TRY(set_mamba(import, expand * import->embedding, err));
    FLO_TRY(flo_family_numbers(import, ".attention.head_count_kv", "attention", import->heads_kv, 0,
                               err));
    flo_keys_bool(keys, ".rope.scaling.finetuned", is_rotated);
    if (is_dense && !is_rotated) {
        uint8_t items[FLO_IMPORT_LAYERS_MAX] = {0};
        flo_keys_array(keys, ".attention.rope_pattern", FLO_GGUF_BOOL, import->layers, items,
                       import->layers);
    }
    if (!is_dense) {
        flo_keys_u32(keys, ".context_length", LONG_CONTEXT);
    }
    return 0;
}

/* ---- Falcon-H1 ---- */

/* The projection in front of a Mamba layer gives five parts, each with a
 * multiplier of its own. */
static int make_mamba_in(struct flo_import *import, const struct flo_import_match *match,
                         struct flo_err *err)
{
    const struct flo_config *config = &import->config;
    const struct flo_tree_node *list = flo_config_find(config, "ssm_multipliers");
    const struct flo_tree_node *node = flo_tree_first(list);
    double in = flo_config_number(config, "ssm_in_multiplier", 1);
    uint64_t inner = flo_config_whole(flo_config_number(config, "mamba_d_ssm", 0));
    uint64_t state = (uint64_t)flo_config_whole(flo_config_number(config, "mamba_n_groups", 0)) *
                     flo_config_whole(flo_config_number(config, "mamba_d_state", 0));
    struct flo_output *output;
    FLO_TRY(flo_make_plain(import, match, err));
    output = &import->outputs[import->output_count - 1];
    uint64_t rows = output->head.values / output->width, at = 0;
    const uint64_t sizes[] = {inner, inner, state, state,
                              rows < 2 * (inner + state) ? 0 : rows - 2 * (inner + state)};
    FLO_TRY(flo_output_parts(output, 5, err));
    for (uint32_t i = 0; i < 5; i++, node = node->next) {
        double factor;
        if (sizes[i] == 0 || node == NULL || !flo_tree_number(node, &factor)) {
            return flo_match_fail(match, err, "its parts do not fit config.json");
        }
        output->parts[i] = (struct flo_part){.source = match->tensor,
                                             .rows = sizes[i],
                                             .nest = {.first = at},
                                             .factors = {(float)in, (float)factor},
                                             .factor_count = 2};
        at += sizes[i];
    }
    return 0;
}

const struct flo_import_row flo_rows_falcon[] = {
    {"embed_tokens", "token_embd", flo_make_scaled, "embedding_multiplier"},
    {"lm_head", "output", flo_make_scaled, "lm_head_multiplier"},
    {"final_layernorm", "output_norm", NULL, NULL},
    {"layers.#.pre_ff_layernorm.weight", "blk.#.ffn_norm", NULL, NULL},
    {"layers.#.feed_forward.gate_proj", "blk.#.ffn_gate", flo_make_scaled, "mlp_multipliers:0"},
    {"layers.#.feed_forward.up_proj", "blk.#.ffn_up", NULL, NULL},
    {"layers.#.feed_forward.down_proj", "blk.#.ffn_down", flo_make_scaled, "mlp_multipliers:1"},
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", flo_make_scaled, "attention_in_multiplier"},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", flo_make_scaled,
     "key_multiplier attention_in_multiplier"},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v", flo_make_scaled, "attention_in_multiplier"},
    {"layers.#.self_attn.o_proj", "blk.#.attn_output", flo_make_scaled, "attention_out_multiplier"},
    MAMBA("layers.#.mamba"),
    {"layers.#.mamba.in_proj", "blk.#.ssm_in", make_mamba_in, NULL},
    {"layers.#.mamba.out_proj", "blk.#.ssm_out", flo_make_scaled, "ssm_out_multiplier"},
    {NULL, NULL, NULL, NULL},
};

int flo_finish_falcon(struct flo_import *import, struct flo_err *err)
{
    uint32_t inner = 0;
    FLO_TRY(flo_config_u32(&import->config, "mamba_d_ssm", INT32_MAX, &inner, err));
    flo_keys_u32(&import->keys, ".vocab_size", import->vocabulary);
    return set_mamba(import, inner, err);
}

/* ---- Nemotron-H ---- */

const struct flo_import_row flo_rows_nemotron[] = {
    {"embeddings", "token_embd", NULL, NULL},
    {"norm_f", "output_norm", NULL, NULL},
    {"layers.#.norm", "blk.#.attn_norm", NULL, NULL},
    MAMBA("layers.#.mixer"),
    {"layers.#.mixer.in_proj", "blk.#.ssm_in", NULL, NULL},
    {"layers.#.mixer.out_proj", "blk.#.ssm_out", NULL, NULL},
    {"layers.#.mixer.q_proj", "blk.#.attn_q", flo_make_query, NULL},
    {"layers.#.mixer.k_proj", "blk.#.attn_k", flo_make_key, NULL},
    {"layers.#.mixer.v_proj", "blk.#.attn_v", NULL, NULL},
    {"layers.#.mixer.o_proj", "blk.#.attn_output", NULL, NULL},
    {"layers.#.mixer.up_proj", "blk.#.ffn_up", NULL, NULL},
    {"layers.#.mixer.down_proj", "blk.#.ffn_down", NULL, NULL},
    {"layers.#.mixer.gate", "blk.#.ffn_gate_inp", NULL, NULL},
    {"layers.#.mixer.gate.e_score_correction_bias", "blk.#.exp_probs_b.bias", NULL, NULL},
    {"layers.#.mixer.experts.%.up_proj", "blk.#.ffn_up_exps", NULL, NULL},
    {"layers.#.mixer.experts.%.down_proj", "blk.#.ffn_down_exps", NULL, NULL},
    {"layers.#.mixer.shared_experts.up_proj", "blk.#.ffn_up_shexp", NULL, NULL},
    {"layers.#.mixer.shared_experts.down_proj", "blk.#.ffn_down_shexp", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* Sets an array with `value` for each layer of one kind: a letter of the
 * pattern, or a word of newer configurations. */
static int set_pattern(struct flo_import *import, const char *key, char letter, const char *words,
                       uint32_t value, struct flo_err *err)
{
    uint8_t items[FLO_IMPORT_LAYERS_MAX * 4] = {0};
    const struct flo_tree_node *pattern =
        flo_config_find(&import->config, "hybrid_override_pattern layers_block_type layer_types");
    bool is_text = pattern != NULL && pattern->kind == FLO_TREE_STRING;
    const struct flo_tree_node *node = is_text ? NULL : flo_tree_first(pattern);
    for (uint32_t i = 0; i < import->layers; i++) {
        bool is_there =
            is_text ? i < pattern->bytes : node != NULL && node->kind == FLO_TREE_STRING;
        if (!is_there) {
            return flo_folder_fail(err, "config.json: the layers' kinds are fewer than %u",
                                   import->layers);
        }
        bool is_one = is_text ? pattern->text[i] == letter : strstr(words, node->text) != NULL;
        flo_put_u32(items + 4 * i, is_one ? value : 0);
        node = node != NULL ? node->next : NULL;
    }
    flo_keys_array(&import->keys, key, FLO_GGUF_I32, import->layers, items,
                   (size_t)import->layers * 4);
    return 0;
}

static int set_nemotron_experts(struct flo_import *import, struct flo_err *err)
{
    static const char *const numbers[][2] = {
        {".expert_feed_forward_length", "moe_intermediate_size"},
        {".expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size"},
        {".expert_shared_count", "n_shared_experts"},
    };
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        FLO_TRY(flo_family_u32(import, numbers[i][0], numbers[i][1], err));
    }
    flo_keys_bool(&import->keys, ".expert_weights_norm",
                  flo_config_is(&import->config, "norm_topk_prob"));
    FLO_TRY(flo_family_f32(import, ".expert_weights_scale", "routed_scaling_factor", err));
    return 0;
}

int flo_finish_nemotron(struct flo_import *import, struct flo_err *err)
{
    struct flo_keys *keys = &import->keys;
    bool has_experts = strcmp(import->family->arch, "nemotron_h_moe") == 0;
    uint32_t heads = 0, size = 0, forward = 0;
    FLO_TRY(flo_config_u32(&import->config, "mamba_num_heads", UINT16_MAX, &heads, err));
    FLO_TRY(flo_config_u32(&import->config, "mamba_head_dim", UINT16_MAX, &size, err));
    FLO_TRY(flo_config_u32(&import->config,
                           has_experts ? "moe_intermediate_size" : "intermediate_size", INT32_MAX,
                           &forward, err));
    flo_keys_u32(keys, ".vocab_size", import->vocabulary);
    flo_keys_u32(keys, ".rope.dimension_count", import->embedding / import->heads);
    FLO_TRY(set_mamba(import, heads * size, err));
    FLO_TRY(set_pattern(import, ".attention.head_count_kv", '*', "attention full_attention",
                        import->heads_kv, err));
    FLO_TRY(set_pattern(import, ".feed_forward_length", has_experts ? 'E' : '-',
                        has_experts ? "moe" : "mlp", forward, err));
    flo_keys_bool(keys, ".rope.scaling.finetuned", false);
    FLO_TRY(flo_family_f32(import, ".attention.layer_norm_rms_epsilon",
                           "layer_norm_epsilon rms_norm_eps norm_eps", err));
    flo_keys_u32(keys, ".context_length", LONG_CONTEXT);
    FLO_TRY(flo_family_u32(import, ".attention.key_length", "head_dim attention_head_dim", err));
    FLO_TRY(flo_family_u32(import, ".attention.value_length", "head_dim attention_head_dim", err));
    return has_experts ? set_nemotron_experts(import, err) : 0;
}

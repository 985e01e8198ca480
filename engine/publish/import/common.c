/* Common: the keys that all families have. */
#include <math.h>
#include <string.h>

#include "engine/publish/import/family.h"

/* Reads the sizes that tensors are checked by. */
static int read_sizes(struct flo_import *import, struct flo_err *err)
{
    const struct flo_config *config = &import->config;
    FLO_TRY(flo_config_u32(config, "num_hidden_layers n_layers n_layer num_layers",
                           FLO_IMPORT_LAYERS_MAX, &import->layers, err));
    FLO_TRY(flo_config_u32(config, "hidden_size n_embd dim", FLO_IMPORT_WIDTH_MAX,
                           &import->embedding, err));
    FLO_TRY(flo_config_u32(config, "num_attention_heads n_head n_heads", UINT16_MAX, &import->heads,
                           err));
    import->heads_kv = import->heads;
    FLO_TRY(flo_config_u32(config, "num_key_value_heads n_kv_heads", UINT16_MAX, &import->heads_kv,
                           err));
    FLO_TRY(
        flo_config_u32(config, "vocab_size", FLO_IMPORT_VOCABULARY_MAX, &import->vocabulary, err));
    FLO_TRY(flo_config_u32(config, "num_local_experts num_experts n_routed_experts",
                           FLO_IMPORT_EXPERTS_MAX, &import->experts, err));
    if (import->layers == 0 || import->embedding == 0 || import->heads == 0 ||
        import->vocabulary == 0) {
        return flo_folder_fail(
            err, "config.json lacks num_hidden_layers, hidden_size, num_attention_heads or "
                 "vocab_size");
    }
    import->head_dim = import->embedding / import->heads;
    return flo_config_u32(config, "head_dim", UINT16_MAX, &import->head_dim, err);
}

static int set_feed_forward(struct flo_import *import, struct flo_err *err)
{
    static const char names[] = "prefix_dense_intermediate_size dense_intermediate_size "
                                "intermediate_size n_inner hidden_dim";
    const struct flo_tree_node *node = flo_config_find(&import->config, names);
    uint8_t items[FLO_IMPORT_LAYERS_MAX * 4];
    uint32_t count = 0;
    if (node == NULL || node->kind != FLO_TREE_ARRAY) {
        return flo_family_u32(import, ".feed_forward_length", names, err);
    }
    for (node = node->first; node != NULL; node = node->next) {
        int64_t value;
        if (count == import->layers || !flo_tree_whole(node, 0, INT32_MAX, &value)) {
            return flo_folder_fail(err, "config.json: a wrong intermediate_size");
        }
        flo_put_u32(items + 4 * count++, (uint32_t)value);
    }
    flo_keys_array(&import->keys, ".feed_forward_length", FLO_GGUF_I32, count, items,
                   (size_t)count * 4);
    return 0;
}

static void set_yarn(struct flo_import *import)
{
    static const struct {
        const char *key, *name;
    } numbers[] = {
        {".rope.scaling.yarn_ext_factor", "extrapolation_factor"},
        {".rope.scaling.yarn_attn_factor", "attention_factor"},
        {".rope.scaling.yarn_beta_fast", "beta_fast"},
        {".rope.scaling.yarn_beta_slow", "beta_slow"},
    };
    const struct flo_config *config = &import->config;
    const struct flo_tree_node *rope = flo_config_rope(config, false);
    double value, one = flo_config_rope_number(config, false, "mscale", 0);
    double all = flo_config_rope_number(config, false, "mscale_all_dim", 0);
    double grown = log(flo_config_rope_number(config, false, "factor", 1));
    double context =
        flo_config_number(config, "original_max_position_embeddings max_position_embeddings", 0);
    flo_keys_u32(&import->keys, ".rope.scaling.original_context_length",
                 flo_config_whole(flo_config_rope_number(
                     config, false, "original_max_position_embeddings", context)));
    if (one > 0 && all > 0 && grown > 0 && strcmp(import->family->arch, "mistral3") != 0) {
        flo_keys_f32(&import->keys, ".rope.scaling.yarn_attn_factor",
                     (1 + 0.1 * one * grown) / (1 + 0.1 * all * grown));
    }
    if (flo_tree_says(flo_tree_member(rope, "truncate"), false)) {
        /* llama.cpp always truncates, and has no key */
        flo_keys_bool(&import->keys, ".rope.scaling.yarn_truncate", false);
    }
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        if (flo_tree_number(flo_tree_member(rope, numbers[i].name), &value)) {
            flo_keys_f32(&import->keys, numbers[i].key, value);
        }
    }
}

static int set_rope(struct flo_import *import, struct flo_err *err)
{
    const struct flo_tree_node *rope = flo_config_rope(&import->config, false);
    const struct flo_tree_node *sections = flo_tree_member(rope, "mrope_section");
    const char *kind = flo_config_rope_kind(&import->config);
    double factor = flo_config_rope_number(&import->config, false, "factor", 0);
    double base = flo_config_rope_base(&import->config, false);
    double windowed = flo_config_rope_base(&import->config, true);
    if (factor > 0 && (strcmp(kind, "linear") == 0 || strcmp(kind, "yarn") == 0)) {
        flo_keys_text(&import->keys, ".rope.scaling.type", kind);
        flo_keys_f32(&import->keys, ".rope.scaling.factor", factor);
    }
    if (factor > 0 && strcmp(kind, "yarn") == 0) {
        set_yarn(import);
    }
    if (sections != NULL && sections->kind == FLO_TREE_ARRAY) {
        uint8_t items[16] = {0};
        const struct flo_tree_node *node = sections->first;
        for (size_t i = 0; i < 4 && node != NULL; i++, node = node->next) {
            int64_t value;
            if (!flo_tree_whole(node, 0, UINT16_MAX, &value)) {
                return flo_folder_fail(err, "config.json: a wrong mrope_section");
            }
            flo_put_u32(items + 4 * i, (uint32_t)value);
        }
        flo_keys_array(&import->keys, ".rope.dimension_sections", FLO_GGUF_I32, 4, items, 16);
    }
    if (base > 0) {
        flo_keys_f32(&import->keys, ".rope.freq_base", base);
    }
    if (windowed > 0) {
        flo_keys_f32(&import->keys, ".rope.freq_base_swa", windowed);
    }
    return 0;
}

/* Keys of numbers, in the order of the file: those before and after the keys of
 * the rotation. */
static const struct number {
    const char *key, *names;
    bool is_float;
} before[] =
    {
        {".context_length", "max_position_embeddings n_ctx n_positions max_length", false},
        {".embedding_length", "hidden_size n_embd dim", false},
        {".attention.head_count", "num_attention_heads n_head n_heads", false},
        {".attention.head_count_kv", "num_key_value_heads n_kv_heads", false},
},
  after[] = {
      {".attention.layer_norm_rms_epsilon", "rms_norm_eps norm_eps", true},
      {".attention.layer_norm_epsilon", "layer_norm_eps layer_norm_epsilon norm_epsilon", true},
      {".expert_count", "num_local_experts num_experts n_routed_experts", false},
      {".expert_used_count", "num_experts_per_tok num_experts_per_token top_k_experts", false},
      {".expert_group_count", "n_group", false},
      {".expert_group_used_count", "topk_group", false},
      {".attention.key_length", "head_dim", false},
      {".attention.value_length", "head_dim", false},
};

static int set_numbers(struct flo_import *import, const struct number *numbers, size_t count,
                       struct flo_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (numbers[i].is_float) {
            FLO_TRY(flo_family_f32(import, numbers[i].key, numbers[i].names, err));
        } else {
            FLO_TRY(flo_family_u32(import, numbers[i].key, numbers[i].names, err));
        }
    }
    return 0;
}

int flo_family_keys(struct flo_import *import, struct flo_err *err)
{
    unsigned flags = import->family->flags;
    FLO_TRY(read_sizes(import, err));
    flo_keys_u32(&import->keys, ".block_count", import->layers);
    FLO_TRY(set_numbers(import, before, FLO_COUNT(before), err));
    FLO_TRY(set_feed_forward(import, err));
    FLO_TRY(set_rope(import, err));
    FLO_TRY(set_numbers(import, after, FLO_COUNT(after), err));
    if ((flags & FLO_FAMILY_VOCAB_SIZE) != 0) {
        flo_keys_u32(&import->keys, ".vocab_size", import->vocabulary);
    }
    if ((flags & FLO_FAMILY_ROPE_DIMS) != 0) {
        flo_keys_u32(&import->keys, ".rope.dimension_count", import->head_dim);
    }
    if ((flags & FLO_FAMILY_WINDOWS) != 0 &&
        flo_config_find(&import->config, "sliding_window") != NULL) {
        FLO_TRY(flo_family_u32(import, ".attention.sliding_window", "sliding_window", err));
        FLO_TRY(flo_family_layers(import, ".attention.sliding_window_pattern", "sliding_attention",
                                  err));
    }
    if ((flags & FLO_FAMILY_POOLED) != 0) {
        FLO_TRY(flo_family_pooling(import, err));
    }
    FLO_TRY(import->family->finish != NULL ? import->family->finish(import, err) : 0);
    return flo_family_windows(import, err);
}

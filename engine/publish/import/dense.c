/* Dense: families of one kind of layer, with settings of their own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"

#define ROPE_MAX 1024 /* values of a head */

/* ---- norms after attention and feed-forward ---- */

const struct flo_import_row flo_rows_after[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", NULL, NULL},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

int flo_finish_olmo(struct flo_import *import, struct flo_err *err)
{
    double base = flo_config_rope_base(&import->config, false);
    (void)err;
    if (flo_config_find(&import->config, "sliding_window") != NULL && base > 0) {
        flo_keys_f32(&import->keys, ".rope.freq_base_swa", base); /* windows are not scaled */
    }
    return 0;
}

/* ---- Ministral ---- */

int flo_finish_ministral(struct flo_import *import, struct flo_err *err)
{
    double log_mul = flo_config_rope_number(&import->config, false, "mscale_all_dim", 0);
    double scale = flo_config_rope_number(&import->config, false, "llama_4_scaling_beta", 0);
    (void)err;
    if (strcmp(flo_config_rope_kind(&import->config), "yarn") == 0) {
        flo_keys_f32(&import->keys, ".rope.scaling.yarn_log_multiplier", log_mul);
        flo_keys_f32(&import->keys, ".attention.temperature_scale", scale);
    }
    return 0;
}

/* ---- HunYuan ---- */

const struct flo_import_row flo_rows_hunyuan[] = {
    {"layers.#.self_attn.query_layernorm", "blk.#.attn_q_norm", NULL, NULL},
    {"layers.#.self_attn.key_layernorm", "blk.#.attn_k_norm", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* The rotation "dynamic" raises the base once, by a power of alpha. */
int flo_finish_hunyuan(struct flo_import *import, struct flo_err *err)
{
    const uint32_t context = 256 * 1024;
    double alpha = flo_config_rope_number(&import->config, false, "alpha", 50);
    double base = flo_config_rope_base(&import->config, false);
    double size = import->head_dim;
    (void)err;
    flo_keys_drop(&import->keys, ".expert_count");
    if (strcmp(flo_config_rope_kind(&import->config), "dynamic") == 0) {
        flo_keys_f32(&import->keys, ".rope.freq_base", base * pow(alpha, size / (size - 2)));
        flo_keys_text(&import->keys, ".rope.scaling.type", "none");
        flo_keys_f32(&import->keys, ".rope.scaling.factor", 1);
        flo_keys_u32(&import->keys, ".rope.scaling.original_context_length", context);
        flo_keys_u32(&import->keys, ".context_length", context);
    }
    return 0;
}

/* ---- Phi ---- */

const struct flo_import_row flo_rows_phi[] = {
    {"layers.#.self_attn.qkv_proj", "blk.#.attn_qkv", NULL, NULL},
    {"layers.#.mlp.gate_up_proj", "blk.#.ffn_up", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

static int give_factors(struct flo_import *import, const char *name, const char *key,
                        uint32_t count, struct flo_err *err)
{
    float factors[ROPE_MAX / 2];
    uint32_t read = 0;
    const struct flo_tree_node *node =
        flo_tree_first(flo_tree_member(flo_config_rope(&import->config, false), key));
    for (; node != NULL && read < count; node = node->next) {
        double value;
        if (!flo_tree_number(node, &value) || !isfinite(value)) {
            break;
        }
        factors[read++] = (float)value;
    }
    if (read != count || node != NULL) {
        return flo_folder_fail(err, "config.json: %s has not %u numbers", key, count);
    }
    return flo_output_give(import, name, factors, count, err);
}

/* Adds the factors of long contexts and of short ones, if the folder has them. */
static int give_both_factors(struct flo_import *import, uint32_t dims, struct flo_err *err)
{
    const struct flo_tree_node *rope = flo_config_rope(&import->config, false);

    if (flo_tree_member(rope, "long_factor") == NULL) {
        return 0;
    }
    if (dims < 2 || dims > ROPE_MAX) {
        return flo_folder_fail(err, "config.json: a wrong scaling of the rotation");
    }
    FLO_TRY(give_factors(import, "rope_factors_long.weight", "long_factor", dims / 2, err));
    return give_factors(import, "rope_factors_short.weight", "short_factor", dims / 2, err);
}

int flo_finish_phi(struct flo_import *import, struct flo_err *err)
{
    const struct flo_config *config = &import->config;
    double part = flo_config_number(config, "partial_rotary_factor rope_pct", 1);
    part = flo_config_rope_number(config, false, "partial_rotary_factor", part);
    uint32_t dims = flo_config_whole(part * import->embedding) / import->heads;
    uint32_t context = 0, original = 0, window = 0;
    FLO_TRY(flo_config_u32(config, "max_position_embeddings", INT32_MAX, &context, err));
    original = context;
    FLO_TRY(flo_config_u32(config, "original_max_position_embeddings", INT32_MAX, &original, err));
    FLO_TRY(flo_config_u32(config, "sliding_window", INT32_MAX, &window, err));
    flo_keys_u32(&import->keys, ".rope.scaling.original_context_length", original);
    flo_keys_u32(&import->keys, ".rope.dimension_count", dims);
    flo_keys_u32(&import->keys, ".attention.sliding_window", window);
    if (flo_tree_member(flo_config_rope(config, false), "long_factor") == NULL) {
        return 0;
    }
    if (original < 2) {
        return flo_folder_fail(err, "config.json: a wrong scaling of the rotation");
    }
    double scale = (double)context / original;
    flo_keys_f32(&import->keys, ".rope.scaling.attn_factor",
                 scale > 1 ? sqrt(1 + log(scale) / log(original)) : 1);
    return give_both_factors(import, dims, err);
}

/* ---- MiniCPM ---- */

int flo_finish_minicpm(struct flo_import *import, struct flo_err *err)
{
    const struct flo_config *config = &import->config;
    double base = flo_config_number(config, "dim_model_base", 1);
    double depth = flo_config_number(config, "scale_depth", 1);

    if (!(base > 0)) {
        return flo_folder_fail(err, "config.json: dim_model_base is %g", base);
    }
    flo_keys_f32(&import->keys, ".embedding_scale", flo_config_number(config, "scale_emb", 1));
    flo_keys_f32(&import->keys, ".residual_scale", depth / sqrt(import->layers));
    flo_keys_f32(&import->keys, ".logit_scale", import->embedding / base);
    return give_both_factors(import, import->head_dim, err);
}

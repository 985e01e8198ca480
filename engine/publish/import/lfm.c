/* LFM: families of short convolutions and attention, LFM2 and LFM3. */
#include <string.h>

#include "engine/publish/import/family.h"

const struct flo_import_row flo_rows_lfm[] = {
    {"embedding_norm", "token_embd_norm", NULL, NULL},
    {"layers.#.operator_norm", "blk.#.attn_norm", NULL, NULL},
    {"layers.#.ffn_norm", "blk.#.ffn_norm", NULL, NULL},
    {"layers.#.post_operator_norm", "blk.#.post_attention_norm", NULL, NULL},
    {"layers.#.post_ffn_norm", "blk.#.post_ffw_norm", NULL, NULL},
    {"layers.#.conv.conv.weight", "blk.#.shortconv.conv.weight", flo_make_squeezed, NULL},
    {"layers.#.conv.conv.bias", "blk.#.shortconv.conv.bias", NULL, NULL},
    {"layers.#.conv.in_proj", "blk.#.shortconv.in_proj", NULL, NULL},
    {"layers.#.conv.out_proj", "blk.#.shortconv.out_proj", NULL, NULL},
    {"layers.#.self_attn.q_layernorm", "blk.#.attn_q_norm", NULL, NULL},
    {"layers.#.self_attn.k_layernorm", "blk.#.attn_k_norm", NULL, NULL},
    {"layers.#.self_attn.out_proj", "blk.#.attn_output", NULL, NULL},
    {"layers.#.self_attn.gate_proj", "blk.#.attn_gate", NULL, NULL},
    {"layers.#.feed_forward.w1", "blk.#.ffn_gate", NULL, NULL},
    {"layers.#.feed_forward.w2", "blk.#.ffn_down", NULL, NULL},
    {"layers.#.feed_forward.w3", "blk.#.ffn_up", NULL, NULL},
    {"layers.#.feed_forward.gate", "blk.#.ffn_gate_inp", NULL, NULL},
    {"layers.#.feed_forward.expert_bias", "blk.#.exp_probs_b.bias", NULL, NULL},
    {"layers.#.feed_forward.experts.%.w1", "blk.#.ffn_gate_exps", NULL, NULL},
    {"layers.#.feed_forward.experts.%.w2", "blk.#.ffn_down_exps", NULL, NULL},
    {"layers.#.feed_forward.experts.%.w3", "blk.#.ffn_up_exps", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* Sets the heads of each layer: none where it is a convolution. */
static int set_layers(struct flo_import *import, struct flo_err *err)
{
    flo_keys_u32(&import->keys, ".vocab_size", import->vocabulary);
    FLO_TRY(flo_family_u32(import, ".shortconv.l_cache", "conv_L_cache", err));
    return flo_family_numbers(import, ".attention.head_count_kv", "conv", 0, import->heads_kv, err);
}

/* The feed-forward is two thirds of the written size, rounded up. */
int flo_finish_lfm2(struct flo_import *import, struct flo_err *err)
{
    const struct flo_config *config = &import->config;
    uint32_t size = 0, multiple = 1;
    FLO_TRY(flo_config_u32(config, "block_ff_dim intermediate_size", INT32_MAX, &size, err));
    FLO_TRY(flo_config_u32(config, "block_multiple_of", UINT16_MAX, &multiple, err));
    if (flo_config_is(config, "block_auto_adjust_ff_dim") && multiple > 0) {
        double factor = flo_config_number(config, "block_ffn_dim_multiplier", 1);
        size = (uint32_t)(2 * (uint64_t)size / 3);
        size = flo_config_whole(factor * size);
        size = multiple * ((size + multiple - 1) / multiple);
    }
    flo_keys_u32(&import->keys, ".feed_forward_length", size);
    return set_layers(import, err);
}

int flo_finish_lfm2_moe(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(flo_family_u32(import, ".expert_feed_forward_length", "moe_intermediate_size", err));
    FLO_TRY(flo_family_u32(import, ".leading_dense_block_count", "num_dense_layers", err));
    flo_keys_u32(&import->keys, ".expert_gating_func", 2); /* sigmoid */
    flo_family_experts(import);
    return set_layers(import, err);
}

/* The file's keys are those of LFM2, and of other families for what LFM3
 * adds. */
int flo_finish_lfm3(struct flo_import *import, struct flo_err *err)
{
    double part = flo_config_rope_number(&import->config, false, "partial_rotary_factor", 1);
    FLO_TRY(set_layers(import, err));
    flo_keys_u32(&import->keys, ".rope.dimension_count", import->head_dim);
    flo_keys_u32(&import->keys, ".rope.dimension_count_swa", import->head_dim);
    return flo_family_proportional(import, import->head_dim, part, err);
}

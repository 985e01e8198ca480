/* Qwen: families of experts, and of gated delta nets between layers
 * of attention (Qwen3-Next, Qwen3.5). */
#include <string.h>

#include "engine/publish/import/family.h"

void flo_family_experts(struct flo_import *import)
{
    const struct flo_tree_node *is_normal = flo_config_find(&import->config, "norm_topk_prob");
    double scale = flo_config_number(&import->config, "routed_scaling_factor", 1);
    if (flo_tree_says(is_normal, false)) {
        flo_keys_bool(&import->keys, ".expert_weights_norm", false);
    }
    if (scale != 1 && strcmp(import->family->arch, "lfm2moe") == 0) {
        flo_keys_f32(&import->keys, ".expert_weights_scale", scale);
    }
}

int flo_finish_experts(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(flo_family_u32(import, ".expert_feed_forward_length", "moe_intermediate_size", err));
    flo_family_experts(import);
    return flo_family_u32(import, ".expert_shared_feed_forward_length",
                          "shared_expert_intermediate_size", err);
}

/* Sizes of a delta net. */
struct net {
    uint32_t keys, values;           /* heads */
    uint32_t key_bytes, value_bytes; /* values of a head */
};

static int read_net(const struct flo_import *import, struct net *net, struct flo_err *err)
{
    const struct flo_config *config = &import->config;
    *net = (struct net){0};
    FLO_TRY(flo_config_u32(config, "linear_num_key_heads", 4096, &net->keys, err));
    FLO_TRY(flo_config_u32(config, "linear_num_value_heads", 4096, &net->values, err));
    FLO_TRY(flo_config_u32(config, "linear_key_head_dim", 4096, &net->key_bytes, err));
    FLO_TRY(flo_config_u32(config, "linear_value_head_dim", 4096, &net->value_bytes, err));
    return net->keys > 0 && net->values % net->keys == 0 && net->values > 0 && net->key_bytes > 0 &&
                   net->value_bytes > 0
               ? 0
               : flo_folder_fail(err, "config.json: wrong heads of linear attention");
}

int flo_finish_qwen_next(struct flo_import *import, struct flo_err *err)
{
    struct net net;
    uint32_t interval = 4;
    double part = flo_config_number(&import->config, "partial_rotary_factor", 0.25);
    part = flo_config_rope_number(&import->config, false, "partial_rotary_factor", part);
    FLO_TRY(read_net(import, &net, err));
    FLO_TRY(flo_config_u32(&import->config, "full_attention_interval", 1024, &interval, err));
    FLO_TRY(flo_finish_experts(import, err));
    FLO_TRY(flo_family_u32(import, ".ssm.conv_kernel", "linear_conv_kernel_dim", err));
    flo_keys_u32(&import->keys, ".ssm.state_size", net.key_bytes);
    flo_keys_u32(&import->keys, ".ssm.group_count", net.keys);
    flo_keys_u32(&import->keys, ".ssm.time_step_rank", net.values);
    flo_keys_u32(&import->keys, ".ssm.inner_size", net.value_bytes * net.values);
    FLO_TRY(flo_family_layers(import, ".attention.recurrent_layers", "linear_attention", err));
    flo_keys_u32(&import->keys, ".full_attention_interval", interval);
    flo_keys_u32(&import->keys, ".rope.dimension_count", flo_config_whole(import->head_dim * part));
    return 0;
}

int flo_finish_qwen35(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(flo_finish_qwen_next(import, err));
    if (flo_keys_find(&import->keys, ".rope.dimension_sections") == NULL) {
        uint8_t items[16] = {0};
        flo_put_u32(items, 11);
        flo_put_u32(items + 4, 11);
        flo_put_u32(items + 8, 10);
        flo_keys_array(&import->keys, ".rope.dimension_sections", FLO_GGUF_I32, 4, items, 16);
    }
    return 0;
}

/* ---- tensors of Qwen3-Next ---- */

/* The folder has q, k, v and z of the first key head, then those of the second,
 * and so on; the file has all of q, all of k, all of v, and z apart. */
static int make_qkvz(struct flo_import *import, const struct flo_import_match *match,
                     struct flo_err *err)
{
    struct net net;
    FLO_TRY(read_net(import, &net, err));
    const struct flo_safetensor *at = &match->tensor->at;
    uint64_t ratio = (uint64_t)(net.values / net.keys) * net.value_bytes;
    uint64_t group = 2 * (uint64_t)net.key_bytes + 2 * ratio;
    const uint64_t sizes[] = {net.key_bytes, net.key_bytes, ratio, ratio};
    if (at->dim_count != 2 || at->dims[0] != group * net.keys) {
        return flo_match_fail(match, err, "its rows do not fit config.json");
    }
    uint64_t first = 0;
    struct flo_output *output = NULL;
    for (uint32_t i = 0; i < 4; i++) {
        if (i == 0 || i == 3) {
            char name[FLO_GGUF_NAME_BYTES_MAX + 1];
            const uint64_t dims[] = {at->dims[1], net.keys * (i == 0 ? group - ratio : ratio)};
            FLO_TRY(flo_match_name(match, i / 3, name, err));
            FLO_TRY(flo_output_add(import, name, 2, dims, match, &output, err));
            FLO_TRY(flo_output_parts(output, i == 0 ? 3 : 1, err));
        }
        output->parts[i % 3] = (struct flo_part){.source = match->tensor,
                                                 .rows = sizes[i] * net.keys,
                                                 .nest = {first, {net.keys, sizes[i]}, {group, 1}}};
        first += sizes[i];
    }
    return 0;
}

const struct flo_import_row flo_rows_qwen_next[] = {
    {"norm", "output_norm", flo_make_plus_one, NULL},
    {"layers.#.input_layernorm", "blk.#.attn_norm", flo_make_plus_one, NULL},
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", flo_make_plus_one, NULL},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", flo_make_plus_one, NULL},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", flo_make_plus_one, NULL},
    {"layers.#.linear_attn.A_log", "blk.#.ssm_a", flo_make_minus_exp, NULL},
    {"layers.#.linear_attn.dt_bias", "blk.#.ssm_dt.bias", NULL, NULL},
    {"layers.#.linear_attn.conv1d.weight", "blk.#.ssm_conv1d.weight", flo_make_squeezed, NULL},
    {"layers.#.linear_attn.norm", "blk.#.ssm_norm", NULL, NULL},
    {"layers.#.linear_attn.out_proj", "blk.#.ssm_out", NULL, NULL},
    {"layers.#.linear_attn.in_proj_ba", "blk.#.ssm_ba", NULL, NULL},
    {"layers.#.linear_attn.in_proj_qkvz.weight", "blk.#.attn_qkv.weight|blk.#.attn_gate.weight",
     make_qkvz, NULL},
    {"layers.#.mlp.shared_expert.gate_proj", "blk.#.ffn_gate_shexp", NULL, NULL},
    {"layers.#.mlp.shared_expert.up_proj", "blk.#.ffn_up_shexp", NULL, NULL},
    {"layers.#.mlp.shared_expert.down_proj", "blk.#.ffn_down_shexp", NULL, NULL},
    {"layers.#.mlp.shared_expert_gate", "blk.#.ffn_gate_inp_shexp", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* ---- tensors of Qwen3.5 ---- */

/* Returns the order of value heads in the file: the first one of each key head,
 * then the second ones.  The folder has those of a key head side by side. */
static struct flo_nest tiled(const struct net *net, uint64_t first, uint64_t size)
{
    uint64_t ratio = net->values / net->keys;
    return (struct flo_nest){first, {ratio, net->keys, size}, {size, ratio * size, 1}};
}

/* Defines a maker that reorders rows. */
#define TILED(name, make, has_keys, is_wide)                                                       \
    static int name(struct flo_import *import, const struct flo_import_match *match,               \
                    struct flo_err *err)                                                           \
    {                                                                                              \
        return make_tiled(import, match, make, has_keys, is_wide, err);                            \
    }

/* Reorders the rows behind the first `plain` ones, in heads of `size` rows. */
static int make_tiled(struct flo_import *import, const struct flo_import_match *match,
                      flo_import_make *make, bool has_keys, bool is_wide, struct flo_err *err)
{
    struct net net;
    FLO_TRY(read_net(import, &net, err));
    FLO_TRY(make(import, match, err));
    struct flo_output *output = &import->outputs[import->output_count - 1];
    uint64_t size = is_wide ? net.value_bytes : 1;
    uint64_t plain = has_keys ? 2 * (uint64_t)net.key_bytes * net.keys : 0;
    output->width = output->head.dim_count == 1 ? 1 : output->width;
    if (output->head.values / output->width != plain + size * net.values) {
        return flo_match_fail(match, err, "its rows do not fit config.json");
    }
    FLO_TRY(flo_output_parts(output, has_keys ? 2 : 1, err));
    if (has_keys) {
        output->parts[0] = (struct flo_part){.source = match->tensor, .rows = plain};
    }
    output->parts[output->part_count - 1] = (struct flo_part){
        .source = match->tensor, .rows = size * net.values, .nest = tiled(&net, plain, size)};
    return 0;
}

TILED(make_heads, flo_make_plain, false, false)
TILED(make_decay, flo_make_minus_exp, false, false)
TILED(make_gate, flo_make_plain, false, true)
TILED(make_qkv, flo_make_plain, true, true)
TILED(make_conv, flo_make_squeezed, true, true)

/* The projection behind a delta net takes values, so its columns move. */
static int make_out(struct flo_import *import, const struct flo_import_match *match,
                    struct flo_err *err)
{
    struct net net;
    FLO_TRY(read_net(import, &net, err));
    FLO_TRY(flo_make_plain(import, match, err));
    struct flo_output *output = &import->outputs[import->output_count - 1];
    if (output->width != (uint64_t)net.values * net.value_bytes) {
        return flo_match_fail(match, err, "its columns do not fit config.json");
    }
    output->columns = tiled(&net, 0, net.value_bytes);
    return 0;
}

const struct flo_import_row flo_rows_qwen35[] = {
    {"norm", "output_norm", flo_make_plus_one, NULL},
    {"layers.#.input_layernorm", "blk.#.attn_norm", flo_make_plus_one, NULL},
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", flo_make_plus_one, NULL},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", flo_make_plus_one, NULL},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", flo_make_plus_one, NULL},
    {"layers.#.linear_attn.A_log", "blk.#.ssm_a", make_decay, NULL},
    {"layers.#.linear_attn.dt_bias", "blk.#.ssm_dt.bias", make_heads, NULL},
    {"layers.#.linear_attn.conv1d.weight", "blk.#.ssm_conv1d.weight", make_conv, NULL},
    {"layers.#.linear_attn.norm", "blk.#.ssm_norm", NULL, NULL},
    {"layers.#.linear_attn.out_proj", "blk.#.ssm_out", make_out, NULL},
    {"layers.#.linear_attn.in_proj_a", "blk.#.ssm_alpha", make_heads, NULL},
    {"layers.#.linear_attn.in_proj_b", "blk.#.ssm_beta", make_heads, NULL},
    {"layers.#.linear_attn.in_proj_z", "blk.#.attn_gate", make_gate, NULL},
    {"layers.#.linear_attn.in_proj_qkv", "blk.#.attn_qkv", make_qkv, NULL},
    {NULL, NULL, NULL, NULL},
};

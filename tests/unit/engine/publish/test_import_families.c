/* Families of an import: where rows, columns and values go, and which keys
 * follow from config.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "unit/engine/publish/import_make.h"

/* A model of one layer of 2 heads and a width of 8, with 4 tokens.  `more`
 * comes first, so it wins. */
#define CONFIG(arch, more)                                                                         \
    "{\"architectures\":[\"" arch "\"]" more ",\"hidden_size\":8,\"num_hidden_layers\":1,"         \
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"intermediate_size\":4,"                 \
    "\"vocab_size\":4,\"rms_norm_eps\":1e-5,\"max_position_embeddings\":64,\"rope_theta\":10000}"
#define TOKENIZER "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"
#define L "model.layers.0."
#define EMBEDDING                                                                                  \
    {                                                                                              \
        "model.embed_tokens.weight", "F32", {4, 8}, NULL                                           \
    }

static int make_folder(void **state)
{
    (void)state;
    make_empty_folder();
    make_text(folder, "tokenizer.json", TOKENIZER);
    return 0;
}

/* Imports these tensors, of which value i is i + 1. */
static struct flo_gguf *family(const char *config, const struct made_tensor *tensors, size_t count)
{
    make_text(folder, "config.json", config);
    make_weights(folder, "model.safetensors", tensors, count);
    return must_import("f32");
}
#define FAMILY(config, tensors) family(config, tensors, FLO_COUNT(tensors))

/* Expects the first value of each row of 8, or of `width` values. */
static void expect_rows(const struct flo_gguf *gguf, const char *name, const float *wanted,
                        size_t rows, size_t width)
{
    const float *values = values_of(gguf, name);
    for (size_t i = 0; i < rows; i++) {
        if (fabsf(values[i * width] - wanted[i]) > 1e-5F * fabsf(wanted[i])) {
            print_message("%s, row %zu: %g\n", name, i, (double)values[i * width]);
        }
        assert_true(fabsf(values[i * width] - wanted[i]) <= 1e-5F * fabsf(wanted[i]));
    }
}
#define ROWS(gguf, name, width, ...)                                                               \
    expect_rows(gguf, name, (const float[]){__VA_ARGS__},                                          \
                FLO_COUNT(((const float[]){__VA_ARGS__})), width)

#define NET(keys, values)                                                                          \
    ",\"linear_num_key_heads\":" keys ",\"linear_num_value_heads\":" values                        \
    ",\"linear_key_head_dim\":1,\"linear_value_head_dim\":1,\"linear_conv_kernel_dim\":4,"         \
    "\"layer_types\":[\"linear_attention\"]"

static void value_heads_of_qwen35_are_tiled(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "linear_attn.in_proj_qkv.weight", "F32", {8, 8}, NULL},
        {L "linear_attn.out_proj.weight", "F32", {8, 4}, NULL},
        {L "linear_attn.A_log", "F32", {4}, NULL},
        {L "input_layernorm.weight", "F32", {8}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(CONFIG("Qwen3_5ForCausalLM", NET("2", "4")), tensors);
    /* q q k k, then value heads 0 2 1 3 */
    ROWS(gguf, "blk.0.attn_qkv.weight", 8, 1, 9, 17, 25, 33, 49, 41, 57);
    ROWS(gguf, "blk.0.ssm_out.weight", 1, 1, 3, 2, 4);
    ROWS(gguf, "blk.0.ssm_a", 1, -2.7182817F, -20.085537F, -7.3890562F, -54.59815F);
    ROWS(gguf, "blk.0.attn_norm.weight", 1, 2, 3);
    expect_number(gguf, "qwen35.ssm.inner_size", 4);
    flo_gguf_close(gguf);
}

static void fused_projections_of_qwen3_next_are_taken_apart(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "linear_attn.in_proj_qkvz.weight", "F32", {8, 8}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(CONFIG("Qwen3NextForCausalLM", NET("2", "2")), tensors);
    ROWS(gguf, "blk.0.attn_qkv.weight", 8, 1, 33, 9, 41, 17, 49);
    ROWS(gguf, "blk.0.attn_gate.weight", 8, 25, 57);
    flo_gguf_close(gguf);
}

static void multipliers_of_falcon_h1_go_into_the_weights(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        {"model.embed_tokens.weight", "F32", {4, 8}, NULL},
        {L "mamba.in_proj.weight", "F32", {5, 8}, NULL},
        {L "self_attn.k_proj.weight", "F32", {4, 8}, NULL},
        {L "feed_forward.down_proj.weight", "F32", {8, 4}, NULL},
        {L "mamba.conv1d.weight", "F32", {3, 1, 4}, NULL},
        {L "mamba.D", "F32", {2}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(
        CONFIG("FalconH1ForCausalLM",
               ",\"mamba_d_ssm\":1,\"mamba_n_groups\":1,\"mamba_d_state\":1,\"mamba_n_heads\":2,"
               "\"ssm_in_multiplier\":2,\"ssm_multipliers\":[1,10,100,1000,10000],"
               "\"embedding_multiplier\":3,\"key_multiplier\":5,\"attention_in_multiplier\":7,"
               "\"mlp_multipliers\":[1,11]"),
        tensors);
    ROWS(gguf, "blk.0.ssm_in.weight", 8, 2, 180, 3400, 50000, 660000);
    ROWS(gguf, "token_embd.weight", 8, 3, 27);
    ROWS(gguf, "blk.0.attn_k.weight", 8, 35, 315);
    ROWS(gguf, "blk.0.ffn_down.weight", 4, 11, 55);
    assert_int_equal(flo_gguf_tensor_find(gguf, "blk.0.ssm_conv1d.weight")->dims[0], 4);
    assert_int_equal(flo_gguf_tensor_find(gguf, "blk.0.ssm_d")->dims[1], 2);
    flo_gguf_close(gguf);
}

static void layers_of_nemotron_follow_its_pattern(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        {"backbone.embeddings.weight", "F32", {4, 8}, NULL},
        {"backbone.layers.0.mixer.norm.weight", "F32", {8}, NULL},
        {"backbone.layers.1.mixer.q_proj.weight", "F32", {8, 8}, NULL},
        {"backbone.layers.2.mixer.up_proj.weight", "F32", {4, 8}, NULL},
    };
    struct flo_gguf *gguf =
        FAMILY(CONFIG("NemotronHForCausalLM",
                      ",\"num_hidden_layers\":3,\"hybrid_override_pattern\":\"M*-\","
                      "\"n_groups\":2,\"mamba_num_heads\":2,\"mamba_head_dim\":4,\"head_dim\":4"),
               tensors);
    const struct flo_gguf_kv *heads = NULL, *sizes = NULL;
    assert_int_equal(
        flo_gguf_array(gguf, "nemotron_h.attention.head_count_kv", FLO_GGUF_I32, &heads, NULL), 0);
    assert_int_equal(
        flo_gguf_array(gguf, "nemotron_h.feed_forward_length", FLO_GGUF_I32, &sizes, NULL), 0);
    assert_int_equal(flo_get_u32(heads->data + 4), 1);
    assert_int_equal(flo_get_u32(heads->data + 8), 0);
    assert_int_equal(flo_get_u32(sizes->data + 8), 4);
    assert_int_equal(flo_gguf_tensor_find(gguf, "blk.0.ssm_norm.weight")->dims[1], 2);
    flo_gguf_close(gguf);
}

static void granite_is_dense_or_hybrid_by_its_layers(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "shared_mlp.input_linear.weight", "F32", {8, 8}, NULL},
    };
    struct flo_gguf *gguf =
        FAMILY(CONFIG("GraniteMoeHybridForCausalLM", ",\"layer_types\":[\"attention\"]"), tensors);
    expect_text(gguf, "general.architecture", "granite");
    ROWS(gguf, "blk.0.ffn_gate.weight", 8, 1, 9);
    ROWS(gguf, "blk.0.ffn_up.weight", 8, 33, 41);
    flo_gguf_close(gguf);
    gguf = FAMILY(CONFIG("GraniteMoeHybridForCausalLM",
                         ",\"layer_types\":[\"mamba\"],\"num_local_experts\":2"),
                  tensors);
    expect_text(gguf, "general.architecture", "granitehybrid");
    ROWS(gguf, "blk.0.ffn_up_shexp.weight", 8, 33, 41);
    flo_gguf_close(gguf);
}

static void gemma3n_pads_its_tokens_and_stacks_its_streams(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "input_layernorm.weight", "F32", {8}, NULL},
        {"model.altup_projections.0.weight", "F32", {8, 8}, NULL},
        {"model.altup_projections.1.weight", "F32", {8, 8}, NULL},
        {"model.altup_projections.2.weight", "F32", {8, 8}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(
        CONFIG("Gemma3nForCausalLM", ",\"vocab_size\":6,\"activation_sparsity_pattern\":[0.95],"
                                     "\"layer_types\":[\"full_attention\"]"),
        tensors);
    ROWS(gguf, "token_embd.weight", 8, 1, 9, 17, 25, 0, 0);
    ROWS(gguf, "altup_proj.weight", 64, 1, 1, 1);
    ROWS(gguf, "blk.0.attn_norm.weight", 1, 1, 2); /* this Gemma adds no one */
    const struct flo_gguf_kv *scale = NULL;
    float point;
    assert_int_equal(
        flo_gguf_array(gguf, "gemma3n.activation_sparsity_scale", FLO_GGUF_F32, &scale, NULL), 0);
    memcpy(&point, scale->data, sizeof(point));
    assert_true(fabsf(point - 1.6448536F) < 1e-5F);
    flo_gguf_close(gguf);
}

static void gemma4_turns_a_part_of_its_pairs(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "layer_scalar", "F32", {1}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(
        CONFIG("Gemma4ForCausalLM", ",\"layer_types\":[\"full_attention\"],\"global_head_dim\":8,"
                                    "\"head_dim\":4,\"rope_parameters\":{\"full_attention\":{"
                                    "\"partial_rotary_factor\":0.25,\"rope_theta\":1e6},"
                                    "\"sliding_attention\":{\"rope_theta\":1e4}}"),
        tensors);
    ROWS(gguf, "rope_freqs.weight", 1, 1, 1e30F, 1e30F, 1e30F);
    expect_number(gguf, "gemma4.attention.key_length", 8);
    expect_number(gguf, "gemma4.attention.key_length_swa", 4);
    flo_gguf_close(gguf);
}

static void xlm_r_starts_at_its_first_position(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        {"roberta.embeddings.word_embeddings.weight", "F32", {4, 8}, NULL},
        {"roberta.embeddings.position_embeddings.weight", "F32", {6, 8}, NULL},
        {"roberta.encoder.layer.0.attention.output.LayerNorm.weight", "F32", {8}, NULL},
        {"classifier.dense.weight", "F32", {8, 8}, NULL},
        {"classifier.out_proj.weight", "F32", {1, 8}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(CONFIG("XLMRobertaForSequenceClassification",
                                          ",\"pad_token_id\":1,\"id2label\":{\"0\":\"score\"}"),
                                   tensors);
    ROWS(gguf, "position_embd.weight", 8, 17, 25);
    expect_number(gguf, "bert.context_length", 62);
    assert_non_null(flo_gguf_tensor_find(gguf, "cls.output.weight"));
    assert_non_null(flo_gguf_find(gguf, "bert.classifier.output_labels"));
    flo_gguf_close(gguf);
}

static void a_pooler_stays_only_with_scores(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        {"bert.embeddings.word_embeddings.weight", "F32", {4, 8}, NULL},
        {"bert.encoder.layer.0.output.dense.weight", "F32", {8, 4}, NULL},
        {"bert.pooler.dense.weight", "F32", {8, 8}, NULL},
        {"classifier.weight", "F32", {1, 8}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(CONFIG("BertForSequenceClassification", ""), tensors);
    assert_non_null(flo_gguf_tensor_find(gguf, "cls.weight"));
    flo_gguf_close(gguf);
    make_text(folder, "modules.json",
              "[{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"}]");
    char path[300];
    snprintf(path, sizeof(path), "%s/1_Pooling", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    make_text(folder, "1_Pooling/config.json", "{\"pooling_mode_cls_token\":true}");
    gguf = family(CONFIG("BertModel", ""), tensors, 3);
    assert_null(flo_gguf_tensor_find(gguf, "cls.weight"));
    expect_number(gguf, "bert.pooling_type", 2);
    flo_gguf_close(gguf);
}

static void gpt_oss_says_when_corners_are_not_rounded(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "mlp.experts.gate_up_proj_bias", "F32", {1, 4}, NULL},
    };
    struct flo_gguf *gguf = FAMILY(
        CONFIG("GptOssForCausalLM",
               ",\"num_local_experts\":1,\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":32,"
               "\"original_max_position_embeddings\":32,\"truncate\":false}"),
        tensors);
    bool rounds = true;
    assert_int_equal(flo_gguf_bool(gguf, "gpt-oss.rope.scaling.yarn_truncate", &rounds, NULL), 0);
    assert_false(rounds);
    ROWS(gguf, "blk.0.ffn_gate_exps.bias", 1, 1, 3);
    ROWS(gguf, "blk.0.ffn_up_exps.bias", 1, 2, 4);
    flo_gguf_close(gguf);
}

static void experts_of_gpt_oss_that_are_floats_are_refused(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "mlp.experts.down_proj", "F32", {1, 8, 8}, NULL},
    };
    struct flo_gguf *gguf = NULL;
    make_text(folder, "config.json", CONFIG("GptOssForCausalLM", ",\"num_local_experts\":1"));
    make_weights(folder, "model.safetensors", tensors, FLO_COUNT(tensors));
    assert_true(imported("f32", &gguf) < 0);
    assert_non_null(strstr(err.what, "not in MXFP4"));
}

static void scaled_rotations_become_factors_or_a_base(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "input_layernorm.weight", "F32", {8}, NULL},
    };
    float base = 0;
    struct flo_gguf *gguf = FAMILY(
        CONFIG("LlamaForCausalLM",
               ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
               "\"high_freq_factor\":4,\"original_max_position_embeddings\":64}"),
        tensors);
    ROWS(gguf, "rope_freqs.weight", 1, 1, 8); /* waves of 6 and 628 tokens */
    flo_gguf_close(gguf);
    gguf = FAMILY(CONFIG("HunYuanDenseV1ForCausalLM",
                         ",\"head_dim\":4,\"rope_scaling\":{\"type\":\"dynamic\",\"alpha\":100}"),
                  tensors);
    assert_int_equal(flo_gguf_f32(gguf, "hunyuan-dense.rope.freq_base", &base, NULL), 0);
    assert_true(base == 1e8F); /* 10000 x 100^2 */
    flo_gguf_close(gguf);
}

static void minicpm_scales_by_depth_and_base(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {"model.layers.0.input_layernorm.weight", "F32", {8}, NULL},
        {"model.layers.1.input_layernorm.weight", "F32", {8}, NULL},
        {"model.layers.2.input_layernorm.weight", "F32", {8}, NULL},
        {"model.layers.3.input_layernorm.weight", "F32", {8}, NULL},
    };
    float of_parts = 0, of_logits = 0;
    struct flo_gguf *gguf =
        FAMILY(CONFIG("MiniCPMForCausalLM",
                      ",\"num_hidden_layers\":4,\"scale_emb\":12,\"scale_depth\":1.5,"
                      "\"dim_model_base\":2,\"rope_scaling\":{\"rope_type\":\"longrope\","
                      "\"long_factor\":[1,2],\"short_factor\":[1,1]}"),
               tensors);
    assert_int_equal(flo_gguf_f32(gguf, "minicpm.residual_scale", &of_parts, NULL), 0);
    assert_int_equal(flo_gguf_f32(gguf, "minicpm.logit_scale", &of_logits, NULL), 0);
    assert_true(of_parts == 0.75F && of_logits == 4);
    ROWS(gguf, "rope_factors_long.weight", 1, 1, 2);
    flo_gguf_close(gguf);
    make_text(folder, "config.json", CONFIG("MiniCPMForCausalLM", ",\"dim_model_base\":0"));
    assert_true(imported("f32", &gguf) < 0);
    assert_non_null(strstr(err.what, "dim_model_base is 0"));
}

static void lfm2_rounds_its_feed_forward_up(void **state)
{
    (void)state;
    static const struct made_tensor tensors[] = {
        EMBEDDING,
        {L "conv.conv.weight", "F32", {8, 1, 3}, NULL},
    };
    struct flo_gguf *gguf =
        FAMILY(CONFIG("Lfm2ForCausalLM",
                      ",\"block_ff_dim\":176,\"block_auto_adjust_ff_dim\":true,"
                      "\"block_multiple_of\":32,\"conv_L_cache\":3,\"layer_types\":[\"conv\"]"),
               tensors);
    expect_number(gguf, "lfm2.feed_forward_length", 128);
    expect_number(gguf, "lfm2.shortconv.l_cache", 3);
    flo_gguf_close(gguf);
}

/* A number beyond any range is held at the range's end, or refused; it never becomes
 * another one, which might be 0. */
static void no_number_of_a_folder_divides_by_zero(void **state)
{
    static const char *const values[] = {"-1", "0", "0.5", "4294967296", "1e300", "-1e300"};
    static const char *const rows[][2] = {
        {"SmolLM3ForCausalLM", "no_rope_layer_interval"},
        {"Gemma3ForCausalLM", "sliding_window\":4,\"sliding_window_pattern"},
        {"Phi3ForCausalLM", "partial_rotary_factor"},
        {"Phi3ForCausalLM", "original_max_position_embeddings"},
        {"Qwen3NextForCausalLM", "partial_rotary_factor"},
        {"Lfm2ForCausalLM", "block_auto_adjust_ff_dim\":true,\"block_ffn_dim_multiplier"},
        {"FalconH1ForCausalLM", "mamba_d_ssm"},
        {"XLMRobertaModel", "pad_token_id"},
    };
    static const struct made_tensor tensors[] = {EMBEDDING};

    (void)state;
    make_weights(folder, "model.safetensors", tensors, FLO_COUNT(tensors));
    for (size_t i = 0; i < FLO_COUNT(rows) * FLO_COUNT(values); i++) {
        const char *const *row = rows[i / FLO_COUNT(values)];
        struct flo_gguf *gguf = NULL;
        char config[512];
        snprintf(config, sizeof(config), CONFIG("%s", ",\"%s\":%s"), row[0], row[1],
                 values[i % FLO_COUNT(values)]);
        make_text(folder, "config.json", config);
        if (imported("f32", &gguf) < 0) {
            assert_true(err.what[0] != '\0');
        }
        flo_gguf_close(gguf);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(value_heads_of_qwen35_are_tiled),
        TEST(fused_projections_of_qwen3_next_are_taken_apart),
        TEST(multipliers_of_falcon_h1_go_into_the_weights),
        TEST(layers_of_nemotron_follow_its_pattern),
        TEST(granite_is_dense_or_hybrid_by_its_layers),
        TEST(gemma3n_pads_its_tokens_and_stacks_its_streams),
        TEST(gemma4_turns_a_part_of_its_pairs),
        TEST(xlm_r_starts_at_its_first_position),
        TEST(a_pooler_stays_only_with_scores),
        TEST(gpt_oss_says_when_corners_are_not_rounded),
        TEST(experts_of_gpt_oss_that_are_floats_are_refused),
        TEST(scaled_rotations_become_factors_or_a_base),
        TEST(minicpm_scales_by_depth_and_base),
        TEST(lfm2_rounds_its_feed_forward_up),
        TEST(no_number_of_a_folder_divides_by_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Importing a folder: names, order of rows, shards, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "unit/engine/publish/import_llama.h"

/* Expects the item of an array of strings. */
static void expect_item(const struct flo_gguf *gguf, const char *key, uint64_t index,
                        const char *wanted)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    assert_non_null(kv);
    assert_true(index < kv->count);
    const uint8_t *cursor = kv->data;
    struct flo_gguf_text text = {"", 0};
    for (uint64_t i = 0; i <= index; i++) {
        text = flo_gguf_next_string(&cursor);
    }
    assert_true(flo_gguf_text_is(text, wanted));
}

/* Expects the import to fail with this id, and its text to name `word`. */
static void expect_refused(const char *id, const char *word)
{
    struct flo_gguf *gguf = NULL;
    int rv = imported("f32", &gguf);
    if (rv == 0 || strstr(err.what, word) == NULL) {
        print_message("%d: %s\n", rv, err.what);
    }
    assert_true(rv < 0);
    assert_string_equal(flo_error_id(rv), id);
    assert_non_null(strstr(err.what, word));
}

/* ---- files ---- */

static void a_folder_becomes_a_file_with_the_converters_names(void **state)
{
    (void)state;
    struct flo_gguf *gguf = must_import("f32");
    expect_text(gguf, "general.architecture", "llama");
    expect_number(gguf, "llama.block_count", 2);
    expect_number(gguf, "llama.rope.dimension_count", 4);
    assert_int_equal(flo_gguf_tensor_count(gguf), FLO_COUNT(tensors));
    assert_non_null(flo_gguf_tensor_find(gguf, "blk.1.ffn_down.weight"));
    assert_null(flo_gguf_tensor_find(gguf, "output.weight")); /* tied */
    assert_true(values_of(gguf, "output_norm.weight")[7] == 8);
    flo_gguf_close(gguf);
}

static void heads_of_a_norm_family_are_put_in_pairs(void **state)
{
    (void)state;
    /* rows of a head, in the file's order: 0 2 1 3 */
    struct flo_gguf *gguf = must_import("f32");
    const float *q = values_of(gguf, "blk.0.attn_q.weight");
    assert_true(q[0] == 1 && q[8] == 17 && q[16] == 9 && q[24] == 25);
    assert_true(q[32] == 33 && q[40] == 49);
    flo_gguf_close(gguf);
    make_text(folder, "config.json", CONFIG("Qwen2ForCausalLM", ""));
    gguf = must_import("f32");
    assert_true(values_of(gguf, "blk.0.attn_q.weight")[8] == 9);
    flo_gguf_close(gguf);
}

static void tokens_and_their_rules_come_along(void **state)
{
    (void)state;
    make_text(folder, "chat_template.jinja", "{{ messages }}");
    struct flo_gguf *gguf = must_import("f32");
    expect_text(gguf, "tokenizer.ggml.model", "gpt2");
    expect_item(gguf, "tokenizer.ggml.tokens", 2, "ab");
    expect_item(gguf, "tokenizer.ggml.merges", 0, "a b");
    expect_item(gguf, "flotilla.tokenizer.split", 0, "\\p{N}");
    expect_text(gguf, "flotilla.tokenizer.normalizer", "nfc");
    expect_number(gguf, "tokenizer.ggml.bos_token_id", 4);
    expect_number(gguf, "tokenizer.ggml.eos_token_id", 5);
    bool adds = false;
    assert_int_equal(flo_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &adds, NULL), 0);
    assert_true(adds);
    expect_text(gguf, "tokenizer.chat_template", "{{ messages }}");
    flo_gguf_close(gguf);
}

static void a_type_is_what_quantize_would_choose(void **state)
{
    (void)state;
    struct flo_gguf *gguf = must_import("f16");
    assert_int_equal(flo_gguf_tensor_find(gguf, "blk.0.attn_v.weight")->type, FLO_QUANT_F16);
    assert_int_equal(flo_gguf_tensor_find(gguf, "blk.0.attn_norm.weight")->type, FLO_QUANT_F32);
    expect_number(gguf, "general.file_type", 1);
    flo_gguf_close(gguf);
    gguf = must_import(NULL); /* the folder's own */
    assert_int_equal(flo_gguf_tensor_find(gguf, "blk.0.attn_v.weight")->type, FLO_QUANT_BF16);
    flo_gguf_close(gguf);
}

static void card_and_sampling_are_read(void **state)
{
    (void)state;
    make_text(folder, "README.md",
              "---\nlicense: apache-2.0\nbase_model:\n- acme/base-1b\ntags:\n- x\n---\n# Model\n");
    make_text(folder, "generation_config.json", "{\"top_k\":20,\"temperature\":0.6}");
    struct flo_gguf *gguf = must_import("f32");
    float temperature = 0;
    expect_text(gguf, "general.license", "apache-2.0");
    expect_text(gguf, "general.base_model.0.name", "base-1b");
    expect_number(gguf, "general.base_model.count", 1);
    expect_number(gguf, "general.sampling.top_k", 20);
    assert_int_equal(flo_gguf_f32(gguf, "general.sampling.temp", &temperature, NULL), 0);
    assert_true(temperature == 0.6F);
    flo_gguf_close(gguf);
}

/* ---- shards ---- */

#define INDEX "model.safetensors.index.json"

static void make_shards(void)
{
    struct flo_buf index = {0};
    make_weights(folder, "a.safetensors", tensors, 10);
    make_weights(folder, "b.safetensors", tensors + 10, FLO_COUNT(tensors) - 10);
    for (size_t i = 0; i < FLO_COUNT(tensors); i++) {
        flo_buf_printf(&index, "%s\"%s\":\"%c.safetensors\"", i == 0 ? "{\"weight_map\":{" : ",",
                       tensors[i].name, i < 10 ? 'a' : 'b');
    }
    flo_buf_text(&index, "}}");
    make_file(folder, INDEX, index.data, index.bytes);
    flo_buf_deinit(&index);
}

static void shards_make_one_file(void **state)
{
    (void)state;
    make_shards();
    struct flo_gguf *gguf = must_import("f32");
    assert_int_equal(flo_gguf_tensor_count(gguf), FLO_COUNT(tensors));
    assert_true(values_of(gguf, "blk.1.ffn_up.weight")[31] == 32);
    flo_gguf_close(gguf);
}

static void a_missing_shard_is_named(void **state)
{
    (void)state;
    char path[300];
    make_shards();
    snprintf(path, sizeof(path), "%s/b.safetensors", folder);
    unlink(path);
    expect_refused("model.folder", "b.safetensors is missing");
}

static void an_index_names_no_file_outside(void **state)
{
    (void)state;
    make_text(folder, INDEX, "{\"weight_map\":{\"model.norm.weight\":\"../x.safetensors\"}}");
    expect_refused("model.folder", "outside the folder");
}

static void a_tensor_that_its_shard_lacks_is_named(void **state)
{
    (void)state;
    make_weights(folder, "a.safetensors", tensors, 1);
    make_text(folder, INDEX, "{\"weight_map\":{\"model.norm.weight\":\"a.safetensors\"}}");
    expect_refused("model.folder", "'model.norm.weight' of the index");
}

/* ---- experts ---- */

static const struct made_tensor experts[] = {
    {"model.embed_tokens.weight", "F32", {6, 8}, NULL},
    {"model.layers.0.mlp.experts.1.up_proj.weight", "F32", {4, 8}, NULL},
    {"model.layers.0.mlp.experts.0.up_proj.weight", "F32", {4, 8}, NULL},
    {"model.layers.1.input_layernorm.weight", "F32", {8}, NULL},
    {"model.layers.0.mlp.experts.2.up_proj.weight", "F32", {4, 8}, NULL},
};
#define EXPERTS_CONFIG CONFIG("Qwen3MoeForCausalLM", ",\"num_experts\":3")

static void experts_become_one_stack(void **state)
{
    (void)state;
    make_text(folder, "config.json", EXPERTS_CONFIG);
    make_weights(folder, "model.safetensors", experts, FLO_COUNT(experts));
    struct flo_gguf *gguf = must_import("f32");
    const struct flo_gguf_tensor *stack = flo_gguf_tensor_find(gguf, "blk.0.ffn_up_exps.weight");
    assert_non_null(stack);
    assert_int_equal(stack->dims[2], 3);
    assert_true(values_of(gguf, "blk.0.ffn_up_exps.weight")[32] == 1);
    flo_gguf_close(gguf);
}

static void a_missing_expert_is_named(void **state)
{
    (void)state;
    make_text(folder, "config.json", EXPERTS_CONFIG);
    make_weights(folder, "model.safetensors", experts, FLO_COUNT(experts) - 1);
    expect_refused("model.folder", "expert 2");
    make_text(folder, "config.json", CONFIG("Qwen3MoeForCausalLM", ",\"num_experts\":2"));
    make_weights(folder, "model.safetensors", experts + 2, 2);
    expect_refused("model.folder", "expert 1");
}

/* ---- MXFP4 ---- */

static const uint8_t codes[32] = {0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe,
                                  0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe};
static const uint8_t powers[2] = {128, 127};
static const struct made_tensor mxfp4[] = {
    {"model.embed_tokens.weight", "F32", {6, 8}, NULL},
    {"model.layers.0.mlp.experts.gate_up_proj_blocks", "U8", {1, 2, 1, 16}, codes},
    {"model.layers.0.mlp.experts.gate_up_proj_scales", "U8", {1, 2, 1}, powers},
    {"model.layers.1.input_layernorm.weight", "F32", {8}, NULL},
};

static void mxfp4_keeps_its_codes_unless_f32_is_wanted(void **state)
{
    (void)state;
    make_text(folder, "config.json",
              "{\"architectures\":[\"GptOssForCausalLM\"],\"hidden_size\":32,"
              "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"vocab_size\":6,"
              "\"num_local_experts\":1,\"quantization_config\":{\"quant_method\":\"mxfp4\"}}");
    struct made_tensor wide[FLO_COUNT(mxfp4)];
    memcpy(wide, mxfp4, sizeof(wide));
    wide[0].dims[1] = wide[3].dims[0] = 32;
    make_weights(folder, "model.safetensors", wide, FLO_COUNT(wide));
    struct flo_gguf *gguf = must_import("f16");
    const struct flo_gguf_tensor *gate = flo_gguf_tensor_find(gguf, "blk.0.ffn_gate_exps.weight");
    assert_int_equal(gate->type, FLO_QUANT_MXFP4_ID);
    const uint8_t *block = flo_gguf_tensor_data(gguf, gate);
    assert_int_equal(block[0], 128);
    assert_int_equal(block[1], 0x00); /* codes 0 and 16 */
    assert_int_equal(block[2], 0x11);
    assert_int_equal(block[16], 0xff);
    flo_gguf_close(gguf);
    gguf = must_import("f32");
    const float *values = values_of(gguf, "blk.0.ffn_gate_exps.weight");
    assert_true(values[1] == 1 && values[7] == 12 && values[15] == -12);
    assert_true(values_of(gguf, "blk.0.ffn_up_exps.weight")[0] == 0);
    flo_gguf_close(gguf);
}

/* ---- refused ---- */

static void wrong_settings_are_refused_with_their_name(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        const char *id, *word;
    } cases[] = {
        {"[]", "model.folder", "no object"},
        {"{\"architectures\"", "model.folder", "no JSON"},
        {"{}", "model.folder", "names no architecture"},
        {CONFIG("BloomForCausalLM", ""), "model.arch", "\"BloomForCausalLM\" is not known"},
        {CONFIG("MyForCausalLM", ",\"auto_map\":{\"AutoModel\":\"m.M\"}"), "model.arch",
         "is never run"},
        {CONFIG("LlamaForCausalLM", ",\"num_hidden_layers\":1000000000"), "model.folder",
         "no whole number of at most 1024"},
        {CONFIG("LlamaForCausalLM", ",\"n_layers\":NaN,\"hidden_size\":16"), "model.folder",
         "is 8 wide, config.json says 16"},
        {CONFIG("LlamaForCausalLM", ",\"num_hidden_layers\":3"), "model.folder",
         "no tensor of layer 2"},
        {CONFIG("LlamaForCausalLM", ",\"num_hidden_layers\":1"), "model.folder", "fewer layers"},
        {CONFIG("LlamaForCausalLM", ",\"vocab_size\":7"), "model.folder", "6 tokens"},
        {CONFIG("LlamaForCausalLM", ",\"intermediate_size\":5"), "model.folder",
         "4 rows, config.json says 5"},
        {CONFIG("LlamaForCausalLM", ",\"tie_word_embeddings\":false"), "model.folder",
         "lm_head.weight is missing"},
        {CONFIG("LlamaForCausalLM", ",\"head_dim\":2"), "model.folder", "heads of 2"},
        {CONFIG("LlamaForCausalLM", ",\"quantization_config\":{\"quant_method\":\"gptq\"}"),
         "model.folder", "quantised (GPTQ), and none of them is"},
        {CONFIG("LlamaForCausalLM", ",\"quantization_config\":{\"load_in_4bit\":true}"),
         "model.folder", "already quantised"},
    };
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        make_text(folder, "config.json", cases[i].config);
        expect_refused(cases[i].id, cases[i].word);
    }
}

static void a_pickle_is_refused_with_its_reason(void **state)
{
    (void)state;
    char path[300];
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    unlink(path);
    make_text(folder, "pytorch_model.bin", "x");
    expect_refused("model.folder", "a pickle can run a program");
}

static void weights_that_are_no_floats_are_refused(void **state)
{
    (void)state;
    struct made_tensor odd[FLO_COUNT(tensors)];
    memcpy(odd, tensors, sizeof(odd));
    odd[2].type = "U8";
    make_weights(folder, "model.safetensors", odd, FLO_COUNT(odd));
    expect_refused("model.folder", "is U8");
}

static void a_nan_is_refused_with_its_tensor(void **state)
{
    (void)state;
    float values[8] = {1, 2, NAN};
    struct made_tensor odd[FLO_COUNT(tensors)];
    memcpy(odd, tensors, sizeof(odd));
    odd[FLO_COUNT(odd) - 1].type = "F32";
    odd[FLO_COUNT(odd) - 1].data = values;
    make_weights(folder, "model.safetensors", odd, FLO_COUNT(odd));
    expect_refused("model.nonfinite", "output_norm.weight");
}

static void a_tensor_that_no_row_knows_is_refused(void **state)
{
    (void)state;
    struct made_tensor odd[FLO_COUNT(tensors)];
    memcpy(odd, tensors, sizeof(odd));
    odd[3].name = "model.layers.0.self_attn.lora_k.weight";
    make_weights(folder, "model.safetensors", odd, FLO_COUNT(odd));
    expect_refused("model.folder", "does not know it");
}

static void a_layer_without_one_of_its_tensors_is_refused(void **state)
{
    (void)state;
    make_weights(folder, "model.safetensors", tensors + 1, FLO_COUNT(tensors) - 1);
    expect_refused("model.folder", "the embedding is missing");
    struct made_tensor fewer[FLO_COUNT(tensors)];
    memcpy(fewer, tensors, sizeof(fewer));
    fewer[9] = tensors[FLO_COUNT(tensors) - 1]; /* in place of a down projection */
    make_weights(folder, "model.safetensors", fewer, FLO_COUNT(fewer) - 1);
    expect_refused("model.folder", "1 of 2 layers have 'ffn_down.weight'");
}

static void a_head_of_2_gib_is_refused_unread(void **state)
{
    (void)state;
    char path[300];
    const uint8_t head[] = {0, 0, 0, 0x80, 0, 0, 0, 0, '{'};
    make_file(folder, "model.safetensors", head, sizeof(head));
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    assert_int_equal(truncate(path, 3ll << 30), 0);
    expect_refused("model.safetensors", "at most");
}

static void tensors_that_overlap_are_refused(void **state)
{
    (void)state;
    static const char head[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}";
    uint8_t file[8 + sizeof(head) - 1 + 6] = {0};
    flo_put_u64(file, sizeof(head) - 1);
    memcpy(file + 8, head, sizeof(head) - 1);
    make_file(folder, "model.safetensors", file, sizeof(file));
    expect_refused("model.safetensors", "does not follow the tensor before it");
}

static void a_file_of_a_quantiser_is_refused_with_its_method(void **state)
{
    (void)state;
    make_text(folder, "quant_config.json", "{\"version\":\"gemv\"}");
    expect_refused("model.folder", "already quantised (AWQ, version \"gemv\")");
    assert_non_null(strstr(err.fix, "--runtime"));
}

static void wrong_tokenizers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"{}", "not BPE"},
        {TOKENIZER("{\"a\":0,\"b\":9}", "[]"), "token 9 lies outside"},
        {TOKENIZER("{\"a\":0,\"b\":0}", "[]"), "two tokens have the id 0"},
        {TOKENIZER("[1]", "[]"), "no text and score"},
        {TOKENIZER(VOCABULARY, "[{\"id\":5}]"), "an added token has no text"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[[\"a\"]]}}", "merge 1"},
    };
    make_text(folder, "tokenizer_config.json", "{}"); /* its tokens are not the table's */
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        make_text(folder, "tokenizer.json", cases[i].text);
        expect_refused("model.folder", cases[i].word);
    }
}

static void a_million_added_tokens_are_refused(void **state)
{
    (void)state;
    struct flo_buf text = {0};
    flo_buf_text(&text, "{\"model\":{\"type\":\"BPE\",\"vocab\":{}},\"added_tokens\":[");
    for (uint32_t i = 0; i < 70000; i++) {
        flo_buf_text(&text, i == 0 ? "" : ",");
        flo_buf_text(&text, "{\"id\":0,\"content\":\"x\"}");
    }
    flo_buf_text(&text, "]}");
    make_file(folder, "tokenizer.json", text.data, text.bytes);
    flo_buf_deinit(&text);
    expect_refused("model.folder", "added tokens");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_becomes_a_file_with_the_converters_names),
        TEST(heads_of_a_norm_family_are_put_in_pairs),
        TEST(tokens_and_their_rules_come_along),
        TEST(a_type_is_what_quantize_would_choose),
        TEST(card_and_sampling_are_read),
        TEST(shards_make_one_file),
        TEST(a_missing_shard_is_named),
        TEST(an_index_names_no_file_outside),
        TEST(a_tensor_that_its_shard_lacks_is_named),
        TEST(experts_become_one_stack),
        TEST(a_missing_expert_is_named),
        TEST(mxfp4_keeps_its_codes_unless_f32_is_wanted),
        TEST(wrong_settings_are_refused_with_their_name),
        TEST(a_pickle_is_refused_with_its_reason),
        TEST(weights_that_are_no_floats_are_refused),
        TEST(a_nan_is_refused_with_its_tensor),
        TEST(a_tensor_that_no_row_knows_is_refused),
        TEST(a_layer_without_one_of_its_tensors_is_refused),
        TEST(a_head_of_2_gib_is_refused_unread),
        TEST(tensors_that_overlap_are_refused),
        TEST(a_file_of_a_quantiser_is_refused_with_its_method),
        TEST(wrong_tokenizers_are_refused),
        TEST(a_million_added_tokens_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

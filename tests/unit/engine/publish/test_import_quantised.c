/* Importing folders that are quantised already: values are those that the
 * method's own tool gives for the same codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "unit/engine/publish/import_make.h"

/* One matrix of 8 rows, in two groups of 4 columns, as each tool packs it. */
static const float wanted[] = {
    -1.5,  -7,    -6.5, -6,    -32, 8,   12,  -4, -32,  -28, -12, -8,   16,  12,   6,   2,
    -0.75, -0.75, -3.5, -3.25, 6,   4,   20,  8,  -2,   -2,  0,   -0.5, -32, 4,    8,   20,
    32,    0,     4,    24,    5,   6,   8,   -1, 28,   -32, -28, 28,   6,   -16,  -20, -14,
    -2.5,  4.5,   2.5,  2,     -32, -16, -32, 4,  -1.5, -5,  -3,  0.5,  1,   0.25, 0,   -0.75};
static const float wanted_moved[] = {
    8,   -7,    -6.5, -28, -32, -1.5, 12,  -3,   -2,   -28, -12, 10,   16,  -4,   6,   -24,
    14,  -0.75, -3.5, -6,  6,   -2,   20,  -1.5, -16,  -2,  0,   -4,   -32, 0.5,  8,   2.5,
    7,   0,     4,    5,   5,   28,   8,   0,    6,    -32, -28, 6,    6,   -16,  -20, -12,
    -44, 4.5,   2.5,  -8,  -32, 1,    -32, 3.5,  0.75, -5,  -3,  1.75, 1,   -2.5, 0,   -4.5};
static const uint32_t columns[] = {0x9dc2321c, 0x24796510, 0x8e6710bb, 0xfcb29a66,
                                   0x4dbaa54c, 0x524ff10f, 0xc3739ae0, 0x1458b407};
static const uint32_t zeros_less_1[] = {0x94739d7e, 0x3ab49309};
static const uint32_t zeros[] = {0xa584ae8f, 0x4bc5a41a};
static const uint16_t turned[] = {0x3800, 0x4400, 0x3400, 0x3800, 0x4400, 0x4400, 0x3800, 0x3800,
                                  0x4400, 0x4000, 0x4000, 0x4400, 0x3c00, 0x4000, 0x4400, 0x3400};
static const uint32_t columns_8[] = {
    0x302010c, 0x6050100, 0x1000b0b, 0x90a0606, 0xa05040c, 0xf01000f, 0x90a0e00, 0xb040007,
    0x90d0c02, 0x2040709, 0x80e0607, 0xf0c0b02, 0x40d0b0a, 0x502040f, 0xc030703, 0x1040508};
static const uint32_t zeros_8[] = {0x90d070e, 0x9040703, 0x9030009, 0x30a0b04};
static const int32_t places[] = {1, 0, 0, 1, 1, 0, 1, 0};
static const uint32_t twisted[] = {0x7f600cbc, 0x61e4b1,   0x41a5a502, 0xbf969a13,
                                   0x8f293a72, 0x54b77b6c, 0x42c43ded, 0x15f2c489};
static const uint32_t twisted_zeros[] = {0xa8a854ef, 0x4ca1b54a};
static const uint32_t words[] = {0x9dc2321c, 0x24796510, 0x8e6710bb, 0xfcb29a66,
                                 0x4dbaa54c, 0x524ff10f, 0xc3739ae0, 0x1458b407};
static const uint32_t word_zeros[] = {0xa584ae8f, 0x4bc5a41a};
static const float scales[] = {0.5F, 4, 4, 2, 0.25F, 2, 0.5F, 4, 4, 1, 4, 2, 0.5F, 4, 0.5F, 0.25F};
static const int8_t bytes[] = {4,  -7, -6, -5, -6, 4,  5,  1,  -8, -7, -3, -2, 1,  -1, -4, -6,
                               3,  3,  -8, -7, -1, -2, 6,  0,  -2, -2, 2,  1,  -6, 3,  4,  7,
                               4,  -4, -3, 2,  2,  3,  5,  -4, 7,  -8, -7, 7,  7,  -4, -6, -3,
                               -8, 6,  2,  1,  -5, -1, -5, 4,  -1, -8, -4, 3,  0,  -3, -4, -7};
static const int8_t byte_zeros[] = {7, 2, 0, -7, 6, -4, 2, 2, -4, -3, 0, 4, -3, 3, 2, -4};
static const uint8_t floats[] = {
    0x38, 0x1,  0x88, 0x64, 0xe6, 0x7a, 0x62, 0x25, 0x36, 0xb2, 0xcc, 0x4a, 0xa0, 0xdf, 0x25, 0x46,
    0x86, 0x8f, 0x65, 0x66, 0x21, 0x9c, 0xee, 0x32, 0xcc, 0x2e, 0xb,  0xbf, 0x2e, 0xc0, 0x54, 0x91,
    0xf0, 0xeb, 0x79, 0x34, 0x40, 0xd9, 0x96, 0x2b, 0xe2, 0xf6, 0xf8, 0x9f, 0xf9, 0x9b, 0x80, 0xf8,
    0x9a, 0xc9, 0x56, 0xca, 0xf9, 0xd,  0x89, 0x5e, 0xd,  0x15, 0x44, 0x31, 0xb7, 0x36, 0xa0, 0xfe};
static const uint64_t shape[] = {8, 8};

#define MATRIX "model.layers.0.self_attn.o_proj"
#define PARTS_MAX 8

static int make_folder(void **state)
{
    (void)state;
    make_empty_folder();
    make_text(folder, "tokenizer.json",
              "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}");
    return 0;
}

/* Writes a folder with some tensors of a matrix, and the settings of its
 * tool. */
static void make_quantised(const char *settings, const struct made_tensor *parts, size_t count)
{
    struct made_tensor tensors[PARTS_MAX + 2] = {
        {"model.embed_tokens.weight", "F32", {2, 8}, NULL},
        {"model.layers.0.input_layernorm.weight", "F32", {8}, NULL},
    };
    char config[1024];
    assert_true(count <= PARTS_MAX);
    memcpy(tensors + 2, parts, count * sizeof(*parts));
    make_weights(folder, "model.safetensors", tensors, count + 2);
    snprintf(config, sizeof(config),
             "{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"hidden_size\":8,\"num_experts\":3,"
             "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"vocab_size\":2,"
             "\"torch_dtype\":\"float16\",\"quantization_config\":{%s}}",
             settings);
    make_text(folder, "config.json", config);
}

static void expect_values(const char *settings, const struct made_tensor *parts, size_t count,
                          const float *values)
{
    make_quantised(settings, parts, count);
    struct flo_gguf *gguf = must_import("f32");
    const float *got = values_of(gguf, "blk.0.attn_output.weight");
    for (size_t i = 0; i < 64; i++) {
        if (got[i] != values[i]) {
            print_message("value %zu: %g, not %g\n", i, (double)got[i], (double)values[i]);
        }
        assert_true(got[i] == values[i]);
    }
    assert_int_equal(flo_gguf_tensor_count(gguf), 3); /* scales and zeros are no tensors */
    flo_gguf_close(gguf);
}

static void expect_refused(const char *settings, const struct made_tensor *parts, size_t count,
                           const char *word)
{
    struct flo_gguf *gguf = NULL;
    make_quantised(settings, parts, count);
    int rv = imported("f32", &gguf);
    if (rv == 0 || strstr(err.what, word) == NULL) {
        print_message("%d: %s\n", rv, err.what);
    }
    assert_string_equal(flo_error_id(rv), "model.folder");
    assert_non_null(strstr(err.what, word));
}

/* ---- GPTQ and AWQ ---- */

#define GPTQ "\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":4"
static const struct made_tensor gptq[] = {
    {MATRIX ".qweight", "I32", {1, 8}, columns},
    {MATRIX ".qzeros", "I32", {2, 1}, zeros_less_1},
    {MATRIX ".scales", "F16", {2, 8}, turned},
    {MATRIX ".g_idx", "I32", {8}, places},
};

static void gptq_has_zeros_less_one(void **state)
{
    (void)state;
    expect_values(GPTQ, gptq, 3, wanted);
}

static void gptq_v2_has_zeros_as_they_are(void **state)
{
    (void)state;
    struct made_tensor parts[3];
    memcpy(parts, gptq, sizeof(parts));
    parts[1].data = zeros;
    expect_values(GPTQ ",\"checkpoint_format\":\"gptq_v2\"", parts, 3, wanted);
}

static void columns_of_gptq_know_their_groups(void **state)
{
    (void)state;
    expect_values(GPTQ, gptq, 4, wanted_moved);
}

static void gptq_of_8_bits_is_read(void **state)
{
    (void)state;
    const struct made_tensor parts[] = {{MATRIX ".qweight", "I32", {2, 8}, columns_8},
                                        {MATRIX ".qzeros", "I32", {2, 2}, zeros_8},
                                        gptq[2],
                                        gptq[3]};
    expect_values(GPTQ, parts, 4, wanted_moved);
}

static const struct made_tensor awq[] = {
    {MATRIX ".qweight", "I32", {8, 1}, twisted},
    {MATRIX ".qzeros", "I32", {2, 1}, twisted_zeros},
    {MATRIX ".scales", "F16", {2, 8}, turned},
};

static void awq_has_rows_in_its_own_order(void **state)
{
    (void)state;
    expect_values("\"quant_method\":\"awq\",\"version\":\"gemm\"", awq, 3, wanted);
}

static void a_file_of_a_tool_says_the_method(void **state)
{
    (void)state;
    make_quantised("", awq, 3);
    make_text(folder, "config.json",
              "{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"hidden_size\":8,\"num_experts\":3,"
              "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"vocab_size\":2}");
    make_text(folder, "quant_config.json", "{\"w_bit\":4,\"version\":\"GEMM\"}");
    struct flo_gguf *gguf = must_import("f32");
    assert_true(values_of(gguf, "blk.0.attn_output.weight")[1] == wanted[1]);
    flo_gguf_close(gguf);
}

/* ---- compressed-tensors ---- */

#define COMPRESSED(format) "\"quant_method\":\"compressed-tensors\",\"format\":\"" format "\""

static const struct made_tensor packed[] = {
    {MATRIX ".weight_packed", "I32", {8, 1}, words},
    {MATRIX ".weight_scale", "F32", {8, 2}, scales},
    {MATRIX ".weight_shape", "I64", {2}, shape},
    {MATRIX ".weight_zero_point", "I32", {1, 2}, word_zeros},
    {MATRIX ".weight_g_idx", "I32", {8}, places},
};

static void packed_words_are_read(void **state)
{
    (void)state;
    expect_values(COMPRESSED("pack-quantized"), packed, 4, wanted);
    expect_values(COMPRESSED("pack-quantized"), packed, 5, wanted_moved);
}

static void packed_words_without_zeros_are_symmetric(void **state)
{
    (void)state;
    float values[64];
    for (size_t i = 0; i < 64; i++) {
        values[i] = (float)bytes[i] * scales[i / 4];
    }
    expect_values(COMPRESSED("pack-quantized"), packed, 3, values);
}

static void bytes_are_read_with_their_zeros(void **state)
{
    (void)state;
    const struct made_tensor parts[] = {{MATRIX ".weight", "I8", {8, 8}, bytes},
                                        packed[1],
                                        {MATRIX ".weight_zero_point", "I8", {8, 2}, byte_zeros}};
    expect_values(COMPRESSED("int-quantized"), parts, 3, wanted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gptq_has_zeros_less_one),
        TEST(gptq_v2_has_zeros_as_they_are),
        TEST(columns_of_gptq_know_their_groups),
        TEST(gptq_of_8_bits_is_read),
        TEST(awq_has_rows_in_its_own_order),
        TEST(a_file_of_a_tool_says_the_method),
        TEST(packed_words_are_read),
        TEST(packed_words_without_zeros_are_symmetric),
        TEST(bytes_are_read_with_their_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

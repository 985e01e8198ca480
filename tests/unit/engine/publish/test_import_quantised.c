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
    6,     0.5,   1,    1.5,   -32, 8,   12,  -4, -32,  -28, -12, -8,   16,  12,   6,   2,
    -0.75, -0.75, -3.5, -3.25, 6,   4,   20,  8,  -2,   -2,  0,   -0.5, -32, 4,    8,   20,
    32,    0,     4,    24,    5,   6,   8,   -1, 28,   -32, -28, 28,   6,   -16,  -20, -14,
    -2.5,  4.5,   2.5,  2,     -32, -16, -32, 4,  -1.5, -5,  -3,  0.5,  1,   0.25, 0,   -0.75};
static const float wanted_moved[] = {
    8,   0.5,   1,    -28, -32, 6,  12,  4.5,  -2,   -28, -12, 10,   16,  -4,   6,   -24,
    14,  -0.75, -3.5, -6,  6,   -2, 20,  -1.5, -16,  -2,  0,   -4,   -32, 0.5,  8,   2.5,
    7,   0,     4,    5,   5,   28, 8,   0,    6,    -32, -28, 6,    6,   -16,  -20, -12,
    -44, 4.5,   2.5,  -8,  -32, 1,  -32, 3.5,  0.75, -5,  -3,  1.75, 1,   -2.5, 0,   -4.5};
static const uint32_t columns[] = {0x9dc2321c, 0x24796510, 0x8e6710bb, 0xfcb29a66,
                                   0x4dbaa54c, 0x524ff10f, 0xc3739ae0, 0x1458b407};
static const uint32_t zeros_less_1[] = {0x94739d7f, 0x3ab49309};
static const uint32_t zeros[] = {0xa584ae80, 0x4bc5a41a};
static const uint16_t turned[] = {0x3800, 0x4400, 0x3400, 0x3800, 0x4400, 0x4400, 0x3800, 0x3800,
                                  0x4400, 0x4000, 0x4000, 0x4400, 0x3c00, 0x4000, 0x4400, 0x3400};
static const uint32_t columns_8[] = {
    0x302010c, 0x6050100, 0x1000b0b, 0x90a0606, 0xa05040c, 0xf01000f, 0x90a0e00, 0xb040007,
    0x90d0c02, 0x2040709, 0x80e0607, 0xf0c0b02, 0x40d0b0a, 0x502040f, 0xc030703, 0x1040508};
static const uint32_t zeros_8[] = {0x90d07ff, 0x9040703, 0x9030009, 0x30a0b04};
static const int32_t places[] = {1, 0, 0, 1, 1, 0, 1, 0};
static const uint32_t twisted[] = {0x7f600cbc, 0x61e4b1,   0x41a5a502, 0xbf969a13,
                                   0x8f293a72, 0x54b77b6c, 0x42c43ded, 0x15f2c489};
static const uint32_t twisted_zeros[] = {0xa8a854e0, 0x4ca1b54a};
static const uint32_t words[] = {0x9dc2321c, 0x24796510, 0x8e6710bb, 0xfcb29a66,
                                 0x4dbaa54c, 0x524ff10f, 0xc3739ae0, 0x1458b407};
static const uint32_t word_zeros[] = {0xa584ae80, 0x4bc5a41a};
static const float scales[] = {0.5F, 4, 4, 2, 0.25F, 2, 0.5F, 4, 4, 1, 4, 2, 0.5F, 4, 0.5F, 0.25F};
static const int8_t bytes[] = {4,  -7, -6, -5, -6, 4,  5,  1,  -8, -7, -3, -2, 1,  -1, -4, -6,
                               3,  3,  -8, -7, -1, -2, 6,  0,  -2, -2, 2,  1,  -6, 3,  4,  7,
                               4,  -4, -3, 2,  2,  3,  5,  -4, 7,  -8, -7, 7,  7,  -4, -6, -3,
                               -8, 6,  2,  1,  -5, -1, -5, 4,  -1, -8, -4, 3,  0,  -3, -4, -7};
static const int8_t byte_zeros[] = {-8, 2, 0, -7, 6, -4, 2, 2, -4, -3, 0, 4, -3, 3, 2, -4};
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

/* ---- FP8 ---- */

static const float halves[] = {1, 0.5F};
#define FP8 "\"quant_method\":\"fp8\",\"weight_block_size\":[4,8]"
static const struct made_tensor fp8[] = {
    {MATRIX ".weight", "F8_E4M3", {8, 8}, floats},
    {MATRIX ".weight_scale_inv", "F32", {2, 1}, halves},
    {MATRIX ".input_scale", "F32", {1}, halves},
};

static void fp8_has_scales_of_blocks(void **state)
{
    (void)state;
    make_quantised(FP8, fp8, 3);
    struct flo_gguf *gguf = must_import("f32");
    const float *got = values_of(gguf, "blk.0.attn_output.weight");
    assert_true(got[0] == 1 && got[1] == 0x1p-9F && got[2] == -0x1p-6F && got[3] == 48);
    assert_true(got[31] == -0.03515625F && got[32] == -64 && got[33] == -44); /* block 1 */
    assert_true(got[63] == -224);
    flo_gguf_close(gguf);
}

static void fp8_has_scales_of_rows_or_one(void **state)
{
    (void)state;
    static const float rows[] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct made_tensor parts[] = {fp8[0], {MATRIX ".weight_scale", "F32", {8, 1}, rows}};
    make_quantised(COMPRESSED("float-quantized"), parts, 2);
    struct flo_gguf *gguf = must_import("f32");
    assert_true(values_of(gguf, "blk.0.attn_output.weight")[63] == -448 * 8);
    flo_gguf_close(gguf);
    parts[1].dims[0] = 1;
    parts[1].data = rows + 2;
    make_quantised(COMPRESSED("float-quantized"), parts, 2);
    gguf = must_import("f32");
    assert_true(values_of(gguf, "blk.0.attn_output.weight")[63] == -448 * 3);
    flo_gguf_close(gguf);
}

/* ---- bitsandbytes ---- */

static const float map[16] = {-1, -0.75F, -0.5F, -0.25F, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const float block_scales[4] = {1, 2, 3, 4};
static const uint8_t nibbles[32] = {0x01, 0x5f, [8] = 0x23, [31] = 0x4e};
#define STATE MATRIX ".weight.quant_state.bitsandbytes__nf4"
#define BITS "\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true"

static void halves_of_bytes_are_read_high_half_first(void **state)
{
    (void)state;
    static const char text[] = "{\"blocksize\":16,\"shape\":[8,8]}";
    const struct made_tensor parts[] = {{MATRIX ".weight", "U8", {32, 1}, nibbles},
                                        {MATRIX ".weight.absmax", "F32", {4}, block_scales},
                                        {MATRIX ".weight.quant_map", "F32", {16}, map},
                                        {STATE, "U8", {sizeof(text) - 1}, text}};
    make_quantised(BITS, parts, 4);
    struct flo_gguf *gguf = must_import("f32");
    const float *got = values_of(gguf, "blk.0.attn_output.weight");
    assert_true(got[0] == -1 && got[1] == -0.75F && got[2] == 1 && got[3] == 11);
    assert_true(got[16] == -1 && got[17] == -0.5F && got[62] == 0 && got[63] == 40);
    flo_gguf_close(gguf);
}

static void scales_of_halves_may_be_codes(void **state)
{
    (void)state;
    static const char text[] = "{\"blocksize\":16,\"shape\":[8,8],\"nested_blocksize\":2,"
                               "\"nested_offset\":0.5}";
    static const uint8_t codes[] = {1, 0, 2, 1};
    static const float levels[256] = {1, 2, 4}, outer[] = {1, 10};
    const struct made_tensor parts[] = {{MATRIX ".weight", "U8", {32, 1}, nibbles},
                                        {MATRIX ".weight.absmax", "U8", {4}, codes},
                                        {MATRIX ".weight.nested_absmax", "F32", {2}, outer},
                                        {MATRIX ".weight.nested_quant_map", "F32", {256}, levels},
                                        {MATRIX ".weight.quant_map", "F32", {16}, map},
                                        {STATE, "U8", {sizeof(text) - 1}, text}};
    make_quantised(BITS, parts, 6);
    struct flo_gguf *gguf = must_import("f32");
    const float *got = values_of(gguf, "blk.0.attn_output.weight");
    assert_true(got[0] == -2.5F && got[16] == -0.5F * 1.5F && got[63] == 10 * 20.5F);
    flo_gguf_close(gguf);
}

/* ---- types ---- */

static void values_keep_a_float_type_unless_another_is_asked_for(void **state)
{
    (void)state;
    make_quantised(GPTQ, gptq, 3);
    struct flo_gguf *gguf = must_import(NULL);
    assert_int_equal(flo_gguf_tensor_find(gguf, "blk.0.attn_output.weight")->type, FLO_QUANT_F16);
    flo_gguf_close(gguf);
}

/* Tells whether an import says that values are quantised a second time. */
static bool is_twice(const char *type)
{
    struct flo_import import = {0};
    struct flo_produce produce = {0};
    const struct flo_import_options options = {folder, flo_mix_find(type), 1};
    assert_int_equal(flo_import_open(&import, &options, &produce, NULL), 0);
    bool is = import.is_twice;
    flo_produce_close(&produce);
    flo_import_close(&import);
    return is;
}

static void values_are_not_quantised_twice_in_silence(void **state)
{
    (void)state;
    make_quantised(GPTQ, gptq, 3);
    assert_true(is_twice("q4_k_m") && is_twice("q8_0"));
    assert_false(is_twice("f16") || is_twice("bf16") || is_twice("f32"));
}

/* ---- refused ---- */

static void formats_that_are_not_read_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *word;
    } cases[] = {
        {"\"quant_method\":\"aqlm\"", "(aqlm)"},
        {"\"bits\":4", "(an unknown method)"},
        {GPTQ ",\"checkpoint_format\":\"marlin\"", "checkpoint_format \"marlin\""},
        {GPTQ ",\"is_marlin_format\":true", "Marlin"},
        {"\"quant_method\":\"awq\",\"version\":\"gemv\"", "version \"gemv\""},
        {"\"quant_method\":\"awq\",\"zero_point\":false", "without zero points"},
        {"\"quant_method\":\"fp8\",\"fmt\":\"e5m2\"", "fmt \"e5m2\""},
        {"\"quant_method\":\"modelopt\",\"quant_algo\":\"NVFP4\"", "quant_algo \"NVFP4\""},
        {COMPRESSED("nvfp4-pack-quantized"), "nvfp4-pack-quantized"},
        {COMPRESSED("pack-quantized") ",\"sparsity_config\":{\"format\":\"sparse-24\"}", "sparse"},
        {COMPRESSED("pack-quantized") ",\"transform_config\":{\"a\":1}", "rotations"},
    };
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        expect_refused(cases[i].settings, gptq, 3, cases[i].word);
        assert_non_null(strstr(err.fix, "--runtime"));
    }
}

static void parts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct made_tensor parts[3];
    expect_refused(GPTQ, gptq, 1, "its codes are not of 4 or 8 bits");
    expect_refused(GPTQ, gptq, 2, "its scales do not fit");
    memcpy(parts, gptq, sizeof(parts));
    parts[2].dims[0] = 1;
    expect_refused(GPTQ, parts, 3, "its zeros do not fit");
    memcpy(parts, packed, sizeof(parts));
    static const uint64_t wide[] = {8, 9}, tall[] = {1ull << 60, 8};
    parts[2].data = wide;
    expect_refused(COMPRESSED("pack-quantized"), parts, 3, "shape's numbers do not fit");
    parts[2].data = tall;
    expect_refused(COMPRESSED("pack-quantized"), parts, 3, "shape's numbers do not fit");
    memcpy(parts, fp8, sizeof(parts));
    expect_refused("\"quant_method\":\"fp8\"", parts, 3, "its scales do not fit");
    parts[0].dims[0] = 2;
    parts[0].dims[1] = 4;
    parts[0].dims[2] = 8;
    expect_refused(FP8, parts, 3, "stacks of quantised matrices");
}

static void a_column_of_no_group_is_refused(void **state)
{
    (void)state;
    static const int32_t outside[] = {0, 0, 0, 0, 1, 1, 2, 1},
                         negative[] = {-1, 0, 0, 0, 0, 0, 0, 0};
    struct made_tensor parts[4];
    memcpy(parts, gptq, sizeof(parts));
    parts[3].data = outside;
    expect_refused(GPTQ, parts, 4, "column 6 is of no group");
    parts[3].data = negative;
    expect_refused(GPTQ, parts, 4, "column 0 is of no group");
}

static void wrong_states_of_halves_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"{",
                                        "[]",
                                        "{\"blocksize\":0,\"shape\":[8,8]}",
                                        "{\"blocksize\":16,\"shape\":[8,8,1]}",
                                        "{\"blocksize\":12,\"shape\":[8,8]}",
                                        "{\"blocksize\":16,\"shape\":[2147483647,8]}"};
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        const struct made_tensor parts[] = {{MATRIX ".weight", "U8", {32, 1}, nibbles},
                                            {MATRIX ".weight.absmax", "F32", {4}, block_scales},
                                            {MATRIX ".weight.quant_map", "F32", {16}, map},
                                            {STATE, "U8", {(uint32_t)strlen(texts[i])}, texts[i]}};
        expect_refused(BITS, parts, 4,
                       i == 0   ? "no JSON"
                       : i == 4 ? "inside of rows"
                                : "do not fit");
    }
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
        TEST(fp8_has_scales_of_blocks),
        TEST(fp8_has_scales_of_rows_or_one),
        TEST(halves_of_bytes_are_read_high_half_first),
        TEST(scales_of_halves_may_be_codes),
        TEST(values_keep_a_float_type_unless_another_is_asked_for),
        TEST(values_are_not_quantised_twice_in_silence),
        TEST(formats_that_are_not_read_are_refused_by_name),
        TEST(parts_that_do_not_fit_are_refused),
        TEST(a_column_of_no_group_is_refused),
        TEST(wrong_states_of_halves_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

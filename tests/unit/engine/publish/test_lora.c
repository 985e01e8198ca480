/* Merging an adapter: what is lost by rounding, what may not be merged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "engine/publish/lora.h"
#include "unit/engine/gguf_make.h"
#include "unit/engine/lora_make.h"

#define BASE "tests/models/tiny-v1.Q4_1.gguf"
#define ADAPTER "tests/models/tiny-v1-site-lora.gguf"

/* The adapter with one key changed. */
static struct flo_gguf *edited(const struct flo_gguf_edit *edit)
{
    char path[] = "/tmp/flotilla-lora-XXXXXX";
    struct flo_gguf *source = open_file(ADAPTER);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(flo_gguf_write(source, NULL, edit, 1, NULL, NULL, fd, NULL), 0);
    flo_gguf_close(source);
    struct flo_gguf *gguf = NULL;
    assert_int_equal(flo_gguf_open_fd(fd, &gguf, NULL), 0);
    close(fd);
    unlink(path);
    return gguf;
}

static double kept(const struct flo_gguf *base, const struct flo_gguf *adapter,
                   enum flo_merge_method method, uint32_t threads)
{
    struct flo_lora lora;
    struct flo_merge_result result = {0};
    const struct flo_merge_options options = {.method = method, .seed = 1, .threads = threads};
    uint8_t *data = malloc(1u << 20);
    assert_non_null(data);
    assert_int_equal(flo_lora_read(adapter, base, method, &lora, NULL), 0);
    for (size_t i = 0; i < flo_gguf_tensor_count(base); i++) {
        bool is_changed;
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(base, i);
        assert_true(tensor->bytes <= 1u << 20);
        assert_int_equal(
            flo_lora_merge_tensor(&lora, base, tensor, &options, data, &is_changed, &result, NULL),
            0);
    }
    assert_int_equal(result.tensors, 35);
    free(data);
    return result.dither.moved_dot_wanted / result.dither.wanted_dot_wanted;
}

static void a_small_update_survives_dither_and_not_rounding(void **state)
{
    (void)state;
    const struct flo_gguf_edit weak = {
        .key = "adapter.lora.alpha", .type = FLO_GGUF_F32, .f32 = 0.5f};
    struct flo_gguf *base = open_file(BASE);
    struct flo_gguf *adapter = edited(&weak);
    double dithered = kept(base, adapter, FLO_MERGE_DITHER, 2);
    double rounded = kept(base, adapter, FLO_MERGE_REQUANTIZE, 2);
    assert_true(dithered > 0.9 && dithered < 1.1);
    assert_true(rounded < 0.5 && rounded < FLO_MERGE_KEPT_MIN);
    flo_gguf_close(adapter);
    flo_gguf_close(base);
}

static void threads_do_not_change_the_outcome(void **state)
{
    (void)state;
    struct flo_gguf *base = open_file(BASE);
    struct flo_gguf *adapter = open_file(ADAPTER);
    double one = kept(base, adapter, FLO_MERGE_DITHER, 1);
    double five = kept(base, adapter, FLO_MERGE_DITHER, 5);
    assert_true(fabs(one - five) < 1e-12);
    flo_gguf_close(adapter);
    flo_gguf_close(base);
}

static void expect_refused(const struct flo_gguf *adapter, int code)
{
    struct flo_gguf *base = open_file(BASE);
    struct flo_lora lora;
    struct flo_err err = {0};
    assert_int_equal(flo_lora_read(adapter, base, FLO_MERGE_DITHER, &lora, &err), code);
    assert_true(err.what[0] != '\0');
    flo_gguf_close(base);
}

static void an_adapter_of_another_kind_base_or_scale_is_refused(void **state)
{
    (void)state;
    const struct flo_gguf_edit edits[] = {
        {.key = "adapter.type", .type = FLO_GGUF_STRING, .text = "dora"},
        {.key = "general.architecture", .type = FLO_GGUF_STRING, .text = "x"},
        {.key = "adapter.lora.alpha", .type = FLO_GGUF_F32, .f32 = NAN},
        {.key = "adapter.lora.alpha", .type = FLO_GGUF_F32, .f32 = -8},
        {.key = "adapter.lora.alpha", .type = FLO_GGUF_F32, .f32 = 1e30f},
    };
    for (size_t i = 0; i < FLO_COUNT(edits); i++) {
        struct flo_gguf *adapter = edited(&edits[i]);
        expect_refused(adapter, FLO_E_MODEL_ADAPTER);
        flo_gguf_close(adapter);
    }
    struct flo_gguf *other = open_file("tests/models/smollm2-ops-lora.gguf");
    expect_refused(other, FLO_E_MODEL_ADAPTER);
    flo_gguf_close(other);
}

/* An adapter of one or two halves, rank 2, with these names and widths. */
static void expect_halves(const char *a, uint64_t in, const char *b, uint64_t out, int code)
{
    struct flo_buf file = {0};
    struct flo_gguf *adapter = NULL;
    put_head(&file, b == NULL ? 1 : 2, 3);
    put_key_text(&file, "general.architecture", "llama");
    put_key_text(&file, "adapter.type", "lora");
    put_key(&file, "adapter.lora.alpha", FLO_GGUF_F32);
    put_u32(&file, 0x41000000);
    put_tensor(&file, a, in, 2, 1, 0);
    if (b != NULL) {
        put_tensor(&file, b, 2, out, 1, 4096);
    }
    put_padding(&file);
    put_zeros(&file, 8192);
    assert_int_equal(flo_gguf_open(file.data, file.bytes, &adapter, NULL), 0);
    if (code == 0) {
        struct flo_gguf *base = open_file(BASE);
        struct flo_lora lora;
        assert_int_equal(flo_lora_read(adapter, base, FLO_MERGE_DITHER, &lora, NULL), 0);
        assert_int_equal(lora.pair_count, 1);
        flo_gguf_close(base);
    } else {
        expect_refused(adapter, code);
    }
    flo_gguf_close(adapter);
    flo_buf_deinit(&file);
}

static void pairs_are_whole_and_fit_their_tensor(void **state)
{
    (void)state;
    static const char a[] = "blk.0.attn_k.weight.lora_a";
    static const char b[] = "blk.0.attn_k.weight.lora_b";
    expect_halves(a, 256, b, 64, 0);
    expect_halves(a, 256, NULL, 0, FLO_E_MODEL_ADAPTER);
    expect_halves(a, 128, b, 64, FLO_E_MODEL_ADAPTER);
    expect_halves(a, 256, b, 65, FLO_E_MODEL_ADAPTER);
    expect_halves("blk.9.attn_k.weight.lora_a", 256, "blk.9.attn_k.weight.lora_b", 64,
                  FLO_E_MODEL_ADAPTER);
    expect_halves("blk.0.attn_k.weight", 256, b, 64, FLO_E_MODEL_ADAPTER);
    expect_halves(".lora_a", 256, b, 64, FLO_E_MODEL_ADAPTER);
    /* A norm has one dimension. */
    expect_halves("output_norm.weight.lora_a", 256, "output_norm.weight.lora_b", 1,
                  FLO_E_MODEL_ADAPTER);
}

/* Returns how far the merged values of the last expert are from base + adapter,
 * as a share of what the adapter changes. */
static double distance_of_expert(const struct flo_gguf *base, const struct flo_gguf *exact,
                                 const struct flo_lora *lora, const char *name,
                                 enum flo_merge_method method)
{
    const struct flo_merge_options options = {.method = method, .seed = 1, .threads = 2};
    const struct flo_gguf_tensor *tensor = flo_gguf_tensor_find(base, name);
    struct flo_merge_result result = {0};
    uint8_t *data = malloc((size_t)tensor->bytes);
    float *before = values_of(base, tensor), *merged = values_of(base, tensor);
    float *right = values_of(exact, flo_gguf_tensor_find(exact, name));
    double off = 0, change = 0;
    bool is_changed;

    assert_non_null(data);
    assert_int_equal(
        flo_lora_merge_tensor(lora, base, tensor, &options, data, &is_changed, &result, NULL), 0);
    assert_true(is_changed);
    flo_quant_type(tensor->type)->decode(data, merged, (size_t)tensor->values);
    for (size_t i = (size_t)(tensor->values - tensor->dims[0] * tensor->dims[1]);
         i < tensor->values; i++) {
        off += pow((double)merged[i] - (double)right[i], 2);
        change += pow((double)before[i] - (double)right[i], 2);
    }
    free(data);
    free(before);
    free(merged);
    free(right);
    return sqrt(off / change);
}

static void the_change_of_each_expert_is_merged(void **state)
{
    static const char model[] = "tests/oracle/tiny/lfm2_moe-q8_0.gguf";
    static const char *const names[] = {"blk.2.ffn_gate_exps.weight", "blk.4.ffn_down_exps.weight"};
    const struct flo_engine_options options = {.threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    char lora_path[] = "/tmp/flotilla-lora-XXXXXX", exact_path[] = "/tmp/flotilla-lora-XXXXXX";
    struct flo_engine *engine = NULL;
    struct flo_lora lora;

    (void)state;
    assert_int_equal(flo_engine_open(model, &options, &engine, NULL), 0);
    write_adapter(engine, 3, 0.3f, lora_path);
    flo_engine_close(engine);
    write_merged(model, lora_path, 1, exact_path);
    struct flo_gguf *base = open_file(model), *adapter = open_file(lora_path);
    struct flo_gguf *exact = open_file(exact_path);
    assert_int_equal(flo_lora_read(adapter, base, FLO_MERGE_DITHER, &lora, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        assert_true(distance_of_expert(base, exact, &lora, names[i], FLO_MERGE_REQUANTIZE) < 0.3);
        assert_true(distance_of_expert(base, exact, &lora, names[i], FLO_MERGE_DITHER) < 0.3);
    }
    flo_gguf_close(base);
    flo_gguf_close(adapter);
    flo_gguf_close(exact);
    unlink(lora_path);
    unlink(exact_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_update_survives_dither_and_not_rounding),
        cmocka_unit_test(threads_do_not_change_the_outcome),
        cmocka_unit_test(an_adapter_of_another_kind_base_or_scale_is_refused),
        cmocka_unit_test(pairs_are_whole_and_fit_their_tensor),
        cmocka_unit_test(the_change_of_each_expert_is_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Importance against arithmetic on a real model, and its effect on an encoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "engine/publish/fit.h"
#include "engine/publish/importance.h"

#define MODEL "tests/models/tiny-v1.F16.gguf"
#define WIDTH 256

static int32_t ids[] = {1, 72, 101, 400, 33, 12, 700, 5, 9, 810, 44, 2};

static struct flo_importance *measure(uint64_t threads)
{
    const struct flo_tool tool = {.model = MODEL, .packed = "none", .threads = threads};
    struct flo_chunks chunks = {.tokens = ids, .begin = -1, .length = FLO_COUNT(ids), .count = 1};
    struct flo_tool_model model = {0};
    struct flo_importance *importance = NULL;
    assert_int_equal(flo_tool_open(&tool, FLO_VOCABULARY_NONE, &model, NULL), 0);
    assert_int_equal(flo_importance_measure(&model, &chunks, &importance, NULL), 0);
    model.backend->close(model.state);
    assert_int_equal(flo_importance_tokens(importance), FLO_COUNT(ids) - 1);
    return importance;
}

/* Computes the mean squares of what the first layer's attention reads: the
 * normalised embeddings of all tokens but the last. */
static void reckon(const struct flo_gguf *gguf, double out[WIDTH])
{
    const struct flo_gguf_tensor *embedding = flo_gguf_tensor_find(gguf, "token_embd.weight");
    const float *norm = (const float *)(const void *)flo_gguf_tensor_data(
        gguf, flo_gguf_tensor_find(gguf, "blk.0.attn_norm.weight"));
    double total = 0;
    memset(out, 0, WIDTH * sizeof(*out));
    for (size_t t = 0; t + 1 < FLO_COUNT(ids); t++) {
        const uint8_t *table = flo_gguf_tensor_data(gguf, embedding);
        const uint8_t *row = table + (size_t)ids[t] * WIDTH * 2;
        double squares = 0;
        for (size_t i = 0; i < WIDTH; i++) {
            double x = (double)flo_quant_float_at(embedding->type, row, i);
            squares += x * x;
        }
        for (size_t i = 0; i < WIDTH; i++) {
            double x = (double)flo_quant_float_at(embedding->type, row, i) * (double)norm[i] /
                       sqrt(squares / WIDTH + 1e-5);
            out[i] += x * x;
            total += x * x;
        }
    }
    for (size_t i = 0; i < WIDTH; i++) {
        out[i] *= WIDTH / total;
    }
}

static void importance_is_the_mean_square_of_what_a_product_reads(void **state)
{
    (void)state;
    struct flo_importance *importance = measure(1);
    struct flo_gguf *gguf = NULL;
    double want[WIDTH];
    assert_int_equal(flo_gguf_open_path(MODEL, &gguf, NULL), 0);
    reckon(gguf, want);
    const float *got = flo_importance_find(importance, "blk.0.attn_q.weight");
    assert_non_null(got);
    for (size_t i = 0; i < WIDTH; i++) {
        assert_true(fabs((double)got[i] - want[i]) <= 1e-3 + 1e-3 * want[i]);
    }
    assert_memory_equal(got, flo_importance_find(importance, "blk.0.attn_v.weight"),
                        WIDTH * sizeof(*got));
    flo_importance_free(importance);
    flo_gguf_close(gguf);
}

static void every_matrix_has_importance_and_no_vector(void **state)
{
    (void)state;
    struct flo_importance *importance = measure(1);
    struct flo_gguf *gguf = NULL;
    assert_int_equal(flo_gguf_open_path(MODEL, &gguf, NULL), 0);
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(gguf, i);
        bool is_matrix = tensor->dims[1] > 1;
        const float *found = flo_importance_find(importance, tensor->name);
        assert_int_equal(found != NULL, is_matrix);
        for (size_t c = 0; is_matrix && c < tensor->dims[0]; c++) {
            assert_true(found[c] > 0 && isfinite(found[c]));
        }
    }
    flo_importance_free(importance);
    flo_gguf_close(gguf);
}

static void threads_do_not_change_it(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.4.ffn_down.weight", "blk.2.attn_output.weight",
                                        "token_embd.weight"};
    struct flo_importance *one = measure(1);
    struct flo_importance *three = measure(3);
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        assert_memory_equal(flo_importance_find(one, names[i]),
                            flo_importance_find(three, names[i]), WIDTH * sizeof(float));
    }
    flo_importance_free(one);
    flo_importance_free(three);
}

/* Returns the share of weighed squares that are lost in a type. */
static double lost(const struct flo_gguf *gguf, const char *name, uint32_t type,
                   const float *importance, bool weighs)
{
    static uint8_t data[WIDTH * 1024];
    const struct flo_gguf_tensor *tensor = flo_gguf_tensor_find(gguf, name);
    struct flo_quant_type plain = *flo_quant_type(type);
    struct flo_fit_counters counters = {0};
    struct flo_pool *pool = NULL;
    plain.weigh = weighs ? plain.weigh : NULL;
    const struct flo_fit fit = {.from = flo_quant_type(tensor->type),
                                .to = &plain,
                                .source = flo_gguf_tensor_data(gguf, tensor),
                                .data = data,
                                .values = tensor->values,
                                .importance = importance,
                                .row = tensor->dims[0],
                                .plane = tensor->values,
                                .name = name};
    assert_true(flo_quant_bytes(&plain, (size_t)tensor->values) <= sizeof(data));
    assert_int_equal(flo_pool_open(1, &pool, NULL), 0);
    assert_int_equal(flo_fit_run(&fit, pool, 1, &counters, NULL), 0);
    flo_pool_close(pool);
    return counters.error_weighed / counters.value_weighed;
}

static void weighed_errors_of_a_model_become_smaller(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.0.attn_q.weight", "blk.4.ffn_down.weight"};
    struct flo_importance *importance = measure(1);
    struct flo_gguf *gguf = NULL;
    assert_int_equal(flo_gguf_open_path(MODEL, &gguf, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        const float *found = flo_importance_find(importance, names[i]);
        double weighed = lost(gguf, names[i], FLO_QUANT_IQ4_NL, found, true);
        double plain = lost(gguf, names[i], FLO_QUANT_IQ4_NL, found, false);
        assert_true(weighed < 0.93 * plain);
    }
    flo_importance_free(importance);
    flo_gguf_close(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(importance_is_the_mean_square_of_what_a_product_reads),
        cmocka_unit_test(every_matrix_has_importance_and_no_vector),
        cmocka_unit_test(threads_do_not_change_it),
        cmocka_unit_test(weighed_errors_of_a_model_become_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Adapters of all matrices of every family: the answers, or the vectors and
 * scores, are those of a model with the adapter merged into it.
 *
 * usage: test_adapter_families [MODEL...]; without models, those of
 * tests/oracle and tests/models */
#include <flotilla/adapter.h>
#include <flotilla/engine_output.h>

#include "engine/model/adapter/adapter.h"
#include "unit/engine/lora_make.h"

enum { COUNT = 24 };

static const char *const ours[] = {
    "tests/oracle/tiny/falcon_h1-q8_0.gguf",
    "tests/oracle/tiny/gemma2-S-q4_1.gguf",
    "tests/oracle/tiny/gemma4-e-q8_0.gguf",
    "tests/oracle/tiny/gemma4-moe-q8_0.gguf",
    "tests/oracle/tiny/gpt_oss-trunc-f32.gguf",
    "tests/oracle/tiny/granite-swa-q8_0.gguf",
    "tests/oracle/tiny/granite4-h-moe-q8_0.gguf",
    "tests/oracle/tiny/hunyuan-q8_0.gguf",
    "tests/oracle/tiny/lfm2_moe-q8_0.gguf",
    "tests/oracle/tiny/llama2-S-q8_0.gguf",
    "tests/oracle/tiny/nemotron_h-moe-q8_0.gguf",
    "tests/oracle/tiny/olmo3-q8_0.gguf",
    "tests/oracle/tiny/phi2-S-q4_1.gguf",
    "tests/oracle/tiny/phi3-S-q4_0.gguf",
    "tests/oracle/tiny/qwen2-S-q4_0.gguf",
    "tests/oracle/tiny/qwen3-S-q4_1.gguf",
    "tests/oracle/tiny/qwen3_5-q8_0.gguf",
    "tests/oracle/tiny/qwen3_next-q8_0.gguf",
    /* encoders, and a decoder that ranks */
    "tests/models/bert.Q8_0.gguf",
    "tests/models/tiny-rerank.Q8_0.gguf",
    "tests/oracle/encoders/embeddinggemma.f32.gguf",
    "tests/oracle/encoders/modernbert-rerank.q8_0.gguf",
    "tests/oracle/encoders/xlmr-rerank.q8_0.gguf",
};
static const char *const *models = ours;
static size_t model_count = FLO_COUNT(ours);

static struct flo_engine *open_model(const char *path, const char *kernel)
{
    const struct flo_engine_options options = {
        .context = 2 * COUNT,
        .threads = 2,
        .sessions = 2,
        .kernel = kernel,
        .kv_type = FLO_KV_F32,
        .vocabulary = FLO_VOCABULARY_NONE,
        .adapter_bytes = 32u << 20,
    };
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    if (flo_engine_open(path, &options, &engine, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    return engine;
}

static bool pools(const struct flo_engine *engine)
{
    return (flo_engine_info(engine)->properties & FLO_COMPUTE_POOLS) != 0;
}

/* Logits after a prompt and some single tokens, or a text's vector or score; how
 * many numbers. */
static size_t answer(struct flo_engine *engine, const struct flo_adapter *adapter, float scale,
                     float **out)
{
    uint32_t n = flo_engine_info(engine)->n_vocab, labels = flo_engine_info(engine)->labels;
    struct flo_session *session = NULL;
    int32_t ids[COUNT];

    for (uint32_t i = 0; i < COUNT; i++) {
        ids[i] = (int32_t)((i * 37 + 3) % n);
    }
    *out = calloc(n, sizeof(**out));
    assert_non_null(*out);
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    assert_int_equal(flo_session_set_adapter(session, adapter, scale, NULL), 0);
    if (pools(engine)) {
        assert_int_equal(flo_session_embed(session, ids, COUNT, FLO_POOLING_LAST, *out, NULL), 0);
        flo_session_close(session);
        return labels > 0 ? labels : flo_engine_info(engine)->n_embd;
    }
    assert_int_equal(flo_session_decode(session, ids, COUNT - 3, FLO_LOGITS_NONE, NULL), 0);
    for (int i = COUNT - 3; i < COUNT; i++) {
        assert_int_equal(flo_session_decode(session, ids + i, 1, FLO_LOGITS_LAST, NULL), 0);
    }
    memcpy(*out, flo_session_logits(session), n * sizeof(**out));
    flo_session_close(session);
    return n;
}

static void expect_merged(const char *path, const char *kernel)
{
    char plain_path[] = "/tmp/flotilla-lora-XXXXXX", lora_path[] = "/tmp/flotilla-lora-XXXXXX";
    char merged_path[] = "/tmp/flotilla-lora-XXXXXX";
    struct flo_engine *engine = open_model(path, kernel);
    size_t matrices = write_adapter(engine, 7, 0.2f, lora_path);
    float *before, *with, *merged;
    struct flo_adapter *adapter = NULL;
    struct flo_err err = {0};

    flo_engine_close(engine);
    write_merged(path, lora_path, 0, plain_path);
    write_merged(path, lora_path, -0.75f, merged_path);
    engine = open_model(plain_path, kernel);
    if (flo_adapter_open(engine, lora_path, &adapter, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    assert_int_equal(flo_adapter_info(adapter)->tensors, matrices);
    size_t n = answer(engine, NULL, 0, &before);
    answer(engine, adapter, -0.75f, &with);
    flo_adapter_close(adapter);
    flo_engine_close(engine);
    engine = open_model(merged_path, kernel);
    answer(engine, NULL, 0, &merged);
    flo_engine_close(engine);
    double off = lora_distance(merged, with, n), moved = lora_distance(merged, before, n);
    print_message("%s: %zu matrices move answers by %.2e, merged ones differ by %.1e\n", path,
                  matrices, moved, off);
    if (!(off < 1e-4 && moved > 1e-2)) {
        fail_msg("%s: off by %g of %g", path, off, moved);
    }
    free(before);
    free(with);
    free(merged);
    unlink(plain_path);
    unlink(merged_path);
    unlink(lora_path);
}

static void expect_all_merged(const char *kernel)
{
    for (size_t i = 0; i < model_count; i++) {
        expect_merged(models[i], kernel);
    }
}

static void an_adapter_of_every_matrix_answers_as_merged_into_the_model(void **state)
{
    (void)state;
    expect_all_merged(NULL);
}

static void plain_c_adds_the_same(void **state)
{
    (void)state;
    expect_all_merged("ref");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_adapter_of_every_matrix_answers_as_merged_into_the_model),
        cmocka_unit_test(plain_c_adds_the_same),
    };

    if (argc > 1) {
        models = (const char *const *)(argv + 1);
        model_count = (size_t)argc - 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

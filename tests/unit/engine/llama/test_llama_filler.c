/* llama.cpp's library as a filler: sessions keep their promises, also where its
 * cache cannot go back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/engine_output.h>
#include <flotilla/engine_step.h>
#include <flotilla/errors/infer.h>
#include <flotilla/errors/model.h>
#include <flotilla/prefix.h>

#include <ggml-backend.h>

#include "engine/llama/llama_filler.h"
#include "unit/engine/gguf_make.h"

#define HYBRID "tests/models/lfm2.Q8_0.gguf"
#define DENSE "tests/models/tiny-v2.Q4_0.gguf"
#define ENCODER "tests/models/bert.Q8_0.gguf"
#define NEAR 2e-3f /* of logits: a batch of another size adds in another order */

static const char *const models[] = {HYBRID, DENSE};
static const int32_t first[] = {5, 9, 33, 7, 120, 64, 8, 300, 17, 2};
static const int32_t second[] = {44, 3, 256, 81, 12};

struct world {
    struct flo_engine *engine;
    struct flo_session *a, *b;
    uint32_t n_vocab;
};

static void open_world(struct world *world, const char *model)
{
    const struct flo_engine_options options = {.compute = &flo_compute_llama,
                                               .context = 256,
                                               .sessions = 2,
                                               .threads = 1,
                                               .kv_type = FLO_KV_F32};
    struct flo_err err = {0};

    if (flo_engine_open(model, &options, &world->engine, &err) < 0) {
        fail_msg("%s: %s", model, err.what);
    }
    assert_int_equal(flo_session_open(world->engine, &world->a, NULL), 0);
    assert_int_equal(flo_session_open(world->engine, &world->b, NULL), 0);
    world->n_vocab = flo_engine_info(world->engine)->n_vocab;
}

static void close_world(struct world *world)
{
    flo_session_close(world->a);
    flo_session_close(world->b);
    flo_engine_close(world->engine);
}

static void feed(struct flo_session *session, const int32_t *tokens, size_t count)
{
    assert_int_equal(flo_session_decode(session, tokens, count, FLO_LOGITS_LAST, NULL), 0);
}

static void expect_alike(const struct world *world)
{
    const float *x = flo_session_logits(world->a), *y = flo_session_logits(world->b);

    for (uint32_t i = 0; i < world->n_vocab; i++) {
        assert_true(isfinite(x[i]));
        assert_true(fabsf(x[i] - y[i]) <= NEAR * (1 + fabsf(y[i])));
    }
}

static void a_library_that_this_cpu_cannot_run_is_not_chosen(void **state)
{
    char folder[] = "/tmp/flotilla-llama.XXXXXX", file[64], path[4096];
    struct flo_err err = {0};

    (void)state;
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != NULL) {
        skip(); /* a library that is linked needs no folder */
    }
    assert_int_equal(flo_llama_library(FLOTILLA_LLAMA_FOLDER, path, sizeof(path), NULL), 0);
    assert_int_equal(strncmp(path, FLOTILLA_LLAMA_FOLDER, strlen(FLOTILLA_LLAMA_FOLDER)), 0);
    assert_int_equal(flo_llama_library(FLOTILLA_LLAMA_FOLDER, path, 8, NULL), FLO_E_ABSENT);

    assert_non_null(mkdtemp(folder));
    assert_int_equal(flo_llama_library(folder, path, sizeof(path), &err), FLO_E_ABSENT);
    assert_non_null(strstr(err.what, folder));
    snprintf(file, sizeof(file), "%s/libggml-cpu-other.so", folder);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs("not of this CPU", out);
    fclose(out);
    assert_int_equal(flo_llama_library(folder, path, sizeof(path), NULL), FLO_E_ABSENT);
    unlink(file);
    rmdir(folder);
    assert_int_equal(flo_llama_library(folder, path, sizeof(path), NULL), FLO_E_ABSENT);
}

static void a_session_that_is_cut_back_is_as_a_new_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(models); i++) {
        struct world world;

        open_world(&world, models[i]);
        feed(world.a, first, 10);
        flo_session_truncate(world.a, 4);
        feed(world.a, second, 5);
        feed(world.b, first, 4);
        feed(world.b, second, 5);
        expect_alike(&world);
        assert_int_equal(flo_session_position(world.a), 9);
        close_world(&world);
    }
}

static void a_session_begins_as_another_one(void **state)
{
    static const uint32_t counts[] = {10, 6, 0};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(models) * FLO_COUNT(counts); i++) {
        uint32_t count = counts[i / FLO_COUNT(models)];
        struct world world;

        open_world(&world, models[i % FLO_COUNT(models)]);
        feed(world.a, first, 10);
        feed(world.b, second, 5);
        flo_session_begin_as(world.b, world.a, count);
        feed(world.b, second, 5);
        flo_session_truncate(world.a, count);
        feed(world.a, second, 5);
        expect_alike(&world);
        close_world(&world);
    }
}

struct rows {
    uint32_t count;
    float one[16]; /* a logit of each row */
};

static bool take_row(void *context, uint32_t index, const float *logits)
{
    struct rows *rows = context;

    (void)index;
    rows->one[rows->count++] = logits[7];
    return true;
}

static bool stops(void *context)
{
    (void)context;
    return true;
}

static void sessions_of_one_pass_do_not_mix_and_a_cancelled_pass_is_undone(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(models); i++) {
        struct rows together = {0}, alone = {0};
        struct world world;

        open_world(&world, models[i]);
        const struct flo_step steps[] = {
            {world.a, first, 10, FLO_ROWS_ALL, take_row, &together},
            {world.b, second, 5, FLO_ROWS_LAST, take_row, &together},
        };
        assert_int_equal(flo_engine_step(world.engine, steps, 2, stops, NULL, NULL),
                         FLO_E_INFER_CANCELLED);
        assert_int_equal(flo_session_position(world.a), 0);
        assert_int_equal(together.count, 0);
        assert_int_equal(flo_engine_step(world.engine, steps, 2, NULL, NULL, NULL), 0);
        assert_int_equal(together.count, 11);
        flo_session_reset(world.a);
        flo_session_reset(world.b);
        for (size_t k = 0; k < 2; k++) {
            struct flo_step step = steps[k];
            step.context = &alone;
            assert_int_equal(flo_engine_step(world.engine, &step, 1, NULL, NULL, NULL), 0);
        }
        for (uint32_t k = 0; k < 11; k++) {
            assert_true(fabsf(alone.one[k] - together.one[k]) <= NEAR * (1 + fabsf(alone.one[k])));
        }
        close_world(&world);
    }
}

static void an_encoder_makes_a_vector_of_a_whole_text(void **state)
{
    struct world world;
    float x[1024] = {0}, y[1024] = {0};
    int32_t tokens[64];
    size_t count;

    (void)state;
    open_world(&world, ENCODER);
    const struct flo_engine_info *info = flo_engine_info(world.engine);
    assert_int_equal(info->properties, FLO_COMPUTE_POOLS);
    assert_int_equal(flo_engine_tokenise(world.engine, "hello world", 11,
                                         FLO_TEXT_SPECIAL | FLO_TEXT_ENDS, tokens, 64, &count,
                                         NULL),
                     0);
    assert_int_equal(flo_session_embed(world.a, tokens, count, FLO_POOLING_MEAN, x, NULL), 0);
    assert_int_equal(flo_session_position(world.a), 0);
    assert_int_equal(flo_session_embed(world.b, tokens, count, FLO_POOLING_LAST, y, NULL), 0);
    assert_memory_equal(x, y, info->n_embd * sizeof(float));
    assert_true(flo_embedding_finish(x, info->n_embd));
    close_world(&world);
}

static void an_encoder_opens_with_any_number_of_sessions(void **state)
{
    struct flo_engine_options options = {
        .compute = &flo_compute_llama, .context = 64, .threads = 1};
    struct flo_err err = {0};

    (void)state;
    for (uint32_t sessions = 1; sessions <= 6; sessions++) {
        struct flo_engine *engine = NULL;

        options.sessions = sessions;
        assert_int_equal(flo_engine_open(ENCODER, &options, &engine, &err), 0);
        flo_engine_close(engine);
    }
}

static void adapters_and_prefix_files_are_refused_by_name(void **state)
{
    struct world world;
    struct flo_adapter *adapter = NULL;
    struct flo_err err = {0};

    (void)state;
    open_world(&world, DENSE);
    assert_int_equal(
        flo_adapter_open(world.engine, "tests/models/tiny-v1-site-lora.gguf", &adapter, &err),
        FLO_E_NOT_BUILT);
    assert_non_null(strstr(err.what, "llama applies no adapters"));
    assert_int_equal(flo_prefix_read(world.a, 0, NULL, &err), FLO_E_NOT_BUILT);
    close_world(&world);
}

/* Writes a copy of a model whose architecture only the library knows, and which
 * is computed as llama is. */
static void write_as_dream(const char *path)
{
    char *bytes = NULL;
    size_t count;

    assert_int_equal(flo_file_read(DENSE, 16u << 20, &bytes, &count, NULL), 0);
    for (char *at = bytes; (at = memmem(at, count - (size_t)(at - bytes), "llama", 5)) != NULL;
         at += 5) {
        bool is_value = at - bytes > 32 && memmem(at - 32, 32, "general.architecture", 20) != NULL;

        if (is_value || at[5] == '.') {
            memcpy(at, "dream", 5);
        }
    }
    assert_int_equal(flo_file_write(path, bytes, count, 0600, NULL), 0);
    free(bytes);
}

static void our_kernels_compute_the_models_that_they_know(void **state)
{
    static const char *const known[] = {DENSE, HYBRID};
    static const char path[] = "build/dream.gguf";
    struct flo_engine *engine = NULL;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(known); i++) {
        assert_int_equal(flo_engine_open(known[i], NULL, &engine, NULL), 0);
        assert_string_not_equal(flo_engine_info(engine)->kernel, "llama.cpp");
        flo_engine_close(engine);
    }
    write_as_dream(path);
    assert_int_equal(flo_engine_open(path, NULL, &engine, NULL), 0);
    assert_string_equal(flo_engine_info(engine)->kernel, "llama.cpp");
    flo_engine_close(engine);
    unlink(path);
}

static void a_model_that_is_computed_wrongly_needs_consent(void **state)
{
    static const char *const tokens[] = {"a", "b"};
    static const char path[] = "build/inexact.gguf";
    struct flo_engine_options options = {.compute = &flo_compute_llama};
    struct flo_engine_plan plan;
    struct flo_buf file = {0};
    struct flo_err err = {0};
    FILE *out = fopen(path, "wb");

    (void)state;
    put_head(&file, 0, 7);
    put_key_text(&file, "general.architecture", "mellum");
    put_key_u32(&file, "mellum.embedding_length", 64);
    put_key_u32(&file, "mellum.block_count", 2);
    put_key_u32(&file, "mellum.attention.head_count", 4);
    put_key_u32(&file, "mellum.context_length", 64);
    put_key_u32(&file, "mellum.feed_forward_length", 64);
    put_key_texts(&file, "tokenizer.ggml.tokens", tokens, 2);
    assert_non_null(out);
    assert_int_equal(fwrite(file.data, 1, file.bytes, out), file.bytes);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(flo_engine_plan(path, &options, &plan, &err), FLO_E_MODEL_BACKEND);
    assert_non_null(strstr(err.what, "computes this mellum wrongly"));
    options.accepts_inexact = true;
    assert_int_equal(flo_engine_plan(path, &options, &plan, &err), 0);
    assert_int_equal(remove(path), 0);
    flo_buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_that_this_cpu_cannot_run_is_not_chosen),
        cmocka_unit_test(a_session_that_is_cut_back_is_as_a_new_one),
        cmocka_unit_test(a_session_begins_as_another_one),
        cmocka_unit_test(sessions_of_one_pass_do_not_mix_and_a_cancelled_pass_is_undone),
        cmocka_unit_test(an_encoder_makes_a_vector_of_a_whole_text),
        cmocka_unit_test(an_encoder_opens_with_any_number_of_sessions),
        cmocka_unit_test(adapters_and_prefix_files_are_refused_by_name),
        cmocka_unit_test(a_model_that_is_computed_wrongly_needs_consent),
        cmocka_unit_test(our_kernels_compute_the_models_that_they_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

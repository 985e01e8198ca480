/* Log-probabilities and embeddings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/engine_output.h>

#include "base/gguf/gguf.h"

/* ---- log-probabilities ---- */

static void logprobs_sum_to_one_and_come_best_first(void **state)
{
    const float logits[6] = {1, 5, 3, 5, -2, 0};
    struct flo_logprob out[1 + FLO_LOGPROBS_MAX];
    double total = 0, sum = 0;

    (void)state;
    for (int i = 0; i < 6; i++) {
        total += exp((double)logits[i]);
    }
    assert_int_equal(flo_logprobs(logits, 6, 2, 20, out), 7);
    assert_int_equal(out[0].token, 2);
    assert_true(fabs((double)out[0].logprob - (3 - log(total))) < 1e-6);
    const int32_t order[6] = {1, 3, 2, 0, 5, 4};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(out[1 + i].token, order[i]);
        sum += exp((double)out[1 + i].logprob);
    }
    assert_true(fabs(sum - 1) < 1e-6);
}

static void a_short_list_has_the_best_of_a_long_one(void **state)
{
    enum { N = 5000 };
    static float logits[N];
    struct flo_logprob all[1 + FLO_LOGPROBS_MAX], few[4];

    (void)state;
    for (int i = 0; i < N; i++) {
        logits[i] = (float)(i * 7919 % 4999) / 100.0f;
    }
    assert_int_equal(flo_logprobs(logits, N, 9, 20, all), 21);
    assert_int_equal(flo_logprobs(logits, N, 9, 3, few), 4);
    assert_memory_equal(all, few, sizeof(few));
    for (int i = 1; i < 20; i++) {
        assert_true(all[i].logprob >= all[i + 1].logprob);
    }
    assert_int_equal(flo_logprobs(logits, N, 9, 0, few), 1);
}

static void what_is_not_finite_is_the_least_likely(void **state)
{
    const float logits[4] = {NAN, 1, INFINITY, -INFINITY};
    struct flo_logprob out[5];

    (void)state;
    assert_int_equal(flo_logprobs(logits, 4, 0, 4, out), 2);
    assert_true(out[0].logprob == FLO_LOGPROB_MIN);
    assert_int_equal(out[1].token, 1);
    assert_true(out[1].logprob == 0);
}

/* ---- embeddings ---- */

enum { COUNT = 23, N_MAX = 512, VOCAB_MAX = 512 };

struct world {
    struct flo_engine *engine;
    struct flo_session *session;
    uint32_t n_embd, n_vocab;
    int32_t tokens[COUNT];
};

static void world_open(struct world *world, const char *path, uint32_t batch, uint32_t threads)
{
    const struct flo_engine_options options = {
        .context = 64, .batch = batch, .threads = threads, .sessions = 2};
    struct flo_err err = {0};

    if (flo_engine_open(path, &options, &world->engine, &err) < 0 ||
        flo_session_open(world->engine, &world->session, &err) < 0) {
        fail_msg("%s", err.what);
    }
    world->n_embd = flo_engine_info(world->engine)->n_embd;
    world->n_vocab = flo_engine_info(world->engine)->n_vocab;
    assert_true(world->n_embd <= N_MAX && world->n_vocab <= VOCAB_MAX);
    for (int i = 0; i < COUNT; i++) {
        world->tokens[i] = (i * 37 + 11) % (int32_t)world->n_vocab;
    }
}

static void world_close(struct world *world)
{
    flo_session_close(world->session);
    flo_engine_close(world->engine);
}

static void embed(struct world *world, size_t count, enum flo_pooling pooling, float *out)
{
    memset(out, 0, N_MAX * sizeof(*out));
    flo_session_reset(world->session);
    assert_int_equal(flo_session_embed(world->session, world->tokens, count, pooling, out, NULL),
                     0);
}

#define F32 "tests/oracle/tiny/llama32-S-f32.gguf"
#define SMOL "tests/oracle/tiny/smollm2-S-q4_1.gguf"
#define GEMMA "tests/oracle/tiny/gemma2-S-q4_1.gguf"
#define PHI "tests/oracle/tiny/phi2-S-q4_1.gguf"

/* The output matrix times the state gives the logits that a decode gives. */
static void the_last_state_is_the_one_that_logits_are_made_of(void **state)
{
    struct world world;
    struct flo_gguf *gguf = NULL;
    float last[N_MAX];

    (void)state;
    world_open(&world, F32, 0, 1);
    assert_int_equal(flo_gguf_open_path(F32, &gguf, NULL), 0);
    const struct flo_gguf_tensor *output = flo_gguf_tensor_find(gguf, "output.weight");
    if (output == NULL) {
        output = flo_gguf_tensor_find(gguf, "token_embd.weight");
    }
    assert_non_null(output);
    const float *matrix = (const float *)flo_gguf_tensor_data(gguf, output);
    embed(&world, COUNT, FLO_POOLING_LAST, last);
    flo_session_reset(world.session);
    assert_int_equal(flo_session_decode(world.session, world.tokens, COUNT, FLO_LOGITS_LAST, NULL),
                     0);
    const float *logits = flo_session_logits(world.session);
    for (uint32_t v = 0; v < world.n_vocab; v++) {
        double sum = 0;
        for (uint32_t i = 0; i < world.n_embd; i++) {
            sum += (double)matrix[v * world.n_embd + i] * (double)last[i];
        }
        assert_true(fabs(sum - (double)logits[v]) < 1e-4);
    }
    flo_gguf_close(gguf);
    world_close(&world);
}

static void the_mean_is_that_of_the_states_of_every_prefix(void **state)
{
    static const char *const paths[] = {F32, SMOL, GEMMA, PHI};

    (void)state;
    for (size_t p = 0; p < FLO_COUNT(paths); p++) {
        struct world world;
        float sum[N_MAX] = {0}, last[N_MAX], all[N_MAX];

        world_open(&world, paths[p], 0, 1);
        for (size_t n = 1; n <= COUNT; n++) {
            embed(&world, n, FLO_POOLING_LAST, last);
            for (uint32_t i = 0; i < world.n_embd; i++) {
                sum[i] += last[i];
            }
        }
        embed(&world, COUNT, FLO_POOLING_MEAN, all);
        assert_memory_equal(sum, all, world.n_embd * sizeof(float));
        world_close(&world);
    }
}

static void a_vector_has_the_same_bits_however_it_is_cut(void **state)
{
    float whole[N_MAX], cut[N_MAX], pieces[N_MAX] = {0};
    struct world world;

    (void)state;
    world_open(&world, SMOL, 64, 1);
    embed(&world, COUNT, FLO_POOLING_MEAN, whole);
    flo_session_reset(world.session);
    for (size_t at = 0, n = 1; at < COUNT; at += n, n++) {
        n = n < COUNT - at ? n : COUNT - at;
        assert_int_equal(
            flo_session_embed(world.session, world.tokens + at, n, FLO_POOLING_MEAN, pieces, NULL),
            0);
    }
    assert_memory_equal(whole, pieces, world.n_embd * sizeof(float));
    world_close(&world);
    world_open(&world, SMOL, 5, 3); /* other batches, more threads */
    embed(&world, COUNT, FLO_POOLING_MEAN, cut);
    assert_memory_equal(whole, cut, world.n_embd * sizeof(float));
    assert_true(flo_embedding_finish(cut, world.n_embd));
    double squares = 0;
    for (uint32_t i = 0; i < world.n_embd; i++) {
        squares += (double)cut[i] * (double)cut[i];
    }
    assert_true(fabs(squares - 1) < 1e-6);
    world_close(&world);
}

static void an_error_leaves_the_session(void **state)
{
    float vector[N_MAX];
    int32_t many[80] = {0};
    struct world world;

    (void)state;
    world_open(&world, SMOL, 8, 1);
    embed(&world, 10, FLO_POOLING_MEAN, vector);
    assert_int_equal(flo_session_embed(world.session, many, 80, FLO_POOLING_MEAN, vector, NULL),
                     FLO_E_INFER_TOO_LONG);
    many[3] = -1;
    assert_int_equal(flo_session_embed(world.session, many, 4, FLO_POOLING_MEAN, vector, NULL),
                     FLO_E_INFER_PARAM);
    assert_int_equal(flo_session_position(world.session), 10);
    world_close(&world);
}

static void no_length_is_made_of_nothing(void **state)
{
    float zero[3] = {0}, bad[3] = {1, NAN, 0};

    (void)state;
    assert_false(flo_embedding_finish(zero, 3));
    assert_false(flo_embedding_finish(bad, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logprobs_sum_to_one_and_come_best_first),
        cmocka_unit_test(a_short_list_has_the_best_of_a_long_one),
        cmocka_unit_test(what_is_not_finite_is_the_least_likely),
        cmocka_unit_test(the_last_state_is_the_one_that_logits_are_made_of),
        cmocka_unit_test(the_mean_is_that_of_the_states_of_every_prefix),
        cmocka_unit_test(a_vector_has_the_same_bits_however_it_is_cut),
        cmocka_unit_test(an_error_leaves_the_session),
        cmocka_unit_test(no_length_is_made_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

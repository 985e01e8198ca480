/* Sampling: what each number does, and that a seed decides. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/sample/sampler.h"

enum { N = 8 };

static const float logits[N] = {1, 5, 3, 4, -2, 0, 4, 2};

static struct flo_sampler *sampler_with(struct flo_sampling sampling)
{
    struct flo_sampler *sampler = NULL;

    assert_int_equal(flo_sampler_make(N, &sampling, &sampler, NULL), 0);
    return sampler;
}

/* How often each token comes in 4000 draws. */
static void draw_many(struct flo_sampling sampling, int counts[N])
{
    struct flo_sampler *sampler = sampler_with(sampling);

    for (int i = 0; i < N; i++) {
        counts[i] = 0;
    }
    for (int i = 0; i < 4000; i++) {
        struct flo_sample sample;

        flo_sampler_sample(sampler, logits, &sample);
        counts[sample.token]++;
    }
    flo_sampler_close(sampler);
}

static void greedy_takes_the_best_and_tells_the_gap(void **state)
{
    struct flo_sampler *sampler = sampler_with((struct flo_sampling){0});
    struct flo_sample sample;

    (void)state;
    flo_sampler_sample(sampler, logits, &sample);
    assert_int_equal(sample.token, 1);
    assert_true(sample.logit == 5.0f && sample.gap == 1.0f);
    assert_true(sample.is_finite);
    flo_sampler_close(sampler);
}

static void equal_logits_give_the_smaller_id_and_no_gap(void **state)
{
    struct flo_sampler *sampler = sampler_with((struct flo_sampling){0});
    const float equal[N] = {0, 0, 7, 0, 7, 0, 0, 0};
    struct flo_sample sample;

    (void)state;
    flo_sampler_sample(sampler, equal, &sample);
    assert_int_equal(sample.token, 2);
    assert_true(sample.gap == 0);
    flo_sampler_close(sampler);
}

static void nan_and_infinity_are_told_and_never_chosen(void **state)
{
    const float temperatures[] = {0, 1};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(temperatures); i++) {
        struct flo_sampling sampling = {.temperature = temperatures[i], .top_k = 1};
        struct flo_sampler *sampler = sampler_with(sampling);
        float bad[N] = {NAN, 1, INFINITY, 2, -INFINITY, NAN, 0, -1};
        struct flo_sample sample;

        flo_sampler_sample(sampler, bad, &sample);
        assert_int_equal(sample.token, 3);
        assert_false(sample.is_finite);
        for (int k = 0; k < N; k++) {
            bad[k] = NAN;
        }
        flo_sampler_sample(sampler, bad, &sample);
        assert_int_equal(sample.token, 0);
        assert_false(sample.is_finite);
        flo_sampler_close(sampler);
    }
}

static void the_same_seed_gives_the_same_tokens(void **state)
{
    struct flo_sampler *a = sampler_with((struct flo_sampling){.temperature = 2, .seed = 9});
    struct flo_sampler *b = sampler_with((struct flo_sampling){.temperature = 2, .seed = 9});
    struct flo_sampler *c = sampler_with((struct flo_sampling){.temperature = 2, .seed = 10});
    int differences = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct flo_sample of_a, of_b, of_c;

        flo_sampler_sample(a, logits, &of_a);
        flo_sampler_sample(b, logits, &of_b);
        flo_sampler_sample(c, logits, &of_c);
        assert_int_equal(of_a.token, of_b.token);
        differences += of_a.token != of_c.token;
    }
    assert_true(differences > 20);
    flo_sampler_close(a);
    flo_sampler_close(b);
    flo_sampler_close(c);
}

static void the_generator_is_the_published_one(void **state)
{
    struct flo_random_stream stream = {.state = 1234567};

    (void)state;
    assert_true(flo_random_next(&stream) == 6457827717110365317u);
    assert_true(flo_random_next(&stream) == 3203168211198807973u);
}

static void shares_follow_the_softmax(void **state)
{
    double total = 0;
    int counts[N];

    (void)state;
    draw_many((struct flo_sampling){.temperature = 1}, counts);
    for (int i = 0; i < N; i++) {
        total += exp((double)logits[i]);
    }
    for (int i = 0; i < N; i++) {
        double expected = 4000 * exp((double)logits[i]) / total;
        assert_true(fabs(counts[i] - expected) < 5 * sqrt(expected + 1));
    }
}

static void top_k_top_p_and_min_p_cut_the_tail(void **state)
{
    int counts[N];

    (void)state;
    draw_many((struct flo_sampling){.temperature = 5, .top_k = 2}, counts);
    assert_int_equal(counts[1] + counts[3], 4000); /* 3 before 6: smaller id */
    assert_true(counts[3] > 1000);
    draw_many((struct flo_sampling){.temperature = 5, .top_p = 0.5f}, counts);
    assert_int_equal(counts[1], 4000);
    draw_many((struct flo_sampling){.temperature = 5, .min_p = 0.3f}, counts);
    assert_int_equal(counts[1] + counts[3] + counts[6], 4000);
}

static void a_penalty_moves_greedy_off_a_loop(void **state)
{
    struct flo_sampler *sampler = sampler_with((struct flo_sampling){.repeat_penalty = 2});
    struct flo_sample sample;

    (void)state;
    flo_sampler_accept(sampler, 1);
    flo_sampler_accept(sampler, 1);
    flo_sampler_accept(sampler, 4096); /* not a token: ignored */
    flo_sampler_sample(sampler, logits, &sample);
    assert_int_equal(sample.token, 3);
    assert_true(sample.gap == 1.0f); /* of the model's own numbers */
    flo_sampler_sample(sampler, logits, &sample);
    assert_int_equal(sample.token, 6);
    flo_sampler_close(sampler);
}

/* Presence counts once, frequency each time; a prompt's tokens do not. */
static void an_answer_is_punished_for_what_it_said(void **state)
{
    static const int32_t wanted[2][5] = {{1, 3, 6, 1, 1}, {1, 3, 6, 1, 2}};
    struct flo_answered *answered = calloc(1, sizeof(*answered) + N * sizeof(*answered->items));
    struct flo_sample sample;

    (void)state;
    assert_non_null(answered);
    answered->max = N;
    for (int i = 0; i < 2; i++) {
        struct flo_sampler *sampler =
            sampler_with((struct flo_sampling){.presence_penalty = i == 0 ? 1.5f : 0,
                                               .frequency_penalty = i == 0 ? 0 : 1.5f,
                                               .answered = answered});
        answered->count = 0;
        flo_sampler_accept(sampler, 1);
        for (int k = 0; k < 5; k++) {
            flo_sampler_sample(sampler, logits, &sample);
            assert_int_equal(sample.token, wanted[i][k]);
        }
        assert_int_equal(answered->count, i == 0 ? 3 : 4);
        flo_sampler_close(sampler);
    }
    free(answered);
}

static void a_bias_prefers_and_bans(void **state)
{
    static const struct flo_logit_bias biases[] = {
        {1, -100}, {0, 3.5f}, {4096, 100}}; /* no token: passed over */
    struct flo_sampler *sampler =
        sampler_with((struct flo_sampling){.biases = biases, .bias_count = 3});
    struct flo_sample sample;
    int counts[N];

    (void)state;
    flo_sampler_sample(sampler, logits, &sample);
    assert_int_equal(sample.token, 0);
    assert_true(sample.logit == 1.0f && sample.gap == 1.0f);
    flo_sampler_close(sampler);
    draw_many((struct flo_sampling){.temperature = 100, .biases = biases, .bias_count = 1}, counts);
    assert_int_equal(counts[1], 0);
    assert_true(counts[4] > 0);
}

static void numbers_out_of_range_are_named(void **state)
{
    const struct flo_sampling bad[] = {
        {.temperature = -1},
        {.temperature = NAN},
        {.temperature = INFINITY},
        {.top_p = 1.5f},
        {.min_p = -0.1f},
        {.repeat_penalty = 1e-9f},
        {.biases = &(struct flo_logit_bias){1, NAN}, .bias_count = 1},
        {.presence_penalty = 2.5f},
        {.frequency_penalty = -NAN},
        {.repeat_last = 1000},
    };
    struct flo_err err = {0};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(flo_sampling_check(&bad[i], &err), FLO_E_INFER_PARAM);
    }
    assert_string_equal(err.what, "repeat_last is 1000, not 0 to 256");
}

static void a_tiny_temperature_is_greedy(void **state)
{
    int counts[N];

    (void)state;
    draw_many((struct flo_sampling){.temperature = 1e-30f}, counts);
    assert_int_equal(counts[1], 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_best_and_tells_the_gap),
        cmocka_unit_test(equal_logits_give_the_smaller_id_and_no_gap),
        cmocka_unit_test(nan_and_infinity_are_told_and_never_chosen),
        cmocka_unit_test(the_same_seed_gives_the_same_tokens),
        cmocka_unit_test(the_generator_is_the_published_one),
        cmocka_unit_test(shares_follow_the_softmax),
        cmocka_unit_test(top_k_top_p_and_min_p_cut_the_tail),
        cmocka_unit_test(a_penalty_moves_greedy_off_a_loop),
        cmocka_unit_test(an_answer_is_punished_for_what_it_said),
        cmocka_unit_test(a_bias_prefers_and_bans),
        cmocka_unit_test(numbers_out_of_range_are_named),
        cmocka_unit_test(a_tiny_temperature_is_greedy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

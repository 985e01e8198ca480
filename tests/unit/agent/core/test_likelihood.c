/* Likelihood: tokens of an answer against the golden one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/likelihood.h"

static struct flo_likely likely(const char *text, double logprob)
{
    return (struct flo_likely){text, strlen(text), logprob};
}

static struct flo_likelihood golden(const char *answer)
{
    struct flo_likelihood likelihood;

    flo_likelihood_init(&likelihood, answer, strlen(answer));
    return likelihood;
}

static void the_likelihoods_of_golden_tokens_multiply(void **state)
{
    (void)state;
    struct flo_likelihood one = golden("severity: low");
    struct flo_likely first[] = {likely("severity", -0.1), likely("x", -3)};
    struct flo_likely second[] = {likely(": low", -0.25), likely(":", -2)};

    flo_likelihood_token(&one, first, 2);
    assert_false(one.has_ended);
    flo_likelihood_token(&one, second, 2);
    assert_true(one.has_ended);
    assert_true(fabs(one.loss - 0.35) < 1e-12);
    flo_likelihood_token(&one, first, 2); /* text after the answer */
    assert_true(fabs(one.loss - 0.35) < 1e-12);
}

static void a_departure_costs_the_golden_token_and_ends_it(void **state)
{
    (void)state;
    struct flo_likelihood one = golden("low");
    struct flo_likely tokens[] = {likely("high", -0.2), likely("high", -0.2), likely("l", -4),
                                  likely("low", -2.5)};

    flo_likelihood_token(&one, tokens, 4);
    assert_true(one.has_ended && fabs(one.loss - 2.5) < 1e-12);
}

static void a_token_that_is_not_told_counts_as_the_last_that_is(void **state)
{
    (void)state;
    struct flo_likelihood one = golden("low");
    struct flo_likely tokens[] = {likely("high", -0.2), likely("high", -0.2), likely("mid", -7)};
    struct flo_likely alone[] = {likely("high", -0.2)};

    flo_likelihood_token(&one, tokens, 3);
    assert_true(fabs(one.loss - 7) < 1e-12);
    one = golden("low");
    flo_likelihood_token(&one, alone, 1);
    assert_true(fabs(one.loss - FLO_LIKELIHOOD_LOSS_MAX) < 1e-12);
}

static void an_end_and_a_longer_token_are_departures(void **state)
{
    (void)state;
    struct flo_likelihood one = golden("low");
    struct flo_likely end[] = {likely("", -0.1), likely("", -0.1), likely("low", -3)};
    struct flo_likely longer[] = {likely("lower", -0.1), likely("lower", -0.1), likely("low", -2)};

    flo_likelihood_token(&one, end, 3);
    assert_true(one.has_ended && fabs(one.loss - 3) < 1e-12);
    one = golden("low");
    flo_likelihood_token(&one, longer, 3);
    assert_true(one.has_ended && fabs(one.loss - 2) < 1e-12);
}

static void a_blank_before_the_first_token_is_no_departure(void **state)
{
    (void)state;
    struct flo_likelihood one = golden("a b");
    struct flo_likely first[] = {likely(" a", -0.5)};
    struct flo_likely second[] = {likely(" b", -0.5)};

    flo_likelihood_token(&one, first, 1);
    assert_false(one.has_ended);
    flo_likelihood_token(&one, second, 1);
    assert_true(one.has_ended && fabs(one.loss - 1) < 1e-12);
}

static void impossible_probabilities_are_bounded(void **state)
{
    (void)state;
    static const double strange[] = {-INFINITY, -1e300, NAN};

    for (size_t i = 0; i < 3; i++) {
        struct flo_likelihood one = golden("a");
        struct flo_likely token = likely("a", strange[i]);
        flo_likelihood_token(&one, &token, 1);
        assert_true(fabs(one.loss - FLO_LIKELIHOOD_LOSS_MAX) < 1e-12);
    }
    struct flo_likelihood one = golden("a");
    struct flo_likely token = likely("a", 0.5);
    flo_likelihood_token(&one, &token, 1);
    assert_true(fabs(one.loss) < 1e-12);
}

static void the_number_is_the_perplexity_of_the_mean_answer(void **state)
{
    (void)state;
    assert_int_equal(flo_likelihood_ppm(0, 0), 0);
    assert_int_equal(flo_likelihood_ppm(0, 26), 1000000);
    assert_int_equal(flo_likelihood_ppm(2 * log(2), 2), 2000000);
    assert_true(flo_likelihood_ppm(1e9, 1) < INT64_C(1) << 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_likelihoods_of_golden_tokens_multiply),
        cmocka_unit_test(a_departure_costs_the_golden_token_and_ends_it),
        cmocka_unit_test(a_token_that_is_not_told_counts_as_the_last_that_is),
        cmocka_unit_test(an_end_and_a_longer_token_are_departures),
        cmocka_unit_test(a_blank_before_the_first_token_is_no_departure),
        cmocka_unit_test(impossible_probabilities_are_bounded),
        cmocka_unit_test(the_number_is_the_perplexity_of_the_mean_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

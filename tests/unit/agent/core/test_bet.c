/* Evidence of a share: how often it errs, over many simulated rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/agent.h>

#include "unit/agent/core/uniform.h"

#define ROWS 2000

/* Verdicts over ROWS rows, each looked at after each of `length` answers. */
struct verdicts {
    int above, below;
    double answers; /* to the verdict, on average */
};

static struct verdicts judge(double truth, double limit, double odds, int length)
{
    struct verdicts verdicts = {0};

    seed = 1;
    for (int row = 0; row < ROWS; row++) {
        struct flo_bet evidence = {0};
        bool above = false, below = false;

        for (int i = 0; i < length && !above && !below; i++) {
            flo_bet_add(&evidence, limit, uniform() < truth);
            above = flo_bet_is_above(&evidence, limit, odds);
            below = flo_bet_is_below(&evidence, limit, odds);
        }
        verdicts.above += above;
        verdicts.below += below;
        verdicts.answers += (double)evidence.count / ROWS;
    }
    return verdicts;
}

static void a_share_at_the_limit_gets_a_verdict_as_seldom_as_promised(void **state)
{
    const double limits[] = {0.02, 0.1, 0.5, 0.9};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(limits); i++) {
        struct verdicts got = judge(limits[i], limits[i], 100, 3000);

        /* 20 expected at most; 40 is far beyond what chance adds. */
        assert_in_range(got.above + got.below, 0, 40);
    }
}

static void a_share_on_one_side_is_not_taken_for_the_other(void **state)
{
    (void)state;
    assert_int_equal(judge(0.003, 0.02, 100, 2000).above, 0);
    assert_int_equal(judge(0.4, 0.5, 1000, 2000).above, 0);
    assert_int_equal(judge(0.6, 0.5, 1000, 2000).below, 0);
}

static void a_share_far_from_the_limit_is_seen_soon(void **state)
{
    struct verdicts got = judge(0.3, 0.02, 100, 1000);

    (void)state;
    assert_int_equal(got.above, ROWS);
    assert_true(got.answers < 12);
    got = judge(0.01, 0.5, 1000, 1000);
    assert_int_equal(got.below, ROWS);
    assert_true(got.answers < 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_at_the_limit_gets_a_verdict_as_seldom_as_promised),
        cmocka_unit_test(a_share_on_one_side_is_not_taken_for_the_other),
        cmocka_unit_test(a_share_far_from_the_limit_is_seen_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rivals: the expected losses, and the difference that good devices may show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "engine/judge/rivals.h"

static struct flo_rivals rivals;
static struct flo_rivals_spread spread;
static struct flo_err err;

static int begin(void **state)
{
    (void)state;
    flo_rivals_deinit(&rivals);
    rivals.count = 2;
    spread = (struct flo_rivals_spread){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    flo_rivals_deinit(&rivals);
    return 0;
}

static void the_mean_of_the_models_own_plays_is_expected(void **state)
{
    float losses[] = {1, 5};
    (void)state;
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){2, 5}, 2, true, &err), 0);
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){3, 8}, 1, true, &err), 0);
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){9, 9}, 2, false, &err), 0);

    flo_rivals_settle(&rivals, 2, losses, &spread);

    assert_float_equal(losses[0], 2, 1e-6);
    assert_float_equal(losses[1], 5, 1e-6); /* the third play chose another token before */
}

static void the_worst_play_decides_what_is_allowed(void **state)
{
    float losses[] = {1, 1};
    (void)state;
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){1, 1}, 2, true, &err), 0);
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){2, 2}, 2, true, &err), 0);

    flo_rivals_settle(&rivals, 2, losses, &spread);

    assert_float_equal(flo_rivals_slack(&spread), 1.3, 1e-6);
}

static void another_model_may_be_as_far_away_as_it_is(void **state)
{
    float losses[] = {1, 1};
    (void)state;
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){1, 1}, 2, true, &err), 0);
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){3, 1}, 2, false, &err), 0);

    flo_rivals_settle(&rivals, 2, losses, &spread);

    assert_float_equal(flo_rivals_slack(&spread), 1.3F * sqrtf(2), 1e-6);
}

static void plays_that_agree_leave_room_for_other_back_ends(void **state)
{
    float losses[] = {1, 1};
    (void)state;
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){1, 1}, 2, true, &err), 0);

    flo_rivals_settle(&rivals, 2, losses, &spread);

    assert_true(flo_rivals_slack(&spread) > 0.05);
}

static void a_cut_case_counts_only_as_far_as_it_goes(void **state)
{
    float losses[] = {1, 1};
    (void)state;
    assert_int_equal(flo_rivals_add(&rivals, (const float[]){1, 4}, 2, true, &err), 0);

    flo_rivals_settle(&rivals, 1, losses, &spread);

    assert_true(flo_rivals_slack(&spread) < 0.1);
    assert_float_equal(losses[1], 1, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_mean_of_the_models_own_plays_is_expected, begin, end),
        cmocka_unit_test_setup_teardown(the_worst_play_decides_what_is_allowed, begin, end),
        cmocka_unit_test_setup_teardown(another_model_may_be_as_far_away_as_it_is, begin, end),
        cmocka_unit_test_setup_teardown(plays_that_agree_leave_room_for_other_back_ends, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_cut_case_counts_only_as_far_as_it_goes, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Slices: each row of the golden vectors is a test of its own, and what must
 * hold for any numbers.
 *
 * FLOTILLA_SLICE_VECTORS names another file of vectors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/gate/slices/slices.h"
#include "tests/unit/server/slice_answers.h"
#include "tests/unit/server/vectors.h"

#define VECTORS "tests/golden/slices/vectors.jsonl"

/* ---- levels ---- */

static void a_reading_that_is_no_number_changes_nothing(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    struct flo_level_table levels = {0};
    struct flo_level_table before;
    double good = 5;

    (void)state;
    assert_true(flo_levels_add(&levels, 1, &good, 7));
    before = levels;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_levels_add(&levels, 2, &bad[i], 8));
        assert_memory_equal(&levels, &before, sizeof(levels));
    }
}

static void a_level_of_many_years_stays_a_level(void **state)
{
    struct flo_level_table levels = {0};
    const struct flo_level *level;

    (void)state;
    for (uint32_t block = 0; block < 1000000; block++) {
        double y = 5 + (block % 2 == 0 ? 0.25 : -0.25);
        assert_true(flo_levels_add(&levels, 1 + block / 1000 % 9, &y, block));
    }
    assert_int_equal(flo_levels_reference(&levels, 1000000, &level),
                     FLO_REFERENCE_OWN);
    assert_true(fabs(flo_mean_of(&level->mean) - 5) < 0.1);
    assert_true(level->mean.count < FLO_BASE_READINGS_MAX);
}

static void a_billion_milliseconds_are_a_reading_like_any_other(void **state)
{
    struct flo_growing growing = {0};
    double d;

    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_true(flo_growing_add(&growing,
                                    i < FLO_LEVEL_FULL ? log(30) : log(1e12)));
    }
    assert_true(flo_growing_difference(&growing, &d));
    assert_true(fabs(d - log(1e12 / 30)) < 1e-9);
    assert_false(flo_growing_add(&growing, log(-1)));
}

/* ---- told ---- */

static void what_is_told_refuses_no_numbers(void **state)
{
    double updated[] = {0.1, NAN};
    double controls[] = {0.0, 0.1, -0.1, 0.05, 0.02};
    double numbers[8];
    struct flo_told told;

    (void)state;
    assert_false(flo_told_effect(updated, 2, controls, 5, numbers, &told));
    assert_false(told.has_effect);
    updated[1] = INFINITY;
    assert_false(flo_told_effect(updated, 2, controls, 5, numbers, &told));
}

static void one_wild_device_of_ten_moves_what_is_told_little(void **state)
{
    double updated[10];
    double controls[40];
    double numbers[64];
    struct flo_told told;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(controls); i++) {
        controls[i] = 0.01 * (double)(i % 7) - 0.03;
    }
    for (size_t i = 0; i < FLO_COUNT(updated); i++) {
        updated[i] = 0.69 + 0.01 * (double)(i % 5);
    }
    updated[3] = log(1e9);
    assert_true(flo_told_effect(updated, 10, controls, 40, numbers, &told));
    assert_true(exp(told.effect) > 1.9 && exp(told.effect) < 2.2);
    assert_true(told.low < told.effect && told.effect < told.high);
}

int main(void)
{
    const char *other = getenv("FLOTILLA_SLICE_VECTORS");
    json_t *rows = vectors_read(other != NULL ? other : VECTORS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading_that_is_no_number_changes_nothing),
        cmocka_unit_test(a_level_of_many_years_stays_a_level),
        cmocka_unit_test(a_billion_milliseconds_are_a_reading_like_any_other),
        cmocka_unit_test(what_is_told_refuses_no_numbers),
        cmocka_unit_test(one_wild_device_of_ten_moves_what_is_told_little),
    };

    int failed = vectors_run(rows, slice_answer);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(rows);
    return failed;
}

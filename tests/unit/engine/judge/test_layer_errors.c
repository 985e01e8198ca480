/* Errors by layer: how they are counted, and where they jump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "engine/judge/layer_errors.h"

#define WIDTH 2
#define TOKENS 2

static const float from[3][TOKENS][WIDTH] = {
    {{3, 4}, {3000, 4000}},
    {{3, 4}, {3000, 4000}},
    {{3, 4}, {0, 0}},
};

static struct flo_layer_errors measured(const float other[3][TOKENS][WIDTH])
{
    struct flo_layer_errors errors = {.places = 3};

    flo_layer_errors_add(&errors, from[0][0], other[0][0], TOKENS, WIDTH);
    return errors;
}

static void expect(double value, double want)
{
    assert_true(fabs(value - want) < 1e-12);
}

/* The second token's state is a thousand times as large, and so is its
 * difference. */
static void a_token_with_a_large_state_counts_like_any_other(void **state)
{
    static const float other[3][TOKENS][WIDTH] = {
        {{3, 4}, {3000, 4000}}, {{3, 5}, {3000, 5000}}, {{3, 5}, {0, 0}}};
    struct flo_layer_errors errors = measured(other);

    (void)state;
    expect(flo_layer_errors_at(&errors, 0), 0);
    expect(flo_layer_errors_at(&errors, 1), 0.2);
    expect(flo_layer_errors_at(&errors, 2), 0.2 / sqrt(2));
}

static void the_error_jumps_where_it_grows_most(void **state)
{
    static const float other[3][TOKENS][WIDTH] = {
        {{3, 4.1f}, {3000, 4000}}, {{3, 5}, {3000, 5000}}, {{3, 6}, {0, 0}}};
    struct flo_layer_errors errors = measured(other);

    (void)state;
    assert_int_equal(flo_layer_errors_jump(&errors), 1);
    expect(flo_layer_errors_step(&errors, 1),
           flo_layer_errors_at(&errors, 1) - flo_layer_errors_at(&errors, 0));
}

static void an_error_may_begin_with_the_embedding(void **state)
{
    static const float other[3][TOKENS][WIDTH] = {
        {{3, 5}, {3000, 5000}}, {{3, 5}, {3000, 5000}}, {{3, 4}, {0, 0}}};
    struct flo_layer_errors errors = measured(other);

    (void)state;
    assert_int_equal(flo_layer_errors_jump(&errors), 0);
    expect(flo_layer_errors_step(&errors, 0), 0.2);
}

static void equal_states_have_no_error_and_no_jump(void **state)
{
    struct flo_layer_errors errors = measured(from);

    (void)state;
    expect(flo_layer_errors_at(&errors, 2), 0);
    assert_int_equal(flo_layer_errors_jump(&errors), FLO_NO_PLACE);
}

static void a_state_that_is_not_finite_is_the_jump(void **state)
{
    static const float other[3][TOKENS][WIDTH] = {
        {{3, 9}, {3000, 4000}}, {{3, NAN}, {3000, 4000}}, {{3, 4}, {1, 0}}};
    struct flo_layer_errors errors = measured(other);

    (void)state;
    assert_true(isnan(flo_layer_errors_at(&errors, 1)));
    assert_true(isnan(flo_layer_errors_at(&errors, 2))); /* a difference from 0 has no scale */
    assert_int_equal(flo_layer_errors_jump(&errors), 1);
}

static void nothing_compared_is_no_error_of_zero(void **state)
{
    const struct flo_layer_errors errors = {.places = 3};

    (void)state;
    assert_true(isnan(flo_layer_errors_at(&errors, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_with_a_large_state_counts_like_any_other),
        cmocka_unit_test(the_error_jumps_where_it_grows_most),
        cmocka_unit_test(an_error_may_begin_with_the_embedding),
        cmocka_unit_test(equal_states_have_no_error_and_no_jump),
        cmocka_unit_test(a_state_that_is_not_finite_is_the_jump),
        cmocka_unit_test(nothing_compared_is_no_error_of_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

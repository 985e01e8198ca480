/* Guesses of the next tokens: where they come from and when they pay. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void what_followed_the_same_tokens_is_guessed(void **state)
{
    const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4};
    const int32_t expected[] = {5, 6, 7, 8};
    int32_t out[8];
    bool is_long;

    (void)state;
    assert_int_equal(flo_draft_find(tokens, 13, out, 4, &is_long), 4);
    assert_true(is_long);
    assert_memory_equal(out, expected, sizeof(expected));
}

static void a_longer_match_wins_over_a_newer_one(void **state)
{
    const int32_t tokens[] = {1, 2, 3, 4, 50, 3, 4, 60, 1, 2, 3, 4};
    const int32_t newer[] = {9, 3, 4, 50, 3, 4, 60, 1, 8, 3, 4};
    int32_t out[8];
    bool is_long;

    (void)state;
    assert_int_equal(flo_draft_find(tokens, 12, out, 1, &is_long), 1);
    assert_true(is_long);
    assert_int_equal(out[0], 50);
    assert_int_equal(flo_draft_find(newer, 11, out, 2, &is_long), 2);
    assert_false(is_long);
    assert_int_equal(out[0], 60);
}

static void no_match_and_short_lists_give_no_guess(void **state)
{
    const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    int32_t out[8];
    bool is_long;

    (void)state;
    for (size_t n = 2; n <= 9; n++) {
        assert_int_equal(flo_draft_find(tokens, n, out, 8, &is_long), 0);
    }
}

static void a_repeating_end_guesses_up_to_itself(void **state)
{
    const int32_t tokens[] = {7, 7, 7, 7, 7, 7, 7, 7};
    int32_t out[8];
    bool is_long;

    (void)state;
    assert_int_equal(flo_draft_find(tokens, 8, out, 8, &is_long), 1);
    assert_int_equal(out[0], 7);
}

static void how_many_depends_on_being_right_and_on_the_cost(void **state)
{
    struct flo_draft draft;
    struct flo_draft_costs cheap = {.row_share = 0.05f};
    struct flo_draft_costs dear = {.row_share = 0.6f};
    const struct flo_draft_costs unknown = {0};

    (void)state;
    flo_draft_begin(&draft);
    assert_int_equal(flo_draft_size(&draft, &unknown, true, 8), 0);
    assert_true(flo_draft_size(&draft, &cheap, true, 8) > 0);
    assert_int_equal(flo_draft_size(&draft, &cheap, true, 0), 0);
    assert_int_equal(flo_draft_size(&draft, &dear, true, 8), 0);
    for (int i = 0; i < 60; i++) {
        flo_draft_learn(&draft, true, true);
    }
    assert_int_equal(flo_draft_size(&draft, &cheap, true, 8), 8);
    assert_int_equal(flo_draft_size(&draft, &cheap, true, 3), 3);
    assert_true(flo_draft_size(&draft, &dear, true, 8) > 0);
    for (int i = 0; i < 60; i++) {
        flo_draft_learn(&draft, true, false);
    }
    assert_int_equal(flo_draft_size(&draft, &cheap, true, 8), 0);
}

static void costs_are_learned_from_passes(void **state)
{
    struct flo_draft_costs costs = {0};

    (void)state;
    flo_draft_cost(&costs, 64, 6400);
    assert_true(costs.row_share == 0); /* one token's cost is not known yet */
    for (int i = 0; i < 50; i++) {
        flo_draft_cost(&costs, 1, 1000);
    }
    assert_true(costs.row_share > 0.09f && costs.row_share < 0.11f);
    for (int i = 0; i < 50; i++) {
        flo_draft_cost(&costs, 5, 3000);
    }
    assert_true(costs.extra[4] > 1.9f && costs.extra[4] < 2.1f);
    for (int i = 0; i < 20000; i++) { /* forgotten some day */
        flo_draft_cost(&costs, 1, 1000);
    }
    assert_true(costs.extra[4] < 0.5f);
}

static void a_dear_second_token_needs_many_right_guesses(void **state)
{
    struct flo_draft draft = {.right = {0.5f, 0.7f}};
    struct flo_draft_costs costs = {.row_share = 0.1f, .extra = {0, 1.5f}};

    (void)state;
    /* One guess alone costs 2.5 times; more cost no less than it. */
    assert_int_equal(flo_draft_size(&draft, &costs, false, 8), 0);
    assert_int_equal(flo_draft_size(&draft, &costs, true, 1), 0);
    assert_true(flo_draft_size(&draft, &costs, true, 8) >= 4);
}

static void tokens_that_are_computed_again_make_a_wrong_guess_dear(void **state)
{
    struct flo_draft draft = {.right = {0.4f, 0.95f}};
    struct flo_draft_costs costs = {.row_share = 0.2f};

    (void)state;
    assert_true(flo_draft_size(&draft, &costs, false, 8) > 0);
    costs.computes_again = true;
    assert_int_equal(flo_draft_size(&draft, &costs, false, 8), 0);
    assert_true(flo_draft_size(&draft, &costs, true, 8) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_the_same_tokens_is_guessed),
        cmocka_unit_test(a_longer_match_wins_over_a_newer_one),
        cmocka_unit_test(no_match_and_short_lists_give_no_guess),
        cmocka_unit_test(a_repeating_end_guesses_up_to_itself),
        cmocka_unit_test(how_many_depends_on_being_right_and_on_the_cost),
        cmocka_unit_test(costs_are_learned_from_passes),
        cmocka_unit_test(tokens_that_are_computed_again_make_a_wrong_guess_dear),
        cmocka_unit_test(a_dear_second_token_needs_many_right_guesses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

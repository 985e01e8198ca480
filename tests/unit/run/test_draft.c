/* Guesses of the next tokens: where they come from and when they pay. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct flo_draft none; /* nothing was learned yet */

static uint32_t size_of(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                        enum flo_guess kind, uint32_t found)
{
    uint32_t size;
    float gain = flo_draft_size(draft, costs, kind, found, &size);

    assert_true(size > 0 ? gain > 1 : gain == 0);
    return size;
}

static void what_followed_the_same_tokens_is_guessed(void **state)
{
    const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4};
    const int32_t expected[] = {5, 6, 7, 8};
    int32_t out[8];
    enum flo_guess kind;

    (void)state;
    assert_int_equal(flo_draft_find(tokens, 13, out, 4, &kind), 4);
    assert_int_equal(kind, FLO_GUESS_LONG);
    assert_memory_equal(out, expected, sizeof(expected));
}

static void a_longer_match_wins_over_a_newer_one(void **state)
{
    const int32_t tokens[] = {1, 2, 3, 4, 50, 3, 4, 60, 1, 2, 3, 4};
    const int32_t newer[] = {9, 3, 4, 50, 3, 4, 60, 1, 8, 3, 4};
    int32_t out[8];
    enum flo_guess kind;

    (void)state;
    assert_int_equal(flo_draft_find(tokens, 12, out, 1, &kind), 1);
    assert_int_equal(kind, FLO_GUESS_LONG);
    assert_int_equal(out[0], 50);
    assert_int_equal(flo_draft_find(newer, 11, out, 2, &kind), 2);
    assert_int_equal(kind, FLO_GUESS_SHORT);
    assert_int_equal(out[0], 60);
}

static void no_match_and_short_lists_give_no_guess(void **state)
{
    const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    int32_t out[8];
    enum flo_guess kind;

    (void)state;
    for (size_t n = 2; n <= 9; n++) {
        assert_int_equal(flo_draft_find(tokens, n, out, 8, &kind), 0);
    }
}

static void a_repeating_end_guesses_up_to_itself(void **state)
{
    const int32_t tokens[] = {7, 7, 7, 7, 7, 7, 7, 7};
    int32_t out[8];
    enum flo_guess kind;

    (void)state;
    assert_int_equal(flo_draft_find(tokens, 8, out, 8, &kind), 1);
    assert_int_equal(out[0], 7);
}

static void how_many_depends_on_being_right_and_on_the_cost(void **state)
{
    struct flo_draft draft;
    struct flo_draft_costs cheap = {.row_share = 0.05f};
    struct flo_draft_costs dear = {.row_share = 0.6f};
    const struct flo_draft_costs unknown = {0};

    (void)state;
    flo_draft_begin(&draft, &none);
    assert_int_equal(size_of(&draft, &unknown, FLO_GUESS_LONG, 8), 0);
    assert_true(size_of(&draft, &cheap, FLO_GUESS_LONG, 8) > 0);
    assert_int_equal(size_of(&draft, &cheap, FLO_GUESS_LONG, 0), 0);
    assert_int_equal(size_of(&draft, &dear, FLO_GUESS_LONG, 8), 0);
    for (int i = 0; i < 60; i++) {
        flo_draft_learn(&draft, FLO_GUESS_LONG, true);
    }
    assert_int_equal(size_of(&draft, &cheap, FLO_GUESS_LONG, 8), 8);
    assert_int_equal(size_of(&draft, &cheap, FLO_GUESS_LONG, 3), 3);
    assert_true(size_of(&draft, &dear, FLO_GUESS_LONG, 8) > 0);
    for (int i = 0; i < 60; i++) {
        flo_draft_learn(&draft, FLO_GUESS_LONG, false);
    }
    assert_int_equal(size_of(&draft, &cheap, FLO_GUESS_LONG, 8), 0);
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
    assert_int_equal(size_of(&draft, &costs, FLO_GUESS_SHORT, 8), 0);
    assert_int_equal(size_of(&draft, &costs, FLO_GUESS_LONG, 1), 0);
    assert_true(size_of(&draft, &costs, FLO_GUESS_LONG, 8) >= 4);
}

static void tokens_that_are_computed_again_make_a_wrong_guess_dear(void **state)
{
    struct flo_draft draft = {.right = {0.4f, 0.95f}};
    struct flo_draft_costs costs = {.row_share = 0.2f};

    (void)state;
    assert_true(size_of(&draft, &costs, FLO_GUESS_SHORT, 8) > 0);
    costs.computes_again = true;
    assert_int_equal(size_of(&draft, &costs, FLO_GUESS_SHORT, 8), 0);
    assert_true(size_of(&draft, &costs, FLO_GUESS_LONG, 8) > 0);
}

/* ---- a draft file ---- */

static const struct flo_draft_costs costs_of_model = {
    .single_us = 1000, .row_share = 0.05f, .guess_us = 100};

static uint32_t ask(struct flo_draft *draft, const struct flo_draft_costs *costs, uint32_t most,
                    float gain)
{
    const struct flo_draft_place place = {.most = most, .lag = 1, .gain = gain};

    return flo_draft_ask(draft, costs, &place);
}

static void learn_model(struct flo_draft *draft, int times, bool was_right)
{
    for (int i = 0; i < times; i++) {
        flo_draft_learn(draft, FLO_GUESS_MODEL, was_right);
    }
}

/* How many guesses of the next `tokens` tokens a draft model is asked for, that
 * is always wrong. */
static uint32_t tries_of(struct flo_draft *draft, int tokens)
{
    uint32_t asked = 0;

    for (int i = 0; i < tokens; i++) {
        if (ask(draft, &costs_of_model, 8, 0) > 0) {
            asked++;
            learn_model(draft, 1, false);
            flo_draft_paid(draft, &costs_of_model, 1, 1500);
        }
    }
    return asked;
}

static void a_model_is_asked_for_as_many_guesses_as_pay(void **state)
{
    struct flo_draft draft;

    (void)state;
    flo_draft_begin(&draft, &none);
    learn_model(&draft, 60, true);
    assert_int_equal(ask(&draft, &costs_of_model, 8, 0), 8);
    assert_int_equal(ask(&draft, &costs_of_model, 3, 0), 3);
    assert_int_equal(ask(&draft, &costs_of_model, 0, 0), 0);
}

static void a_dear_model_is_asked_for_fewer_guesses_or_none(void **state)
{
    struct flo_draft_costs dear = costs_of_model;
    struct flo_draft draft;

    (void)state;
    flo_draft_begin(&draft, &none);
    learn_model(&draft, 4, true); /* right in 67 of 100 */
    assert_true(ask(&draft, &costs_of_model, 8, 0) > 2);
    dear.guess_us = 400;
    assert_in_range(ask(&draft, &dear, 8, 0), 1, 2);
    dear.guess_us = 900;
    assert_int_equal(ask(&draft, &dear, 8, 0), 0);
}

static void a_model_is_left_when_its_passes_are_measured_to_be_no_faster(void **state)
{
    struct flo_draft draft;

    (void)state;
    flo_draft_begin(&draft, &none);
    learn_model(&draft, 60, true); /* it is always right */
    for (int i = 0; i < 60; i++) {
        flo_draft_paid(&draft, &costs_of_model, 9, 9000); /* in the time of nine passes */
    }
    assert_int_equal(ask(&draft, &costs_of_model, 8, 0), 0);
    for (int i = 0; i < 20; i++) {
        flo_draft_paid(&draft, &costs_of_model, 9, 4500);
    }
    assert_int_equal(ask(&draft, &costs_of_model, 8, 0), 8);
}

static void a_model_is_not_asked_where_another_guess_pays_more(void **state)
{
    struct flo_draft draft;
    uint32_t size;

    (void)state;
    flo_draft_begin(&draft, &none);
    learn_model(&draft, 4, true);
    float gain = flo_draft_size(&draft, &costs_of_model, FLO_GUESS_MODEL, 8, &size);
    assert_int_equal(ask(&draft, &costs_of_model, 8, gain), 0);
    assert_int_equal(ask(&draft, &costs_of_model, 8, gain - 0.01f), size);
}

static void a_model_that_never_agrees_is_asked_ever_less(void **state)
{
    struct flo_draft draft;

    (void)state;
    flo_draft_begin(&draft, &none);
    uint32_t first = tries_of(&draft, 1000), later = tries_of(&draft, 10000);
    assert_in_range(first, 8, 60);
    assert_in_range(later, 8, 60); /* of ten times as many */
    assert_true(tries_of(&draft, 100000) < 120);
}

static void a_model_that_agrees_again_is_used_again(void **state)
{
    struct flo_draft draft;
    uint32_t asked = 0;

    (void)state;
    flo_draft_begin(&draft, &none);
    tries_of(&draft, 1000);
    for (int i = 0; i < 2000; i++) {
        uint32_t size = ask(&draft, &costs_of_model, 8, 0);
        asked += size;
        if (size > 0) {
            learn_model(&draft, 1, true);
            flo_draft_paid(&draft, &costs_of_model, 1 + size, 1000 + 150 * (float)size);
        }
    }
    assert_true(asked > 5000);
}

static void a_lag_is_computed_only_for_an_answer_that_is_long_enough(void **state)
{
    struct flo_draft_costs costs = costs_of_model;
    struct flo_draft_place place = {.most = 8, .lag = 200};
    struct flo_draft draft;

    (void)state;
    costs.lag_us = 100; /* 200 tokens cost 20 passes */
    flo_draft_begin(&draft, &none);
    learn_model(&draft, 60, true);
    assert_int_equal(flo_draft_ask(&draft, &costs, &place), 8);
    for (int i = 0; i < 60; i++) {
        flo_draft_end(&draft, 10);
    }
    assert_int_equal(flo_draft_ask(&draft, &costs, &place), 0);
    place.made = 100; /* this answer is a long one after all */
    assert_int_equal(flo_draft_ask(&draft, &costs, &place), 8);
}

static void what_is_known_of_a_draft_file_outlives_a_request(void **state)
{
    struct flo_draft draft, next;

    (void)state;
    flo_draft_begin(&draft, &none);
    for (int i = 0; i < 60; i++) {
        for (unsigned kind = 0; kind < FLO_GUESS_KINDS; kind++) {
            flo_draft_learn(&draft, kind, false);
        }
    }
    flo_draft_begin(&next, &draft);
    assert_true(next.right[FLO_GUESS_TABLE] < 0.01f && next.right[FLO_GUESS_MODEL] < 0.01f);
    assert_true(next.right[FLO_GUESS_SHORT] > 0.2f && next.right[FLO_GUESS_LONG] > 0.4f);
}

static void the_cost_of_a_guess_is_learned(void **state)
{
    struct flo_draft_costs costs = {0};

    (void)state;
    for (int i = 0; i < 50; i++) {
        flo_draft_guess_cost(&costs, 2, 4, 800);
        flo_draft_guess_cost(&costs, 60, 4, 100000); /* most of this is the lag */
        flo_draft_guess_cost(&costs, 64, 0, 640);
    }
    assert_true(costs.guess_us > 190 && costs.guess_us < 210);
    assert_true(costs.lag_us > 9 && costs.lag_us < 11);
    for (int i = 0; i < 20000; i++) { /* forgotten some day: a slow first call is no verdict */
        flo_draft_cost(&costs, 1, 1000);
    }
    assert_true(costs.lag_us < 0.1f && costs.guess_us < 1);
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
        cmocka_unit_test(a_model_is_asked_for_as_many_guesses_as_pay),
        cmocka_unit_test(a_dear_model_is_asked_for_fewer_guesses_or_none),
        cmocka_unit_test(a_model_is_left_when_its_passes_are_measured_to_be_no_faster),
        cmocka_unit_test(a_model_is_not_asked_where_another_guess_pays_more),
        cmocka_unit_test(a_model_that_never_agrees_is_asked_ever_less),
        cmocka_unit_test(a_model_that_agrees_again_is_used_again),
        cmocka_unit_test(a_lag_is_computed_only_for_an_answer_that_is_long_enough),
        cmocka_unit_test(what_is_known_of_a_draft_file_outlives_a_request),
        cmocka_unit_test(the_cost_of_a_guess_is_learned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

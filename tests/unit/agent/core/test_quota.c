/* Quota: limits of an app in windows that slide, on given time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/core/quota.h"

#define MINUTE FLO_QUOTA_MINUTE_MS
#define DAY FLO_QUOTA_DAY_MS
#define START 1234567 /* of no slice the begin */

static struct flo_quota_state state;

static unsigned take_all(struct flo_quota *quota, uint64_t now_ms)
{
    unsigned count = 0;

    while (flo_quota_take(quota, now_ms, 1, &state)) {
        count++;
    }
    return count;
}

static void without_limits_everything_is_taken(void **unused)
{
    struct flo_quota quota = {0};
    (void)unused;

    for (int i = 0; i < 1000; i++) {
        assert_true(flo_quota_take(&quota, START, 1, &state));
    }
    flo_quota_spend(&quota, START, UINT64_MAX / 2);
    assert_true(flo_quota_take(&quota, START, 1, &state));
    assert_false(flo_quota_look(&quota, START, true, &state));
    assert_false(flo_quota_look(&quota, START, false, &state));
}

static void a_limit_of_requests_says_what_is_used_and_when_it_ends(void **unused)
{
    struct flo_quota quota = {.limits = {[FLO_QUOTA_REQUESTS_MINUTE] = 3}};
    (void)unused;

    assert_int_equal(take_all(&quota, START), 3);
    assert_int_equal(state.kind, FLO_QUOTA_REQUESTS_MINUTE);
    assert_int_equal(state.used, 3);
    assert_int_equal(state.limit, 3);
    assert_in_range(state.wait_ms, MINUTE, MINUTE + MINUTE / 60);
    assert_false(flo_quota_take(&quota, START + state.wait_ms - 1, 1, &state));
    assert_int_equal(state.wait_ms, 1);
    assert_int_equal(take_all(&quota, START + MINUTE + MINUTE / 60), 3);
}

static void no_minute_has_more_requests_than_its_limit(void **unused)
{
    struct flo_quota quota = {.limits = {[FLO_QUOTA_REQUESTS_MINUTE] = 7}};
    uint64_t taken[600];
    unsigned count = 0;
    (void)unused;

    /* Steps that meet slices at any place. */
    for (uint64_t now = START; now < START + 10 * MINUTE; now += 317) {
        while (count < FLO_COUNT(taken) && flo_quota_take(&quota, now, 1, &state)) {
            taken[count++] = now;
        }
    }
    assert_in_range(count, 7 * 9, 7 * 10);
    for (unsigned i = 7; i < count; i++) {
        assert_true(taken[i] - taken[i - 7] >= MINUTE);
    }
}

static void requests_come_back_one_by_one(void **unused)
{
    struct flo_quota quota = {.limits = {[FLO_QUOTA_REQUESTS_DAY] = 2}};
    (void)unused;

    assert_true(flo_quota_take(&quota, START, 1, &state));
    assert_true(flo_quota_take(&quota, START + DAY / 2, 1, &state));
    assert_false(flo_quota_take(&quota, START + DAY / 2, 1, &state));
    assert_in_range(state.wait_ms, DAY / 2, DAY / 2 + DAY / 60);
    assert_in_range(state.whole_ms, DAY, DAY + DAY / 60);
    assert_int_equal(take_all(&quota, START + DAY + DAY / 60), 1);
    assert_in_range(state.wait_ms, 1, DAY / 2 + DAY / 60);
}

static void a_request_that_began_with_tokens_left_may_pass_the_limit(void **unused)
{
    struct flo_quota quota = {.limits = {[FLO_QUOTA_TOKENS_DAY] = 100}};
    (void)unused;

    assert_true(flo_quota_take(&quota, START, 1, &state));
    flo_quota_spend(&quota, START + 5, 99);
    assert_true(flo_quota_take(&quota, START + 6, 1, &state)); /* one is left */
    flo_quota_spend(&quota, START + 7, 40);
    assert_false(flo_quota_take(&quota, START + 8, 1, &state));
    assert_int_equal(state.kind, FLO_QUOTA_TOKENS_DAY);
    assert_int_equal(state.used, 139);
    assert_true(flo_quota_look(&quota, START + 8, true, &state));
    assert_int_equal(state.used, 139);
    assert_true(flo_quota_take(&quota, START + 7 + state.wait_ms + 1, 1, &state));
}

static void the_limit_that_lasts_longest_is_told(void **unused)
{
    struct flo_quota quota = {.limits = {[FLO_QUOTA_REQUESTS_MINUTE] = 2,
                                         [FLO_QUOTA_REQUESTS_DAY] = 2,
                                         [FLO_QUOTA_TOKENS_MINUTE] = 10}};
    (void)unused;

    assert_int_equal(take_all(&quota, START), 2);
    flo_quota_spend(&quota, START, 10);
    assert_false(flo_quota_take(&quota, START, 1, &state));
    assert_int_equal(state.kind, FLO_QUOTA_REQUESTS_DAY);
    assert_string_equal(flo_quota_words(state.kind), "requests a day");
}

static void a_request_that_is_not_taken_counts_nowhere(void **unused)
{
    struct flo_quota quota = {
        .limits = {[FLO_QUOTA_REQUESTS_DAY] = 5, [FLO_QUOTA_TOKENS_MINUTE] = 10}};
    (void)unused;

    flo_quota_spend(&quota, START, 10);
    for (int i = 0; i < 20; i++) {
        assert_false(flo_quota_take(&quota, START, 1, &state));
    }
    assert_true(flo_quota_look(&quota, START, false, &state));
    assert_int_equal(state.used, 0);
    assert_int_equal(take_all(&quota, START + MINUTE + MINUTE / 60), 5);
}

static void the_window_with_least_left_is_shown(void **unused)
{
    struct flo_quota quota = {
        .limits = {[FLO_QUOTA_REQUESTS_MINUTE] = 10, [FLO_QUOTA_REQUESTS_DAY] = 12}};
    (void)unused;

    assert_true(flo_quota_take(&quota, START, 1, &state));
    assert_true(flo_quota_look(&quota, START, false, &state));
    assert_int_equal(state.kind, FLO_QUOTA_REQUESTS_MINUTE);
    assert_int_equal(state.used, 1);
    assert_int_equal(take_all(&quota, START), 9);
    assert_true(flo_quota_look(&quota, START + 2 * MINUTE, false, &state));
    assert_int_equal(state.kind, FLO_QUOTA_REQUESTS_DAY);
    assert_int_equal(state.used, 10);
    assert_int_equal(state.wait_ms, 0);
}

static void several_at_once_are_taken_whole_or_not_at_all(void **unused)
{
    struct flo_quota quota = {.limits = {[FLO_QUOTA_REQUESTS_MINUTE] = 5}};
    (void)unused;

    assert_true(flo_quota_take(&quota, START, 3, &state));
    assert_false(flo_quota_take(&quota, START + MINUTE / 2, 3, &state));
    assert_int_equal(state.used, 3);
    assert_true(flo_quota_take(&quota, START + MINUTE / 2, 2, &state));
    assert_false(flo_quota_take(&quota, START + MINUTE / 2, 1, &state));
    assert_in_range(state.wait_ms, MINUTE / 2, MINUTE / 2 + MINUTE / 60);
}

static void more_at_once_than_a_limit_never_have_room(void **unused)
{
    struct flo_quota quota = {
        .limits = {[FLO_QUOTA_REQUESTS_MINUTE] = 5, [FLO_QUOTA_TOKENS_DAY] = 2}};
    (void)unused;

    assert_false(flo_quota_take(&quota, START, 6, &state));
    assert_int_equal(state.kind, FLO_QUOTA_REQUESTS_MINUTE);
    assert_int_equal(state.wait_ms, 0);
    assert_true(flo_quota_take(&quota, START, 5, &state)); /* tokens: later */
}

static void after_any_silence_all_is_left(void **unused)
{
    static const uint64_t silences[] = {DAY + DAY / 60, 7 * DAY, UINT64_C(40000) * DAY};
    (void)unused;

    for (size_t i = 0; i < FLO_COUNT(silences); i++) {
        struct flo_quota quota = {.limits = {[FLO_QUOTA_REQUESTS_DAY] = 4}};
        assert_int_equal(take_all(&quota, START), 4);
        assert_int_equal(take_all(&quota, START + silences[i]), 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_everything_is_taken),
        cmocka_unit_test(a_limit_of_requests_says_what_is_used_and_when_it_ends),
        cmocka_unit_test(several_at_once_are_taken_whole_or_not_at_all),
        cmocka_unit_test(more_at_once_than_a_limit_never_have_room),
        cmocka_unit_test(no_minute_has_more_requests_than_its_limit),
        cmocka_unit_test(requests_come_back_one_by_one),
        cmocka_unit_test(a_request_that_began_with_tokens_left_may_pass_the_limit),
        cmocka_unit_test(the_limit_that_lasts_longest_is_told),
        cmocka_unit_test(a_request_that_is_not_taken_counts_nowhere),
        cmocka_unit_test(the_window_with_least_left_is_shown),
        cmocka_unit_test(after_any_silence_all_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

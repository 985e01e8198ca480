/* How many requests a token may make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/request/rate.h"

#define QUOTA flo_rate_policies[FLO_RATE_DEFAULT].quota
#define FILL_MS flo_rate_policies[FLO_RATE_DEFAULT].fill_ms

static struct flo_rates *rates;

static int fresh(void **state)
{
    (void)state;
    free(rates);
    rates = calloc(1, sizeof(*rates));
    return rates == NULL ? -1 : 0;
}

static struct flo_rate_answer take(const char *token, uint64_t now_ms)
{
    return flo_rate_take(rates, FLO_RATE_DEFAULT, token, now_ms);
}

/* Requests that pass at this moment. */
static uint64_t takes(const char *token, uint64_t now_ms)
{
    uint64_t count = 0;

    while (take(token, now_ms).may) {
        count++;
    }
    return count;
}

static void a_full_bucket_gives_its_quota_at_once(void **state)
{
    (void)state;

    struct flo_rate_answer first = take("a", 1000);
    assert_true(first.may);
    assert_int_equal(first.left, QUOTA - 1);
    assert_int_equal(takes("a", 1000), QUOTA - 1);

    struct flo_rate_answer refused = take("a", 1000);
    assert_false(refused.may);
    assert_int_equal(refused.left, 0);
    assert_int_equal(refused.full_ms, FILL_MS);
    assert_true(refused.wait_ms > 0);
    assert_true(take("a", 1000 + refused.wait_ms).may);
}

static void a_bucket_fills_evenly_and_no_further(void **state)
{
    (void)state;

    takes("a", 0);
    assert_int_equal(takes("a", FILL_MS / 2), QUOTA / 2);
    assert_int_equal(takes("a", FILL_MS / 2 + 10 * FILL_MS), QUOTA);
}

static void who_asks_evenly_is_never_refused(void **state)
{
    (void)state;
    uint64_t now_ms = 5;

    for (uint64_t i = 0; i < 3 * QUOTA; i++) {
        assert_true(take("a", now_ms).may);
        now_ms += FILL_MS / QUOTA;
    }
}

static void one_token_takes_nothing_from_another_or_from_an_emergency(void **state)
{
    (void)state;

    takes("a", 7);
    assert_true(take("b", 7).may);
    assert_true(flo_rate_take(rates, FLO_RATE_URGENT, "a", 7).may);
}

static void a_clock_that_goes_back_fills_nothing(void **state)
{
    (void)state;

    takes("a", 1000000);
    assert_false(take("a", 5).may);
    assert_false(take("a", 1000000).may);
}

static void a_new_token_takes_the_place_of_the_quietest(void **state)
{
    (void)state;
    char token[16];

    for (int i = 0; i < FLO_RATE_BUCKETS; i++) {
        snprintf(token, sizeof(token), "t%d", i);
        take(token, 9);
        take(token, 9);
    }
    takes("t5", 9);
    for (int i = 0; i < 50; i++) {
        snprintf(token, sizeof(token), "more%d", i);
        assert_true(take(token, 9).may);
    }
    assert_false(take("t5", 9).may);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_full_bucket_gives_its_quota_at_once, fresh),
        cmocka_unit_test_setup(a_bucket_fills_evenly_and_no_further, fresh),
        cmocka_unit_test_setup(who_asks_evenly_is_never_refused, fresh),
        cmocka_unit_test_setup(one_token_takes_nothing_from_another_or_from_an_emergency, fresh),
        cmocka_unit_test_setup(a_clock_that_goes_back_fills_nothing, fresh),
        cmocka_unit_test_setup(a_new_token_takes_the_place_of_the_quietest, fresh),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    free(rates);
    return failed;
}

/* One device's part of the broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/guard/guard.h"

#define HOUR_MS 3600000u

static uint64_t takes(struct flo_guard_device *device, enum flo_guard_share share, uint64_t now_ms)
{
    uint64_t count = 0;

    while (flo_guard_take(device, share, 1, now_ms)) {
        count++;
    }
    return count;
}

static void a_share_is_had_at_once_and_fills_again_by_the_hour(void **state)
{
    struct flo_guard_device device = {0};

    (void)state;
    uint64_t at_once = takes(&device, FLO_GUARD_SUBSCRIPTIONS, 5);
    assert_int_equal(at_once, 512);
    assert_int_equal(takes(&device, FLO_GUARD_SUBSCRIPTIONS, 5 + 60000), 60);
    /* It never holds more than at the beginning. */
    assert_int_equal(takes(&device, FLO_GUARD_SUBSCRIPTIONS, 5 + 100 * HOUR_MS), at_once);
}

static void a_share_is_not_another_one_s(void **state)
{
    struct flo_guard_device device = {0};

    (void)state;
    (void)takes(&device, FLO_GUARD_SUBSCRIPTIONS, 5);
    assert_true(takes(&device, FLO_GUARD_MESSAGES, 5) > 0);
    assert_true(flo_guard_take(&device, FLO_GUARD_KILOBYTES, 60, 5));
    assert_false(flo_guard_take(&device, FLO_GUARD_KILOBYTES, 16384, 5));
    assert_true(flo_guard_take(&device, FLO_GUARD_KILOBYTES, 16324, 5));
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
    struct flo_guard_device device = {0};

    (void)state;
    (void)takes(&device, FLO_GUARD_SUBSCRIPTIONS, HOUR_MS);
    assert_int_equal(takes(&device, FLO_GUARD_SUBSCRIPTIONS, 0), 0);
}

/* So many messages until no more come through; the connection is full before.
 */
static uint64_t hears(struct flo_guard_device *device, uint64_t bytes)
{
    uint64_t count = 0;

    while (flo_guard_hears(device, bytes, false)) {
        count++;
    }
    assert_true(flo_guard_is_full(device));
    return count;
}

static void a_connection_hears_so_much_and_begins_anew_with_the_next(void **state)
{
    struct flo_guard_device device = {0};

    (void)state;
    flo_guard_begins(&device, true, 0);
    uint64_t most = hears(&device, 1000);
    assert_int_equal(most, (FLO_GUARD_HEARD_MAX + FLO_GUARD_HEARD_MORE) /
                               (FLO_GUARD_MESSAGE_BYTES + 2000));
    /* A subscription more changes nothing. */
    flo_guard_begins(&device, true, 1);
    assert_int_equal(hears(&device, 1000), 0);
    flo_guard_left(&device, 2);
    flo_guard_begins(&device, true, 3);
    assert_false(flo_guard_is_full(&device));
    assert_int_equal(hears(&device, 1000), most);
}

static void a_session_that_was_kept_still_has_what_it_heard(void **state)
{
    struct flo_guard_device device = {0};

    (void)state;
    flo_guard_begins(&device, false, 0);
    (void)hears(&device, 1000);
    flo_guard_left(&device, 1);
    flo_guard_begins(&device, false, 2);
    assert_int_equal(hears(&device, 1000), 0);
    /* The broker has forgotten it meanwhile. */
    flo_guard_left(&device, 3);
    flo_guard_begins(&device, false, 3 + FLO_GUARD_SESSION_MS);
    assert_true(hears(&device, 1000) > 0);
}

static void a_message_of_any_size_fits_or_ends_it(void **state)
{
    struct flo_guard_device device = {0};

    (void)state;
    assert_true(flo_guard_hears(&device, 65536, true));
    assert_false(flo_guard_hears(&device, UINT32_MAX, false));
    assert_false(flo_guard_hears(&device, 0, true));
}

static void what_is_full_again_and_away_is_forgotten(void **state)
{
    struct flo_guard_device device = {0};

    (void)state;
    (void)takes(&device, FLO_GUARD_CONNECTIONS, 0);
    flo_guard_left(&device, 0);
    assert_false(flo_guard_is_idle(&device, HOUR_MS - 1));
    assert_true(flo_guard_is_idle(&device, HOUR_MS));
    flo_guard_begins(&device, true, HOUR_MS);
    assert_false(flo_guard_is_idle(&device, 9 * HOUR_MS));
    assert_string_equal(flo_guard_share_word(FLO_GUARD_UNREAD), "unread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_had_at_once_and_fills_again_by_the_hour),
        cmocka_unit_test(a_share_is_not_another_one_s),
        cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
        cmocka_unit_test(a_connection_hears_so_much_and_begins_anew_with_the_next),
        cmocka_unit_test(a_session_that_was_kept_still_has_what_it_heard),
        cmocka_unit_test(a_message_of_any_size_fits_or_ends_it),
        cmocka_unit_test(what_is_full_again_and_away_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

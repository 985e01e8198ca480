/* Trusted time and epochs: what one order may move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/updater.h>

#define DAY_MS UINT64_C(86400000)
#define NOW (UINT64_C(20000) * DAY_MS)

static void one_order_of_next_year_moves_nothing(void **state)
{
    uint64_t trusted = NOW;
    uint64_t claimed = NOW;
    (void)state;

    assert_true(flo_time_claim(&trusted, &claimed, NOW + 399 * DAY_MS, UINT64_MAX));
    assert_int_equal(trusted, NOW);
    assert_int_equal(claimed, NOW + 399 * DAY_MS);

    /* a freeze of tomorrow is not expired, and what it says counts */
    assert_true(flo_time_claim(&trusted, &claimed, NOW + DAY_MS, UINT64_MAX));
    assert_int_equal(trusted, NOW + DAY_MS);
    /* the first one again is no second voice */
    assert_false(flo_time_claim(&trusted, &claimed, NOW + 399 * DAY_MS, UINT64_MAX));
    assert_int_equal(trusted, NOW + DAY_MS);
}

static void no_order_of_arrival_changes_the_result(void **state)
{
    static const uint64_t times[4] = {5, 900, 7, 6};
    (void)state;

    for (int a = 0; a < 4; a++) {
        for (int b = 0; b < 4; b++) {
            for (int c = 0; c < 4; c++) {
                int d = 6 - a - b - c;
                if (a == b || b == c || a == c || d < 0 || d > 3) {
                    continue;
                }
                uint64_t trusted = 0;
                uint64_t claimed = 0;
                const int way[] = {a, b, b, c, a, d, c};
                for (size_t i = 0; i < FLO_COUNT(way); i++) {
                    flo_time_claim(&trusted, &claimed, times[way[i]], UINT64_MAX);
                }
                assert_int_equal(claimed, 900);
                assert_int_equal(trusted, 7);
            }
        }
    }
}

static void a_second_source_bounds_what_orders_agree_on(void **state)
{
    uint64_t trusted = NOW;
    uint64_t claimed = NOW;
    struct flo_time_sources clock = {
        .clock_ms = NOW + 5, .is_synchronised = true, .peer_until_ms = NOW + 900 * DAY_MS};
    struct flo_time_sources peer = {.clock_ms = 1, .peer_until_ms = NOW + 30 * DAY_MS};
    struct flo_time_sources none = {.clock_ms = 1};
    (void)state;

    assert_int_equal(flo_time_limit(&clock), NOW + 5);
    assert_int_equal(flo_time_limit(&peer), NOW + 30 * DAY_MS);
    assert_int_equal(flo_time_limit(&none), UINT64_MAX);

    flo_time_claim(&trusted, &claimed, NOW + 398 * DAY_MS, flo_time_limit(&peer));
    flo_time_claim(&trusted, &claimed, NOW + 399 * DAY_MS, flo_time_limit(&peer));
    assert_int_equal(trusted, NOW + 30 * DAY_MS);
}

static void time_never_goes_back(void **state)
{
    uint64_t trusted = NOW;
    uint64_t claimed = NOW + 9;
    (void)state;

    assert_false(flo_time_claim(&trusted, &claimed, NOW - 1, UINT64_MAX));
    assert_false(flo_time_claim(&trusted, &claimed, NOW + 3, NOW - 7));
    assert_int_equal(trusted, NOW);
}

static void epochs_move_by_one_and_with_the_trusted_keys(void **state)
{
    static const struct {
        uint32_t stored;
        uint32_t trusted;
        uint32_t epoch;
        bool is_good;
    } rows[] = {
        {0, 1, 1, true}, /* just enrolled */
        {0, 1, 2, false}, {0, 5, 5, true},           {0, 5, 4, false},
        {1, 1, 1, true},  {1, 1, UINT32_MAX, false}, {1, 1, 2, false}, /* nobody said so */
        {1, 2, 2, true},  {1, 2, 1, true},                             /* still under way */
        {1, 3, 3, false}, {1, 3, 2, false},          {2, 2, 1, false},
        {2, 1, 2, true},  {2, 1, 1, false},          {UINT32_MAX, 0, 0, false},
    };
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        int rv = flo_epoch_admit(rows[i].stored, rows[i].trusted, rows[i].epoch, &err);
        if (rv != (rows[i].is_good ? 0 : FLO_E_CMD_EPOCH)) {
            fail_msg("row %zu: %s", i, err.what);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_order_of_next_year_moves_nothing),
        cmocka_unit_test(no_order_of_arrival_changes_the_result),
        cmocka_unit_test(a_second_source_bounds_what_orders_agree_on),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(epochs_move_by_one_and_with_the_trusted_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

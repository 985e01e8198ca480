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
        .clock_ms = NOW + 5, .is_synchronised = true, .until_ms = NOW + 900 * DAY_MS};
    struct flo_time_sources peer = {.clock_ms = 1, .until_ms = NOW + 30 * DAY_MS};
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

/* Days from NOW; NONE: that source is unknown. */
#define NONE 1000000
static uint64_t at(int days)
{
    return days == NONE ? 0 : NOW + (uint64_t)(days * (int64_t)DAY_MS);
}

static void a_belief_comes_from_the_best_source(void **state)
{
    static const struct {
        const char *what;
        int clock, good, said, until; /* the program is of ten days ago */
        bool is_synchronised;
        int now;
        enum flo_time_source source;
    } rows[] = {
        {"nobody knows anything", -9000, NONE, NONE, NONE, false, -10, FLO_TIME_STORED},
        {"1970, and a record", -9000, -3, NONE, 80, false, -3, FLO_TIME_STORED},
        {"1970, which the kernel calls right", -9000, -3, NONE, 80, true, -3, FLO_TIME_STORED},
        {"1970, and statements", -9000, -3, 0, 80, false, 0, FLO_TIME_SAID},
        {"1970, and a controller of next year", -9000, 0, 400, 80, false, 80, FLO_TIME_SAID},
        {"a clock since the weekend", 0, -3, NONE, 80, false, 0, FLO_TIME_RTC},
        {"... and a controller of next year", 0, -3, 400, 80, false, 80, FLO_TIME_SAID},
        {"a clock before the record", -5, -3, NONE, 80, false, -3, FLO_TIME_STORED},
        {"ten years ahead", 3650, 0, NONE, 80, false, 0, FLO_TIME_STORED},
        {"... and statements", 3650, 0, 1, 80, false, 1, FLO_TIME_SAID},
        {"a good clock", 0, 0, NONE, 80, false, 0, FLO_TIME_OWN},
        {"... and a controller of next year", 0, 0, 400, 80, false, 0, FLO_TIME_OWN},
        {"... and one of last year", 0, 0, -400, 80, false, 0, FLO_TIME_OWN},
        {"a day off", 1, 0, 0, 80, false, 1, FLO_TIME_OWN},
        {"two days off", 2, 0, 0, 80, false, 0, FLO_TIME_SAID},
        {"beyond the certificates", 80, 80, 79, 80, false, 79, FLO_TIME_SAID},
        {"a synchronised one", 0, NONE, 400, 80, true, 0, FLO_TIME_KERNEL},
        {"... whatever was good", 0, 300, 400, 80, true, 0, FLO_TIME_KERNEL},
    };
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_time_sources sources = {.clock_ms = at(rows[i].clock),
                                           .is_synchronised = rows[i].is_synchronised,
                                           .least_ms = at(-10),
                                           .good_ms = at(rows[i].good),
                                           .said_ms = at(rows[i].said),
                                           .until_ms = at(rows[i].until)};
        struct flo_time_belief belief;
        flo_time_believe(&sources, &belief);
        if (belief.now_ms != at(rows[i].now) || belief.source != rows[i].source) {
            fail_msg("%s: %lld days from now by source %d", rows[i].what,
                     (long long)(belief.now_ms - NOW) / (long long)DAY_MS, belief.source);
        }
    }
}

static void certificates_leave_a_day_or_an_eighth_of_their_life(void **state)
{
    (void)state;
    assert_int_equal(flo_time_needed(NOW, NOW + 90 * DAY_MS), NOW + 89 * DAY_MS);
    assert_int_equal(flo_time_needed(NOW, NOW + 8000), NOW + 7000);
    assert_int_equal(flo_time_needed(0, 0), 0);
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
        cmocka_unit_test(a_belief_comes_from_the_best_source),
        cmocka_unit_test(certificates_leave_a_day_or_an_eighth_of_their_life),
        cmocka_unit_test(epochs_move_by_one_and_with_the_trusted_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

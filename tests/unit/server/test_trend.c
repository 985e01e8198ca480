/* Trends: found, and how often without cause. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/trend/trend.h"
#include "unit/agent/core/uniform.h"

#define DAY_MS UINT64_C(86400000)
#define BEGIN_MS (UINT64_C(20000) * DAY_MS)
#define GIB 1073741824.0

static double normal(void)
{
    double u = uniform();

    return sqrt(-2 * log(u > 0 ? u : 1e-12)) * cos(6.283185307 * uniform());
}

/* Student's t with three degrees of freedom, of standard deviation 1. */
static double heavy(void)
{
    double a = normal(), b = normal(), c = normal();

    return normal() / sqrt((a * a + b * b + c * c) / 3) / sqrt(3.0);
}

/* One value a span; `at` counts them. */
static void point(struct flo_trend *trend, enum flo_trend_kind kind, int at, double value)
{
    uint64_t span_ms = flo_trend_fact(kind)->span_ms;
    uint64_t now_ms = BEGIN_MS + (uint64_t)at * span_ms;

    (void)flo_trend_add(trend, kind, value, span_ms, now_ms);
    (void)flo_trend_add(trend, kind, NAN, 0, now_ms + span_ms); /* over */
}

static struct flo_trend_finding judge(const struct flo_trend *trend, enum flo_trend_kind kind,
                                      int at)
{
    struct flo_trend_finding finding;

    flo_trend_judge(trend, kind, BEGIN_MS + (uint64_t)(at + 1) * flo_trend_fact(kind)->span_ms,
                    &finding);
    return finding;
}

static void a_disk_that_fills_says_when_it_is_full(void **state)
{
    (void)state;
    struct flo_trend trend = {0};
    struct flo_trend_finding finding;

    for (int i = 0; i < 12; i++) { /* a quarter of a GiB in six hours */
        point(&trend, FLO_TREND_FILLING, i, (10 - 0.25 * i) * GIB);
        finding = judge(&trend, FLO_TREND_FILLING, i);
        assert_int_equal(finding.is_known, i >= 8);
    }
    assert_true(finding.is_there);
    assert_true(fabs(finding.slope / GIB + 1) < 1e-3);
    assert_true(fabs(finding.full_s / 86400 - 7.25) < 0.01);
}

static void a_slow_fill_and_a_single_step_are_no_trend(void **state)
{
    (void)state;
    struct flo_trend slow = {0};
    struct flo_trend step = {0};

    for (int i = 0; i < 14; i++) {
        point(&slow, FLO_TREND_FILLING, i, (100 - 0.01 * i) * GIB);
        point(&step, FLO_TREND_FILLING, i, (i < 7 ? 10 : 2) * GIB);
        assert_false(judge(&slow, FLO_TREND_FILLING, i).is_there);
        assert_false(judge(&step, FLO_TREND_FILLING, i).is_there);
    }
}

static void a_strange_day_changes_nothing(void **state)
{
    (void)state;
    struct flo_trend trend = {0};

    for (int i = 0; i < 14; i++) {
        point(&trend, FLO_TREND_HEATING, i, i == 9 ? 200000 : 50000 + 1000 * i);
    }
    struct flo_trend_finding finding = judge(&trend, FLO_TREND_HEATING, 13);
    assert_true(finding.is_there && fabs(finding.slope - 1000) < 150);
}

static void old_points_and_gaps_say_nothing(void **state)
{
    (void)state;
    struct flo_trend trend = {0};

    for (int i = 0; i < 14; i++) {
        point(&trend, FLO_TREND_HEATING, i, 50000 + 1000 * i);
    }
    assert_true(judge(&trend, FLO_TREND_HEATING, 13).is_known);
    assert_false(judge(&trend, FLO_TREND_HEATING, 16).is_known);
    /* A clock that is set back makes no point. */
    point(&trend, FLO_TREND_HEATING, 3, 0);
    assert_int_equal(trend.count, FLO_TREND_POINTS);
    assert_true(trend.values[13] > 60000);
}

static void restarts_are_a_rate_per_day(void **state)
{
    (void)state;
    struct flo_trend trend = {0};

    /* Half a day was heard: two restarts are four a day. */
    for (int i = 0; i < 720; i++) {
        (void)flo_trend_add(&trend, FLO_TREND_CRASHING, i < 2 ? 1 : 0, 60000,
                            BEGIN_MS + (uint64_t)i * 60000);
    }
    assert_true(flo_trend_add(&trend, FLO_TREND_CRASHING, 0, 60000, BEGIN_MS + DAY_MS));
    assert_true(fabs((double)trend.values[0] - 4) < 1e-6);
}

static void bytes_are_read_back_and_no_others(void **state)
{
    (void)state;
    struct flo_trend trends[FLO_TREND_COUNT] = {0};
    struct flo_trend back[FLO_TREND_COUNT];
    uint8_t data[FLO_TREND_BYTES_MAX + 1];

    for (int i = 0; i < 20; i++) {
        point(&trends[FLO_TREND_FILLING], FLO_TREND_FILLING, i, 1e9 + i * 1e6);
    }
    size_t bytes = flo_trend_pack(trends, data);
    assert_true(flo_trend_unpack(data, bytes, back));
    assert_memory_equal(back[FLO_TREND_FILLING].values, trends[FLO_TREND_FILLING].values,
                        sizeof(back[0].values));
    for (size_t cut = 0; cut < bytes; cut++) {
        assert_false(flo_trend_unpack(data, cut, back));
        assert_int_equal(back[FLO_TREND_FILLING].count, 0);
    }
    for (size_t at = 0; at < bytes; at++) { /* never beyond the arrays */
        uint8_t kept = data[at];
        for (int value = 0; value < 256; value++) {
            data[at] = (uint8_t)value;
            bool is_read = flo_trend_unpack(data, bytes, back);
            assert_true(is_read || back[0].count == 0);
        }
        data[at] = kept;
    }
    assert_false(flo_trend_unpack(data, bytes + 1, back));
}

/* ---- how often ---- */

#define DEVICES 400
#define DAYS 90

/* Daily means around 60 degrees, a day's noise 1.5 degrees with heavy tails,
 * of which 0.3 stays until the next day. */
static int heat(double per_day, int days)
{
    int found = 0;

    for (int d = 0; d < DEVICES; d++) {
        struct flo_trend trend = {0};
        bool is_found = false;
        double noise = 0;
        for (int i = 0; i < days; i++) {
            noise = 0.3 * noise + sqrt(1 - 0.09) * 1500 * heavy();
            point(&trend, FLO_TREND_HEATING, i, 60000 + per_day * i + noise);
            is_found |= judge(&trend, FLO_TREND_HEATING, i).is_there;
        }
        found += is_found ? 1 : 0;
    }
    return found;
}

/* Logs that grow and are cut, and other noise of 50 MiB. */
static int fill(double per_day, int spans)
{
    int found = 0;

    for (int d = 0; d < DEVICES; d++) {
        struct flo_trend trend = {0};
        bool is_found = false;
        double phase = 12 * uniform();
        for (int i = 0; i < spans; i++) {
            double saw = fmod(i + phase, 12) / 12 * 0.2 * GIB;
            point(&trend, FLO_TREND_FILLING, i,
                  8 * GIB - per_day * i / 4 - saw + 0.05 * GIB * heavy());
            is_found |= judge(&trend, FLO_TREND_FILLING, i).is_there;
        }
        found += is_found ? 1 : 0;
    }
    return found;
}

static double poisson(double mean)
{
    double left = exp(-mean), p = 1;
    int k = 0;

    while ((p *= uniform()) > left) {
        k++;
    }
    return k;
}

static int crash(double first, double per_day, int days)
{
    int found = 0;

    for (int d = 0; d < DEVICES; d++) {
        struct flo_trend trend = {0};
        bool is_found = false;
        for (int i = 0; i < days; i++) {
            point(&trend, FLO_TREND_CRASHING, i, poisson(first + per_day * i));
            is_found |= judge(&trend, FLO_TREND_CRASHING, i).is_there;
        }
        found += is_found ? 1 : 0;
    }
    return found;
}

/* Devices looked at for a quarter of a year, for each seed. */
static void a_quarter_without_a_trend_alarms_few_devices(void **state)
{
    (void)state;
    int heating = 0, filling = 0, crashing = 0;

    for (uint64_t start = 1; start <= 3; start++) {
        seed = start * 1000003;
        heating += heat(0, DAYS);
        filling += fill(0, 4 * DAYS);
        crashing += crash(start == 1 ? 0.05 : start == 2 ? 0.5 : 3, 0, DAYS);
    }
    print_message("of %d devices in %d days: heating %d, filling %d, "
                  "crashing %d\n",
                  3 * DEVICES, DAYS, heating, filling, crashing);
    assert_true(heating <= 3 * DEVICES / 100);
    assert_true(filling <= 3 * DEVICES / 100);
    assert_true(crashing <= 3 * DEVICES / 100);
}

static void trends_that_matter_are_found_in_weeks(void **state)
{
    (void)state;
    seed = 77;
    int heating = heat(1000, 14);    /* a degree a day */
    int filling = fill(1 * GIB, 14); /* in three and a half days */
    int crashing = crash(0.2, 1, 21);
    print_message("found of %d: heating %d, filling %d, crashing %d\n", DEVICES, heating, filling,
                  crashing);
    assert_true(heating >= DEVICES * 9 / 10);
    assert_true(filling >= DEVICES * 9 / 10);
    assert_true(crashing >= DEVICES * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_fills_says_when_it_is_full),
        cmocka_unit_test(a_slow_fill_and_a_single_step_are_no_trend),
        cmocka_unit_test(a_strange_day_changes_nothing),
        cmocka_unit_test(old_points_and_gaps_say_nothing),
        cmocka_unit_test(restarts_are_a_rate_per_day),
        cmocka_unit_test(bytes_are_read_back_and_no_others),
        cmocka_unit_test(a_quarter_without_a_trend_alarms_few_devices),
        cmocka_unit_test(trends_that_matter_are_found_in_weeks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Memory pressure, heat and battery: what is given up, when, and what comes
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/core/memory/pressure.h"

#define MB UINT64_C(1000000)
#define BUDGET (1000 * MB)

/* ---- a device in memory trouble ---- */

static struct {
    struct flo_pressure pressure;
    struct flo_pressure_facts facts;
    struct flo_memory_model models[2];
    uint64_t now_ms;
} device;

static void begin(void)
{
    memset(&device, 0, sizeof(device));
    device.now_ms = 1000000;
    for (size_t i = 0; i < 2; i++) {
        struct flo_memory_model *model = &device.models[i];
        *model = (struct flo_memory_model){.weight = i == 0 ? 80 : 20, .rungs = FLO_MEMORY_RUNGS};
        strcpy(model->name, i == 0 ? "main" : "side");
        for (uint32_t rung = 0; rung < FLO_MEMORY_RUNGS; rung++) {
            model->private_bytes[rung] = (400 - 50 * rung) * MB;
        }
    }
    device.models[0].is_pinned = true;
}

/* One second on. */
static const char *second(uint32_t psi_centipercent, uint64_t cgroup_bytes)
{
    static char text[60];
    struct flo_pressure_sample sample = {.now_ms = device.now_ms += 1000,
                                         .psi_centipercent = psi_centipercent,
                                         .cgroup_bytes = cgroup_bytes,
                                         .cgroup_bytes_max = 1000 * MB};
    size_t model = 99;
    enum flo_pressure_step step = flo_pressure_sample(&device.pressure, &sample, &device.facts,
                                                      device.models, 2, BUDGET, &model);
    snprintf(text, sizeof(text), "%s%s%s", flo_pressure_word(step), model < 2 ? " " : "",
             model < 2 ? device.models[model].name : "");
    return text;
}

/* The step that comes next under pressure. */
static const char *next_down(void)
{
    for (int i = 0; i < 10; i++) {
        const char *step = second(2000, 0);
        if (strcmp(step, "none") != 0) {
            return step;
        }
    }
    return "none";
}

/* Seconds of calm until the next step up; 0: none in two hours. */
static int calm_until_up(void)
{
    for (int seconds = 1; seconds <= 7200; seconds++) {
        if (strncmp(second(0, 0), "up", 2) == 0) {
            return seconds;
        }
    }
    return 0;
}

static void two_samples_in_a_row_make_a_step(void **state)
{
    (void)state;
    begin();
    assert_string_equal(second(1000, 0), "none");
    assert_string_equal(second(999, 0), "none");
    assert_string_equal(second(1000, 0), "none");
    assert_string_equal(second(1000, 0), "rung side");
    assert_string_equal(flo_pressure_cause_word(device.pressure.cause), "psi");
}

static void a_full_cgroup_is_a_cause_too(void **state)
{
    (void)state;
    begin();
    assert_string_equal(second(0, 949 * MB), "none");
    assert_string_equal(second(0, 950 * MB), "none");
    assert_string_equal(second(0, 950 * MB), "rung side");
    assert_string_equal(flo_pressure_cause_word(device.pressure.cause), "cgroup");
}

static void the_next_step_comes_after_five_seconds(void **state)
{
    (void)state;
    begin();
    second(2000, 0);
    assert_string_equal(second(2000, 0), "rung side");
    for (int i = 0; i < 4; i++) {
        assert_string_equal(second(2000, 0), "none");
    }
    assert_string_equal(second(2000, 0), "rung main");
}

static void idle_and_previous_models_leave_before_any_rung(void **state)
{
    (void)state;
    begin();
    device.facts.has_idle = device.facts.has_previous = true;
    assert_string_equal(next_down(), "evict");
    device.facts.has_idle = false;
    assert_string_equal(next_down(), "previous");
    device.facts.has_previous = false;
    assert_string_equal(next_down(), "rung side");
}

static void rungs_go_before_the_least_important_becomes_on_demand(void **state)
{
    (void)state;
    begin();
    for (int rung = 1; rung < FLO_MEMORY_RUNGS; rung++) {
        assert_string_equal(next_down(), "rung side");
        assert_string_equal(next_down(), "rung main");
    }
    assert_string_equal(next_down(), "on-demand side");
    assert_string_equal(next_down(), "none"); /* a pinned one stays */
    assert_true(device.models[1].is_demoted);
    assert_false(device.models[0].is_demoted);
}

static void a_step_comes_back_after_five_calm_minutes(void **state)
{
    (void)state;
    begin();
    assert_string_equal(next_down(), "rung side");
    assert_string_equal(next_down(), "rung main");
    int seconds = calm_until_up();
    assert_in_range(seconds, 300, 302);
    assert_int_equal(device.models[0].rung_min, 0); /* the important one */
    assert_int_equal(device.models[1].rung_min, 1);
    assert_in_range(calm_until_up(), 300, 302);
    assert_int_equal(device.models[1].rung_min, 0);
    assert_int_equal(device.pressure.cause, FLO_PRESSURE_CALM);
    assert_int_equal(calm_until_up(), 0);
}

static void a_step_down_soon_after_a_step_up_doubles_the_wait(void **state)
{
    (void)state;
    begin();
    next_down();
    assert_in_range(calm_until_up(), 300, 302);
    next_down();
    assert_in_range(calm_until_up(), 600, 602);
    next_down();
    assert_in_range(calm_until_up(), 1200, 1202);
    next_down();
    assert_in_range(calm_until_up(), 2400, 2402);
    next_down();
    assert_in_range(calm_until_up(), 3600, 3602);
    next_down();
    assert_in_range(calm_until_up(), 3600, 3602);
}

static void nothing_comes_back_that_would_fill_the_budget(void **state)
{
    (void)state;
    begin();
    device.models[0].private_bytes[0] = 560 * MB;
    next_down();
    next_down(); /* 350 and 350 of 1,000; with main at its best 910 */
    assert_int_equal(device.models[0].rung_min, 1);
    assert_in_range(calm_until_up(), 300, 302);
    assert_int_equal(device.models[0].rung_min, 1);
    assert_int_equal(device.models[1].rung_min, 0);
    assert_int_equal(calm_until_up(), 0);
}

/* ---- a smaller variant ---- */

static void everything_but_variants(void)
{
    begin();
    for (int step = 0; step < 9; step++) {
        assert_string_not_equal(next_down(), "none");
    }
}

static void a_smaller_variant_is_the_last_that_is_given_up(void **state)
{
    (void)state;
    everything_but_variants();
    assert_string_equal(next_down(), "none");
    device.facts.variants[1].may_shrink = true; /* on demand: it may leave */
    assert_string_equal(next_down(), "none");
    device.facts.variants[0].may_shrink = true;
    assert_string_equal(next_down(), "smaller main");
}

static void the_larger_variant_is_the_first_that_comes_back(void **state)
{
    (void)state;
    everything_but_variants();
    device.facts.variants[0].is_smaller = true;
    device.facts.variants[0].may_grow = true;
    device.facts.variants[0].more_bytes = 100 * MB;
    for (int i = 0; i < 302; i++) {
        if (strcmp(second(0, 0), "larger main") == 0) {
            assert_in_range(i, 299, 301);
            device.facts.variants[0].is_smaller = false;
            device.facts.variants[0].may_grow = false;
            assert_in_range(calm_until_up(), 300, 302);
            return;
        }
    }
    fail_msg("it did not come back");
}

static void a_larger_variant_without_room_lets_others_come_back(void **state)
{
    (void)state;
    everything_but_variants();
    device.facts.variants[0].is_smaller = true;
    device.facts.variants[0].may_grow = true;
    device.facts.variants[0].more_bytes = 900 * MB;
    assert_in_range(calm_until_up(), 300, 302);
    assert_int_equal(device.models[0].rung_min, FLO_MEMORY_RUNGS - 2);
}

static void a_smaller_variant_of_an_earlier_life_goes_back_too(void **state)
{
    (void)state;
    begin();
    device.facts.variants[1].is_smaller = true;
    device.facts.variants[1].may_grow = true;
    for (int i = 0; i < 302; i++) {
        if (strcmp(second(0, 0), "larger side") == 0) {
            return;
        }
    }
    fail_msg("it did not come back");
}

/* ---- heat and battery ---- */

static const struct flo_pressure calm;

static bool holds(struct flo_pressure_limits limits, enum flo_pressure_limit limit)
{
    return flo_pressure_holds(&limits, limit);
}

static struct flo_pressure_limits power_now(struct flo_power *power, uint64_t now_s,
                                            int64_t zone_mc, int32_t battery_pct)
{
    const struct flo_power_sample sample = {.now_ms = now_s * 1000,
                                            .zone_mc = zone_mc,
                                            .trip_mc = 85000,
                                            .is_discharging = battery_pct >= 0,
                                            .battery_pct = battery_pct};
    (void)flo_power_sample(power, &sample);
    return flo_pressure_limits(&calm, power, 4);
}

static void heat_halves_the_threads_until_it_was_cool_for_two_minutes(void **state)
{
    struct flo_power power = {0};
    (void)state;
    assert_int_equal(power_now(&power, 1, 79999, -1).threads_max, 4);
    assert_int_equal(power_now(&power, 2, 80000, -1).threads_max, 2);
    assert_true(holds(power_now(&power, 3, 71000, -1), FLO_PRESSURE_LIMIT_BATCH));
    assert_int_equal(power_now(&power, 10, 70000, -1).threads_max, 2);
    assert_int_equal(power_now(&power, 129, 70000, -1).threads_max, 2);
    assert_int_equal(power_now(&power, 130, 70000, -1).threads_max, 4);
    assert_false(holds(power_now(&power, 131, 70000, -1), FLO_PRESSURE_LIMIT_BATCH));
}

static void a_zone_without_a_trip_point_is_not_feared(void **state)
{
    struct flo_power power = {0};
    struct flo_power_sample sample = {.zone_mc = 99000, .battery_pct = -1};
    (void)state;
    assert_false(flo_power_sample(&power, &sample));
    sample.trip_mc = 105000;
    assert_false(flo_power_sample(&power, &sample));
    sample.zone_mc = 100000;
    assert_true(flo_power_sample(&power, &sample));
    assert_int_equal(flo_pressure_limits(&calm, &power, 1).threads_max, 1);
}

static void a_low_battery_stops_updates_then_loads_on_demand(void **state)
{
    struct flo_power power = {0};
    (void)state;
    assert_false(holds(power_now(&power, 1, 0, 21), FLO_PRESSURE_LIMIT_UPDATES));
    assert_true(holds(power_now(&power, 2, 0, 20), FLO_PRESSURE_LIMIT_UPDATES));
    assert_int_equal(power_now(&power, 3, 0, 20).threads_max, 2);
    assert_false(holds(power_now(&power, 4, 0, 11), FLO_PRESSURE_LIMIT_LOADS));
    assert_true(holds(power_now(&power, 5, 0, 10), FLO_PRESSURE_LIMIT_LOADS));
    assert_true(holds(power_now(&power, 6, 0, 29), FLO_PRESSURE_LIMIT_LOADS));
    assert_false(holds(power_now(&power, 7, 0, 30), FLO_PRESSURE_LIMIT_LOADS));
    assert_false(holds(power_now(&power, 8, 0, 30), FLO_PRESSURE_LIMIT_UPDATES));
    power_now(&power, 9, 0, 5);
    assert_false(holds(power_now(&power, 10, 0, -1), FLO_PRESSURE_LIMIT_UPDATES)); /* mains */
}

/* ---- limits ---- */

static uint32_t limits_now(void)
{
    const struct flo_power power = {0};
    return flo_pressure_limits(&device.pressure, &power, 4).set;
}

static void batch_requests_wait_while_memory_is_short_and_half_a_minute(void **state)
{
    (void)state;
    begin();
    second(2000, 0);
    assert_int_equal(limits_now(), 0);
    second(2000, 0);
    assert_int_equal(limits_now(), 1u << FLO_PRESSURE_LIMIT_BATCH);
    for (int i = 0; i < 30; i++) {
        second(0, 0);
        assert_int_equal(limits_now(), 1u << FLO_PRESSURE_LIMIT_BATCH);
    }
    second(0, 0);
    assert_int_equal(limits_now(), 0); /* the rung comes back later */
    assert_int_equal(device.models[1].rung_min, 1);
}

/* ---- in words ---- */

static void says(enum flo_pressure_step step, const struct flo_memory_model *model,
                 const char *wanted)
{
    const struct flo_pressure_sample full = {.cgroup_bytes = 99, .cgroup_bytes_max = 100};
    char text[FLO_PRESSURE_TEXT];

    flo_pressure_say(&full, step, model, text);
    assert_non_null(strstr(text, " (cgroup 99 of 100 bytes): "));
    flo_pressure_say(&(struct flo_pressure_sample){0}, step, model, text);
    assert_string_equal(text, wanted);
}

static void each_step_is_said_with_what_it_gives_up(void **state)
{
    struct flo_memory_model one = {.name = "tiny", .rung_min = 2};

    (void)state;
    says(FLO_PRESSURE_NONE, NULL, "memory is short: nothing to give up");
    says(FLO_PRESSURE_EVICT, NULL, "memory is short: models on demand leave");
    says(FLO_PRESSURE_PREVIOUS, NULL, "memory is short: the release before a trial leaves");
    says(FLO_PRESSURE_RUNG, &one, "memory is short: tiny goes to rung 2");
    says(FLO_PRESSURE_DEMAND, &one, "memory is short: tiny is on demand");
    says(FLO_PRESSURE_SMALLER, &one, "memory is short: tiny gets the smaller variant");
    says(FLO_PRESSURE_LARGER, &one, "memory is calm again: tiny gets the larger variant");
    one.is_demoted = true;
    says(FLO_PRESSURE_UP, &one, "memory is calm again: tiny is back to rung 2, on demand");
}

/* ---- the whole way down and up, as a golden trace ---- */

static struct flo_buf trace;

static void add_limits(struct flo_pressure_limits limits, uint32_t before)
{
    for (uint32_t i = 0; i < FLO_PRESSURE_LIMIT_COUNT; i++) {
        if (((limits.set ^ before) >> i & 1) != 0) {
            flo_buf_printf(&trace, "%s  %s: %s\n", "                    ",
                           flo_pressure_limit_word(i),
                           (limits.set >> i & 1) != 0 ? "begins" : "ends");
        }
    }
}

static void live(int seconds, struct flo_pressure_sample sample, struct flo_power_sample heat)
{
    static struct flo_power power;
    static uint32_t limits;
    char text[FLO_PRESSURE_TEXT];

    if (trace.bytes == 0) {
        power = (struct flo_power){0};
        limits = 0;
    }
    for (int i = 0; i < seconds; i++) {
        size_t model = 99;
        sample.now_ms = heat.now_ms = device.now_ms += 1000;
        enum flo_pressure_step step = flo_pressure_sample(&device.pressure, &sample, &device.facts,
                                                          device.models, 2, BUDGET, &model);
        if (step != FLO_PRESSURE_NONE) {
            flo_pressure_say(&sample, step, model < 2 ? &device.models[model] : NULL, text);
            flo_buf_printf(&trace, "[%4llu s] %-9s %s\n",
                           (unsigned long long)(device.now_ms / 1000 - 1000),
                           flo_pressure_word(step), text);
        }
        device.facts.has_idle = device.facts.has_idle && step != FLO_PRESSURE_EVICT;
        device.facts.has_previous = device.facts.has_previous && step != FLO_PRESSURE_PREVIOUS;
        if (flo_power_sample(&power, &heat)) {
            flo_buf_printf(&trace, "[%4llu s] power     %s%s%s\n",
                           (unsigned long long)(device.now_ms / 1000 - 1000),
                           power.is_hot ? "hot " : "", power.is_low ? "low " : "",
                           power.is_empty ? "empty" : "");
        }
        struct flo_pressure_limits now = flo_pressure_limits(&device.pressure, &power, 4);
        add_limits(now, limits);
        limits = now.set;
    }
}

static void check_trace(const char *name)
{
    char path[128];
    char *golden = NULL;
    size_t bytes;
    const char *mode = getenv("FLOTILLA_GOLDEN");

    snprintf(path, sizeof(path), "tests/golden/traces/%s.txt", name);
    if (mode != NULL && strcmp(mode, "write") == 0) {
        assert_int_equal(flo_file_write(path, trace.data, strlen(trace.data), 0644, NULL), 0);
    } else {
        assert_int_equal(flo_file_read(path, 1 << 20, &golden, &bytes, NULL), 0);
        assert_string_equal(trace.data, golden);
    }
    free(golden);
    flo_buf_deinit(&trace);
}

static void a_device_in_memory_trouble_goes_all_the_way_down_and_up(void **state)
{
    const struct flo_power_sample fine = {.battery_pct = -1};
    const struct flo_pressure_sample calm_one = {0};
    (void)state;
    begin();
    device.facts.has_idle = device.facts.has_previous = true;
    live(80, (struct flo_pressure_sample){.psi_centipercent = 4000}, fine);
    live(3600, calm_one, fine);
    live(8, (struct flo_pressure_sample){.cgroup_bytes = 990 * MB, .cgroup_bytes_max = 1000 * MB},
         fine);
    live(700, calm_one, fine);
    check_trace("strain-memory");
}

static void a_device_gets_hot_and_its_battery_empty(void **state)
{
    const struct flo_pressure_sample calm_one = {0};
    struct flo_power_sample now = {
        .zone_mc = 60000, .trip_mc = 85000, .is_discharging = true, .battery_pct = 50};
    (void)state;
    begin();
    live(5, calm_one, now);
    now.zone_mc = 81000;
    live(5, calm_one, now);
    now.battery_pct = 18;
    live(5, calm_one, now);
    now.battery_pct = 9;
    live(5, calm_one, now);
    now.zone_mc = 60000;
    live(150, calm_one, now);
    now.is_discharging = false;
    live(5, calm_one, now);
    check_trace("strain-power");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_samples_in_a_row_make_a_step),
        cmocka_unit_test(a_full_cgroup_is_a_cause_too),
        cmocka_unit_test(the_next_step_comes_after_five_seconds),
        cmocka_unit_test(idle_and_previous_models_leave_before_any_rung),
        cmocka_unit_test(rungs_go_before_the_least_important_becomes_on_demand),
        cmocka_unit_test(a_step_comes_back_after_five_calm_minutes),
        cmocka_unit_test(a_step_down_soon_after_a_step_up_doubles_the_wait),
        cmocka_unit_test(nothing_comes_back_that_would_fill_the_budget),
        cmocka_unit_test(a_smaller_variant_is_the_last_that_is_given_up),
        cmocka_unit_test(the_larger_variant_is_the_first_that_comes_back),
        cmocka_unit_test(a_larger_variant_without_room_lets_others_come_back),
        cmocka_unit_test(a_smaller_variant_of_an_earlier_life_goes_back_too),
        cmocka_unit_test(heat_halves_the_threads_until_it_was_cool_for_two_minutes),
        cmocka_unit_test(a_zone_without_a_trip_point_is_not_feared),
        cmocka_unit_test(a_low_battery_stops_updates_then_loads_on_demand),
        cmocka_unit_test(batch_requests_wait_while_memory_is_short_and_half_a_minute),
        cmocka_unit_test(each_step_is_said_with_what_it_gives_up),
        cmocka_unit_test(a_device_in_memory_trouble_goes_all_the_way_down_and_up),
        cmocka_unit_test(a_device_gets_hot_and_its_battery_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Observed: a device's hour of the day, and its memory over time. */
#include "tests/unit/server/observed_device.h"

/* Days with a rhythm of their own: slow in the afternoon. */
static void live_days(struct world *world, uint32_t release, uint32_t blocks, double times)
{
    for (uint32_t i = 0; i < blocks; i++) {
        double hour = (world->block - 1) % 288 / 12.0;
        double day = 0.2 * cos(2 * M_PI * (hour - 15) / 24);
        take(world, release, 120, (uint64_t)(100000 * times * exp(day)));
        end_block(world);
    }
}

/* It swaps in the evening, and the night is quicker by a third. */
static double difference_over_a_night(uint32_t days, double times)
{
    struct world *world = world_new();
    double d;

    world->block = 288 * 1000 + 1;
    live_days(world, OLD, days * 288 + 19 * 12, 1);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    live_days(world, NEW, 6 * 12, times);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P50, &d));
    free(world);
    return d;
}

static void the_hour_of_the_day_is_taken_off(void **state)
{
    (void)state;
    assert_true(fabs(difference_over_a_night(0, 1)) > 0.1);
    assert_true(fabs(difference_over_a_night(2, 1)) < 0.03);
    assert_true(fabs(difference_over_a_night(2, 1.3) - log(1.3)) < 0.03);
}

/* A rule without a curve sees the readings as they are. */
static void a_steep_change_has_its_hour_in_it(void **state)
{
    (void)state;
    struct flo_observed_change change[2];

    for (uint32_t i = 0; i < 2; i++) {
        struct world *world = world_new();
        world->block = 288 * 1000 + 1;
        live_days(world, OLD, (i + 1) * 288 + 19 * 12, 1);
        if (i == 0) { /* without its hours */
            memset(world->observed.readings->shapes, 0, sizeof(world->observed.readings->shapes));
        }
        (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
        live_days(world, NEW, 6 * 12, 1);
        flo_observed_change(&world->observed, FLO_READING_TTFT_P50, &change[i]);
        free(world);
    }
    assert_true(change[0].d < -0.1);
    assert_true(fabs(change[0].d - change[1].d) < 0.005);
}

/* The next rollout is judged by hours that the slower release left alone. */
static void a_release_that_is_kept_moves_all_hours(void **state)
{
    (void)state;
    struct world *world = world_new();
    static const struct flo_observed_rollout next = {.id = 8, .release = 44};
    double d;

    world->block = 288 * 1000 + 1;
    live_days(world, OLD, 2 * 288, 1);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    live_days(world, NEW, 12 * 12, 1.5);
    flo_observed_release(&world->observed);
    live_days(world, NEW, 7 * 12, 1.5);
    (void)flo_observed_place(&world->observed, &next, FLO_MEMBER_WAITS, 0, world->block);
    for (int i = 0; i < 6 * 12; i++) {
        struct flo_observed_window window = {.block = 0};
        double hour = (world->block - 1) % 288 / 12.0;
        window = window_of(world, 44, 120,
                           (uint64_t)(150000 * exp(0.2 * cos(2 * M_PI * (hour - 15) / 24))));
        (void)flo_observed_take(&world->observed, &window, &next);
        end_block(world);
    }
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P50, &d));
    assert_true(fabs(d) < 0.03);
    free(world);
}

/* ---- memory over time ---- */

static void grow(struct world *world, uint32_t release, uint32_t blocks, double *bytes,
                 double an_hour)
{
    for (uint32_t i = 0; i < blocks; i++) {
        struct flo_observed_window window = window_of(world, release, 120, 100000);
        *bytes *= exp(an_hour / 12);
        window.gauges[0] = (uint64_t)*bytes;
        (void)flo_observed_take(&world->observed, &window, &rollout);
        end_block(world);
    }
}

static void memory_that_grows_has_a_slope(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_slope slope;
    double bytes = 1 << 28;

    grow(world, OLD, 20, &bytes, 0);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    grow(world, NEW, FLO_LEAK_BLOCKS, &bytes, 0.5); /* caches fill */
    grow(world, NEW, 9, &bytes, 0.02);
    flo_slope_read(&world->readings.memory, &slope);
    assert_false(slope.has_slope);
    grow(world, NEW, 1, &bytes, 0.02);
    flo_slope_read(&world->readings.memory, &slope);
    assert_true(slope.has_slope && slope.has_latest);
    assert_true(fabs(slope.slope - 0.02) < 1e-4);
    assert_true(fabs(slope.latest - 0.02) < 1e-4);
    grow(world, NEW, 40, &bytes, 0.01); /* it becomes less */
    flo_slope_read(&world->readings.memory, &slope);
    assert_true(slope.slope > 0.0102 && slope.slope < 0.02);
    assert_true(fabs(slope.latest - 0.01) < 1e-4);
    free(world);
}

static void a_rollout_says_from_when_on_memory_counts(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_observed_rollout later = rollout;
    struct flo_slope slope;
    double bytes = 1 << 28;

    later.leak_from = 12;
    grow(world, OLD, 20, &bytes, 0);
    (void)flo_observed_place(&world->observed, &later, FLO_MEMBER_WAITS, 0, world->block);
    grow(world, NEW, 21, &bytes, 0.02);
    flo_slope_read(&world->readings.memory, &slope);
    assert_false(slope.has_slope);
    grow(world, NEW, 1, &bytes, 0.02);
    flo_slope_read(&world->readings.memory, &slope);
    assert_true(slope.has_slope);
    free(world);
}

/* An engine that ends gives its memory back. */
static void memory_counts_since_the_engines_start(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_observed_window window;
    struct flo_slope slope;
    double bytes = 1 << 28;

    grow(world, OLD, 20, &bytes, 0);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    grow(world, NEW, 20, &bytes, 0.02);
    window = window_of(world, NEW, 120, 100000);
    window.engine_ends = 1;
    (void)flo_observed_take(&world->observed, &window, &rollout);
    bytes = 1 << 27;
    grow(world, NEW, FLO_LEAK_BLOCKS + 9, &bytes, 0.02);
    flo_slope_read(&world->readings.memory, &slope);
    assert_false(slope.has_slope);
    grow(world, NEW, 1, &bytes, 0.02);
    flo_slope_read(&world->readings.memory, &slope);
    assert_true(slope.has_slope && fabs(slope.slope - 0.02) < 1e-4);
    free(world);
}

/* A control's time goes on over phases; by another way it begins again. */
static void a_controls_slope_is_of_the_whole_rollout(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_slope slope;
    double bytes = 1 << 28;

    grow(world, OLD, 20, &bytes, 0);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    flo_observed_split(&world->observed, 1, world->block);
    grow(world, OLD, FLO_LEAK_BLOCKS + 5, &bytes, 0.01);
    flo_observed_split(&world->observed, 2, world->block);
    grow(world, OLD, 5, &bytes, 0.01);
    flo_slope_read(&world->readings.memory, &slope);
    assert_true(slope.has_slope && fabs(slope.slope - 0.01) < 1e-4);
    grow(world, 33, 3, &bytes, 0.01);
    flo_slope_read(&world->readings.memory, &slope);
    assert_false(slope.has_slope);
    assert_int_equal(world->observed.readings->memory.all.count, 0);
    free(world);
}

static void hours_and_slopes_survive_their_bytes(void **state)
{
    (void)state;
    struct world *world = world_new();
    uint8_t data[FLO_OBSERVED_BYTES_MAX];
    struct flo_observed observed;
    struct flo_readings readings;
    struct flo_slope before, after;
    bool has_readings;
    double bytes = 1 << 28;

    world->block = 288 * 1000 + 1;
    live_days(world, OLD, 2 * 288, 1);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    world->observed.leak_from = 7;
    grow(world, NEW, 30, &bytes, 0.02);
    assert_int_equal(flo_observed_unpack(data, flo_observed_pack(&world->observed, data), &observed,
                                         &readings, &has_readings, NULL),
                     0);
    observed.readings = &readings;
    flo_slope_read(&world->readings.memory, &before);
    flo_slope_read(&readings.memory, &after);
    assert_true(before.has_slope && after.has_slope);
    assert_int_equal(before.has_latest, after.has_latest);
    assert_true(before.slope == after.slope && before.latest == after.latest);
    assert_int_equal(observed.leak_from, 7);
    assert_true(readings.has_daily);
    assert_memory_equal(readings.shapes, world->observed.readings->shapes, sizeof(readings.shapes));
    for (uint32_t h = 0; h < 24; h++) {
        double at = flo_observed_daily(&observed, FLO_READING_TTFT_P50, 1 + 12 * h);
        double was = flo_observed_daily(&world->observed, FLO_READING_TTFT_P50, 1 + 12 * h);
        assert_true(fabs(at - was) < 1e-9);
    }
    assert_true(fabs(flo_observed_daily(&observed, FLO_READING_TTFT_P50, 1 + 12 * 15) - 0.2) <
                0.03);
    free(world);
}

/* With any byte another, they are refused or are those of a device. */
static void damaged_bytes_are_refused_or_those_of_another_device(void **state)
{
    static const uint8_t others[] = {0, 1, 2, 7, 24, 0x7f, 0x80, 0xff};
    (void)state;
    struct world *world = world_new();
    uint8_t data[FLO_OBSERVED_BYTES_MAX];
    uint8_t again[FLO_OBSERVED_BYTES_MAX];
    struct flo_observed observed;
    struct flo_readings readings;
    bool has_readings;
    size_t refused = 0;
    double memory = 1 << 28;

    world->block = 288 * 1000 + 1;
    live_days(world, OLD, 2 * 288, 1);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    grow(world, NEW, 30, &memory, 0.02);
    size_t bytes = flo_observed_pack(&world->observed, data);
    for (size_t at = 0; at < bytes; at++) {
        uint8_t was = data[at];
        for (size_t i = 0; i < FLO_COUNT(others); i++) {
            data[at] = others[i];
            if (flo_observed_unpack(data, bytes, &observed, &readings, &has_readings, NULL) < 0) {
                refused++;
                continue;
            }
            observed.readings = has_readings ? &readings : NULL;
            assert_int_equal(flo_observed_pack(&observed, again), bytes);
            assert_memory_equal(again, data, bytes);
        }
        data[at] = was;
    }
    print_message("%zu bytes, %zu damages refused\n", bytes, refused);
    assert_true(refused > bytes / 2);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hour_of_the_day_is_taken_off),
        cmocka_unit_test(a_steep_change_has_its_hour_in_it),
        cmocka_unit_test(a_release_that_is_kept_moves_all_hours),
        cmocka_unit_test(memory_that_grows_has_a_slope),
        cmocka_unit_test(a_rollout_says_from_when_on_memory_counts),
        cmocka_unit_test(memory_counts_since_the_engines_start),
        cmocka_unit_test(a_controls_slope_is_of_the_whole_rollout),
        cmocka_unit_test(hours_and_slopes_survive_their_bytes),
        cmocka_unit_test(damaged_bytes_are_refused_or_those_of_another_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Any device and any windows, drawn from seeds: what is known about it stays within
 * bounds, and is read as it was kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/observe/base.h"
#include "server-stub/core/gate/observe/since.h"

#define SEEDS 160
#define BLOCKS 320
#define RELEASES 6

struct world {
    struct flo_observed observed;
    struct flo_readings readings;
    struct flo_since since;
    struct flo_since_speed speeds[FLO_SPEEDS];
    struct flo_histogram histogram;
    struct flo_kept_member kept;
    uint32_t block;
    uint32_t running;
    uint8_t waves;
    bool has_since;
    uint64_t random;
};

static uint32_t draw(struct world *world, uint32_t below)
{
    uint64_t z = (world->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static bool chance(struct world *world, uint32_t pct)
{
    return draw(world, 100) < pct;
}

/* ---- a block of its life ---- */

static void hear(struct world *world, const struct flo_observed_rollout *rollout)
{
    struct flo_observed_window window = {.block = world->block,
                                         .release = world->running,
                                         .requests = draw(world, 50),
                                         .engine_ends = chance(world, 2) ? 1 : 0,
                                         .is_after_start = chance(world, 2)};

    memset(&world->histogram, 0, sizeof(world->histogram));
    for (uint32_t i = 0; i < window.requests; i++) {
        flo_histogram_add(&world->histogram, 100 + draw(world, 100000));
    }
    window.errors = chance(world, 90) ? 0 : draw(world, 9);
    window.good = chance(world, 1) ? UINT64_MAX : draw(world, 9);
    window.bad = draw(world, 3);
    for (size_t i = 0; i < FLO_GAUGES; i++) {
        window.gauges[i] = chance(world, 70) ? 1000000 + draw(world, 1000000) : 0;
    }
    window.golden_former = chance(world, 50) ? 1000 : 0;
    for (size_t i = 0; i < FLO_SKETCHES; i++) {
        window.histograms[i] = chance(world, 80) ? &world->histogram : NULL;
    }
    (void)flo_observed_take(&world->observed, &window, chance(world, 95) ? rollout : NULL);
    if (world->has_since) {
        flo_since_take(&world->since, &world->observed, &window);
    }
}

static void begin_wave(struct world *world)
{
    if (world->has_since && world->waves < FLO_SCAN_WAVES_MAX && world->since.wave == 0) {
        flo_since_wave(&world->since, &world->observed, world->waves++, world->block);
    }
}

static void move(struct world *world, const struct flo_observed_rollout *rollout)
{
    static const enum flo_member_way ways[] = {
        FLO_MEMBER_WAITS,   FLO_MEMBER_WAITS,  FLO_MEMBER_BUSY, FLO_MEMBER_SWAPPED,
        FLO_MEMBER_SWAPPED, FLO_MEMBER_SILENT, FLO_MEMBER_DIED, FLO_MEMBER_OUT};
    enum flo_member_way way = ways[chance(world, 80) ? draw(world, 2) : draw(world, 8)];

    (void)flo_observed_has_left(&world->observed, rollout, way);
    bool is_swap =
        flo_observed_place(&world->observed, rollout, way, (uint8_t)draw(world, 3), world->block);
    if (is_swap && world->waves > 0 && world->has_since && world->since.wave == 0) {
        flo_since_swap(&world->since, (uint8_t)draw(world, world->waves));
    }
    if (chance(world, 20)) {
        flo_observed_split(&world->observed, (uint8_t)(1 + draw(world, 3)), world->block);
        begin_wave(world);
    }
}

static void end_block(struct world *world)
{
    double curve[FLO_READING_COUNT];

    for (int i = 0; i < FLO_READING_COUNT; i++) {
        curve[i] = (draw(world, 100) - 50.0) / 1000;
    }
    flo_observed_read(&world->observed, world->block);
    if (world->has_since) {
        (void)flo_since_read(&world->since, &world->observed, world->block, curve);
    }
    flo_observed_end(&world->observed, world->block, curve);
}

/* ---- what holds ---- */

static void numbers_hold(const struct world *world)
{
    const struct flo_observed *one = &world->observed;
    struct flo_observed_change change;
    struct flo_observed_crashes crashes;
    struct flo_observed_base base;
    struct flo_deaths_arm treated = {0};
    struct flo_deaths_arm others = {0};
    struct flo_counters counters;
    bool is_known;
    double d;
    uint32_t stratum;

    flo_observed_base(one, world->block, &base);
    for (int i = 0; i < FLO_READING_COUNT; i++) {
        enum flo_observed_reading reading = (enum flo_observed_reading)i;
        if (flo_observed_difference(one, reading, &d)) {
            assert_true(isfinite(d));
            assert_true(flo_observed_reads(one, reading));
        }
        if (flo_observed_past(one, reading, world->block, &d, &stratum)) {
            assert_true(isfinite(d));
        }
        if (flo_observed_reference(one, reading, &d)) {
            assert_true(isfinite(d) && one->split > 0);
        }
        flo_observed_change(one, reading, &change);
        assert_true(isfinite(change.d));
        (void)flo_observed_stratum(one, reading);
        (void)flo_observed_level(one, reading);
        assert_true(isfinite(flo_observed_daily(one, reading, world->block)));
        /* A base only becomes fuller. */
        assert_true(flo_base_in(&base, reading, world->block + 99) != FLO_BASE_LATER);
    }
    flo_observed_counters(one, &counters);
    assert_true(counters.errors >= 0 && counters.requests >= 0);
    flo_observed_deaths(one, &treated, &others);
    assert_true(treated.died <= 1 && others.died <= 1 && others.exposure <= 8);
    flo_observed_crashes(one, world->block, &crashes);
    assert_true(crashes.hours >= 0 && crashes.hours <= 2);
    assert_true(crashes.died_before <= 8 && crashes.hours_before <= 8);
    assert_true(flo_observed_hours(one) >= 0);
    assert_true(!flo_observed_is_unread(one, world->block, 12, &is_known) || one->split == 0 ||
                one->readings == NULL || is_known);
    assert_true(!flo_observed_is_member(one) || one->readings != NULL);
}

static void since_holds(const struct world *world)
{
    const struct flo_since *since = &world->since;
    struct flo_since_numbers numbers;
    struct flo_slope slope;
    uint32_t stratum;
    double d;

    assert_true(flo_since_is_of(since, world->waves));
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        if (flo_since_counted(since, p, &numbers)) {
            assert_true(numbers.errors >= 0 && numbers.requests >= 0 && numbers.crashes >= 0);
        }
        for (size_t i = 0; i < FLO_SPEEDS; i++) {
            assert_true(!flo_since_difference(since, i, p, &d, &stratum) || isfinite(d));
            assert_true(!flo_since_first(since, i, p, &d, &stratum) || isfinite(d));
            assert_true(!flo_since_step(since, i, &d) || since->wave > 0);
        }
        flo_since_slope(since, &world->readings.memory, p, &slope);
        assert_true(!slope.has_slope || isfinite(slope.slope));
    }
}

static void it_is_read_as_it_was_kept(struct world *world)
{
    uint8_t once[FLO_KEPT_BYTES_MAX];
    uint8_t twice[FLO_KEPT_BYTES_MAX];
    struct flo_kept_member *kept = &world->kept;
    struct flo_err err = {0};
    size_t first =
        flo_kept_member_pack(&world->observed, world->has_since ? &world->since : NULL, once);

    if (flo_kept_member_unpack(once, first, kept, &err) < 0) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(kept->has_since, world->has_since);
    assert_int_equal(kept->has_readings, world->observed.readings != NULL);
    kept->observed.readings = kept->has_readings ? &kept->readings : NULL;
    kept->since.speeds = kept->has_speeds ? kept->speeds : NULL;
    size_t second =
        flo_kept_member_pack(&kept->observed, kept->has_since ? &kept->since : NULL, twice);
    assert_int_equal(first, second);
    assert_memory_equal(once, twice, first);
}

static void live(struct world *world)
{
    struct flo_observed_rollout rollout = {.id = 7, .release = 3, .phase = 1};

    world->block = 1000;
    world->running = 1;
    world->has_since = chance(world, 70);
    world->observed.readings = chance(world, 85) ? &world->readings : NULL;
    world->since.rollout = 7;
    world->since.speeds = chance(world, 80) ? world->speeds : NULL;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        world->block += chance(world, 95) ? 1 : draw(world, 40);
        if (chance(world, 3)) {
            world->running = 1 + draw(world, RELEASES);
        }
        if (i == BLOCKS / 3 || (i > BLOCKS / 3 && chance(world, 10))) {
            rollout.release = chance(world, 95) ? rollout.release : 1 + draw(world, RELEASES);
            move(world, &rollout);
        }
        if (chance(world, 90)) {
            hear(world, &rollout);
        }
        end_block(world);
        if (chance(world, 1)) {
            flo_observed_release(&world->observed);
        }
        if (i % 5 == 0) {
            numbers_hold(world);
            it_is_read_as_it_was_kept(world);
        }
        if (world->has_since && i % 5 == 0) {
            since_holds(world);
        }
    }
}

static void what_is_known_of_a_device_holds_and_is_kept(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    (void)state;

    assert_non_null(world);
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        memset(world, 0, sizeof(*world));
        world->random = seed;
        live(world);
    }
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_of_a_device_holds_and_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How long a rollout takes, before it starts.  The times were reckoned by hand,
 * those of ramps by steps of a millisecond elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/rollout/rollout.h"

#define ROOM 4000
/* Monday 2026-01-05 00:00 UTC. */
#define MONDAY_MS UINT64_C(1767571200000)
#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS UINT64_C(3600000)

struct world {
    struct flo_rollout rollout;
    struct flo_rollout_member members[ROOM];
    uint32_t busy[64];
    struct flo_rollout_trip trip;
    struct flo_rollout_expected phases[FLO_ROLLOUT_PHASES_MAX];
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    world->rollout.members = world->members;
    world->rollout.member_capacity = ROOM;
    world->rollout.busy = world->busy;
    world->rollout.busy_count = FLO_COUNT(world->busy);
    world->rollout.starts_per_s = 20;
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static struct flo_rollout_phase *add_phase(struct world *world, uint32_t devices)
{
    struct flo_rollout *rollout = &world->rollout;
    uint8_t phase = (uint8_t)rollout->phase_count++;

    for (uint32_t i = 0; i < devices; i++) {
        rollout->members[rollout->member_count++].phase = phase;
    }
    return &rollout->phases[phase];
}

static void expect(struct world *world)
{
    flo_rollout_expect(&world->rollout, &world->trip, MONDAY_MS, world->phases);
}

static uint64_t told_ms(const struct world *world, uint32_t phase)
{
    return world->phases[phase].told_ms - world->phases[phase].begins_ms;
}

static void phases_follow_their_pace_and_their_soak(void **state)
{
    struct world *world = *state;

    world->trip.soak_ms = 15 * MINUTE_MS;
    add_phase(world, 10)->soak_ms = 30 * MINUTE_MS;
    add_phase(world, 3582)->starts_per_s = 5;
    expect(world);
    assert_int_equal(told_ms(world, 0), 0);
    assert_int_equal(world->phases[0].ends_ms, MONDAY_MS + 45 * MINUTE_MS);
    assert_int_equal(world->phases[1].begins_ms, world->phases[0].ends_ms);
    /* five at once, then five a second: 3577 / 5 */
    assert_int_equal(told_ms(world, 1), 715400);
    assert_int_equal(world->phases[1].ends_ms, world->phases[1].told_ms + 15 * MINUTE_MS);
}

static void a_phase_that_has_the_release_takes_its_own_soak_alone(void **state)
{
    struct world *world = *state;

    world->trip.soak_ms = 15 * MINUTE_MS;
    world->trip.jitter_ms = MINUTE_MS;
    world->trip.is_idle[0] = true;
    add_phase(world, 1)->soak_ms = 2 * MINUTE_MS;
    add_phase(world, 1);
    expect(world);
    assert_int_equal(world->phases[0].ends_ms, MONDAY_MS + 2 * MINUTE_MS);
    assert_int_equal(world->phases[1].ends_ms, MONDAY_MS + 18 * MINUTE_MS);
}

static void a_ramp_is_reckoned_with_the_ends_that_it_waits_for(void **state)
{
    static const struct {
        uint32_t devices, successes;
        double per_s, factor;
        uint64_t device_ms, want_ms;
    } rows[] = {{100, 10, 1, 2, 5000, 30876},
                {1000, 50, 5, 2, 20000, 58376},
                {3582, 100, 5, 1.5, 60000, 184445}};
    struct world *world = *state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        world->rollout.phase_count = 0;
        world->rollout.member_count = 0;
        struct flo_rollout_phase *phase = add_phase(world, rows[i].devices);
        phase->starts_per_s = rows[i].per_s;
        phase->ramp_factor = rows[i].factor;
        phase->ramp_successes = rows[i].successes;
        world->trip.soak_ms = rows[i].device_ms;
        expect(world);
        assert_in_range(told_ms(world, 0), rows[i].want_ms - 20, rows[i].want_ms + 20);
    }
}

static void limits_make_devices_take_turns(void **state)
{
    struct world *world = *state;
    struct flo_rollout *rollout = &world->rollout;

    world->trip = (struct flo_rollout_trip){.soak_ms = 4 * MINUTE_MS, .jitter_ms = 2 * MINUTE_MS};
    add_phase(world, 100);
    rollout->concurrent_max = 30; /* 30, 30, 30, 10: three turns before */
    expect(world);
    assert_int_equal(told_ms(world, 0), 15 * MINUTE_MS);
    assert_int_equal(world->phases[0].ends_ms, world->phases[0].told_ms + 6 * MINUTE_MS);

    rollout->concurrent_max = 0;
    rollout->limit_count = 1;
    rollout->limits[0].most = 2;
    for (size_t i = 0; i < 7; i++) { /* a site of seven: three turns before */
        rollout->members[i].place.slots[0] = 3;
    }
    expect(world);
    assert_int_equal(told_ms(world, 0), 15 * MINUTE_MS);
}

static void windows_stretch_it_to_the_last_zone(void **state)
{
    struct world *world = *state;
    struct flo_rollout *rollout = &world->rollout;

    assert_true(flo_window_parse("01:00-02:00", &rollout->window));
    rollout->zones[0] = (struct flo_rollout_zone){.is_known = true};
    rollout->zones[1] = (struct flo_rollout_zone){.offset_s = -5 * 3600, .is_known = true};
    add_phase(world, 1801)->starts_per_s = 1; /* half an hour, for one zone */
    for (size_t i = 0; i < rollout->member_count; i++) {
        rollout->members[i].place.zone = 1;
    }
    expect(world);
    assert_int_equal(told_ms(world, 0), 90 * MINUTE_MS);

    rollout->phases[0].starts_per_s = 0.25; /* two hours: 01, 01 of Tuesday */
    expect(world);
    assert_int_equal(told_ms(world, 0), 26 * HOUR_MS);

    rollout->phases[0].starts_per_s = 1;
    rollout->members[0].place.zone = 2; /* 06:00 UTC: behind the others */
    expect(world);
    assert_in_range(told_ms(world, 0), 6 * HOUR_MS, 6 * HOUR_MS + 2000);
    rollout->members[1].place.zone = 0;
    expect(world);
    assert_int_equal(world->phases[0].zoneless, 1);
}

static void a_hold_out_waits_for_its_watch_and_a_start_for_its_time(void **state)
{
    struct world *world = *state;
    struct flo_rollout_phase *phase;

    world->rollout.start_at_ms = MONDAY_MS + HOUR_MS;
    add_phase(world, 20);
    phase = add_phase(world, 20);
    phase->is_hold_out = true;
    phase->watch_ms = 24 * HOUR_MS;
    add_phase(world, 0);
    expect(world);
    assert_int_equal(world->phases[0].begins_ms, MONDAY_MS + HOUR_MS);
    assert_int_equal(world->phases[1].begins_ms, MONDAY_MS + 25 * HOUR_MS);
    assert_int_equal(world->phases[2].ends_ms, MONDAY_MS + 25 * HOUR_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(phases_follow_their_pace_and_their_soak),
        TEST(a_phase_that_has_the_release_takes_its_own_soak_alone),
        TEST(a_ramp_is_reckoned_with_the_ends_that_it_waits_for),
        TEST(limits_make_devices_take_turns),
        TEST(windows_stretch_it_to_the_last_zone),
        TEST(a_hold_out_waits_for_its_watch_and_a_start_for_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

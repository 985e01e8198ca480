/* A model on demand: a request wakes it, it rests when another model needs its
 * memory, and its updates end the same whenever that happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/probe.h>

#include "unit/agent/core/story.h"

static struct flo_agent_model *const tiny = &world.agent.models[0];

/* ---- when ---- */

static void tell(enum flo_agent_event_kind kind, bool is_on_demand)
{
    const struct flo_agent_event event = {.kind = kind, .is_on_demand = is_on_demand};

    world_event(&world, &event);
}

static void boot_on_demand(void)
{
    boot();
    tell(FLO_AGENT_PLACED, true);
    world_run(&world, 1000);
}

/* ---- then ---- */

static void assert_sound(void)
{
    if (flo_agent_is_resting(tiny)) {
        assert_true(tiny->is_on_demand);
        assert_int_equal(tiny->live, -1);
    }
    if (tiny->live >= 0) {
        assert_int_equal(tiny->engines[tiny->live].state, FLO_ENGINE_READY);
    }
}

static bool is_answered(int version)
{
    tell(FLO_AGENT_WANTED, false);
    world_run(&world, 5000);
    return tiny->live == FLO_AGENT_CURRENT && is_current(version);
}

/* ---- rest and wake ---- */

static void one_on_demand_rests_until_a_request_wants_it(void **state)
{
    (void)state;
    boot_on_demand();
    assert_true(flo_agent_is_resting(tiny));

    assert_true(is_answered(2));
    tell(FLO_AGENT_EVICT, false);
    assert_true(flo_agent_is_resting(tiny));
    assert_true(is_answered(2));
    tell(FLO_AGENT_PLACED, false);
    tell(FLO_AGENT_EVICT, false);
    assert_int_equal(tiny->live, FLO_AGENT_CURRENT); /* it stays now */
}

static void a_probe_and_a_rollback_are_not_disturbed(void **state)
{
    (void)state;
    boot_on_demand();
    world_desire(&world, 3, 1);
    world_run(&world, 900);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_PROBING);
    tell(FLO_AGENT_EVICT, false);
    assert_int_equal(tiny->engines[FLO_AGENT_BESIDE].state, FLO_ENGINE_READY);
    world_run(&world, 120000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);

    world_order(&world, FLO_ORDER_ROLLBACK, 3);
    tell(FLO_AGENT_EVICT, false);
    world_run(&world, 60000);
    assert_true(is_answered(2));
    assert_true(is_denied(3));
}

static void a_crash_while_nobody_asks_starts_nothing(void **state)
{
    struct flo_agent_event lost = {.kind = FLO_AGENT_LOST, .role = FLO_AGENT_CURRENT};

    (void)state;
    lost.error.code = FLO_E_ENGINE_CRASH;
    boot_on_demand();
    assert_true(is_answered(2));
    world_event(&world, &lost);

    assert_true(flo_agent_is_resting(tiny));
    assert_true(is_answered(2));
}

/* ---- memory is short ---- */

static void soak(void)
{
    boot();
    world_desire(&world, 3, 1);
    while (tiny->execution.state != FLO_EXECUTION_SOAKING) {
        world_run(&world, 10);
    }
    world_run(&world, 1000);
    assert_int_equal(tiny->live, FLO_AGENT_BESIDE);
}

static void the_release_before_a_trial_leaves_and_the_trial_ends_well(void **state)
{
    (void)state;
    soak();
    assert_true(flo_agent_has_warm(tiny));
    tell(FLO_AGENT_PRESSURE, false);
    assert_int_equal(tiny->engines[FLO_AGENT_CURRENT].state, FLO_ENGINE_NONE);
    assert_int_equal(world.live_version, 3);
    assert_false(flo_agent_has_warm(tiny));
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_story("pressure-on-trial");
}

static void a_trial_that_fails_then_goes_back_by_a_load(void **state)
{
    struct flo_agent_event lost = {.kind = FLO_AGENT_LOST, .role = FLO_AGENT_BESIDE};

    (void)state;
    soak();
    tell(FLO_AGENT_PRESSURE, false);
    lost.error.code = FLO_E_PROBE_NONFINITE;
    for (int i = 0; i < 4 && tiny->has_execution; i++) {
        world_event(&world, &lost);
        world_run(&world, 2000);
    }
    world_run(&world, 60000);
    assert_true(is_current(2));
    assert_int_equal(tiny->live, FLO_AGENT_CURRENT);
}

static void pressure_with_nothing_to_give_up_changes_nothing(void **state)
{
    (void)state;
    boot();
    tell(FLO_AGENT_PRESSURE, false);
    assert_int_equal(tiny->live, FLO_AGENT_CURRENT);
    world_desire(&world, 3, 1);
    world_run(&world, 900);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_PROBING);
    tell(FLO_AGENT_PRESSURE, false);
    assert_int_equal(tiny->live, FLO_AGENT_CURRENT);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

/* ---- at any moment ---- */

static uint64_t roll(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *random >> 33;
}

/* Requests come and others need its memory, whenever. */
static unsigned live_through_it(uint64_t seed, uint64_t ms)
{
    static const enum flo_agent_event_kind kinds[] = {FLO_AGENT_WANTED, FLO_AGENT_EVICT,
                                                      FLO_AGENT_PLACED, FLO_AGENT_PRESSURE};
    uint64_t random = seed, end_ms = world.now_ms + ms;
    unsigned rests = 0;

    while (world.now_ms < end_ms) {
        enum flo_agent_event_kind kind = kinds[roll(&random) % 4];
        world.drain_ms = roll(&random) % 200;
        world_run(&world, 1 + roll(&random) % 700);
        tell(kind, roll(&random) % 4 != 0);
        assert_sound();
        rests += flo_agent_is_resting(tiny);
    }
    tell(FLO_AGENT_PLACED, true);
    world_run(&world, 120000);
    return rests;
}

static void updates_end_well_whenever_it_rests(void **state)
{
    unsigned rests = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        world.fits_one_only = seed % 2 == 0;
        boot_on_demand();
        world_desire(&world, 3, 1);
        rests += live_through_it(seed, 20000);
        assert_int_equal(world_story(&world, "r-0001.1")->ends, 1);
        assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
        assert_true(is_answered(3));
    }
    assert_true(rests > 100);
}

static void bad_updates_end_with_the_old_one_whenever_it_rests(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        world.fits_one_only = seed % 2 == 0;
        if (seed % 3 == 0) {
            world.candidate_crashes = 1000;
        } else {
            world.probe_error = FLO_E_PROBE_GOLDEN;
        }
        boot_on_demand();
        world_desire(&world, 3, 1);
        (void)live_through_it(seed, 20000);
        assert_int_equal(world_story(&world, "r-0001.1")->ends, 1);
        assert_true(is_answered(2));
    }
}

static void rollbacks_end_whenever_it_rests(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        world.fits_one_only = seed % 2 == 0;
        boot_on_demand();
        (void)live_through_it(seed, 2000);
        world_order(&world, FLO_ORDER_ROLLBACK, 2);
        (void)live_through_it(seed, 10000);
        assert_true(is_answered(1));
        assert_true(is_denied(2));
        assert_false(tiny->going_back.is_active);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(one_on_demand_rests_until_a_request_wants_it),
        STORY(a_probe_and_a_rollback_are_not_disturbed),
        STORY(a_crash_while_nobody_asks_starts_nothing),
        STORY(the_release_before_a_trial_leaves_and_the_trial_ends_well),
        STORY(a_trial_that_fails_then_goes_back_by_a_load),
        STORY(pressure_with_nothing_to_give_up_changes_nothing),
        STORY(updates_end_well_whenever_it_rests),
        STORY(bad_updates_end_with_the_old_one_whenever_it_rests),
        STORY(rollbacks_end_whenever_it_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

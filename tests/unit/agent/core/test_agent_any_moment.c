/* Nothing is lost whenever it happens: power cuts after every action, a
 * process that dies, timers that fire early, any event at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/probe.h>

#include "unit/agent/core/story.h"

/* ---- power ---- */

/* Cut the power after action `cut`, boot, tell the order again, wait. */
static bool live_through_a_cut(uint64_t cut)
{
    world_deinit(&world);
    world_init(&world, 2, 1);
    world.cut_after = cut;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 60000);
    if (!world.is_off) {
        return false;
    }
    world.cut_after = 0;
    world_boot(&world);
    world_run(&world, 200);
    world_desire(&world, 3, 1);
    world_run(&world, 120000);
    return true;
}

static void power_may_fail_behind_any_action(void **state)
{
    uint64_t cut;

    (void)state;
    for (cut = 1; live_through_a_cut(cut); cut++) {
        assert_int_equal(world_story(&world, "r-0001.1")->ends, 1);
        assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
        assert_true(is_current(3));
    }
    assert_true(cut > 20);
}

static void power_may_fail_behind_any_action_of_a_bad_update(void **state)
{
    uint64_t cut;

    (void)state;
    for (cut = 1; cut < 60; cut++) {
        bool was_cut;

        world_deinit(&world);
        world_init(&world, 2, 1);
        world.cut_after = cut;
        world.candidate_crashes = 1000;
        boot();
        world_desire(&world, 3, 1);
        world_run(&world, 60000);
        was_cut = world.is_off;
        world.cut_after = 0;
        if (was_cut) {
            world_boot(&world);
            world_run(&world, 200);
            world_desire(&world, 3, 1);
            world_run(&world, 120000);
        }
        assert_int_equal(world_story(&world, "r-0001.1")->ends, 1);
        assert_true(is_denied(3));
        assert_true(is_current(2));
        assert_true(flo_digest_is_zero(&world.slots.candidate));
    }
}

static void power_may_fail_behind_any_action_of_a_rollback(void **state)
{
    uint64_t cut;

    (void)state;
    for (cut = 1; cut < 30; cut++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        world.cut_after = cut;
        boot();
        world_order(&world, FLO_ORDER_ROLLBACK, 2);
        world_run(&world, 60000);
        if (world.is_off) {
            world.cut_after = 0;
            world_boot(&world);
            world_run(&world, 2000);
            world_order(&world, FLO_ORDER_ROLLBACK, 2); /* retained */
            world_run(&world, 60000);
        }
        assert_true(is_current(1));
        assert_true(is_denied(2));
    }
}

/* The denial is kept with the order; the power fails before anything else. */
static void what_was_taken_back_is_not_fetched_after_a_power_cut(void **state)
{
    const struct flo_denial taken_back = {
        .release = world_digest(3), .statement = 5, .cause = FLO_DENIAL_ORDERED};

    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 250); /* it is being fetched */
    (void)flo_slots_deny(&world.slots, &taken_back);
    world.trace.bytes = 0;
    world_boot(&world);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_CANCELLED);
    assert_null(strstr(world.trace.data, "start updater"));
    assert_true(is_current(2));
}

static void what_failed_is_not_fetched_after_a_power_cut(void **state)
{
    const struct flo_denial fault = {.release = world_digest(3), .cause = FLO_DENIAL_FAULT};

    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 250);
    (void)flo_slots_deny(&world.slots, &fault);
    world_boot(&world);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
}

static void a_pause_outlives_a_power_cut(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_PAUSE, 0);
    world_desire(&world, 3, 1);
    world_run(&world, 1000);
    world_boot(&world);
    world_run(&world, 300000);
    assert_null(strstr(world.trace.data, "start updater"));
    world_order(&world, FLO_ORDER_RESUME, 0);
    world_run(&world, 1);
    assert_non_null(strstr(world.trace.data, "start updater"));
    world_boot(&world);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void desire_within(uint64_t jitter_ms)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    execution.policy.start_jitter_ms = jitter_ms;
    event.deploy.execution = &execution;
    world_event(&world, &event);
}

static void a_start_that_was_spread_waits_behind_a_restart(void **state)
{
    (void)state;
    boot();
    desire_within(3600000);
    world_boot(&world);
    world_run(&world, 10000);
    assert_null(strstr(world.trace.data, "start updater"));
    world_run(&world, 3600000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_spread_start_keeps_its_moment_over_restarts(void **state)
{
    int hour;

    (void)state;
    boot();
    desire_within(3600000);
    for (hour = 0; hour < 6; hour++) { /* never on for the whole hour */
        world_boot(&world);
        world_run(&world, 600000);
    }
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void what_waits_for_a_word_rings_no_timer(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_PAUSE, 0);
    desire_within(1000);
    world_run(&world, 3600000);
    assert_true(world.steps < 10);
    world_order(&world, FLO_ORDER_RESUME, 0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_soak_that_waits_for_requests_rings_no_timer(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    (void)state;
    execution.policy.soak_requests = 1;
    event.deploy.execution = &execution;
    boot();
    world_event(&world, &event);
    world_run(&world, 3600000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(world.steps < 30);
}

static void an_agent_that_dies_of_the_probe_stops_probing(void **state)
{
    int i;

    (void)state;
    boot();
    world_desire(&world, 3, 1);
    for (i = 0; i < 10; i++) {
        world_run(&world, 1000); /* the probe has begun, not ended */
        world_boot(&world);
    }
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_story("probe-kills-agent");
}

/* A record of another version may hold what no order can say today. */
static void a_trial_of_unknown_bounds_goes_on_with_the_usual_ones(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 8000);
    assert_int_equal(world.slots.phase, FLO_SLOT_TRIAL);
    world.open.policy.soak_crashes_max = 100000;
    world.open.policy.tries = 0;
    world_boot(&world);
    world_run(&world, 1800000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_non_null(strstr(world.trace.data, "because its policy is none"));
}

/* ---- total ---- */

static void any_event_is_fine_at_any_time(void **state)
{
    uint64_t random = 1;
    int i;

    (void)state;
    boot();
    for (i = 0; i < 200000; i++) {
        struct flo_agent_event event = {0};
        struct flo_agent_execution execution;
        struct flo_order order = {.to_previous = true, .from_count = 1};

        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        event.kind = (enum flo_agent_event_kind)((random >> 33) % FLO_AGENT_EVENT_COUNT);
        if (event.kind == FLO_AGENT_BOOT) {
            continue;
        }
        event.role = (enum flo_agent_role)((random >> 40) & 1);
        event.state = (enum flo_execution)((random >> 41) % FLO_EXECUTION_COUNT);
        event.job = world.agent.models[0].execution.job;
        event.fits_both = ((random >> 45) & 1) != 0;
        event.is_on_demand = ((random >> 43) & 1) != 0;
        event.is_other_rung = ((random >> 44) & 1) != 0;
        event.is_linked = ((random >> 42) & 1) != 0;
        event.lacks = (uint32_t)(random >> 34) % (1u << FLO_WAIT_COUNT);
        event.is_passing = ((random >> 46) & 1) != 0;
        event.error.code = ((random >> 47) & 1) ? 0 : FLO_E_PROBE_GOLDEN;
        execution = world_execution((int)((random >> 48) % 5) + 1, (random >> 51) % 64);
        if ((random >> 36 & 3) == 0 && world.agent.models[0].live >= 0) { /* under pressure */
            execution.order[0] = '\0';
            snprintf(execution.variant, sizeof(execution.variant), "q4");
            execution.release = world.agent.models[0].slots.current;
        }
        event.deploy.execution = &execution;
        event.release = execution.release.digest;
        order.op = (enum flo_order_op)((random >> 52) % FLO_ORDER_COUNT);
        order.from[0] = world_digest((int)((random >> 55) % 5) + 1);
        snprintf(order.id, sizeof(order.id), "o-1");
        snprintf(order.rollout, sizeof(order.rollout), "r-%04u", (unsigned)(random >> 57));
        event.order = &order;
        world.pending_count = 0; /* chance decides what comes next */
        world.story_count = 0;
        world.now_ms += (random >> 60) * 100;
        world_event(&world, &event);
        assert_in_range(world.agent.models[0].live + 1, 0, FLO_AGENT_ROLES);
        if (world.agent.models[0].live >= 0) {
            assert_int_equal(world.agent.models[0].engines[world.agent.models[0].live].state,
                             FLO_ENGINE_READY);
        }
        if (flo_agent_is_resting(&world.agent.models[0])) {
            assert_true(world.agent.models[0].is_on_demand);
            assert_int_equal(world.agent.models[0].live, -1);
        }
        world.trace.bytes = 0;
    }
}

static void a_timer_that_fires_early_is_set_again(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_TIMER};
    static struct flo_agent_actions actions;

    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 5000);
    event.now_ms = world.agent.timer_ms - 1;

    flo_agent_step(&world.agent, &event, &actions);

    assert_int_equal(actions.count, 1);
    assert_int_equal(actions.list[0].kind, FLO_DO_TIMER);
    assert_int_equal(actions.list[0].at_ms, event.now_ms + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(power_may_fail_behind_any_action),
        STORY(power_may_fail_behind_any_action_of_a_bad_update),
        STORY(power_may_fail_behind_any_action_of_a_rollback),
        STORY(what_was_taken_back_is_not_fetched_after_a_power_cut),
        STORY(what_failed_is_not_fetched_after_a_power_cut),
        STORY(a_pause_outlives_a_power_cut),
        STORY(a_start_that_was_spread_waits_behind_a_restart),
        STORY(a_spread_start_keeps_its_moment_over_restarts),
        STORY(what_waits_for_a_word_rings_no_timer),
        STORY(a_soak_that_waits_for_requests_rings_no_timer),
        STORY(an_agent_that_dies_of_the_probe_stops_probing),
        STORY(a_trial_of_unknown_bounds_goes_on_with_the_usual_ones),
        STORY(a_timer_that_fires_early_is_set_again),
        STORY(any_event_is_fine_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

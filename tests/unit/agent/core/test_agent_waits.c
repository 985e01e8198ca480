/* Updates that wait for mains, a cool, an idle or an unmetered device; and
 * those that wait for nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "unit/agent/core/story.h"

#define BATTERY FLO_WAIT_BIT(FLO_WAIT_BATTERY)
#define MAINS FLO_WAIT_BIT(FLO_WAIT_MAINS)
#define COOL FLO_WAIT_BIT(FLO_WAIT_COOL)
#define IDLE FLO_WAIT_BIT(FLO_WAIT_IDLE)
#define UNMETERED FLO_WAIT_BIT(FLO_WAIT_UNMETERED)

static struct flo_agent_model *const tiny = &world.agent.models[0];

/* ---- when ---- */

static void device_lacks(uint32_t set)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_CONDITIONS, .lacks = set};

    world_event(&world, &event);
}

/* An order of version 3 whose policy waits. */
static void desire(uint64_t mains, uint64_t cool, uint64_t idle, uint64_t unmetered)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    execution.policy.wait_mains = mains;
    execution.policy.wait_cool = cool;
    execution.policy.wait_idle = idle;
    execution.policy.wait_unmetered = unmetered;
    event.deploy.execution = &execution;
    world_event(&world, &event);
}

static bool has_begun(void)
{
    return strstr(world.trace.data, "start updater") != NULL;
}

static void assert_waits_for(const char *what)
{
    assert_true(tiny->has_execution);
    assert_string_equal(tiny->execution.reason, what);
    assert_int_equal(tiny->execution.job, 0);
    assert_int_equal(tiny->execution.deadline_ms, 0);
}

/* ---- what waits ---- */

static void an_update_waits_for_all_that_its_policy_asks(void **state)
{
    (void)state;
    boot();
    device_lacks(MAINS | COOL | IDLE | UNMETERED);
    desire(1, 1, 1, 1);
    world_run(&world, 3600000);
    assert_waits_for("waiting for mains, a cool device, an idle device, an "
                     "unmetered network");
    device_lacks(IDLE | UNMETERED);
    assert_waits_for("waiting for an idle device, an unmetered network");
    device_lacks(UNMETERED);
    world_run(&world, 3600000);
    assert_false(has_begun());
    device_lacks(0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("waits");
}

static void an_update_whose_policy_asks_nothing_begins(void **state)
{
    (void)state;
    boot();
    device_lacks(MAINS | COOL | IDLE | UNMETERED);
    desire(0, 0, 0, 0);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void the_device_asks_for_its_own_part(void **state)
{
    (void)state;
    boot();
    world.agent.waits = UNMETERED;
    device_lacks(MAINS | UNMETERED);
    desire(0, 0, 0, 0);
    world_run(&world, 60000);
    assert_waits_for("waiting for an unmetered network");
    device_lacks(MAINS);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_low_battery_needs_nobody_who_asks(void **state)
{
    (void)state;
    boot();
    device_lacks(BATTERY | MAINS);
    desire(1, 0, 0, 0);
    world_run(&world, 60000);
    assert_waits_for("waiting for mains (the battery is low)");
    device_lacks(MAINS);
    assert_waits_for("waiting for mains");
}

/* ---- windows ---- */

#define MONDAY_MS UINT64_C(1767571200000) /* 2026-01-05 00:00 UTC */
#define HOUR_MS UINT64_C(3600000)

/* Hours by UTC in which the order lets it begin. */
static void desire_within(uint64_t from_hour, uint64_t hours)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    execution.policy.window_from_s = from_hour * 3600;
    execution.policy.window_length_s = hours * 3600;
    event.deploy.execution = &execution;
    world_event(&world, &event);
}

static void it_is(uint64_t hour)
{
    world.wall_ahead_ms = MONDAY_MS + hour * HOUR_MS - world.now_ms;
}

static void an_order_that_comes_outside_of_its_window_waits(void **state)
{
    (void)state;
    boot();
    it_is(9);
    desire_within(1, 4);
    world_run(&world, 15 * HOUR_MS);
    assert_waits_for("waiting for its window");
    assert_false(has_begun());
    world_run(&world, 1 * HOUR_MS); /* 01:00, and nobody says so */
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("waits-window");
}

static void a_window_that_closes_lets_the_download_end_and_holds_the_probe(void **state)
{
    (void)state;
    boot();
    it_is(1);
    desire_within(23, 2);
    assert_waits_for("waiting for its window");
    it_is(23);
    device_lacks(0);
    world_run(&world, 150);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_DOWNLOADING);
    it_is(25);
    world_run(&world, 60000);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_STAGED);
    assert_waits_for("waiting for its window");
    world_run(&world, 22 * HOUR_MS);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void without_a_clock_nobody_waits_for_a_window(void **state)
{
    (void)state;
    boot();
    desire_within(1, 4);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

/* ---- in the middle ---- */

static void a_download_ends_with_the_unmetered_network_and_goes_on(void **state)
{
    (void)state;
    boot();
    desire(0, 0, 0, 1);
    world_run(&world, 150);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_DOWNLOADING);
    device_lacks(UNMETERED);
    assert_waits_for("waiting for an unmetered network");
    world_run(&world, 7200000); /* no deadline */
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_DOWNLOADING);
    device_lacks(0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("waits-in-download");
}

static void requests_do_not_end_a_download_but_hold_the_probe(void **state)
{
    (void)state;
    boot();
    desire(0, 0, 1, 0);
    world_run(&world, 150);
    device_lacks(IDLE);
    assert_int_not_equal(tiny->execution.job, 0);
    world_run(&world, 60000);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_STAGED);
    assert_waits_for("waiting for an idle device");
    device_lacks(0);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_probe_needs_no_network_and_a_trial_nothing(void **state)
{
    (void)state;
    boot();
    desire(1, 1, 1, 1);
    while (tiny->execution.state != FLO_EXECUTION_STAGED &&
           tiny->execution.state != FLO_EXECUTION_PROBING) {
        world_run(&world, 10);
    }
    device_lacks(UNMETERED);
    while (tiny->execution.state != FLO_EXECUTION_SOAKING) {
        world_run(&world, 10);
    }
    device_lacks(BATTERY | MAINS | COOL | IDLE | UNMETERED);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_wait_outlives_a_power_cut(void **state)
{
    (void)state;
    boot();
    device_lacks(MAINS);
    desire(1, 0, 0, 0);
    world_boot(&world);
    device_lacks(MAINS);
    world_run(&world, 60000);
    assert_waits_for("waiting for mains");
    device_lacks(0);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

/* ---- what does not wait ---- */

static void an_urgent_update_waits_for_nothing(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    (void)state;
    boot();
    world.agent.waits = MAINS | COOL | IDLE | UNMETERED;
    device_lacks(BATTERY | MAINS | COOL | IDLE | UNMETERED);
    execution.policy.wait_mains = 1;
    execution.policy.urgent = 1;
    event.deploy.execution = &execution;
    world_event(&world, &event);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_rollback_by_order_waits_for_nothing(void **state)
{
    (void)state;
    boot();
    world.agent.waits = MAINS | COOL | IDLE | UNMETERED;
    device_lacks(BATTERY | MAINS | COOL | IDLE | UNMETERED);
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 60000);
    assert_true(is_current(1));
    assert_int_equal(world.live_version, 1);
}

static void a_bundle_of_an_operator_waits_for_the_battery_alone(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    (void)state;
    boot();
    world.agent.waits = MAINS | COOL | IDLE | UNMETERED;
    device_lacks(BATTERY | MAINS | COOL | IDLE | UNMETERED);
    strcpy(execution.bundle, "/media/usb/tiny-3.flo");
    execution.order[0] = '\0';
    event.deploy.execution = &execution;
    world_event(&world, &event);
    world_run(&world, 60000);
    assert_waits_for("waiting for mains (the battery is low)");
    device_lacks(MAINS | COOL | IDLE | UNMETERED);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_repair_of_a_model_that_serves_nothing_does_not_wait(void **state)
{
    (void)state;
    world.damaged = 2;
    memset(&world.slots.previous, 0, sizeof(world.slots.previous));
    world_boot(&world);
    world.agent.waits = MAINS | COOL | IDLE | UNMETERED;
    device_lacks(BATTERY | MAINS | COOL | IDLE | UNMETERED);
    world_run(&world, 120000);
    assert_true(world.repairs > 0);
    assert_int_equal(world.live_version, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(an_update_waits_for_all_that_its_policy_asks),
        STORY(an_update_whose_policy_asks_nothing_begins),
        STORY(the_device_asks_for_its_own_part),
        STORY(a_low_battery_needs_nobody_who_asks),
        STORY(an_order_that_comes_outside_of_its_window_waits),
        STORY(a_window_that_closes_lets_the_download_end_and_holds_the_probe),
        STORY(without_a_clock_nobody_waits_for_a_window),
        STORY(a_download_ends_with_the_unmetered_network_and_goes_on),
        STORY(requests_do_not_end_a_download_but_hold_the_probe),
        STORY(a_probe_needs_no_network_and_a_trial_nothing),
        STORY(a_wait_outlives_a_power_cut),
        STORY(an_urgent_update_waits_for_nothing),
        STORY(a_rollback_by_order_waits_for_nothing),
        STORY(a_bundle_of_an_operator_waits_for_the_battery_alone),
        STORY(a_repair_of_a_model_that_serves_nothing_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Under pressure another variant of the current release takes its place, by a
 * probe and a trial; the slots stay as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/errors/probe.h>

#include "unit/agent/core/story.h"

static void a_smaller_variant_serves_after_its_probe_and_trial(void **state)
{
    (void)state;
    boot();
    world_exchange(&world, "q4");
    world_run(&world, 10000);
    assert_string_equal(world.variant, ""); /* on trial */
    world_run(&world, 20000);

    assert_int_equal(end_of("variant.q4.1"), FLO_EXECUTION_SUCCEEDED);
    assert_string_equal(world.variant, "q4");
    assert_int_equal(world.probes, 1);
    assert_true(is_current(2));
    assert_true(flo_digest_is_zero(&world.slots.candidate));
    assert_story("variant");
}

static void memory_for_one_engine_is_enough(void **state)
{
    (void)state;
    boot();
    world.fits_one_only = true;
    world_exchange(&world, "q4");
    world_run(&world, 60000);

    assert_int_equal(end_of("variant.q4.1"), FLO_EXECUTION_SUCCEEDED);
    assert_string_equal(world.variant, "q4");
    assert_true(is_current(2));
}

static void a_variant_that_fails_its_probe_changes_nothing(void **state)
{
    (void)state;
    boot();
    world.probe_error = FLO_E_PROBE_GOLDEN;
    world_exchange(&world, "q4");
    world_run(&world, 60000);

    assert_int_equal(end_of("variant.q4.1"), FLO_EXECUTION_FAILED);
    assert_string_equal(world.variant, "");
    assert_true(is_current(2));
    assert_false(is_denied(2)); /* the release itself is good */
}

static void a_variant_that_crashes_on_trial_goes_back(void **state)
{
    (void)state;
    boot();
    world.candidate_crashes = 9;
    world_exchange(&world, "q4");
    world_run(&world, 60000);

    assert_int_equal(end_of("variant.q4.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_string_equal(world.variant, "");
    assert_true(is_current(2));
    assert_false(is_denied(2));
    assert_story("variant-crashes");
}

static void one_crash_on_trial_is_borne(void **state)
{
    (void)state;
    boot();
    world.candidate_crashes = 1;
    world_exchange(&world, "q4");
    world_run(&world, 60000);

    assert_int_equal(end_of("variant.q4.1"), FLO_EXECUTION_SUCCEEDED);
    assert_string_equal(world.variant, "q4");
}

static void a_choice_that_cannot_be_written_is_tried_again(void **state)
{
    (void)state;
    boot();
    world_exchange(&world, "q4");
    world_run(&world, 10000);
    world.slots_fail = true;
    world_run(&world, 30000);
    assert_int_equal(world_story(&world, "variant.q4.1")->ends, 0);
    world.slots_fail = false;
    world_run(&world, 30000);

    assert_int_equal(end_of("variant.q4.1"), FLO_EXECUTION_SUCCEEDED);
}

static void an_order_comes_before_it(void **state)
{
    (void)state;
    boot();
    world_exchange(&world, "q4");
    world_run(&world, 10000); /* on trial */
    world_desire(&world, 3, 7);
    world_run(&world, 3600000);

    assert_true(is_current(3));
    assert_string_equal(world.variant, "");
}

static void a_rollback_of_its_release_goes_to_the_previous_one(void **state)
{
    (void)state;
    boot();
    world_exchange(&world, "q4");
    world_run(&world, 10000);
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 60000);

    assert_true(is_current(1));
    assert_true(is_denied(2));
}

static void under_a_freeze_it_waits(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_FREEZE, 0);
    world_run(&world, 1000);
    world_exchange(&world, "q4");
    world_run(&world, 60000);
    assert_string_equal(world.agent.models[0].execution.reason, "frozen");
    world_order(&world, FLO_ORDER_UNFREEZE, 0);
    world_run(&world, 60000);

    assert_int_equal(end_of("variant.q4.1"), FLO_EXECUTION_SUCCEEDED);
}

static void power_may_fail_behind_any_of_its_actions(void **state)
{
    (void)state;
    for (uint64_t cut = 1; cut < 40; cut++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        boot();
        world.cut_after = world.actions_done + cut;
        world_exchange(&world, "q4");
        world_run(&world, 60000);
        if (world.is_off) {
            world.cut_after = 0;
            world_boot(&world);
            world_run(&world, 60000);
        }
        assert_true(is_current(2));
        assert_false(is_denied(2));
        assert_false(world.has_open);
        assert_true(flo_digest_is_zero(&world.slots.candidate));
    }
}

/* A measured variant was not faster: the other one serves as before. */
static void assert_nothing_changed(enum flo_execution end)
{
    assert_int_equal(end_of("variant.native.1"), end);
    assert_string_equal(world.variant, "");
    assert_true(is_current(2));
    assert_false(is_denied(2));
}

static void a_measured_variant_serves_after_its_trial_if_it_is_faster(void **state)
{
    (void)state;
    boot();
    world_measure(&world, "native");
    world_run(&world, 60000);

    assert_int_equal(end_of("variant.native.1"), FLO_EXECUTION_SUCCEEDED);
    assert_string_equal(world.variant, "native");
    assert_true(is_current(2));
}

static void a_measured_variant_that_is_slower_is_cancelled(void **state)
{
    (void)state;
    boot();
    world.probe_error = FLO_E_PROBE_SPEED;
    world_measure(&world, "native");
    world_run(&world, 60000);

    assert_nothing_changed(FLO_EXECUTION_CANCELLED);
    assert_int_equal(world.probes, 1);
    assert_story("variant-slower");
}

static void a_measured_variant_that_is_about_as_fast_is_cancelled(void **state)
{
    (void)state;
    boot();
    world.probes_unsure = 1;
    world_measure(&world, "native");
    world_run(&world, 7200000);

    assert_nothing_changed(FLO_EXECUTION_CANCELLED);
    assert_int_equal(world.probes, 1);
}

static void a_device_too_busy_to_measure_tries_again(void **state)
{
    (void)state;
    boot();
    world.probes_unsure = 1;
    world.is_incomparable = true;
    world_measure(&world, "native");
    world_run(&world, 30000);
    world.is_incomparable = false;
    world_run(&world, 7200000);

    assert_int_equal(end_of("variant.native.1"), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world.probes, 2);
}

static void a_probe_that_compares_no_speed_changes_nothing(void **state)
{
    (void)state;
    boot();
    world.is_incomparable = true;
    world_measure(&world, "native");
    world_run(&world, 60000);

    assert_nothing_changed(FLO_EXECUTION_CANCELLED);
}

static void nothing_is_measured_if_memory_holds_one_engine_only(void **state)
{
    (void)state;
    boot();
    world.fits_one_only = true;
    world_measure(&world, "native");
    world_run(&world, 60000);

    assert_nothing_changed(FLO_EXECUTION_CANCELLED);
    assert_int_equal(world.probes, 0);
}

static void a_measured_variant_with_wrong_answers_fails(void **state)
{
    (void)state;
    boot();
    world.probe_error = FLO_E_PROBE_GOLDEN;
    world_measure(&world, "native");
    world_run(&world, 60000);

    assert_nothing_changed(FLO_EXECUTION_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_smaller_variant_serves_after_its_probe_and_trial),
        STORY(memory_for_one_engine_is_enough),
        STORY(a_variant_that_fails_its_probe_changes_nothing),
        STORY(a_variant_that_crashes_on_trial_goes_back),
        STORY(one_crash_on_trial_is_borne),
        STORY(a_choice_that_cannot_be_written_is_tried_again),
        STORY(an_order_comes_before_it),
        STORY(a_rollback_of_its_release_goes_to_the_previous_one),
        STORY(under_a_freeze_it_waits),
        STORY(power_may_fail_behind_any_of_its_actions),
        STORY(a_measured_variant_serves_after_its_trial_if_it_is_faster),
        STORY(a_measured_variant_that_is_slower_is_cancelled),
        STORY(a_measured_variant_that_is_about_as_fast_is_cancelled),
        STORY(a_device_too_busy_to_measure_tries_again),
        STORY(a_probe_that_compares_no_speed_changes_nothing),
        STORY(nothing_is_measured_if_memory_holds_one_engine_only),
        STORY(a_measured_variant_with_wrong_answers_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A release whose files are damaged is fetched once more, when nothing else
 * is to be done, as often as it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/errors/probe.h>
#include <flotilla/errors/sig.h>

#include "unit/agent/core/story.h"

static void a_damaged_release_without_a_previous_one_is_repaired(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    boot();
    world_run(&world, 5000);

    assert_int_equal(end_of("repair.02.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(2));
    assert_false(is_denied(2));
    assert_true(flo_digest_is_zero(&world.slots.candidate));
    assert_story("repair");
}

/* Its document names model and version; the record knows the model. */
static void a_release_whose_document_is_gone_is_repaired(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    world.documents_are_gone = true;
    boot();
    world_run(&world, 5000);

    assert_int_equal(end_of("repair.02.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(2));
    assert_string_equal(world.agent.models[0].slots.current.model, "tiny");
}

static void a_repair_waits_for_the_network(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    world.job_error.code = FLO_E_NET_UNREACHABLE;
    world.job_is_passing = true;
    world.job_failures = 12;
    boot();
    world_run(&world, 3600000);

    assert_int_equal(end_of("repair.02.1"), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world.repairs, 1);
    assert_true(is_current(2));
}

static void a_repair_that_fails_is_tried_again_more_and_more_seldom(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    world.job_error.code = FLO_E_SIG_BAD;
    boot();
    world_run(&world, 24 * 3600000);
    assert_in_range(world.repairs, 5, 100);
    world.job_error.code = 0;
    world_run(&world, 2 * 3600000);

    assert_true(is_current(2));
    assert_false(is_denied(2));
}

static void a_damaged_release_comes_back_behind_the_previous(void **state)
{
    (void)state;
    world.damaged = 2;
    world_boot(&world);
    world_run(&world, 700);
    assert_int_equal(world.live_version, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("repair.02.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(2));
    assert_int_equal(world.slots.previous.bytes[0], 1);
    assert_story("repair-behind-previous");
}

static void an_order_of_a_damaged_release_repairs_it(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    world.job_error.code = FLO_E_NET_UNREACHABLE;
    world.job_is_passing = true;
    world.job_failures = 1000;
    boot();
    world_run(&world, 1000);
    world_desire(&world, 2, 1);
    assert_int_equal(world_story(&world, "r-0001.1")->ends, 0);
    world.job_failures = 0;
    world_run(&world, 120000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world.acks_done, 1);
    assert_true(is_current(2));
    assert_story("repair-ordered");
}

static void another_order_comes_before_a_repair(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
}

static void a_repair_waits_while_frozen(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    world.device.is_frozen = true;
    boot();
    world_run(&world, 300000);
    assert_int_equal(world.live_version, 0);
    world_order(&world, FLO_ORDER_UNFREEZE, 0);
    world_run(&world, 60000);

    assert_true(is_current(2));
}

/* An older engine than the one that committed it, after a package went back. */
static void a_release_that_the_engine_cannot_run_is_not_damaged(void **state)
{
    (void)state;
    world.unreadable = 2;
    boot();
    world_run(&world, 3600000);

    assert_int_equal(world.live_version, 1);
    assert_int_equal(world.slots.current.bytes[0], 2);
    assert_int_equal(world.slots.previous.bytes[0], 1);
    assert_int_equal(world.repairs, 0);
    assert_false(is_denied(2));
    assert_story("unreadable");

    world.unreadable = 0;
    world_boot(&world);
    world_run(&world, 5000);
    assert_true(is_current(2));
}

static void without_a_previous_one_it_is_tried_again_and_again(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.unreadable = 2;
    boot();
    world_run(&world, 3600000);
    assert_int_equal(world.live_version, 0);
    assert_int_equal(world.repairs, 0);
    world.unreadable = 0;
    world_run(&world, 120000);

    assert_true(is_current(2));
}

static void a_repair_that_the_engine_cannot_run_is_not_fetched_again(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.damaged = 2;
    world.unreadable = 2;
    boot();
    world_run(&world, 3600000);

    assert_int_equal(end_of("repair.02.1"), FLO_EXECUTION_FAILED);
    assert_int_equal(world.repairs, 1);
    assert_false(is_denied(2));
}

static void a_damaged_previous_one_does_not_repair_what_cannot_be_run(void **state)
{
    (void)state;
    world.unreadable = 2;
    world.damaged = 1;
    boot();
    world_run(&world, 3600000);
    assert_int_equal(world.live_version, 0);
    assert_int_equal(world.repairs, 0);
    assert_int_equal(world.slots.previous.bytes[0], 1);
    world.unreadable = 0;
    world_run(&world, 120000);

    assert_true(is_current(2));
}

static void another_release_is_taken_where_the_previous_one_serves(void **state)
{
    (void)state;
    world.unreadable = 2;
    boot();
    world_run(&world, 5000);
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_int_equal(world.slots.previous.bytes[0], 2);
}

static void a_failed_candidate_leaves_the_previous_one_where_it_served(void **state)
{
    (void)state;
    world.unreadable = 2;
    world.fits_one_only = true;
    boot();
    world_run(&world, 5000);
    world.probe_error = FLO_E_PROBE_GOLDEN;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_int_equal(world.live_version, 1);
    assert_int_equal(world.slots.current.bytes[0], 2);
    assert_false(is_denied(2));
}

/* It serves nothing worse than before, and there is no other to go to. */
static void what_serves_in_its_place_cannot_be_taken_back(void **state)
{
    (void)state;
    world.unreadable = 2;
    boot();
    world_run(&world, 5000);
    world_order(&world, FLO_ORDER_ROLLBACK, 1);
    world_run(&world, 5000);

    assert_int_equal(world.acks_refused, 1);
    assert_int_equal(world.acks_ignored, 0);
    assert_int_equal(world.live_version, 1);
    assert_false(is_denied(1));
}

static void an_order_of_what_the_engine_cannot_run_fails(void **state)
{
    int previous;

    (void)state;
    for (previous = 0; previous < 2; previous++) {
        world_deinit(&world);
        world_init(&world, 2, previous);
        world.unreadable = 2;
        boot();
        world_run(&world, 5000);
        world_desire(&world, 2, 1);
        world_run(&world, 5000);

        assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
        assert_int_equal(world.acks_refused, 1);
        assert_int_equal(world.live_version, previous);
        assert_false(is_denied(2));
    }
}

/* Ordered while the current engine is being loaded, or in an earlier life. */
static void an_order_of_the_current_one_waits_for_its_engine(void **state)
{
    static const struct {
        int unreadable;
        bool was_open;
        enum flo_execution end;
    } rows[] = {
        {0, false, FLO_EXECUTION_ALREADY_INSTALLED},
        {0, true, FLO_EXECUTION_ALREADY_INSTALLED},
        {2, false, FLO_EXECUTION_FAILED},
        {2, true, FLO_EXECUTION_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        world.unreadable = rows[i].unreadable;
        world.open = world_execution(2, 1);
        world.open.state = FLO_EXECUTION_ACCEPTED;
        world.has_open = rows[i].was_open;
        world_boot(&world);
        world_desire(&world, 2, 1);
        world_run(&world, 100);
        assert_int_equal(world_story(&world, "r-0001.1")->ends, 0);
        world_run(&world, 5000);

        assert_int_equal(end_of("r-0001.1"), rows[i].end);
    }
}

static void a_staged_candidate_keeps_the_previous_one_from_nothing(void **state)
{
    struct flo_agent_event crash = {
        .kind = FLO_AGENT_LOST, .role = FLO_AGENT_CURRENT, .error.code = FLO_E_ENGINE_CRASH};
    struct flo_digest candidate = world_digest(3);

    (void)state;
    assert_int_equal(flo_slots_stage(&world.slots, &candidate, NULL, NULL), 0);
    world.open = world_execution(3, 1);
    world.open.state = FLO_EXECUTION_STAGED;
    world.has_open = true;
    world.device.is_frozen = true;
    world.unreadable = 2;
    boot();
    world_run(&world, 5000);
    assert_int_equal(world.live_version, 1);
    world_event(&world, &crash);
    world_run(&world, 5000);
    assert_int_equal(world.agent.models[0].live, FLO_AGENT_CURRENT);
    world_order(&world, FLO_ORDER_UNFREEZE, 0);
    world_run(&world, 60000);

    assert_true(is_current(3));
}

static void a_trial_whose_current_release_is_damaged_ends_in_a_repair(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    world.fits_one_only = true;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 5000);
    assert_int_equal(world.live_version, 3);
    world.damaged = 2;
    world_order(&world, FLO_ORDER_ROLLBACK, 3);
    world_run(&world, 60000);

    assert_int_equal(end_of("repair.02.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(2));
    assert_true(is_denied(3));
}

static void power_may_fail_behind_any_action_of_a_repair(void **state)
{
    int previous;
    uint64_t cut;

    (void)state;
    for (previous = 0; previous < 2; previous++) {
        for (cut = 1; cut < 40; cut++) {
            world_deinit(&world);
            world_init(&world, 2, previous);
            world.damaged = 2;
            world.cut_after = cut;
            boot();
            world_run(&world, 60000);
            if (world.is_off) {
                world.cut_after = 0;
                world_boot(&world);
                world_run(&world, 120000);
            }
            /* Cut between fallback and request, the previous one stays. */
            assert_true(is_current(2) || (previous == 1 && is_current(1)));
            assert_true(flo_digest_is_zero(&world.slots.candidate));
            assert_false(world.has_open);
        }
    }
}

/* The newer release is on trial when the current one rots; then one that is
 * newer still is wanted. */
static void a_damaged_release_holds_up_no_newer_one(void **state)
{
    (void)state;
    world.slots.previous = world_digest(0);
    world.fits_one_only = true; /* nothing is warm */
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 5000);
    assert_int_equal(world.slots.phase, FLO_SLOT_TRIAL);
    world.damaged = 2;
    world_desire(&world, 4, 2);
    world_run(&world, 600000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUPERSEDED);
    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(4));
    assert_story("current-damaged-in-trial");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_damaged_release_without_a_previous_one_is_repaired),
        STORY(a_release_whose_document_is_gone_is_repaired),
        STORY(a_repair_waits_for_the_network),
        STORY(a_repair_that_fails_is_tried_again_more_and_more_seldom),
        STORY(a_damaged_release_comes_back_behind_the_previous),
        STORY(an_order_of_a_damaged_release_repairs_it),
        STORY(another_order_comes_before_a_repair),
        STORY(a_repair_waits_while_frozen),
        STORY(a_release_that_the_engine_cannot_run_is_not_damaged),
        STORY(without_a_previous_one_it_is_tried_again_and_again),
        STORY(a_repair_that_the_engine_cannot_run_is_not_fetched_again),
        STORY(a_damaged_previous_one_does_not_repair_what_cannot_be_run),
        STORY(another_release_is_taken_where_the_previous_one_serves),
        STORY(a_failed_candidate_leaves_the_previous_one_where_it_served),
        STORY(what_serves_in_its_place_cannot_be_taken_back),
        STORY(an_order_of_what_the_engine_cannot_run_fails),
        STORY(an_order_of_the_current_one_waits_for_its_engine),
        STORY(a_staged_candidate_keeps_the_previous_one_from_nothing),
        STORY(a_trial_whose_current_release_is_damaged_ends_in_a_repair),
        STORY(a_damaged_release_holds_up_no_newer_one),
        STORY(power_may_fail_behind_any_action_of_a_repair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

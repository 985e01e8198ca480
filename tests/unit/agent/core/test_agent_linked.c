/* Releases without requests: a link and a hook make one live, its program's
 * health is the soak, and the link agrees with the record after every cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/probe.h>
#include <flotilla/errors/soak.h>

#include "unit/agent/core/story.h"

static struct flo_agent_model *const tiny = &world.agent.models[0];

/* ---- given ---- */

static int begin_linked(void **state)
{
    story_begin(state);
    world.has_links = true;
    world.link = world.hooked = 2;
    return 0;
}

/* Nothing was here before. */
static void empty_device(void)
{
    world_init(&world, 0, 0);
    world.has_links = true;
}

static void update(void)
{
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 120000);
}

/* ---- then ---- */

static void assert_link(int version)
{
    assert_int_equal(world.link, version);
    assert_int_equal(world.hooked, version);
    assert_int_equal(tiny->is_linked, version != 0);
    assert_false(tiny->is_switching);
}

/* ---- the way there ---- */

static void a_good_release_has_the_link_and_one_run_of_the_hook(void **state)
{
    (void)state;
    update();

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_link(3);
    assert_int_equal(world.hooks_run, 1);
    assert_story("linked-good");
}

static void a_release_that_fails_its_probe_never_has_the_link(void **state)
{
    (void)state;
    world.probe_error = FLO_E_PROBE_GOLDEN;
    update();

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_link(2);
    assert_int_equal(world.hooks_run, 0);
    assert_true(is_denied(3));
}

static void a_soak_lasts_as_long_as_told_without_any_request(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution wanted = world_execution(3, 1);

    (void)state;
    wanted.policy.soak_requests = 1000;
    event.deploy.execution = &wanted;
    boot();
    world_event(&world, &event);
    world_run(&world, 9000);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_SOAKING);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_non_null(strstr(world.trace.data, "soak_requests does not count"));
}

static void a_soak_begins_when_the_hook_is_done(void **state)
{
    (void)state;
    world.hook_ms = 30000; /* longer than the soak */
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 20000);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_ACTIVATING);
    world_run(&world, 15000);
    assert_int_equal(tiny->execution.state, FLO_EXECUTION_SOAKING);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

/* ---- the way back ---- */

static void a_hook_that_fails_takes_the_release_back_once(void **state)
{
    (void)state;
    world.hook_fails = 3;
    update();

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_current(2));
    assert_link(2);
    assert_int_equal(world.hooks_run, 2); /* there, and back */
    assert_false(is_denied(3));           /* the device's hook is to blame */
    assert_story("linked-hook-fails");
}

static void a_program_that_is_not_healthy_is_taken_back(void **state)
{
    (void)state;
    world.ill = 3;
    update();

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_link(2);
    assert_int_equal(world.hooks_run, 4); /* three starts, and back */
    assert_true(is_denied(3));
    assert_story("linked-ill");
}

static void a_first_release_that_fails_leaves_no_link(void **state)
{
    (void)state;
    empty_device();
    world.hook_fails = 3;
    update();

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_link(0);
    assert_int_equal(world.links_removed, 1);
    assert_story("linked-first-fails");
}

static void a_rollback_by_order_moves_the_link_before_it_is_done(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 400);
    assert_int_equal(world.acks_done, 0); /* the hook runs */
    world_run(&world, 60000);

    assert_int_equal(world.acks_done, 1);
    assert_true(is_current(1));
    assert_link(1);
    assert_story("linked-rollback");
}

static void a_rollback_is_done_although_the_old_hook_fails(void **state)
{
    (void)state;
    world.hook_fails = 1;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 60000);

    assert_int_equal(world.acks_done, 1);
    assert_true(is_current(1));
    assert_true(tiny->is_ill);
    assert_non_null(strstr(world.trace.data, "serving down tiny@1.0.0"));
}

static void a_removed_model_loses_its_link(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_REMOVE};

    (void)state;
    boot();
    world_event(&world, &event);
    world_run(&world, 60000);

    assert_int_equal(world.link, 0);
    assert_int_equal(world.links_removed, 1);
    assert_int_equal(tiny->name[0], '\0');
}

/* ---- after the commit ---- */

static void tell(enum flo_agent_event_kind kind, int version)
{
    struct flo_agent_event event = {.kind = kind, .release = world_digest(version)};

    event.error.code = kind == FLO_AGENT_ILL ? FLO_E_SOAK_HEALTH : 0;
    world_event(&world, &event);
    world_run(&world, 1000);
}

static void an_ill_program_is_told_and_keeps_the_link(void **state)
{
    (void)state;
    update();
    tell(FLO_AGENT_ILL, 3);
    tell(FLO_AGENT_ILL, 3);
    assert_true(tiny->is_ill);
    assert_link(3);
    assert_int_equal(world.hooks_run, 1);
    tell(FLO_AGENT_ACTIVATED, 3);
    assert_false(tiny->is_ill);
    assert_non_null(strstr(world.trace.data, "serving down tiny@3.0.0"));
    assert_non_null(strstr(world.trace.data, "serving restarted tiny@3.0.0"));
}

static void words_about_another_release_are_ignored(void **state)
{
    (void)state;
    update();
    tell(FLO_AGENT_ILL, 2);
    tell(FLO_AGENT_ACTIVATED, 2);

    assert_false(tiny->is_ill);
    assert_link(3);
}

/* ---- cuts ---- */

static bool live_through_a_cut(uint64_t cut)
{
    bool was_cut;

    world_deinit(&world);
    world_init(&world, 2, 1);
    world.has_links = true;
    world.link = world.hooked = 2;
    world.cut_after = cut;
    world.hook_ms = 0;
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
    return was_cut;
}

static void the_link_agrees_with_the_record_after_any_cut(void **state)
{
    uint64_t cut;

    (void)state;
    for (cut = 1; live_through_a_cut(cut); cut++) {
        assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
        assert_true(is_current(3));
        assert_link(3);
        assert_true(world.hooks_run <= 2);
    }
    assert_true(cut > 20);
}

static void a_kill_between_link_and_hook_runs_the_hook_again(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    while (world.link != 3) {
        world_run(&world, 100);
    }
    assert_int_equal(world.hooked, 0); /* under way */
    world_boot(&world);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_link(3);
    assert_int_equal(world.hooks_run, 2);
    assert_story("linked-kill");
}

static void a_restart_runs_no_hook_when_nothing_is_open(void **state)
{
    (void)state;
    update();
    world_boot(&world);
    world_run(&world, 60000);

    assert_true(is_current(3));
    assert_link(3);
    assert_int_equal(world.hooks_run, 1);
}

static void a_link_that_no_release_owns_goes_at_the_start(void **state)
{
    (void)state;
    empty_device();
    world.link = 3; /* the trial's record was cleared, the link was not */
    boot();

    assert_link(0);
    assert_int_equal(world.links_removed, 1);
}

static void a_release_with_requests_takes_the_link_away(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 100);
    world.has_links = false; /* from here on: of our own engine */
    world_run(&world, 120000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world.link, 0);
}

#undef STORY
#define STORY(name) cmocka_unit_test_setup_teardown(name, begin_linked, story_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_good_release_has_the_link_and_one_run_of_the_hook),
        STORY(a_release_that_fails_its_probe_never_has_the_link),
        STORY(a_soak_lasts_as_long_as_told_without_any_request),
        STORY(a_soak_begins_when_the_hook_is_done),
        STORY(a_hook_that_fails_takes_the_release_back_once),
        STORY(a_program_that_is_not_healthy_is_taken_back),
        STORY(a_first_release_that_fails_leaves_no_link),
        STORY(a_rollback_by_order_moves_the_link_before_it_is_done),
        STORY(a_rollback_is_done_although_the_old_hook_fails),
        STORY(a_removed_model_loses_its_link),
        STORY(an_ill_program_is_told_and_keeps_the_link),
        STORY(words_about_another_release_are_ignored),
        STORY(the_link_agrees_with_the_record_after_any_cut),
        STORY(a_kill_between_link_and_hook_runs_the_hook_again),
        STORY(a_restart_runs_no_hook_when_nothing_is_open),
        STORY(a_link_that_no_release_owns_goes_at_the_start),
        STORY(a_release_with_requests_takes_the_link_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

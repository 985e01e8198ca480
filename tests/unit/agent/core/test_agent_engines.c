/* Engines that crash, take long or do not come back: the device goes on
 * serving a release that works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/io.h>

#include "unit/agent/core/story.h"

static void lose_current(void)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_LOST,
                                    .role = FLO_AGENT_CURRENT,
                                    .error = {.code = FLO_E_ENGINE_CRASH, .what = "signal 9"}};

    world_event(&world, &event);
}

static void the_current_engine_is_started_again(void **state)
{
    int i;

    (void)state;
    boot();
    for (i = 0; i < 4; i++) {
        lose_current();
        world_run(&world, 5000);
        assert_true(is_current(2));
    }
    assert_story("current-crashes");
}

static void say_loading(enum flo_agent_role role)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_LOADING, .role = role};

    world_event(&world, &event);
}

static void a_load_that_gets_on_may_take_its_time(void **state)
{
    int i;

    (void)state;
    world.load_ms = 290000;
    boot();
    for (i = 0; i < 3; i++) {
        world_run(&world, 100000);
        say_loading(FLO_AGENT_CURRENT);
    }
    assert_true(is_current(2));
    assert_int_equal(world.live_version, 2);

    world_desire(&world, 3, 1);
    for (i = 0; i < 3; i++) {
        world_run(&world, 100000);
        say_loading(FLO_AGENT_BESIDE);
    }
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_null(strstr(world.trace.data, "is lost"));
    assert_null(strstr(world.trace.data, "is loading")); /* nothing to tell */
}

static void a_load_without_a_sign_of_life_has_failed(void **state)
{
    (void)state;
    world.load_ms = 290000;
    boot();
    world_run(&world, 125000);
    assert_int_equal(world.live_version, 0);
    world.load_ms = 0;
    world_run(&world, 300000);
    assert_int_equal(world.live_version, 2);

    world.load_ms = 290000;
    world_desire(&world, 3, 1);
    world_run(&world, 200000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_int_equal(world.live_version, 2);
}

static void a_machine_that_sleeps_is_not_late(void **state)
{
    (void)state;
    world.load_ms = 60000;
    world_boot(&world);
    world_run(&world, 30000);
    world_sleep(&world, 8 * 3600000);
    world_desire(&world, 3, 1);
    world_run(&world, 31000);
    assert_int_equal(world.live_version, 2);

    world_run(&world, 30000); /* 3 is being loaded */
    world_sleep(&world, 8 * 3600000);
    world_desire(&world, 3, 1); /* told again: it is connected again */
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_null(strstr(world.trace.data, "is lost"));
}

static void a_sleep_is_no_part_of_the_soak(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 3000);
    assert_int_equal(world.live_version, 3);
    world_sleep(&world, 8 * 3600000);
    world_desire(&world, 3, 1); /* told again: it is connected again */
    world_run(&world, 5000);
    assert_int_equal(world_story(&world, "r-0001.1")->ends, 0);
    world_run(&world, 5000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

/* The agent was gone for longer than the soak, and loading takes its time. */
static void a_soak_is_time_in_which_the_release_serves(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 3000);
    assert_int_equal(world.live_version, 3);
    world.now_ms += 1200000;
    world.load_ms = 5000;
    world_boot(&world);
    world_run(&world, 14999);
    assert_int_equal(world.live_version, 3);
    assert_int_equal(world_story(&world, "r-0001.1")->ends, 0);
    world_run(&world, 1);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_crash_on_trial_begins_the_soak_again(void **state)
{
    (void)state;
    boot();
    world.candidate_crashes = 1;
    world_desire(&world, 3, 1);
    world_run(&world, 1249); /* a moment before it is lost */
    world.load_ms = 5000;
    world_run(&world, 15000);
    assert_int_equal(world.live_version, 3);
    assert_int_equal(world_story(&world, "r-0001.1")->ends, 0);
    world_run(&world, 1);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
}

static void a_damaged_current_release_gives_way_to_the_previous(void **state)
{
    (void)state;
    world.current_load_error = FLO_E_TARGET_HASH;
    world.job_is_silent = true;
    boot();
    world_run(&world, 5000);

    assert_true(is_current(1));
    assert_story("current-damaged");
}

static void one_that_cannot_be_read_gives_way_like_it(void **state)
{
    (void)state;
    world.current_load_error = FLO_E_IO_READ;
    boot();
    world_run(&world, 60000);

    assert_int_equal(end_of("repair.02.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(2));
    assert_non_null(strstr(world.trace.data, "current is lost io.read: cannot load\n"
                                             "                    because its bytes are wrong: "
                                             "the previous release serves\n"
                                             "                    slots: go back to tiny@1.0.0"));
}

static void without_a_disk_nothing_is_known_of_its_bytes(void **state)
{
    (void)state;
    world.current_load_error = FLO_E_IO_READ;
    world_boot(&world);
    world.agent.is_disk_gone = true;
    world_run(&world, 60000);

    assert_null(strstr(world.trace.data, "its bytes are wrong"));
    assert_non_null(strstr(world.trace.data, "started again in"));
    assert_true(is_current(2));
}

static void an_engine_lost_in_the_commit_is_started_behind_it(void **state)
{
    (void)state;
    world.lost_in_write = true;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_story("lost-in-commit");
}

static void an_engine_lost_in_a_rollback_is_started_behind_it(void **state)
{
    (void)state;
    world.lost_in_write = true;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 5000);

    assert_true(is_current(1));
    assert_true(is_denied(2));
    assert_int_equal(world.acks_done, 1);
    assert_story("lost-in-rollback");
}

/* It waits longer for each start; the release that mends it is staged. */
static void a_crash_loop_leaves_its_place_to_the_candidate(void **state)
{
    int losses;

    (void)state;
    for (losses = 1; losses < 12; losses++) {
        int i;

        world_deinit(&world);
        world_init(&world, 2, 1);
        world.fits_one_only = true;
        boot();
        for (i = 0; i < losses; i++) {
            world_run(&world, 31000);
            lose_current();
        }
        world_run(&world, 31000);
        world_desire(&world, 3, 1);
        world_run(&world, 350);
        lose_current();
        world_run(&world, 90000);

        assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
        assert_true(is_current(3));
    }
}

/* ---- killed by something outside ---- */

static void kill_candidate(void)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_LOST,
                                    .role = FLO_AGENT_BESIDE,
                                    .error = {.code = FLO_E_ENGINE_KILLED, .what = "signal 9"}};

    world_event(&world, &event);
}

static enum flo_execution state_now(void)
{
    return world.agent.models[0].has_execution ? world.agent.models[0].execution.state
                                               : end_of("r-0001.1");
}

static void until_state(enum flo_execution state)
{
    for (unsigned i = 0; state_now() != state && i < 100000; i++) {
        world_run(&world, 1);
    }
    assert_int_equal(state_now(), state);
}

static void a_candidate_that_is_killed_twice_in_any_state_is_tried_again(void **state)
{
    static const enum flo_execution states[] = {FLO_EXECUTION_PROBING, FLO_EXECUTION_ACTIVATING,
                                                FLO_EXECUTION_SOAKING};

    for (size_t i = 0; i < FLO_COUNT(states); i++) {
        for (size_t k = i; k < FLO_COUNT(states); k++) {
            story_end(state);
            story_begin(state);
            world.write_ms = 20;
            boot();
            world_desire(&world, 3, 1);
            until_state(states[i]);
            kill_candidate();
            until_state(states[k]);
            kill_candidate();
            world_run(&world, 900000);

            assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
            assert_true(is_current(3));
            assert_false(is_denied(3));
        }
    }
}

/* Its probe hears of it first. */
static void kill_probed(void)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_PROBED,
                                    .error = {.code = FLO_E_ENGINE_KILLED, .what = "signal 9"}};

    for (unsigned i = 0;
         i < 100000 && world.agent.models[0].engines[FLO_AGENT_BESIDE].state != FLO_ENGINE_READY;
         i++) {
        world_run(&world, 1);
    }
    assert_int_equal(state_now(), FLO_EXECUTION_PROBING);
    world_event(&world, &event);
    assert_int_equal(state_now(), FLO_EXECUTION_PROBING);
    kill_candidate();
}

static void a_kill_in_a_probe_counts_as_any_other(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    kill_probed();
    kill_probed();
    kill_probed();
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_denied(3));
    assert_story("bad-killed-probe");
}

static void one_that_is_killed_each_time_is_denied_until_lifted(void **state)
{
    (void)state;
    boot();
    world.candidate_load_error = FLO_E_ENGINE_KILLED;
    world_desire(&world, 3, 1);
    world_run(&world, 900000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_int_equal(flo_agent_denial_cause(FLO_E_ENGINE_KILLED),
                     FLO_DENIAL_MEMORY); /* which an order lifts */
    assert_story("bad-killed");
}

/* ---- the device lacks what any release would need ---- */

static void lose_candidate(int code)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_LOST, .role = FLO_AGENT_BESIDE, .error = {.code = code, .what = "start"}};

    world_event(&world, &event);
}

static void a_candidate_without_memory_or_descriptors_waits_for_them(void **state)
{
    static const enum flo_execution states[] = {FLO_EXECUTION_PROBING, FLO_EXECUTION_ACTIVATING,
                                                FLO_EXECUTION_SOAKING};
    static const int codes[] = {FLO_E_MEMORY, FLO_E_DESCRIPTORS};

    for (size_t i = 0; i < FLO_COUNT(states) * FLO_COUNT(codes); i++) {
        story_end(state);
        story_begin(state);
        world.write_ms = 20;
        boot();
        world_desire(&world, 3, 1);
        until_state(states[i / FLO_COUNT(codes)]);
        lose_candidate(codes[i % FLO_COUNT(codes)]);
        assert_true(is_current(2));
        world_run(&world, 900000);

        assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
        assert_true(is_current(3));
        assert_false(is_denied(3));
    }
}

static void one_that_never_has_memory_ends_with_the_reason(void **state)
{
    (void)state;
    boot();
    world.candidate_load_error = FLO_E_MEMORY;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);
    assert_non_null(strstr(world.agent.models[0].execution.reason, "memory.exhausted: "));
    world_run(&world, 3600000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_false(is_denied(3));
    assert_non_null(strstr(world.trace.data, "end r-0001.1 failed at probing "
                                             "memory.exhausted"));
}

static void a_candidate_that_cannot_load_alone_gives_way_again(void **state)
{
    (void)state;
    world.fits_one_only = true;
    world.candidate_load_error = FLO_E_ENGINE_CRASH;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_current_engine_is_started_again),
        STORY(a_load_that_gets_on_may_take_its_time),
        STORY(a_load_without_a_sign_of_life_has_failed),
        STORY(a_machine_that_sleeps_is_not_late),
        STORY(a_sleep_is_no_part_of_the_soak),
        STORY(a_soak_is_time_in_which_the_release_serves),
        STORY(a_crash_on_trial_begins_the_soak_again),
        STORY(a_damaged_current_release_gives_way_to_the_previous),
        STORY(one_that_cannot_be_read_gives_way_like_it),
        STORY(without_a_disk_nothing_is_known_of_its_bytes),
        STORY(an_engine_lost_in_the_commit_is_started_behind_it),
        STORY(an_engine_lost_in_a_rollback_is_started_behind_it),
        STORY(a_crash_loop_leaves_its_place_to_the_candidate),
        STORY(a_candidate_that_is_killed_twice_in_any_state_is_tried_again),
        STORY(a_kill_in_a_probe_counts_as_any_other),
        STORY(one_that_is_killed_each_time_is_denied_until_lifted),
        STORY(a_candidate_without_memory_or_descriptors_waits_for_them),
        STORY(one_that_never_has_memory_ends_with_the_reason),
        STORY(a_candidate_that_cannot_load_alone_gives_way_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The agent's core by traces: each story runs in a small world and is compared
 * with tests/golden/traces/<story>.txt.  FLOTILLA_GOLDEN=write makes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/agent/world.h"

static struct world world;

static int begin(void **state)
{
    (void)state;
    world_init(&world, 2, 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_deinit(&world);
    return 0;
}

static void boot(void)
{
    world_boot(&world);
    world_run(&world, 1000);
}

static void assert_story(const char *name)
{
    const char *mode = getenv("FLOTILLA_GOLDEN");
    char path[256];
    char *expected = NULL;
    size_t bytes;
    struct flo_err err = {0};

    snprintf(path, sizeof(path), "tests/golden/traces/%s.txt", name);
    if (mode != NULL && strcmp(mode, "write") == 0) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fputs(world.trace.data, file);
        fclose(file);
        return;
    }
    assert_int_equal(flo_file_read(path, 1 << 20, &expected, &bytes, &err), 0);
    assert_string_equal(world.trace.data, expected);
    free(expected);
}

static enum flo_execution end_of(const char *id)
{
    struct world_story *story = world_story(&world, id);

    assert_int_equal(story->ends, 1);
    return story->end;
}

static bool is_current(int version)
{
    struct flo_digest digest = world_digest(version);

    return flo_digest_equal(&world.slots.current, &digest) &&
           world.live_version == version;
}

static bool is_denied(int version)
{
    struct flo_digest digest = world_digest(version);

    return flo_device_is_denied(&world.device, &digest);
}

/* ---- good ways
 * ------------------------------------------------------------------ */

static void a_good_release_is_probed_soaked_and_committed(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_int_equal(world.slots.previous.bytes[0], 2);
    assert_int_equal(world.held, 0);
    assert_story("good");
}

static void the_first_release_of_a_device_is_installed(void **state)
{
    (void)state;
    world_init(&world, 0, 0);
    boot();
    world_desire(&world, 1, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(1));
    assert_story("first");
}

static void without_room_for_two_the_old_engine_stops_first(void **state)
{
    (void)state;
    world.fits_one_only = true;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_int_equal(world.held, 1);
    assert_story("stop-first");
}

static void the_release_that_serves_is_already_installed(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 2, 1);
    world_run(&world, 1000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ALREADY_INSTALLED);
    assert_story("already-installed");
}

static void an_order_told_twice_is_carried_out_once(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 150);
    world_desire(&world, 3, 1);
    world_run(&world, 60000);
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("duplicate");
}

static void a_network_that_comes_back_is_waited_for(void **state)
{
    (void)state;
    boot();
    world.job_error.code = FLO_E_NET_UNREACHABLE;
    snprintf(world.job_error.what, sizeof(world.job_error.what),
             "no route to host");
    world.job_is_passing = true;
    world.job_failures = 3;
    world_desire(&world, 3, 1);
    world_run(&world, 120000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("network-returns");
}

/* ---- bad releases
 * ------------------------------------------------------------------ */

static void probe_fails(int code, const char *name)
{
    boot();
    world.probe_error = code;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_true(flo_digest_is_zero(&world.slots.candidate));
    assert_story(name);
}

static void a_wrong_golden_answer_stops_it_before_it_serves(void **state)
{
    (void)state;
    probe_fails(FLO_E_PROBE_GOLDEN, "bad-golden");
}

static void a_nan_in_a_logit_stops_it_before_it_serves(void **state)
{
    (void)state;
    probe_fails(FLO_E_PROBE_NONFINITE, "bad-nonfinite");
}

static void a_slow_release_is_stopped_before_it_serves(void **state)
{
    (void)state;
    probe_fails(FLO_E_PROBE_SPEED, "bad-slow");
}

static void a_release_that_needs_too_much_memory_is_stopped(void **state)
{
    (void)state;
    probe_fails(FLO_E_PROBE_MEMORY, "bad-memory");
}

static void a_nan_in_a_weight_is_found_by_the_updater(void **state)
{
    (void)state;
    boot();
    world.job_error.code = FLO_E_MODEL_NONFINITE;
    snprintf(world.job_error.what, sizeof(world.job_error.what),
             "tensor blk.3.ffn_norm.weight element 17 is NaN");
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_story("bad-nan");
}

static void a_candidate_that_crashes_at_load_never_serves(void **state)
{
    (void)state;
    boot();
    world.beside_load_error = FLO_E_ENGINE_CRASH;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_story("bad-crash-at-load");
}

static void a_denied_release_is_rejected(void **state)
{
    struct flo_digest digest = world_digest(3);

    (void)state;
    boot();
    flo_device_deny(&world.device, &digest);
    world_desire(&world, 3, 1);
    world_run(&world, 1000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_REJECTED);
    assert_int_equal(world.acks_refused, 1);
    assert_story("denied");
}

static void a_silent_updater_times_out(void **state)
{
    (void)state;
    boot();
    world.job_is_silent = true;
    world_desire(&world, 3, 1);
    world_run(&world, 120000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_TIMED_OUT);
    assert_false(is_denied(3));
    assert_story("timed-out");
}

static void a_disk_that_refuses_the_record_fails_it(void **state)
{
    (void)state;
    boot();
    world.slots_fail = true;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_false(is_denied(3));
    assert_story("disk-full");
}

/* ---- on trial
 * --------------------------------------------------------------------- */

static void one_crash_on_trial_is_survived(void **state)
{
    (void)state;
    boot();
    world.beside_crashes = 1;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_story("one-crash");
}

static void a_crash_loop_is_rolled_back(void **state)
{
    (void)state;
    boot();
    world.beside_crashes = 100;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_story("crash-loop");
}

static void too_many_failed_requests_are_rolled_back(void **state)
{
    (void)state;
    boot();
    world.requests_fail = 4;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_story("errors");
}

static void a_client_that_asks_nonsense_is_not_the_release_s_fault(void **state)
{
    (void)state;
    assert_false(flo_agent_blames_serving(FLO_E_INFER_PARAM));
    assert_false(flo_agent_blames_serving(FLO_E_INFER_TOO_LONG));
    assert_true(flo_agent_blames_serving(FLO_E_ENGINE_CRASH));
    assert_false(flo_agent_blames_release(FLO_E_NET_UNREACHABLE));
    assert_false(flo_agent_blames_release(FLO_E_DISK_FULL));
    assert_true(flo_agent_blames_release(FLO_E_MODEL_NONFINITE));
}

static void too_few_requests_never_count_as_success(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    (void)state;
    boot();
    execution.policy.soak_requests = 10;
    event.deploy.execution = &execution;
    world_event(&world, &event);
    world_run(&world, 200000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_current(2));
    assert_story("no-requests");
}

/* ---- operators
 * ---------------------------------------------------------------------- */

static void a_newer_order_supersedes_a_download(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 150);
    world_desire(&world, 4, 2);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUPERSEDED);
    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(4));
    assert_story("superseded");
}

static void a_newer_order_supersedes_a_trial(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 5000);
    assert_int_equal(world.live_version, 3);
    world_desire(&world, 4, 2);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUPERSEDED);
    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(4));
    assert_story("superseded-trial");
}

static void an_older_order_is_ignored(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 4, 2);
    world_run(&world, 150);
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world_story(&world, "r-0001.1")->ends, 0);
    assert_int_equal(world.acks_ignored, 1);
}

static void a_freeze_stops_a_download_until_unfreeze(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 150);
    world_order(&world, FLO_ORDER_FREEZE, 0);
    world_run(&world, 300000);
    assert_int_equal(world.live_version, 2);
    world_order(&world, FLO_ORDER_UNFREEZE, 0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("freeze");
}

static void a_freeze_holds_a_probed_candidate_back(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 800);
    world_order(&world, FLO_ORDER_FREEZE, 0);
    world_run(&world, 300000);
    assert_int_equal(world.live_version, 2);
    world_order(&world, FLO_ORDER_UNFREEZE, 0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("freeze-probed");
}

static void a_paused_rollout_starts_nothing(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_PAUSE, 0);
    world_desire(&world, 3, 1);
    world_run(&world, 300000);
    assert_int_equal(world_story(&world, "r-0001.1")->ends, 0);
    world_order(&world, FLO_ORDER_RESUME, 0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("pause");
}

static void an_abort_cancels_what_has_not_served(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 600);
    world_order(&world, FLO_ORDER_ABORT, 0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_CANCELLED);
    assert_true(is_current(2));
    assert_false(is_denied(3));
    assert_story("abort");
}

/* ---- rollback
 * ---------------------------------------------------------------------------
 */

static void a_rollback_behind_a_commit_loads_the_previous_release(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 5000);

    assert_true(is_current(1));
    assert_true(is_denied(2));
    assert_int_equal(world.acks_done, 1);
    assert_int_equal(world.held, 0);
    assert_story("rollback-committed");
}

static void a_rollback_without_room_for_two_stops_first(void **state)
{
    (void)state;
    world.fits_one_only = true;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 5000);

    assert_true(is_current(1));
    assert_int_equal(world.acks_done, 1);
    assert_int_equal(world.held, 1);
}

static void a_rollback_on_trial_is_one_flip(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 5000);
    assert_int_equal(world.live_version, 3);
    world_order(&world, FLO_ORDER_ROLLBACK, 3);
    assert_int_equal(world.live_version, 2); /* at once */
    world_run(&world, 5000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_int_equal(world.acks_done, 1);
    assert_story("rollback-trial");
}

static void a_rollback_of_something_else_is_ignored_but_remembered(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 9);
    world_run(&world, 5000);

    assert_true(is_current(2));
    assert_true(is_denied(9));
    assert_int_equal(world.acks_ignored, 1);
}

static void a_rollback_without_a_previous_release_is_refused(void **state)
{
    (void)state;
    world_init(&world, 2, 0);
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 5000);

    assert_true(is_current(2));
    assert_int_equal(world.acks_refused, 1);
}

static void a_previous_release_that_cannot_load_changes_nothing(void **state)
{
    (void)state;
    boot();
    world.beside_load_error = FLO_E_TARGET_HASH;
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 5000);

    assert_true(is_current(2));
    assert_false(is_denied(2));
    assert_int_equal(world.acks_refused, 1);
    assert_story("rollback-broken-previous");
}

static void a_rollback_works_while_frozen(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_FREEZE, 0);
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 5000);

    assert_true(is_current(1));
}

static void a_rollback_ends_well_in_every_state(void **state)
{
    bool is_committed = false;
    uint64_t at_ms;

    (void)state;
    for (at_ms = 0; at_ms < 12500; at_ms += 50) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        boot();
        world_desire(&world, 3, 1);
        world_run(&world, at_ms);
        is_committed = world_story(&world, "r-0001.1")->ends == 1;
        world_order(&world, FLO_ORDER_ROLLBACK, 3);
        world_run(&world, 60000);

        /* Before the commit 2 was current; behind it 2 was the previous. */
        assert_true(is_current(2));
        assert_true(is_denied(3));
        assert_int_equal(world_story(&world, "r-0001.1")->ends, 1);
        assert_int_equal(world.acks_done, is_committed ? 2 : 1);
    }
    assert_true(is_committed);
}

/* ---- engines
 * ---------------------------------------------------------------------------------
 */

static void the_current_engine_is_started_again(void **state)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_LOST,
        .role = FLO_AGENT_CURRENT,
        .error = {.code = FLO_E_ENGINE_CRASH, .what = "signal 9"}};
    int i;

    (void)state;
    boot();
    for (i = 0; i < 4; i++) {
        world_event(&world, &event);
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

/* ---- repair
 * ------------------------------------------------------------------------- */

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

static void
a_repair_that_fails_is_tried_again_more_and_more_seldom(void **state)
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

static void
a_trial_whose_current_release_is_damaged_ends_in_a_repair(void **state)
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

/* ---- power
 * ------------------------------------------------------------------------------------
 */

/* Cut the power behind action `cut`, boot, tell the order again, wait. */
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
        world.beside_crashes = 1000;
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

/* ---- total
 * --------------------------------------------------------------------------------------
 */

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
        event.kind =
            (enum flo_agent_event_kind)((random >> 33) % FLO_AGENT_EVENT_COUNT);
        if (event.kind == FLO_AGENT_BOOT) {
            continue;
        }
        event.role = (enum flo_agent_role)((random >> 40) & 1);
        event.state =
            (enum flo_execution)((random >> 41) % FLO_EXECUTION_COUNT);
        event.job = world.agent.execution.job;
        event.fits_both = ((random >> 45) & 1) != 0;
        event.is_passing = ((random >> 46) & 1) != 0;
        event.error.code = ((random >> 47) & 1) ? 0 : FLO_E_PROBE_GOLDEN;
        execution =
            world_execution((int)((random >> 48) % 5) + 1, (random >> 51) % 64);
        event.deploy.execution = &execution;
        event.release = execution.release.digest;
        order.op = (enum flo_order_op)((random >> 52) % FLO_ORDER_COUNT);
        order.from[0] = world_digest((int)((random >> 55) % 5) + 1);
        snprintf(order.id, sizeof(order.id), "o-1");
        snprintf(order.rollout, sizeof(order.rollout), "r-%04u",
                 (unsigned)(random >> 57));
        event.order = &order;
        world.pending_count = 0; /* chance decides what comes next */
        world.story_count = 0;
        world.now_ms += (random >> 60) * 100;
        world_event(&world, &event);
        assert_in_range(world.agent.live + 1, 0, FLO_AGENT_ROLES);
        if (world.agent.live >= 0) {
            assert_int_equal(world.agent.engines[world.agent.live].state,
                             FLO_ENGINE_READY);
        }
        world.trace.bytes = 0;
    }
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

static int admit(uint64_t issued_ms, uint64_t clock_ms, uint64_t trusted_ms)
{
    static struct flo_order order = {.scope.group = "all"};
    struct flo_err err = {0};

    order.issued_at_ms = issued_ms;
    order.expires_at_ms = issued_ms + 1000;
    return flo_agent_order_admit(&order, "device", NULL, 0, clock_ms,
                                 trusted_ms, &err);
}

static void an_order_of_the_far_future_is_not_admitted(void **state)
{
    const uint64_t now = UINT64_C(1800000000000);
    const uint64_t far = now + FLO_ORDER_AHEAD_MS + 1;
    (void)state;

    assert_int_equal(admit(far, now, now), FLO_E_CMD_FUTURE);
    assert_int_equal(admit(far - 1, now, now), 0);
    assert_int_equal(admit(far, 0, now), 0); /* no clock of its own */
    assert_int_equal(admit(now, now, now + 1000), FLO_E_CMD_EXPIRED);
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_good_release_is_probed_soaked_and_committed),
        STORY(the_first_release_of_a_device_is_installed),
        STORY(without_room_for_two_the_old_engine_stops_first),
        STORY(the_release_that_serves_is_already_installed),
        STORY(an_order_told_twice_is_carried_out_once),
        STORY(a_network_that_comes_back_is_waited_for),
        STORY(a_wrong_golden_answer_stops_it_before_it_serves),
        STORY(a_nan_in_a_logit_stops_it_before_it_serves),
        STORY(a_slow_release_is_stopped_before_it_serves),
        STORY(a_release_that_needs_too_much_memory_is_stopped),
        STORY(a_nan_in_a_weight_is_found_by_the_updater),
        STORY(a_candidate_that_crashes_at_load_never_serves),
        STORY(a_denied_release_is_rejected),
        STORY(a_silent_updater_times_out),
        STORY(a_disk_that_refuses_the_record_fails_it),
        STORY(one_crash_on_trial_is_survived),
        STORY(a_crash_loop_is_rolled_back),
        STORY(too_many_failed_requests_are_rolled_back),
        STORY(a_client_that_asks_nonsense_is_not_the_release_s_fault),
        STORY(too_few_requests_never_count_as_success),
        STORY(a_newer_order_supersedes_a_download),
        STORY(a_newer_order_supersedes_a_trial),
        STORY(an_older_order_is_ignored),
        STORY(a_freeze_stops_a_download_until_unfreeze),
        STORY(a_freeze_holds_a_probed_candidate_back),
        STORY(a_paused_rollout_starts_nothing),
        STORY(an_abort_cancels_what_has_not_served),
        STORY(a_rollback_behind_a_commit_loads_the_previous_release),
        STORY(a_rollback_without_room_for_two_stops_first),
        STORY(a_rollback_on_trial_is_one_flip),
        STORY(a_rollback_of_something_else_is_ignored_but_remembered),
        STORY(a_rollback_without_a_previous_release_is_refused),
        STORY(a_previous_release_that_cannot_load_changes_nothing),
        STORY(a_rollback_works_while_frozen),
        STORY(a_rollback_ends_well_in_every_state),
        STORY(the_current_engine_is_started_again),
        STORY(a_load_that_gets_on_may_take_its_time),
        STORY(a_load_without_a_sign_of_life_has_failed),
        STORY(a_damaged_current_release_gives_way_to_the_previous),
        STORY(a_damaged_release_without_a_previous_one_is_repaired),
        STORY(a_repair_waits_for_the_network),
        STORY(a_repair_that_fails_is_tried_again_more_and_more_seldom),
        STORY(a_damaged_release_comes_back_behind_the_previous),
        STORY(an_order_of_a_damaged_release_repairs_it),
        STORY(another_order_comes_before_a_repair),
        STORY(a_repair_waits_while_frozen),
        STORY(a_trial_whose_current_release_is_damaged_ends_in_a_repair),
        STORY(power_may_fail_behind_any_action_of_a_repair),
        STORY(power_may_fail_behind_any_action),
        STORY(power_may_fail_behind_any_action_of_a_bad_update),
        STORY(power_may_fail_behind_any_action_of_a_rollback),
        STORY(an_agent_that_dies_of_the_probe_stops_probing),
        STORY(an_engine_lost_in_the_commit_is_started_behind_it),
        STORY(an_engine_lost_in_a_rollback_is_started_behind_it),
        STORY(a_timer_that_fires_early_is_set_again),
        STORY(any_event_is_fine_at_any_time),
        cmocka_unit_test(an_order_of_the_far_future_is_not_admitted),
    };

    return cmocka_run_group_tests_name("agent core", tests, NULL, NULL);
}

/* An update from the order to its end: good releases, releases that a probe
 * or the updater refuses, and releases on trial. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>
#include <flotilla/errors/probe.h>
#include <flotilla/errors/rest.h>
#include <flotilla/errors/runtime.h>
#include <flotilla/errors/soak.h>
#include <flotilla/errors/step.h>

#include "unit/agent/core/story.h"

/* ---- good ways ---- */

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
    snprintf(world.job_error.what, sizeof(world.job_error.what), "no route to host");
    world.job_is_passing = true;
    world.job_failures = 3;
    world_desire(&world, 3, 1);
    world_run(&world, 120000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("network-returns");
}

/* ---- bad releases ---- */

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

static void a_probe_without_a_verdict_is_taken_again(void **state)
{
    (void)state;
    boot();
    world.probes_unsure = 2;
    world_desire(&world, 3, 1);
    world_run(&world, 30000);
    assert_int_equal(world.agent.models[0].execution.state, FLO_EXECUTION_STAGED);
    assert_int_equal(world.live_version, 2);
    world_run(&world, 3600000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_int_equal(world.probes, 3);
    assert_story("unsure");
}

static void probes_without_a_verdict_end_and_deny_nothing(void **state)
{
    (void)state;
    boot();
    world.probes_unsure = 99;
    world_desire(&world, 3, 1);
    world_run(&world, 86400000);

    assert_int_equal(world.probes, 4);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_false(is_denied(3));
    world.probes_unsure = 0;
    world_desire(&world, 3, 2);
    world_run(&world, 60000);
    assert_true(is_current(3));
}

static void a_runtime_that_fails_in_a_probe_gets_another_one(void **state)
{
    (void)state;
    boot();
    world.runtime_failures = 2;
    world_desire(&world, 3, 1);
    world_run(&world, 30000);
    assert_int_equal(world.agent.models[0].execution.state, FLO_EXECUTION_STAGED);
    assert_int_equal(world.live_version, 2);
    world_run(&world, 150000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_int_equal(world.probes, 3);
}

static void a_runtime_that_fails_three_times_denies_no_release(void **state)
{
    struct flo_agent_target target = {.number = 3, .current_number = 2};

    (void)state;
    boot();
    world.runtime_failures = 99;
    world_desire(&world, 3, 1);
    world_run(&world, 600000);

    assert_int_equal(world.probes, FLO_AGENT_RUNTIME_TRIES);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_int_equal(world.live_version, 2);
    assert_false(is_denied(3));
    target.release = world_digest(3);
    assert_int_equal(flo_agent_drift(&world.agent, 0, &target), FLO_DRIFT_RUNTIME);
    world.runtime_failures = 0;
    world_desire(&world, 3, 2);
    world_run(&world, 60000);
    assert_true(is_current(3));
    assert_int_equal(flo_agent_drift(&world.agent, 0, &target), FLO_DRIFT_NONE);
    assert_story("runtime-crash");
}

static void a_runtime_that_does_not_start_has_three_tries_too(void **state)
{
    (void)state;
    world.fits_one_only = true;
    boot();
    world.candidate_load_error = FLO_E_RUNTIME_START;
    world_desire(&world, 3, 1);
    world_run(&world, 65000); /* the second failed */
    assert_int_equal(world.agent.models[0].execution.runtime_failures, 2);
    world_boot(&world);
    world_run(&world, 50000);
    assert_int_equal(world.live_version, 2);
    assert_int_equal(world.agent.models[0].execution.state, FLO_EXECUTION_STAGED);
    world_run(&world, 20000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_int_equal(world.live_version, 2);
    assert_false(is_denied(3));
}

static void the_wait_for_another_probe_outlives_a_restart(void **state)
{
    (void)state;
    world.fits_one_only = true;
    boot();
    world.probes_unsure = 2;
    world_desire(&world, 3, 1);
    world_run(&world, 65000); /* the second is over */
    assert_int_equal(world.probes, 2);
    world_boot(&world);
    world_run(&world, 1700000);
    assert_int_equal(world.probes, 2);
    assert_int_equal(world.live_version, 2);
    world_run(&world, 300000);

    assert_int_equal(world.probes, 3);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
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

/* An execution that goes on after a restart may be known by its slots alone;
 * who asks for its bundle again then is told how it goes. */
static void an_execution_asked_for_again_reports_to_who_asks(void **state)
{
    struct flo_agent_execution again;
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};

    (void)state;
    boot();
    world_desire(&world, 3, 1);
    again = world.agent.models[0].execution;
    snprintf(again.bundle, sizeof(again.bundle), "three.flb");
    event.deploy.execution = &again;
    world_event(&world, &event);

    assert_string_equal(world.agent.models[0].execution.bundle, "three.flb");
    world_run(&world, 300000);
    assert_true(is_current(3));
}

static void a_candidate_that_crashes_at_load_never_serves(void **state)
{
    (void)state;
    boot();
    world.candidate_load_error = FLO_E_ENGINE_CRASH;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_story("bad-crash-at-load");
}

static void a_denied_release_is_rejected(void **state)
{
    struct flo_denial said = {.release = world_digest(3), .cause = FLO_DENIAL_FAULT};

    (void)state;
    boot();
    (void)flo_slots_deny(&world.slots, &said);
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

/* ---- on trial ---- */

static void a_start_that_cannot_be_counted_leaves_the_current(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 3000);
    assert_int_equal(world.live_version, 3);
    world.slots_fail = true;
    boot();

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_int_equal(world.live_version, 2);
    assert_false(is_denied(3));
}

static void one_crash_on_trial_is_survived(void **state)
{
    (void)state;
    boot();
    world.candidate_crashes = 1;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_story("one-crash");
}

/* Nothing comes in its place, so nobody waits for it. */
static void a_first_release_that_is_taken_back_refuses_its_requests(void **state)
{
    (void)state;
    world_init(&world, 0, 0);
    boot();
    world.requests_fail = 4;
    world_desire(&world, 1, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_denied(1));
    assert_story("first-taken-back");
}

static void a_crash_loop_is_rolled_back(void **state)
{
    (void)state;
    boot();
    world.candidate_crashes = 100;
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_current(2));
    assert_true(is_denied(3));
    assert_story("crash-loop");
}

/* Stop (in order, or not) and start, until the trial has had four starts. */
static void go_on_trial(bool in_order)
{
    struct flo_agent_event stop = {.kind = FLO_AGENT_STOP};
    int i;

    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 3000);
    for (i = 0; i < 4; i++) {
        if (in_order) {
            world_event(&world, &stop);
        }
        boot();
    }
    world_run(&world, 60000);
}

static void orderly_restarts_cost_a_candidate_nothing(void **state)
{
    (void)state;
    go_on_trial(true);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_non_null(strstr(world.trace.data, "agent     stops\n"
                                             "                    "
                                             "because a stop is no fault of the candidate\n"
                                             "                    "
                                             "slots: do not count the start of tiny@3.0.0\n"));
}

static void a_stop_while_the_candidate_is_loaded_costs_it_nothing(void **state)
{
    struct flo_agent_event stop = {.kind = FLO_AGENT_STOP};
    int i;

    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 3000);
    for (i = 0; i < 6; i++) {
        world_event(&world, &stop);
        world_boot(&world);
        world_run(&world, 100);
    }
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world.live_version, 3);
}

static void starts_behind_no_orderly_stop_are_counted(void **state)
{
    (void)state;
    go_on_trial(false);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
    assert_true(is_current(2));
}

/* Each crash costs a start that no stop gives back. */
static void a_stop_gives_back_its_own_start_alone(void **state)
{
    struct flo_agent_event stop = {.kind = FLO_AGENT_STOP};

    (void)state;
    boot();
    world.candidate_crashes = 2;
    world_desire(&world, 3, 1);
    world_run(&world, 3000);
    assert_int_equal(world.live_version, 3);
    assert_int_equal(world.slots.tries_left, 0);
    world_event(&world, &stop);
    assert_int_equal(world.slots.tries_left, 1);
    world.candidate_crashes = 1;
    boot();
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
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

/* On trial, with the usual limit of 2 in 100. */
static void begin_trial(void)
{
    struct flo_agent_event deploy = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(3, 1);

    world_deinit(&world);
    world_init(&world, 2, 1);
    boot();
    execution.policy.soak_ms = 3600000;
    deploy.deploy.execution = &execution;
    world_event(&world, &deploy);
    world_run(&world, 3000);
    assert_int_equal(world.agent.models[0].execution.state, FLO_EXECUTION_SOAKING);
}

/* Does the release still serve after this request? */
static bool survives(bool is_error)
{
    struct flo_agent_event request = {.kind = FLO_AGENT_REQUEST, .release = world_digest(3)};

    request.error.code = is_error ? FLO_E_INTERNAL : 0;
    world_event(&world, &request);
    return world.agent.models[0].has_execution;
}

static void three_errors_of_a_thousand_on_a_busy_device_are_survived(void **state)
{
    (void)state;
    begin_trial();
    for (int i = 0; i < 20000; i++) {
        assert_true(survives(i % 333 == 0));
    }
}

static void three_errors_of_nine_are_not(void **state)
{
    (void)state;
    for (int a = 0; a < 9; a++) { /* wherever they fall */
        for (int b = a + 1; b < 9; b++) {
            for (int c = b + 1; c < 9; c++) {
                bool is_there = true;

                begin_trial();
                for (int i = 0; i < 9 && is_there; i++) {
                    is_there = survives(i == a || i == b || i == c);
                }
                assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
            }
        }
    }
}

static void a_release_that_begins_to_fail_late_is_rolled_back_soon(void **state)
{
    int n = 0;

    (void)state;
    begin_trial();
    for (int i = 0; i < 20000; i++) {
        assert_true(survives(false));
    }
    while (survives(true)) {
        n++;
    }
    assert_in_range(n, 1, 15);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_ROLLED_BACK);
}

static void at_a_limit_of_nothing_the_first_error_ends_it(void **state)
{
    (void)state;
    begin_trial();
    world.agent.models[0].execution.policy.soak_errors_ppm = 0;
    assert_true(survives(false));
    assert_false(survives(true));
    begin_trial();
    world.agent.models[0].execution.policy.soak_errors_ppm = 1000000;
    for (int i = 0; i < 100; i++) {
        assert_true(survives(true));
    }
}

static void a_denial_says_why(void **state)
{
    (void)state;
    assert_int_equal(flo_agent_denial_cause(FLO_E_PROBE_SPEED), FLO_DENIAL_SPEED);
    assert_int_equal(flo_agent_denial_cause(FLO_E_PROBE_MEMORY), FLO_DENIAL_MEMORY);
    assert_int_equal(flo_agent_denial_cause(FLO_E_PROBE_GOLDEN), FLO_DENIAL_FAULT);
    assert_int_equal(flo_agent_denial_cause(FLO_E_SOAK_FAILED), FLO_DENIAL_FAULT);
    assert_int_equal(flo_agent_denial_cause(FLO_E_TIMED_OUT), FLO_DENIAL_ALLOWED);
}

static void a_client_that_asks_nonsense_is_not_the_release_s_fault(void **state)
{
    (void)state;
    assert_false(flo_agent_blames_serving(FLO_E_INFER_PARAM));
    assert_false(flo_agent_blames_serving(FLO_E_INFER_TOO_LONG));
    assert_false(flo_agent_blames_serving(FLO_E_REST_TOO_LARGE));
    assert_true(flo_agent_blames_serving(FLO_E_ENGINE_CRASH));
    assert_int_equal(flo_agent_denial_cause(FLO_E_NET_UNREACHABLE), FLO_DENIAL_ALLOWED);
    assert_int_equal(flo_agent_denial_cause(FLO_E_DISK_FULL), FLO_DENIAL_ALLOWED);
    assert_int_not_equal(flo_agent_denial_cause(FLO_E_MODEL_NONFINITE), FLO_DENIAL_ALLOWED);
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

static void only_requests_that_were_served_count(void **state)
{
    static const struct {
        int code;
        enum flo_execution end;
    } rows[] = {
        {0, FLO_EXECUTION_SUCCEEDED},
        {FLO_E_INFER_TOO_LONG, FLO_EXECUTION_ROLLED_BACK},
        {FLO_E_INFER_CANCELLED, FLO_EXECUTION_ROLLED_BACK},
    };
    struct flo_agent_event deploy = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_event request = {.kind = FLO_AGENT_REQUEST, .release = world_digest(3)};
    struct flo_agent_execution execution = world_execution(3, 1);

    (void)state;
    execution.policy.soak_requests = 10;
    deploy.deploy.execution = &execution;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        boot();
        world_event(&world, &deploy);
        world_run(&world, 3000);
        request.error.code = rows[i].code;
        for (int n = 0; n < 10; n++) {
            world_event(&world, &request);
        }
        world_run(&world, 200000);

        assert_int_equal(end_of("r-0001.1"), rows[i].end);
    }
}

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
        STORY(a_probe_without_a_verdict_is_taken_again),
        STORY(probes_without_a_verdict_end_and_deny_nothing),
        STORY(a_runtime_that_fails_in_a_probe_gets_another_one),
        STORY(a_runtime_that_fails_three_times_denies_no_release),
        STORY(a_runtime_that_does_not_start_has_three_tries_too),
        STORY(the_wait_for_another_probe_outlives_a_restart),
        STORY(a_release_that_needs_too_much_memory_is_stopped),
        STORY(a_nan_in_a_weight_is_found_by_the_updater),
        STORY(an_execution_asked_for_again_reports_to_who_asks),
        STORY(a_candidate_that_crashes_at_load_never_serves),
        STORY(a_denied_release_is_rejected),
        STORY(a_silent_updater_times_out),
        STORY(a_disk_that_refuses_the_record_fails_it),
        STORY(a_start_that_cannot_be_counted_leaves_the_current),
        STORY(one_crash_on_trial_is_survived),
        STORY(a_first_release_that_is_taken_back_refuses_its_requests),
        STORY(a_crash_loop_is_rolled_back),
        STORY(orderly_restarts_cost_a_candidate_nothing),
        STORY(a_stop_while_the_candidate_is_loaded_costs_it_nothing),
        STORY(starts_behind_no_orderly_stop_are_counted),
        STORY(a_stop_gives_back_its_own_start_alone),
        STORY(too_many_failed_requests_are_rolled_back),
        STORY(three_errors_of_a_thousand_on_a_busy_device_are_survived),
        STORY(three_errors_of_nine_are_not),
        STORY(a_release_that_begins_to_fail_late_is_rolled_back_soon),
        STORY(at_a_limit_of_nothing_the_first_error_ends_it),
        STORY(a_denial_says_why),
        STORY(a_client_that_asks_nonsense_is_not_the_release_s_fault),
        STORY(too_few_requests_never_count_as_success),
        STORY(only_requests_that_were_served_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Orders of operators next to an update, and in the middle of one: newer
 * releases, freeze, pause, abort, rollback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/state.h>
#include <flotilla/errors/target.h>

#include "unit/agent/core/story.h"

/* ---- next to an update ---- */

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

/* Does the trace say it in a line of its own? */
static bool says(const char *line)
{
    char text[256];

    snprintf(text, sizeof(text), "                    %s\n", line);
    return strstr(world.trace.data, text) != NULL;
}

static void what_is_ignored_is_told_with_its_reason(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 5);
    world_run(&world, 5000); /* on trial */
    world_desire(&world, 4, 4);
    world_desire(&world, 3, 5);
    world_order(&world, FLO_ORDER_PAUSE, 0);
    world_order(&world, FLO_ORDER_ABORT, 0);
    world_order(&world, FLO_ORDER_FREEZE, 0);
    world_order(&world, FLO_ORDER_ROLLBACK, 9);

    assert_true(says("ignored: order 4 is older than 5 of r-0005.1"));
    assert_true(says("ignored: this order is under way, soaking"));
    assert_true(says("ignored: nothing of it is under way"));
    assert_true(says("ignored by r-0005.1: a trial goes on"));
    assert_true(says("stays: tiny@2.0.0 is not taken back"));
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

static void an_order_about_prompts_is_done_reported_and_holds_no_update(void **state)
{
    (void)state;
    boot();
    uint64_t revision = world.agent.revision;
    world_order(&world, FLO_ORDER_PROMPTS, 0);
    assert_int_equal(world.acks_done, 1);
    assert_int_equal(world.agent.revision, revision + 1);
    assert_false(world.agent.is_frozen);
    world_desire(&world, 3, 1);
    world_run(&world, 60000);

    assert_true(is_current(3));
}

/* Its first job ends before it has downloaded anything. */
static void a_pause_between_two_tries_makes_nobody_late(void **state)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_JOB_FAILED, .error = {.code = FLO_E_NET_UNREACHABLE}, .is_passing = true};

    (void)state;
    boot();
    world.job_is_silent = true;
    world_desire(&world, 3, 1);
    event.job = world.agent.models[0].execution.job;
    world_event(&world, &event);
    world_order(&world, FLO_ORDER_PAUSE, 0);
    world.job_is_silent = false;
    world_run(&world, 300000);
    assert_string_equal(world.agent.models[0].execution.reason, "the rollout is paused");
    world_order(&world, FLO_ORDER_RESUME, 0);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
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

/* At 1.41 s the current engine drains, then its place is loaded and probed. */
static void a_freeze_in_a_stop_first_probe_brings_the_current_back(void **state)
{
    uint64_t at_ms;

    (void)state;
    for (at_ms = 410; at_ms < 1250; at_ms += 20) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        world.fits_one_only = true;
        boot();
        world_desire(&world, 3, 1);
        world_run(&world, at_ms);
        assert_int_equal(world.live_version, 0);
        world_order(&world, FLO_ORDER_FREEZE, 0);
        world_run(&world, 300000);
        assert_int_equal(world.live_version, 2);
        assert_int_equal(world.agent.models[0].execution.starts, 0);
        world_order(&world, FLO_ORDER_UNFREEZE, 0);
        world_run(&world, 60000);

        assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
        assert_true(is_current(3));
    }
}

/* A long answer holds the engine that drains. */
static void what_drains_ends_before_the_current_is_loaded_again(void **state)
{
    static const enum flo_order_op ops[] = {FLO_ORDER_FREEZE, FLO_ORDER_ABORT};
    size_t i;

    (void)state;
    for (i = 0; i < FLO_COUNT(ops); i++) {
        world_deinit(&world);
        world_init(&world, 2, 1);
        world.fits_one_only = true;
        world.drain_ms = 30000;
        boot();
        world_desire(&world, 3, 1);
        world_run(&world, 1000);
        assert_int_equal(world.live_version, 0);
        world_order(&world, ops[i], 0);
        world_run(&world, 1000);

        assert_int_equal(world.live_version, 2);
        assert_null(strstr(world.trace.data, "is lost"));
    }
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

/* ---- rollback ---- */

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

static void a_rollback_takes_a_split_without_a_previous_release_away(void **state)
{
    (void)state;
    boot();
    world.is_split = true;
    world_order(&world, FLO_ORDER_ROLLBACK, 2); /* it has a previous one */
    world_run(&world, 5000);
    assert_true(is_current(1));
    world_order(&world, FLO_ORDER_ROLLBACK, 1);
    world_run(&world, 10000);

    assert_true(flo_digest_is_zero(&world.models[0].slots.current));
    assert_int_equal(world.models[0].live_version, 0);
    assert_int_equal(world.acks_done, 2);
    assert_int_equal(world.acks_refused, 0);
    assert_story("rollback-split");
}

static void a_rollback_that_is_told_twice_is_answered_once(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world.seq--; /* the same one, by another way */
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 60000);

    assert_true(is_current(1));
    assert_int_equal(world.acks_done, 1);
    assert_int_equal(world.acks_running, 0);
}

static void a_rollback_during_another_ends_what_it_takes_back(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_desire(&world, 3, 1); /* it waits */
    world_order(&world, FLO_ORDER_ROLLBACK, 3);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_CANCELLED);
    assert_true(is_current(1));
    assert_true(is_denied(2));
    assert_true(is_denied(3));
    assert_int_equal(world.acks_done, 2);
    assert_story("rollback-during-rollback");
}

/* The last of them is told when it is done. */
static void two_rollbacks_of_one_release_are_one(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    assert_int_equal(world.acks_running, 1);
    world_run(&world, 5000);

    assert_true(is_current(1));
    assert_true(is_denied(2));
    assert_int_equal(world.acks_done, 1);
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

/* As for `flotilla-agent rollback` without a running agent. */
static void a_rollback_without_room_for_two_ends_a_load(void **state)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_GO_BACK};

    (void)state;
    world.fits_one_only = true;
    world_boot(&world);
    world_event(&world, &event);
    world_run(&world, 5000);

    assert_true(is_current(1));
    assert_int_equal(world.acks_done, 1);

    world_deinit(&world);
    world_init(&world, 2, 1);
    world.fits_one_only = true;
    world.candidate_load_error = FLO_E_TARGET_HASH;
    world_boot(&world);
    world_event(&world, &event);
    world_run(&world, 5000);

    assert_true(is_current(2));
    assert_int_equal(world.acks_refused, 1);
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

static void the_largest_rollback_on_trial_is_carried_out_whole(void **state)
{
    (void)state;
    world.fits_one_only = true;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 5000);
    assert_int_equal(world.live_version, 3);
    world_rollback_many(&world, 3);
    world_run(&world, 5000);

    assert_true(is_current(2));
    for (int i = 0; i < FLO_ORDER_FROM_MAX; i++) {
        assert_true(is_denied(3 + i));
    }
    assert_int_equal(world.acks_done, 1);
}

static void a_rollback_of_what_proves_damaged_meanwhile_turns_once(void **state)
{
    (void)state;
    world.current_load_error = FLO_E_TARGET_HASH;
    world_boot(&world);
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 60000);

    assert_true(is_current(1));
    assert_true(is_denied(2));
    assert_true(flo_digest_is_zero(&world.agent.models[0].slots.previous.digest));
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
    world.candidate_load_error = FLO_E_TARGET_HASH;
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

        /* Before the commit 2 was current; after it 2 was the previous. */
        assert_true(is_current(2));
        assert_true(is_denied(3));
        assert_int_equal(world_story(&world, "r-0001.1")->ends, 1);
        assert_int_equal(world.acks_done, is_committed ? 2 : 1);
    }
    assert_true(is_committed);
}

static void an_update_that_waits_for_a_rollback_may_end(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_desire(&world, 3, 1);
    world_order(&world, FLO_ORDER_ABORT, 0); /* while 1 is being loaded */
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_CANCELLED);
    assert_true(is_current(1));
}

/* ---- admission ---- */

static int admit(uint64_t issued_ms, struct flo_agent_time time)
{
    static struct flo_order order = {.scope.group = "all", .release.bytes = {1}};
    struct flo_err err = {0};

    order.issued_at_ms = issued_ms;
    order.expires_at_ms = issued_ms + 1000;
    return flo_agent_order_admit(&order, "device", NULL, 0, &time, &err);
}

#define NOW UINT64_C(1800000000000)

static void an_order_of_the_far_future_is_not_admitted(void **state)
{
    const uint64_t far = NOW + FLO_ORDER_AHEAD_MS + 1;
    struct flo_agent_time time = {.clock_ms = NOW, .trusted_ms = NOW};
    (void)state;

    assert_int_equal(admit(far, time), FLO_E_CMD_FUTURE);
    assert_int_equal(admit(far - 1, time), 0);
    time.trusted_ms = NOW + 1000;
    assert_int_equal(admit(NOW, time), FLO_E_CMD_EXPIRED);
    time.clock_ms = 0; /* no clock of its own */
    assert_int_equal(admit(far, time), 0);
}

static void a_synchronised_clock_knows_that_the_controllers_is_wrong(void **state)
{
    const uint64_t tomorrow = NOW + FLO_ORDER_AHEAD_SYNCHRONISED_MS;
    struct flo_agent_time time = {.clock_ms = NOW, .is_synchronised = true, .trusted_ms = NOW};
    (void)state;

    assert_int_equal(admit(tomorrow, time), 0);
    assert_int_equal(admit(tomorrow + 1, time), FLO_E_CMD_FUTURE);
    assert_int_equal(admit(NOW - 500, time), 0);
    time.clock_ms = 0; /* of before this program was made: nobody keeps it */
    assert_int_equal(admit(tomorrow + 1, time), 0);
}

/* A disk, memory and a damaged record say nothing of an order. */
static void only_what_speaks_of_the_order_is_an_answer_to_it(void **state)
{
    static const struct {
        int code;
        bool is_verdict;
    } rows[] = {{FLO_E_CMD_EXPIRED, true},   {FLO_E_SIG_BAD, true},    {FLO_E_META_SCHEMA, true},
                {FLO_E_TARGET_LIMIT, true},  {FLO_E_NOT_BUILT, true},  {FLO_E_IO_READ, false},
                {FLO_E_IO_OPEN, false},      {FLO_E_IO_WRITE, false},  {FLO_E_DISK_FULL, false},
                {FLO_E_STATE_SLOT, false},   {FLO_E_MEMORY, false},    {FLO_E_DB, false},
                {FLO_E_STATE_LOCKED, false}, {FLO_E_IO_SYMLINK, false}};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (flo_agent_is_verdict(rows[i].code) != rows[i].is_verdict) {
            fail_msg("%s", flo_error_id(rows[i].code));
        }
    }
}

static void a_deploy_order_without_a_release_is_not_admitted(void **state)
{
    const struct flo_order order = {.scope.group = "all",
                                    .op = FLO_ORDER_DEPLOY,
                                    .issued_at_ms = NOW,
                                    .expires_at_ms = NOW + 1000};
    const struct flo_agent_time time = {.clock_ms = NOW, .trusted_ms = NOW};
    (void)state;

    assert_int_equal(flo_agent_order_admit(&order, "device", NULL, 0, &time, NULL),
                     FLO_E_CMD_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_newer_order_supersedes_a_download),
        STORY(a_newer_order_supersedes_a_trial),
        STORY(an_older_order_is_ignored),
        STORY(what_is_ignored_is_told_with_its_reason),
        STORY(a_freeze_stops_a_download_until_unfreeze),
        STORY(an_order_about_prompts_is_done_reported_and_holds_no_update),
        STORY(a_pause_between_two_tries_makes_nobody_late),
        STORY(a_freeze_holds_a_probed_candidate_back),
        STORY(a_freeze_in_a_stop_first_probe_brings_the_current_back),
        STORY(what_drains_ends_before_the_current_is_loaded_again),
        STORY(a_paused_rollout_starts_nothing),
        STORY(an_abort_cancels_what_has_not_served),
        STORY(a_rollback_behind_a_commit_loads_the_previous_release),
        STORY(a_rollback_takes_a_split_without_a_previous_release_away),
        STORY(a_rollback_that_is_told_twice_is_answered_once),
        STORY(a_rollback_during_another_ends_what_it_takes_back),
        STORY(two_rollbacks_of_one_release_are_one),
        STORY(a_rollback_without_room_for_two_stops_first),
        STORY(a_rollback_without_room_for_two_ends_a_load),
        STORY(a_rollback_on_trial_is_one_flip),
        STORY(the_largest_rollback_on_trial_is_carried_out_whole),
        STORY(a_rollback_of_what_proves_damaged_meanwhile_turns_once),
        STORY(a_rollback_of_something_else_is_ignored_but_remembered),
        STORY(a_rollback_without_a_previous_release_is_refused),
        STORY(a_previous_release_that_cannot_load_changes_nothing),
        STORY(a_rollback_works_while_frozen),
        STORY(a_rollback_ends_well_in_every_state),
        STORY(an_update_that_waits_for_a_rollback_may_end),
        cmocka_unit_test(a_deploy_order_without_a_release_is_not_admitted),
        cmocka_unit_test(only_what_speaks_of_the_order_is_an_answer_to_it),
        cmocka_unit_test(an_order_of_the_far_future_is_not_admitted),
        cmocka_unit_test(a_synchronised_clock_knows_that_the_controllers_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

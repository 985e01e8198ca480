/* Rollouts of real fleets by the default policy: some devices fail, some are
 * away, some hang, and nobody healthy pays for it.  The traces leave out the
 * lines of single devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/rollout/rollout.h"
#include "unit/server/golden.h"

#define ROOM 1100

struct world {
    struct flo_rollout rollout;
    struct flo_rollout_member members[ROOM];
    struct flo_rollout_actions actions;
    struct flo_buf trace;
    struct flo_err err;
    uint64_t now_ms;
    char names[ROOM][37];
    bool is_offline[ROOM];
    size_t count;
    uint32_t rolled_back; /* devices that were ordered to go back */
};

static struct world *world_new(size_t devices)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_rollout *rollout = &world->rollout;
    struct flo_policy policy;

    world->now_ms = 1000000;
    world->count = devices;
    snprintf(rollout->id, sizeof(rollout->id), "r-0001");
    snprintf(rollout->release, sizeof(rollout->release), "tiny@2.1.0");
    rollout->created_at_ms = world->now_ms;
    rollout->members = world->members;
    rollout->member_capacity = ROOM;
    rollout->on_fail = FLO_ON_FAIL_HALT;
    flo_gate_default(FLO_GATE_FAILED, &rollout->gates[FLO_GATE_FAILED]);
    rollout->gate_count = 1;
    flo_policy_default(&policy);
    flo_rollout_deadlines(rollout, &policy);
    for (size_t i = 0; i < devices; i++) {
        snprintf(world->names[i], sizeof(world->names[i]), "d%07u-0000-4000-8000-000000000000",
                 (unsigned)(i + 1) % 10000000);
    }
    return world;
}

/* "5" devices when below 1,000, else a share of (value - 1000) %. */
static void phase(struct world *world, const char *name, uint32_t devices, double share_pct)
{
    struct flo_rollout_phase *p = &world->rollout.phases[world->rollout.phase_count++];

    snprintf(p->name, sizeof(p->name), "%s", name);
    p->devices = devices;
    p->share_pct = share_pct;
}

static struct world *world_of_two(size_t devices, uint32_t canary)
{
    struct world *world = world_new(devices);

    phase(world, "canary", canary, 0);
    phase(world, "all", 0, 100);
    return world;
}

static void world_free(struct world *world)
{
    flo_buf_deinit(&world->trace);
    free(world);
}

/* The step's trace, without the lines that speak of one device. */
static void note(struct world *world, const struct flo_rollout_event *event)
{
    struct flo_buf text = {0};
    struct flo_rollout_actions shown = {0};

    for (size_t i = 0; i < world->actions.count; i++) {
        const struct flo_rollout_action *action = &world->actions.items[i];
        bool is_back =
            action->op == FLO_ORDER_ROLLBACK &&
            (action->kind == FLO_ROLLOUT_DO_DESIRED || action->kind == FLO_ROLLOUT_DO_RECALL);
        for (size_t m = 0; is_back && m < world->rollout.member_count; m++) {
            world->rolled_back += flo_rollout_action_names(&world->rollout, action, m);
        }
        if (action->kind != FLO_ROLLOUT_DO_MEMBER && action->kind != FLO_ROLLOUT_DO_MEMBERS) {
            shown.items[shown.count++] = *action;
        }
    }
    if (shown.count > 0) {
        flo_rollout_trace(&world->rollout, event, &shown, &text);
        flo_buf_text(&world->trace, text.data);
    }
    flo_buf_deinit(&text);
}

static int step(struct world *world, struct flo_rollout_event event)
{
    event.now_ms = world->now_ms;
    int rv = flo_rollout_step(&world->rollout, &event, &world->actions, &world->err);
    note(world, &event);
    return rv;
}

static void operator_does(struct world *world, enum flo_rollout_event_kind kind)
{
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = kind, .note = "ops"}), 0);
}

static void start(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                          .now_ms = world->now_ms,
                                          .device = world->names[i],
                                          .is_online = !world->is_offline[i],
                                          .bucket =
                                              (uint32_t)((uint64_t)i * FLO_BUCKETS / world->count)};
        assert_int_equal(flo_rollout_step(&world->rollout, &event, &world->actions, &world->err),
                         0);
    }
    operator_does(world, FLO_ROLLOUT_EVENT_START);
}

static struct world *world_started(size_t devices, uint32_t canary)
{
    struct world *world = world_of_two(devices, canary);
    start(world);
    return world;
}

static void says(struct world *world, size_t device, enum flo_execution state, const char *cause)
{
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                                            .device = world->names[device - 1],
                                                            .attempt = 1,
                                                            .execution = state,
                                                            .note = cause}),
                     0);
}

static void about(struct world *world, size_t device, enum flo_rollout_event_kind kind)
{
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = kind, .device = world->names[device - 1]}),
        0);
}

static void wait_ms(struct world *world, uint64_t ms)
{
    world->now_ms += ms;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}), 0);
}

/* Time passes, and these were heard in it. */
static void wait_with(struct world *world, uint64_t ms, size_t from, size_t to)
{
    world->now_ms += ms;
    for (size_t device = from; device <= to; device++) {
        about(world, device, FLO_ROLLOUT_EVENT_HEARD);
    }
    wait_ms(world, 0);
}

static struct flo_rollout_member *member(struct world *world, size_t device)
{
    return &world->rollout.members[flo_rollout_find(&world->rollout, world->names[device - 1])];
}

static enum flo_execution state_of(struct world *world, size_t device)
{
    return (enum flo_execution)member(world, device)->state;
}

/* Each that was told goes its way: well, but for those of `bad`. */
static void all_go(struct world *world, bool (*is_bad)(size_t device))
{
    for (size_t device = 1; device <= world->count; device++) {
        if (world->is_offline[device - 1] || state_of(world, device) != FLO_EXECUTION_NOTIFIED) {
            continue;
        }
        says(world, device, FLO_EXECUTION_PROBING, NULL);
        if (is_bad(device)) {
            says(world, device, FLO_EXECUTION_FAILED, "probe.speed");
        } else {
            says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
        }
    }
}

static void until_it_ends(struct world *world, bool (*is_bad)(size_t device))
{
    for (int i = 0; i < 4 && world->rollout.state == FLO_ROLLOUT_RUNNING; i++) {
        world->now_ms += 60000;
        all_go(world, is_bad);
    }
}

static bool nobody(size_t device)
{
    (void)device;
    return false;
}

static bool everybody(size_t device)
{
    (void)device;
    return true;
}

static bool the_777th(size_t device)
{
    return device == 777;
}

static void ends_as(struct world *world, enum flo_rollout_state state, const char *golden)
{
    assert_string_equal(flo_rollout_state_word(world->rollout.state),
                        flo_rollout_state_word(state));
    golden_check(golden, world->trace.data);
    world_free(world);
}

/* ---- some fail ---- */

static void one_failure_in_a_thousand_takes_nobody_back(void **state)
{
    (void)state;
    struct world *world = world_new(1000);
    phase(world, "canary", 1, 0);
    phase(world, "phase-2", 0, 1);
    phase(world, "phase-3", 0, 10);
    phase(world, "phase-4", 0, 100);
    start(world);

    until_it_ends(world, the_777th);

    assert_int_equal(world->rolled_back, 0);
    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-one-in-1000");
}

static void one_per_cent_offline_takes_nobody_back_and_holds_nobody_up(void **state)
{
    (void)state;
    struct world *world = world_new(1000);
    phase(world, "canary", 1, 0);
    phase(world, "phase-2", 0, 1);
    phase(world, "phase-3", 0, 10);
    phase(world, "phase-4", 0, 100);
    for (size_t i = 0; i < 1000; i += 100) {
        world->is_offline[i] = true;
    }
    start(world);

    until_it_ends(world, nobody);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    assert_int_equal(world->rolled_back, 0);

    /* They come back, and follow. */
    for (size_t i = 0; i < 1000; i += 100) {
        world->is_offline[i] = false;
    }
    all_go(world, nobody);
    for (size_t device = 1; device <= 1000; device++) {
        assert_int_equal(state_of(world, device), FLO_EXECUTION_SUCCEEDED);
    }
    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-1-pct-offline");
}

static void the_canary_halts_at_its_first_probe_failure(void **state)
{
    (void)state;
    struct world *world = world_started(100, 10);

    for (size_t device = 1; device <= 9; device++) {
        says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    says(world, 10, FLO_EXECUTION_PROBING, NULL);
    says(world, 10, FLO_EXECUTION_FAILED, "probe.golden");

    assert_int_equal(world->rolled_back, 0);
    assert_int_equal(state_of(world, 9), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(state_of(world, 11), FLO_EXECUTION_QUEUED);
    ends_as(world, FLO_ROLLOUT_HALTED, "rollout-canary-halts");
}

static void a_full_disk_does_not_stop_a_canary_of_ten(void **state)
{
    (void)state;
    struct world *world = world_started(100, 10);

    says(world, 1, FLO_EXECUTION_FAILED, "disk.full");
    for (size_t device = 2; device <= 10; device++) {
        says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
    }

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void whom_a_release_was_not_made_for_is_nobodys_failure(void **state)
{
    (void)state;
    struct world *world = world_started(100, 10);

    for (size_t device = 1; device <= 8; device++) {
        says(world, device, FLO_EXECUTION_REJECTED, "target.incompatible");
    }
    assert_int_equal(world->rollout.phase, 0);
    says(world, 9, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 10, FLO_EXECUTION_SUCCEEDED, NULL);

    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void a_broken_gate_takes_back_who_failed_with_the_release(void **state)
{
    (void)state;
    struct world *world = world_started(30, 10);

    for (size_t device = 1; device <= 28; device++) {
        says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    says(world, 29, FLO_EXECUTION_SOAKING, NULL);
    says(world, 30, FLO_EXECUTION_SOAKING, NULL);
    world->rollout.gates[FLO_GATE_FAILED].margin = 0.01;
    wait_ms(world, 3600000);

    assert_int_equal(world->rolled_back, 2);
    about(world, 29, FLO_ROLLOUT_EVENT_BACK);
    assert_int_equal(state_of(world, 29), FLO_EXECUTION_ROLLED_BACK);
    assert_int_equal(state_of(world, 28), FLO_EXECUTION_SUCCEEDED);
    ends_as(world, FLO_ROLLOUT_HALTED, "rollout-recall");
}

static void two_of_ten_hold_and_a_person_decides(void **state)
{
    (void)state;
    struct world *world = world_started(20, 10);

    says(world, 1, FLO_EXECUTION_FAILED, "net.stalled");
    says(world, 2, FLO_EXECUTION_FAILED, "disk.full");
    for (size_t device = 3; device <= 10; device++) {
        says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);
    wait_with(world, 86400000, 1, 20);
    assert_int_equal(world->rollout.phase, 0);
    operator_does(world, FLO_ROLLOUT_EVENT_PROMOTE);
    until_it_ends(world, nobody);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-held");
}

static void a_rollout_that_may_fail_everywhere_ends_all_the_same(void **state)
{
    (void)state;
    struct world *world = world_of_two(5, 1);
    world->rollout.gates[FLO_GATE_FAILED].margin = 100;
    start(world);

    until_it_ends(world, everybody);

    ends_as(world, FLO_ROLLOUT_HALTED, "rollout-max-failed-100");
}

/* ---- some are away or hang ---- */

static void a_canary_is_one_that_is_there(void **state)
{
    (void)state;
    struct world *world = world_of_two(10, 2);
    world->is_offline[0] = true;
    world->is_offline[2] = true;
    start(world);

    assert_int_equal(state_of(world, 2), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(state_of(world, 4), FLO_EXECUTION_NOTIFIED);
    assert_true(member(world, 1)->is_away && member(world, 3)->is_away);
    says(world, 2, FLO_EXECUTION_SUCCEEDED, NULL);
    assert_int_equal(world->rollout.phase, 0);
    says(world, 4, FLO_EXECUTION_SUCCEEDED, NULL);

    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void a_canary_that_nobody_saw_is_no_success(void **state)
{
    (void)state;
    struct world *world = world_started(10, 1);

    says(world, 1, FLO_EXECUTION_DOWNLOADING, NULL);
    about(world, 1, FLO_ROLLOUT_EVENT_GONE);
    wait_with(world, 86400000, 2, 10);
    assert_int_equal(world->rollout.phase, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    says(world, 1, FLO_EXECUTION_SUCCEEDED, NULL);

    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void who_leaves_before_its_trial_waits_and_who_leaves_in_it_failed(void **state)
{
    (void)state;
    struct world *world = world_started(100, 100);

    for (size_t device = 1; device <= 98; device++) {
        says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    says(world, 99, FLO_EXECUTION_DOWNLOADING, NULL);
    says(world, 100, FLO_EXECUTION_SOAKING, NULL);
    about(world, 99, FLO_ROLLOUT_EVENT_GONE);
    about(world, 100, FLO_ROLLOUT_EVENT_GONE);
    assert_int_equal(world->rollout.phases[0].away, 1);
    assert_int_equal(world->rollout.phases[0].silent, 0);
    wait_ms(world, 3600000);

    assert_int_equal(world->rollout.phases[0].silent, 1);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void an_execution_that_hangs_does_not_stop_its_phase(void **state)
{
    (void)state;
    struct world *world = world_started(100, 50);

    for (size_t device = 1; device <= 49; device++) {
        says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    says(world, 50, FLO_EXECUTION_DOWNLOADING, NULL);
    for (int i = 0; i < 3; i++) { /* it speaks, of something else */
        wait_with(world, 1800000 - 1, 50, 50);
        assert_int_equal(world->rollout.phase, 0);
    }
    wait_with(world, 3, 50, 50);
    assert_int_equal(world->rollout.phase, 1);
    until_it_ends(world, nobody);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-overdue");
}

static void what_was_overdue_and_moves_on_is_forgiven(void **state)
{
    (void)state;
    struct world *world = world_started(10, 10);

    says(world, 1, FLO_EXECUTION_DOWNLOADING, NULL);
    wait_with(world, 5400000, 1, 10);
    assert_int_equal(world->rollout.phases[0].overdue, 10);
    assert_int_not_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    says(world, 1, FLO_EXECUTION_STAGED, NULL);

    assert_int_equal(world->rollout.phases[0].overdue, 9);
    world_free(world);
}

static void a_word_that_the_broker_kept_is_no_sign_of_life(void **state)
{
    (void)state;
    struct world *world = world_of_two(10, 10);
    world->is_offline[0] = true;
    start(world);

    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                                            .device = world->names[0],
                                                            .attempt = 0,
                                                            .is_retained = true,
                                                            .execution = FLO_EXECUTION_NOTIFIED}),
                     0);

    assert_true(member(world, 1)->is_away);
    assert_false(member(world, 1)->is_online);
    world_free(world);
}

static void reports(struct world *world, size_t device, enum flo_execution state, bool is_waiting)
{
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                               .device = world->names[device - 1],
                                               .attempt = 1,
                                               .execution = state,
                                               .waits = is_waiting ? FLO_WAITS_YES : FLO_WAITS_NO}),
        0);
}

static void who_waits_for_mains_is_not_overdue_and_holds_nobody_up(void **state)
{
    (void)state;
    struct world *world = world_started(100, 50);

    for (size_t device = 1; device <= 49; device++) {
        says(world, device, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    says(world, 50, FLO_EXECUTION_ACCEPTED, NULL);
    reports(world, 50, FLO_EXECUTION_ACCEPTED, true);
    assert_int_equal(world->rollout.phases[0].away, 1);
    wait_with(world, 1000, 50, 50);
    assert_int_equal(world->rollout.phase, 1);
    for (int i = 0; i < 4; i++) { /* a day, and it speaks of something else */
        wait_with(world, 21600000, 50, 50);
    }
    assert_int_equal(world->rollout.phases[0].overdue, 0);
    assert_true(member(world, 50)->is_away && member(world, 50)->is_online);

    reports(world, 50, FLO_EXECUTION_ACCEPTED, false);
    assert_false(member(world, 50)->is_away);
    says(world, 50, FLO_EXECUTION_SUCCEEDED, NULL);
    assert_int_equal(state_of(world, 50), FLO_EXECUTION_SUCCEEDED);
    world_free(world);
}

static void a_wait_that_ended_has_its_deadline_and_a_trial_waits_never(void **state)
{
    (void)state;
    struct world *world = world_started(10, 10);

    reports(world, 1, FLO_EXECUTION_ACCEPTED, true);
    wait_with(world, 86400000, 1, 10);
    reports(world, 1, FLO_EXECUTION_DOWNLOADING, false);
    wait_with(world, 5400000, 1, 10);
    assert_int_equal(member(world, 1)->lateness, FLO_LATENESS_OVERDUE);
    reports(world, 1, FLO_EXECUTION_SOAKING, true);
    assert_false(member(world, 1)->is_away);
    world_free(world);
}

/* An agent that starts again says "accepted" after "downloading", one whose
 * probe was put off "staged" after "probing": the wait counts all the same. */
static void who_waits_in_an_earlier_state_than_it_had_is_not_overdue(void **state)
{
    (void)state;
    struct world *world = world_started(10, 2);

    reports(world, 1, FLO_EXECUTION_VERIFYING, false);
    reports(world, 1, FLO_EXECUTION_ACCEPTED, true);
    reports(world, 2, FLO_EXECUTION_PROBING, false);
    reports(world, 2, FLO_EXECUTION_STAGED, true);
    assert_true(member(world, 1)->is_away && member(world, 2)->is_away);
    for (int i = 0; i < 4; i++) {
        wait_with(world, 21600000, 1, 10);
    }
    assert_int_equal(world->rollout.phases[0].overdue, 0);

    reports(world, 1, FLO_EXECUTION_ACCEPTED, false);
    reports(world, 2, FLO_EXECUTION_PROBING, false);
    assert_false(member(world, 1)->is_away || member(world, 2)->is_away);
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_VERIFYING);
    reports(world, 2, FLO_EXECUTION_SUCCEEDED, false);
    reports(world, 2, FLO_EXECUTION_STAGED, true);
    assert_false(member(world, 2)->is_away);
    world_free(world);
}

/* ---- pace ---- */

static uint32_t told(const struct world *world)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->rollout.phase_count; i++) {
        count += world->rollout.phases[i].counts[FLO_EXECUTION_NOTIFIED];
    }
    return count;
}

static void a_thousand_devices_are_told_at_the_pace(void **state)
{
    (void)state;
    struct world *world = world_new(1000);
    phase(world, "all", 0, 100);
    world->rollout.starts_per_s = 20;
    start(world);

    assert_int_equal(told(world), 20);
    for (uint32_t second = 1; second < 50; second++) {
        wait_ms(world, 1000);
        assert_int_equal(told(world), 20 + second * 20);
    }
    wait_ms(world, 1000);
    assert_int_equal(told(world), 1000);
    world_free(world);
}

static void a_gap_or_a_pause_is_not_made_up_for(void **state)
{
    (void)state;
    struct world *world = world_new(1000);
    phase(world, "all", 0, 100);
    world->rollout.starts_per_s = 20;
    start(world);

    wait_ms(world, 20000); /* the machine slept */
    assert_true(told(world) <= 60);
    uint32_t before = told(world);
    operator_does(world, FLO_ROLLOUT_EVENT_PAUSE);
    wait_ms(world, 60000);
    assert_int_equal(told(world), before);
    operator_does(world, FLO_ROLLOUT_EVENT_RESUME);
    wait_ms(world, 1000);

    assert_true(told(world) > before && told(world) <= before + 40);
    world_free(world);
}

static void a_slow_pace_tells_one_after_the_other(void **state)
{
    (void)state;
    struct world *world = world_new(5);
    phase(world, "all", 0, 100);
    world->rollout.starts_per_s = 0.1;
    start(world);

    assert_int_equal(told(world), 1);
    wait_with(world, 9000, 1, 5);
    assert_int_equal(told(world), 1);
    wait_with(world, 1000, 1, 5);
    assert_int_equal(told(world), 2);
    for (uint32_t others = 3; others <= 5; others++) {
        wait_with(world, 10000, 1, 5);
        assert_int_equal(told(world), others);
    }
    world_free(world);
}

static void a_slow_pace_makes_up_for_no_pause(void **state)
{
    (void)state;
    struct world *world = world_new(100);
    phase(world, "all", 0, 100);
    world->rollout.starts_per_s = 0.5;
    start(world);

    operator_does(world, FLO_ROLLOUT_EVENT_PAUSE);
    wait_with(world, 600000, 1, 100);
    operator_does(world, FLO_ROLLOUT_EVENT_RESUME);
    wait_ms(world, 1000);

    assert_in_range(told(world), 1, 3);
    world_free(world);
}

/* The operator's word is about the gates, not about the pace. */
static void a_phase_that_is_left_early_still_tells_all_of_its_devices(void **state)
{
    (void)state;
    struct world *world = world_of_two(100, 50);
    world->rollout.starts_per_s = 10;
    start(world);

    assert_int_equal(told(world), 10);
    operator_does(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_in_range(told(world), 10, 20);
    operator_does(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    for (int i = 0; i < 11; i++) {
        wait_ms(world, 1000);
        assert_in_range(told(world), 10, 30 + 10 * i);
    }

    assert_int_equal(told(world), 100);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void a_phase_with_devices_that_wait_for_their_turn_is_not_over(void **state)
{
    (void)state;
    struct world *world = world_of_two(100, 50);
    world->rollout.starts_per_s = 10;
    start(world);

    all_go(world, nobody);
    assert_int_equal(world->rollout.phase, 0);
    for (int i = 0; i < 4; i++) {
        wait_ms(world, 1000);
        all_go(world, nobody);
    }
    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

/* Ten thousand that are heard are ten thousand steps: what needs all members
 * or the gates is for those that change something, and for ticks. */
static void who_is_heard_and_changes_nothing_costs_nothing(void **state)
{
    (void)state;
    struct world *world = world_started(4, 2);

    says(world, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 2, FLO_EXECUTION_SUCCEEDED, NULL);
    assert_int_equal(world->rollout.phase, 1);
    world->rollout.phases[1].soak_ms = 1000;
    says(world, 3, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 4, FLO_EXECUTION_SUCCEEDED, NULL);
    world->now_ms += 1000;
    about(world, 4, FLO_ROLLOUT_EVENT_HEARD);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    wait_ms(world, 0);

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

/* ---- the newest wins ---- */

static void a_device_of_a_newer_rollout_is_left_alone(void **state)
{
    (void)state;
    struct world *world = world_started(4, 2);

    says(world, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    about(world, 2, FLO_ROLLOUT_EVENT_SUPERSEDED);
    about(world, 3, FLO_ROLLOUT_EVENT_SUPERSEDED);
    says(world, 4, FLO_EXECUTION_SUCCEEDED, NULL);
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    about(world, 4, FLO_ROLLOUT_EVENT_BACK);

    assert_int_equal(state_of(world, 2), FLO_EXECUTION_SUPERSEDED);
    assert_int_equal(world->rolled_back, 2);
    ends_as(world, FLO_ROLLOUT_ROLLED_BACK, "rollout-superseded");
}

static void a_device_that_began_says_itself_how_it_ends(void **state)
{
    (void)state;
    struct world *world = world_started(4, 2);

    says(world, 1, FLO_EXECUTION_SOAKING, NULL);
    about(world, 1, FLO_ROLLOUT_EVENT_SUPERSEDED);
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_SOAKING);
    about(world, 2, FLO_ROLLOUT_EVENT_SUPERSEDED);
    says(world, 2, FLO_EXECUTION_ACCEPTED, "it had the order already");

    assert_int_equal(state_of(world, 2), FLO_EXECUTION_ACCEPTED);
    world_free(world);
}

/* ---- causes ---- */

static void causes_are_counted_most_frequent_first(void **state)
{
    (void)state;
    struct world *world = world_started(100, 100);
    struct flo_rollout_cause causes[3];
    char text[64];

    world->rollout.gates[FLO_GATE_FAILED].margin = 100;
    says(world, 1, FLO_EXECUTION_FAILED, "disk.full");
    says(world, 2, FLO_EXECUTION_FAILED, "net.stalled");
    says(world, 3, FLO_EXECUTION_FAILED, "net.stalled");
    says(world, 4, FLO_EXECUTION_ROLLED_BACK, NULL); /* by an order */

    assert_int_equal(flo_rollout_causes(&world->rollout, causes, 3), 2);
    assert_string_equal(causes[0].id, "net.stalled");
    assert_int_equal(causes[0].devices, 2);
    flo_rollout_causes_text(&world->rollout, text, sizeof(text));
    assert_string_equal(text, "net.stalled 2, disk.full 1");
    world_free(world);
}

/* With 10,000 buckets one in ten of these had two devices in the first one. */
static void a_phase_of_one_device_is_one_device(void **state)
{
    (void)state;
    for (unsigned number = 1; number <= 100; number++) {
        struct world *world = world_of_two(1000, 1);
        char salt[16];
        uint32_t first = 0;
        snprintf(salt, sizeof(salt), "r-%04u", number);
        for (size_t i = 0; i < world->count; i++) {
            struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                              .now_ms = world->now_ms,
                                              .device = world->names[i],
                                              .is_online = true,
                                              .bucket = flo_bucket(salt, world->names[i])};
            assert_int_equal(
                flo_rollout_step(&world->rollout, &event, &world->actions, &world->err), 0);
        }
        operator_does(world, FLO_ROLLOUT_EVENT_START);
        for (size_t i = 0; i < world->count; i++) {
            first += world->rollout.members[i].phase == 0 ? 1 : 0;
        }
        assert_int_equal(first, 1);
        world_free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failure_in_a_thousand_takes_nobody_back),
        cmocka_unit_test(a_phase_of_one_device_is_one_device),
        cmocka_unit_test(one_per_cent_offline_takes_nobody_back_and_holds_nobody_up),
        cmocka_unit_test(the_canary_halts_at_its_first_probe_failure),
        cmocka_unit_test(a_full_disk_does_not_stop_a_canary_of_ten),
        cmocka_unit_test(whom_a_release_was_not_made_for_is_nobodys_failure),
        cmocka_unit_test(a_broken_gate_takes_back_who_failed_with_the_release),
        cmocka_unit_test(two_of_ten_hold_and_a_person_decides),
        cmocka_unit_test(a_rollout_that_may_fail_everywhere_ends_all_the_same),
        cmocka_unit_test(a_canary_is_one_that_is_there),
        cmocka_unit_test(a_canary_that_nobody_saw_is_no_success),
        cmocka_unit_test(who_leaves_before_its_trial_waits_and_who_leaves_in_it_failed),
        cmocka_unit_test(an_execution_that_hangs_does_not_stop_its_phase),
        cmocka_unit_test(what_was_overdue_and_moves_on_is_forgiven),
        cmocka_unit_test(a_word_that_the_broker_kept_is_no_sign_of_life),
        cmocka_unit_test(who_waits_for_mains_is_not_overdue_and_holds_nobody_up),
        cmocka_unit_test(a_wait_that_ended_has_its_deadline_and_a_trial_waits_never),
        cmocka_unit_test(who_waits_in_an_earlier_state_than_it_had_is_not_overdue),
        cmocka_unit_test(a_thousand_devices_are_told_at_the_pace),
        cmocka_unit_test(a_gap_or_a_pause_is_not_made_up_for),
        cmocka_unit_test(a_slow_pace_tells_one_after_the_other),
        cmocka_unit_test(a_slow_pace_makes_up_for_no_pause),
        cmocka_unit_test(who_is_heard_and_changes_nothing_costs_nothing),
        cmocka_unit_test(a_phase_that_is_left_early_still_tells_all_of_its_devices),
        cmocka_unit_test(a_phase_with_devices_that_wait_for_their_turn_is_not_over),
        cmocka_unit_test(a_device_of_a_newer_rollout_is_left_alone),
        cmocka_unit_test(a_device_that_began_says_itself_how_it_ends),
        cmocka_unit_test(causes_are_counted_most_frequent_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The rollout core: scenes as golden traces, and rules one by one. */
#include <flotilla/errors/rollout.h>
#include <flotilla/metrics.h>

#include "unit/server/rollout_world.h"

/* ---- scenes ---- */

static void a_good_release_goes_from_the_canary_to_all(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    goes_well(world, 1);
    goes_well(world, 2);
    goes_well(world, 3);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-happy");
}

static void a_canary_that_fails_its_probe_stops_all_others(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    says(world, 1, 1, FLO_EXECUTION_PROBING, NULL);
    says(world, 1, 1, FLO_EXECUTION_FAILED, "probe.golden");

    assert_int_equal(state_of(world, 2), FLO_EXECUTION_QUEUED);
    assert_int_equal(state_of(world, 3), FLO_EXECUTION_QUEUED);
    ends_as(world, FLO_ROLLOUT_ROLLED_BACK, "rollout-canary-fails");
}

static void a_pause_holds_starts_and_resume_goes_on(void **state)
{
    (void)state;
    struct world *world = world_started(4, 2);

    goes_well(world, 1);
    operator_does(world, FLO_ROLLOUT_EVENT_PAUSE);
    wait_ms(world, 1000);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_PAUSE), 0);
    assert_int_equal(world->actions.count, 0); /* it is paused already */
    world->now_ms += 1000;
    operator_does(world, FLO_ROLLOUT_EVENT_RESUME);
    goes_well(world, 2);
    goes_well(world, 3);
    goes_well(world, 4);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-pause-resume");
}

static void an_abort_cancels_what_is_not_active(void **state)
{
    (void)state;
    struct world *world = world_started(4, 3);

    goes_well(world, 1);
    says(world, 2, 1, FLO_EXECUTION_DOWNLOADING, NULL);
    operator_does(world, FLO_ROLLOUT_EVENT_ABORT);
    says(world, 2, 1, FLO_EXECUTION_CANCELLED, NULL);
    says(world, 3, 1, FLO_EXECUTION_CANCELLED, NULL);

    assert_int_equal(state_of(world, 1), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(state_of(world, 4), FLO_EXECUTION_QUEUED);
    ends_as(world, FLO_ROLLOUT_ABORTED, "rollout-abort");
}

static void a_device_that_falls_silent_with_the_release_counts_as_failed(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    says(world, 1, 1, FLO_EXECUTION_PROBING, NULL);
    wait_ms(world, 3599999);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    wait_ms(world, 1);

    ends_as(world, FLO_ROLLOUT_PARTLY_BACK, "rollout-silent");
}

static void an_offline_device_catches_up_later(void **state)
{
    (void)state;
    struct world *world = world_new(4, 1);
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);

    goes_well(world, 1);
    goes_well(world, 2);
    goes_well(world, 3);
    wait_ms(world, 3600000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    assert_string_equal(world->rollout.reason,
                        "3 of 4 devices got it, 1 follows when it comes back");
    says(world, 4, 1, FLO_EXECUTION_APPLYING, NULL);
    assert_string_equal(world->rollout.reason, "3 of 4 devices got it, 1 under way");
    goes_well(world, 4);
    assert_string_equal(world->rollout.reason, "4 of 4 devices got it");

    assert_int_equal(state_of(world, 4), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world->rollout.phases[1].silent, 0);
    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-offline");
}

static void who_is_under_way_is_told_beside_who_is_still_away(void **state)
{
    (void)state;
    struct world *world = world_new(4, 1);
    world->rollout.concurrent_max = 1;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);

    about(world, 3, FLO_ROLLOUT_EVENT_GONE);
    about(world, 4, FLO_ROLLOUT_EVENT_GONE);
    goes_well(world, 1);
    goes_well(world, 2);
    wait_ms(world, 1000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    assert_string_equal(world->rollout.reason,
                        "2 of 4 devices got it, 2 follow when they come back");
    about(world, 3, FLO_ROLLOUT_EVENT_HEARD);
    says(world, 3, 1, FLO_EXECUTION_APPLYING, NULL);
    assert_string_equal(world->rollout.reason,
                        "2 of 4 devices got it, 1 under way, 1 follows when it comes back");
    world_free(world);
}

static void soaks_until(const struct world *world, uint32_t devices, const char *what,
                        uint64_t until_ms)
{
    struct flo_rollout_soak soak;
    struct flo_rollout_next next;

    assert_true(flo_rollout_soak(&world->rollout, 0, &soak));
    assert_int_equal(soak.devices, devices);
    assert_int_equal(soak.until_ms, until_ms);
    assert_true(flo_rollout_next(&world->rollout, world->now_ms, 60000, &next));
    assert_string_equal(next.what, what);
    assert_true(next.at_ms <= until_ms);
}

static void a_soak_says_when_it_ends_on_the_devices_and_for_the_phase(void **state)
{
    (void)state;
    struct world *world = world_started(3, 3);
    struct flo_rollout_soak soak;
    world->rollout.phases[0].soak_ms = 30000;
    world->rollout.soak_ms = 60000;
    assert_false(flo_rollout_soak(&world->rollout, 0, &soak));

    says(world, 1, 1, FLO_EXECUTION_SOAKING, NULL);
    wait_ms(world, 20000);
    says(world, 2, 1, FLO_EXECUTION_SOAKING, NULL);
    says(world, 3, 1, FLO_EXECUTION_SOAKING, NULL);
    soaks_until(world, 3, "phase 1: 3 soak", world->rollout.members[2].since_at_ms + 60000);

    for (size_t device = 1; device <= 3; device++) {
        says(world, device, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    soaks_until(world, 0, "phase 1: its soak", world->rollout.phases[0].settled_at_ms + 30000);
    world_free(world);
}

static void repeated_and_reordered_events_change_nothing(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    says(world, 1, 1, FLO_EXECUTION_PROBING, NULL);
    says(world, 1, 1, FLO_EXECUTION_ACCEPTED, "late");
    says(world, 1, 1, FLO_EXECUTION_PROBING, "twice");
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, "twice");
    says(world, 1, 1, FLO_EXECUTION_FAILED, "after the end");
    says(world, 2, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 3, 1, FLO_EXECUTION_SUCCEEDED, "before it was accepted");
    says(world, 3, 1, FLO_EXECUTION_ACCEPTED, "late");

    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-reorder");
}

/* ---- rules ---- */

static void any_order_of_events_gives_the_same_counts(void **state)
{
    (void)state;
    const enum flo_execution way[] = {FLO_EXECUTION_ACCEPTED, FLO_EXECUTION_DOWNLOADING,
                                      FLO_EXECUTION_PROBING, FLO_EXECUTION_SOAKING,
                                      FLO_EXECUTION_SUCCEEDED};
    uint32_t random = 7;

    for (int round = 0; round < 500; round++) {
        struct world *world = world_started(5, 5);
        for (int sent = 0; sent < 200; sent++) {
            random = random * 1664525u + 1013904223u;
            says(world, 1 + (random >> 8) % 5, 1, way[(random >> 16) % 5], NULL);
        }
        for (size_t device = 1; device <= 5; device++) {
            says(world, device, 1, FLO_EXECUTION_SUCCEEDED, NULL);
        }
        assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
        assert_int_equal(world->rollout.phases[0].counts[FLO_EXECUTION_SUCCEEDED], 5);
        world_free(world);
    }
}

static void counts_kept_by_steps_equal_counts_made_again(void **state)
{
    (void)state;
    uint32_t random = 11;
    struct world *world = world_started(64, 20);
    world->rollout.gates[FLO_GATE_FAILED].margin = 100;

    for (int i = 0; i < 5000; i++) {
        random = random * 1664525u + 1013904223u;
        says(world, 1 + (random >> 8) % 64, 1 + (random >> 16) % 3,
             (enum flo_execution)((random >> 20) % FLO_EXECUTION_COUNT),
             random & 1 ? "probe.golden" : "target.incompatible");
        if (i % 7 == 0) {
            about(world, 1 + (random >> 8) % 64, FLO_ROLLOUT_EVENT_GONE);
        }
        if (i % 50 == 0) {
            wait_ms(world, 600000);
        }
        struct flo_rollout_phase before[2] = {world->rollout.phases[0], world->rollout.phases[1]};
        flo_rollout_count(&world->rollout);
        assert_memory_equal(before, world->rollout.phases, sizeof(before));
    }
    world_free(world);
}

static void a_device_that_joins_later_falls_into_its_phase(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);
    struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                      .device = "e0000001-0000-4000-8000-000000000000"};

    event.bucket = 0;
    assert_int_equal(step(world, event), 0);
    size_t early = flo_rollout_find(&world->rollout, event.device);
    assert_int_equal(world->rollout.members[early].state, FLO_EXECUTION_NOTIFIED);
    assert_int_equal(world->actions.items[0].kind, FLO_ROLLOUT_DO_DESIRED);

    event.device = "a0000001-0000-4000-8000-000000000000";
    event.bucket = FLO_BUCKETS - 1;
    assert_int_equal(step(world, event), 0);
    size_t late = flo_rollout_find(&world->rollout, event.device);
    assert_int_equal(world->rollout.members[late].state, FLO_EXECUTION_QUEUED);
    assert_int_equal(world->rollout.members[late].phase, 1);
    world_free(world);
}

static void an_execution_that_its_device_forgot_is_over(void **state)
{
    (void)state;
    static const struct {
        bool is_current, is_overtaken, is_denied;
        enum flo_execution end;
    } cases[] = {{false, false, false, FLO_EXECUTION_NOTIFIED},
                 {false, false, true, FLO_EXECUTION_REJECTED},
                 {false, true, true, FLO_EXECUTION_SUPERSEDED},
                 {true, true, true, FLO_EXECUTION_SUCCEEDED}};

    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct world *world = world_started(3, 3);
        struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_FORGOTTEN,
                                          .device = world->rollout.members[0].device,
                                          .is_current = cases[i].is_current,
                                          .is_overtaken = cases[i].is_overtaken,
                                          .is_denied = cases[i].is_denied};
        world->rollout.gates[FLO_GATE_FAILED].margin = 100;
        says(world, 1, 2, FLO_EXECUTION_DOWNLOADING, NULL);

        /* Its own word may have overtaken an older report. */
        assert_int_equal(step(world, event), 0);
        assert_int_equal(state_of(world, 1), FLO_EXECUTION_DOWNLOADING);
        wait_ms(world, FLO_ROLLOUT_FORGOTTEN_MS);
        assert_int_equal(step(world, event), 0);
        assert_int_equal(state_of(world, 1), cases[i].end);

        /* It gives that number again, which is news. */
        says(world, 1, 2, FLO_EXECUTION_ACCEPTED, NULL);
        assert_int_equal(state_of(world, 1), FLO_EXECUTION_ACCEPTED);
        says(world, 1, 2, FLO_EXECUTION_SUCCEEDED, NULL);
        wait_ms(world, FLO_ROLLOUT_FORGOTTEN_MS);
        assert_int_equal(step(world, event), 0);
        assert_int_equal(state_of(world, 1), FLO_EXECUTION_SUCCEEDED);
        world_free(world);
    }
}

static void halt_takes_nothing_back(void **state)
{
    (void)state;
    struct world *world = world_new(4, 2);
    world->rollout.on_fail = FLO_ON_FAIL_HALT;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);

    goes_well(world, 1);
    says(world, 2, 1, FLO_EXECUTION_FAILED, "probe.speed");

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_HALTED);
    for (size_t i = 0; i < world->actions.count; i++) {
        assert_int_not_equal(world->actions.items[i].op, FLO_ORDER_ROLLBACK);
    }
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_SUCCEEDED);
    world_free(world);
}

static void a_broken_gate_is_promoted_but_not_resumed(void **state)
{
    (void)state;
    struct world *world = world_new(3, 1);
    world->rollout.on_fail = FLO_ON_FAIL_PAUSE;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);
    says(world, 1, 1, FLO_EXECUTION_FAILED, "probe.speed");
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);

    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_RESUME), FLO_E_ROLLOUT_STATE);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_PROMOTE), 0);

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.phase, 1);
    goes_well(world, 2);
    goes_well(world, 3);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void a_late_failure_in_a_passed_phase_breaks_the_gate(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    goes_well(world, 1);
    goes_well(world, 2);
    says(world, 1, 1, FLO_EXECUTION_ROLLED_BACK, "engine.crash");

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    world_free(world);
}

static void our_own_absence_is_no_silence(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    world->now_ms += 7200000;
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_LISTENING});
    wait_ms(world, 1000);

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    world_free(world);
}

/* The first to answer are those that refuse at once: with 5 % of 100 devices
 * five of them stop nothing, and a third of the phase does. */
static void a_limit_is_a_share_of_the_phase_not_of_the_first_answers(void **state)
{
    (void)state;
    struct world *world = world_new(100, 100);
    world->rollout.gates[FLO_GATE_FAILED].margin = 5;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);

    for (size_t device = 1; device <= 5; device++) {
        says(world, device, 1, FLO_EXECUTION_REJECTED, "disk.full");
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    for (size_t device = 6; device <= 33; device++) {
        says(world, device, 1, FLO_EXECUTION_REJECTED, "disk.full");
    }

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    world_free(world);
}

static void a_phase_soaks_before_the_next_starts(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1);
    world->rollout.phases[0].soak_ms = 60000;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);

    goes_well(world, 1);
    assert_int_equal(world->rollout.phase, 0);
    wait_ms(world, 59999);
    assert_int_equal(world->rollout.phase, 0);
    wait_ms(world, 1);

    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void a_phase_until_promoted_waits_for_a_person(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1);
    world->rollout.phases[0].is_until_promoted = true;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);

    goes_well(world, 1);
    wait_ms(world, 86400000);
    assert_int_equal(world->rollout.phase, 0);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_PROMOTE), 0);

    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void a_word_about_an_older_attempt_changes_nothing(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    says(world, 1, 2, FLO_EXECUTION_PROBING, NULL);
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);

    assert_int_equal(state_of(world, 1), FLO_EXECUTION_PROBING);
    assert_int_equal(world->rollout.phase, 0);
    world_free(world);
}

/* It may be stolen, and would hide so from the gates of its phase. */
static void a_device_says_nothing_before_its_turn_or_for_us(void **state)
{
    static const enum flo_execution ours[] = {FLO_EXECUTION_QUEUED, FLO_EXECUTION_NOTIFIED,
                                              FLO_EXECUTION_REMOVED};
    (void)state;
    struct world *world = world_started(3, 1);

    says(world, 2, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_QUEUED);
    for (size_t i = 0; i < FLO_COUNT(ours); i++) {
        says(world, 1, 1, ours[i], NULL);
        assert_int_equal(state_of(world, 1), FLO_EXECUTION_NOTIFIED);
    }
    world_free(world);
}

static void phases_that_do_not_grow_are_refused(void **state)
{
    (void)state;
    struct world *world = world_new(3, 1);
    struct flo_rollout *rollout = &world->rollout;

    assert_int_equal(flo_rollout_check(rollout, &world->err), 0);
    rollout->phases[0].share_pct = 50;
    assert_int_equal(flo_rollout_check(rollout, &world->err), FLO_E_REST_MEANING);
    rollout->phases[0].devices = 0;
    rollout->phases[1].share_pct = 50;
    assert_int_equal(flo_rollout_check(rollout, &world->err), FLO_E_REST_MEANING);
    rollout->phases[1].share_pct = 101;
    assert_int_equal(flo_rollout_check(rollout, &world->err), FLO_E_REST_SCHEMA);
    world_free(world);
}

/* ---- gates that compare the two arms ---- */

static void compare_ttft(struct world *world)
{
    struct flo_gate_rule *rule = &world->rollout.gates[1];

    flo_gate_default(FLO_GATE_RATIO, rule);
    rule->metric = FLO_METRIC_NAME_TTFT;
    rule->devices_min = 2;
    rule->samples_min = 100;
    world->rollout.gate_count = 2;
}

static void fill(struct flo_evidence_arm *arm, uint32_t devices, uint64_t us)
{
    arm->devices = devices;
    for (uint32_t i = 0; i < 100 * devices; i++) {
        flo_histogram_add(&arm->values, us + i % 100);
    }
}

/* Updated devices need so long to their first token, waiting ones so long. */
static void measures(struct world *world, uint32_t phase, uint32_t updated, uint64_t updated_us,
                     uint32_t waiting, uint64_t waiting_us)
{
    struct flo_comparison *evidence = calloc(1, sizeof(*evidence));
    struct flo_evidence_class *one = flo_evidence_class(evidence, "x86_64 avx2 4g");

    evidence->metric = FLO_METRIC_NAME_TTFT;
    evidence->phase = phase;
    evidence->is_last = phase + 1 == world->rollout.phase_count;
    evidence->to_ms = world->now_ms;
    fill(&one->updated, updated, updated_us);
    fill(&one->waiting, waiting, waiting_us);
    world->now_ms += 100;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EVIDENCE,
                                                            .gate = 1,
                                                            .evidence = evidence}),
                     0);
    free(evidence);
}

static void a_release_twice_as_slow_is_halted(void **state)
{
    (void)state;
    struct world *world = world_new(10, 3);
    compare_ttft(world);
    world->rollout.on_fail = FLO_ON_FAIL_HALT;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);
    measures(world, 0, 0, 0, 10, 400000);
    for (size_t device = 1; device <= 3; device++) {
        goes_well(world, device);
    }
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);
    measures(world, 0, 1, 800000, 7, 400000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);

    measures(world, 0, 3, 800000, 7, 400000);

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_HALTED);
    assert_int_equal(world->rollout.phases[1].counts[FLO_EXECUTION_QUEUED], 7);
    measures(world, 0, 3, 400000, 7, 400000); /* late: nothing changes */
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_HALTED);
    golden_check("rollout-ratio-halts", world->trace.data);
    world_free(world);
}

static void a_release_as_fast_goes_on_until_nobody_waits(void **state)
{
    (void)state;
    struct world *world = world_new(10, 3);
    compare_ttft(world);
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);
    for (size_t device = 1; device <= 3; device++) {
        goes_well(world, device);
    }
    measures(world, 0, 3, 410000, 7, 400000);
    assert_int_equal(world->rollout.phase, 1);
    measures(world, 0, 3, 900000, 7, 400000); /* of the phase before */
    for (size_t device = 4; device <= 10; device++) {
        goes_well(world, device);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);

    measures(world, 1, 10, 410000, 1, 400000);

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    golden_check("rollout-ratio-passes", world->trace.data);
    world_free(world);
}

static void a_ratio_gate_has_an_action_of_its_own(void **state)
{
    (void)state;
    struct world *world = world_new(10, 3);
    compare_ttft(world);
    world->rollout.gates[1].has_action = true;
    world->rollout.gates[1].action = FLO_ON_FAIL_PAUSE;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);
    goes_well(world, 1);
    goes_well(world, 2);

    measures(world, 0, 2, 800000, 8, 400000);

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_FAILED);
    world_free(world);
}

/* Cells of rollout_events.def and rollout_verbs.def, as text. */
#define CELLS(a, b, c, d, e, f, g, h, i, j, k, l, meaning)                                         \
    {#a, #b, #c, #d, #e, #f, #g, #h, #i, #j, #k, #l},
static const char *const cells[][FLO_ROLLOUT_STATE_COUNT] = {
#define FLO_ROLLOUT_EVENT(name, word, ...) CELLS(__VA_ARGS__)
#include "server-stub/core/rollout/rollout_events.def"
#define FLO_ROLLOUT_VERB(name, word, ...) CELLS(__VA_ARGS__)
#define FLO_ROLLOUT_READ(...)
#include "server-stub/core/rollout/rollout_verbs.def"
};

static int code_of(const char *cell)
{
    return strcmp(cell, "STATE") == 0      ? FLO_E_ROLLOUT_STATE
           : strcmp(cell, "APPROVAL") == 0 ? FLO_E_ROLLOUT_APPROVAL
           : strcmp(cell, "ENDED") == 0    ? FLO_E_ROLLOUT_ENDED
                                           : 0;
}

/* A verb that does something says so: a row, an order or a state follows. */
static void check_cell(struct world *world, int kind, int in, const struct flo_comparison *evidence,
                       struct flo_rollout_analysis *analysis)
{
    const char *cell = cells[kind][in];
    struct flo_rollout draft = world->rollout;
    bool is_nothing = strcmp(cell, "NONE") == 0 || strcmp(cell, "SAME") == 0;

    int rv = step(world, (struct flo_rollout_event){.kind = (enum flo_rollout_event_kind)kind,
                                                    .device = world->names[0],
                                                    .attempt = 1,
                                                    .execution = FLO_EXECUTION_ACCEPTED,
                                                    .gate = 1,
                                                    .evidence = evidence,
                                                    .analysis = analysis,
                                                    .draft = &draft});
    if (rv != code_of(cell)) {
        fail_msg("%s of one that is %s: %s, not %s",
                 flo_rollout_event_word((enum flo_rollout_event_kind)kind),
                 flo_rollout_state_word((enum flo_rollout_state)in), flo_error_id(rv), cell);
    }
    if (rv < 0 || is_nothing) {
        assert_int_equal(world->rollout.state, in);
        assert_int_equal(world->actions.count, 0);
    } else if (kind >= FLO_ROLLOUT_EVENT_START) {
        assert_true(world->actions.count > 0);
    }
    if (is_nothing) {
        const char *already = strcmp(cell, "SAME") == 0 ? " already" : "";
        char why[80];
        snprintf(why, sizeof(why), "ignored: the rollout is %s%s",
                 flo_rollout_state_word((enum flo_rollout_state)in), already);
        assert_string_equal(world->actions.why, why);
    }
}

static void each_event_and_verb_does_what_the_table_says(void **state)
{
    struct flo_comparison *evidence = calloc(1, sizeof(*evidence));
    struct flo_rollout_analysis *analysis = calloc(1, sizeof(*analysis));

    (void)state;
    assert_int_equal(FLO_COUNT(cells), FLO_ROLLOUT_EVENT_COUNT);
    evidence->metric = FLO_METRIC_NAME_TTFT;
    for (int kind = 0; kind < FLO_ROLLOUT_EVENT_COUNT; kind++) {
        for (int in = 0; in < FLO_ROLLOUT_STATE_COUNT; in++) {
            struct world *world = world_new(4, 2);
            compare_ttft(world);
            join_all(world);
            if (in > FLO_ROLLOUT_SCHEDULED) {
                operator_does(world, FLO_ROLLOUT_EVENT_START);
            }
            world->rollout.state = (enum flo_rollout_state)in;
            world->rollout.approvals_needed = 1;
            check_cell(world, kind, in, evidence, analysis);
            world_free(world);
        }
    }
    free(analysis);
    free(evidence);
}

static void no_sequence_of_events_breaks_the_step(void **state)
{
    (void)state;
    uint32_t random = 3;
    struct flo_comparison *evidence = calloc(1, sizeof(*evidence));
    struct flo_rollout_analysis *analysis = calloc(1, sizeof(*analysis));

    evidence->metric = FLO_METRIC_NAME_TTFT;
    fill(&flo_evidence_class(evidence, "a")->updated, 3, 1000);
    fill(&flo_evidence_class(evidence, "a")->waiting, 3, 1000);
    for (int round = 0; round < 300; round++) {
        evidence->classes[0].waiting.devices = round % 5;
        struct world *world = world_new(40, 7);
        struct flo_rollout draft = world->rollout;
        random = random * 1664525u + 1013904223u;
        world->rollout.on_fail = (enum flo_on_fail)((random >> 9) % 3);
        compare_ttft(world);
        if (round % 2 == 0) {
            flo_analysis_preset(FLO_PRESET_NORMAL, &world->rollout.analysis.rules);
        }
        join_all(world);
        for (int i = 0; i < 400; i++) {
            random = random * 1664525u + 1013904223u;
            struct flo_rollout_event event = {
                .kind = (enum flo_rollout_event_kind)(
                    (random >> 7) %
                    (i % 9 == 0 ? FLO_ROLLOUT_EVENT_COUNT : FLO_ROLLOUT_EVENT_START)),
                .device = world->names[(random >> 12) % 40],
                .bucket = random % FLO_BUCKETS,
                .attempt = (random >> 3) % 4,
                .execution = (enum flo_execution)((random >> 21) % FLO_EXECUTION_COUNT),
                .gate = 1,
                .evidence = evidence,
                .analysis = analysis,
                .draft = &draft,
                .has_new_gates = random % 2 == 0};
            analysis->evidence.phase = (random >> 4) % 3;
            evidence->phase = (random >> 5) % 3;
            evidence->is_last = (random >> 6) % 2 == 0;
            world->now_ms += random >> 14;
            (void)step(world, event);
            assert_true(world->actions.count < FLO_ROLLOUT_ACTIONS_MAX);
            assert_true(world->rollout.phase < world->rollout.phase_count);
        }
        world_free(world);
    }
    free(analysis);
    free(evidence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_release_goes_from_the_canary_to_all),
        cmocka_unit_test(a_canary_that_fails_its_probe_stops_all_others),
        cmocka_unit_test(a_pause_holds_starts_and_resume_goes_on),
        cmocka_unit_test(a_release_twice_as_slow_is_halted),
        cmocka_unit_test(a_release_as_fast_goes_on_until_nobody_waits),
        cmocka_unit_test(a_ratio_gate_has_an_action_of_its_own),
        cmocka_unit_test(each_event_and_verb_does_what_the_table_says),
        cmocka_unit_test(an_abort_cancels_what_is_not_active),
        cmocka_unit_test(a_device_that_falls_silent_with_the_release_counts_as_failed),
        cmocka_unit_test(an_offline_device_catches_up_later),
        cmocka_unit_test(who_is_under_way_is_told_beside_who_is_still_away),
        cmocka_unit_test(a_soak_says_when_it_ends_on_the_devices_and_for_the_phase),
        cmocka_unit_test(repeated_and_reordered_events_change_nothing),
        cmocka_unit_test(any_order_of_events_gives_the_same_counts),
        cmocka_unit_test(counts_kept_by_steps_equal_counts_made_again),
        cmocka_unit_test(a_device_that_joins_later_falls_into_its_phase),
        cmocka_unit_test(an_execution_that_its_device_forgot_is_over),
        cmocka_unit_test(halt_takes_nothing_back),
        cmocka_unit_test(a_broken_gate_is_promoted_but_not_resumed),
        cmocka_unit_test(a_late_failure_in_a_passed_phase_breaks_the_gate),
        cmocka_unit_test(our_own_absence_is_no_silence),
        cmocka_unit_test(a_limit_is_a_share_of_the_phase_not_of_the_first_answers),
        cmocka_unit_test(a_phase_soaks_before_the_next_starts),
        cmocka_unit_test(phases_that_do_not_grow_are_refused),
        cmocka_unit_test(no_sequence_of_events_breaks_the_step),
        cmocka_unit_test(a_phase_until_promoted_waits_for_a_person),
        cmocka_unit_test(a_word_about_an_older_attempt_changes_nothing),
        cmocka_unit_test(a_device_says_nothing_before_its_turn_or_for_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rollouts with statistical gates: an analysis halts, passes, holds and watches. */
#include "tests/unit/server/rollout_analysis_world.h"

static void a_slower_release_is_taken_back(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    analyses(world, 0.12);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_non_null(strstr(world->rollout.reason, "TTFT p95 +12.0 %"));
    golden_check("rollout-study-fails", world->trace.data);
    world_free(world);
}

/* ---- probes ---- */

#define SITES 4 /* of five devices */

static struct world *world_covered_at(int sites)
{
    struct world *world = world_new(true);

    world->rollout.is_covered = true;
    world->rollout.phases[0].is_spread = true;
    world->rollout.phases[2].is_spread = true;
    world->sites = sites;
    start(world);
    go_well(world, 0, CANARY);
    return world;
}

static struct world *world_covered(void)
{
    return world_covered_at(SITES);
}

static enum flo_execution state_of(const struct world *world, int device)
{
    return (enum flo_execution)world->rollout.members[device - 1].state;
}

/* Two more at its site, and two stay to compare with. */
static void where_one_is_far_slower_more_follow_and_the_phase_waits(void **state)
{
    struct world *world = world_covered();
    const struct flo_rollout_phase *phases = world->rollout.phases;

    (void)state;
    world->slow = 3;
    analyses(world, 0);
    assert_int_equal(state_of(world, 7), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(state_of(world, 11), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(state_of(world, 15), FLO_EXECUTION_QUEUED);
    assert_int_equal(phases[0].members, CANARY + 2);
    assert_int_equal(phases[1].members, 8);
    analyses(world, 0); /* a site is probed once */
    assert_int_equal(phases[0].members, CANARY + 2);

    world->slow = 0;
    for (int i = 0; i < 13; i++) { /* the canary's own soak is over */
        analyses(world, 0);
    }
    assert_int_equal(phases[0].state, FLO_PHASE_RUNNING);
    go_well(world, 6, 7);
    go_well(world, 10, 11);
    for (int i = 0; i < 11; i++) {
        analyses(world, 0);
    }
    assert_int_equal(phases[0].state, FLO_PHASE_RUNNING);
    analyses(world, 0);
    assert_int_equal(phases[0].state, FLO_PHASE_PASSED);
    assert_int_equal(state_of(world, 6), FLO_EXECUTION_NOTIFIED);
    flo_rollout_count(&world->rollout); /* as after a start of the program */
    assert_int_equal(phases[0].members, CANARY + 2);
    golden_check("rollout-probe", world->trace.data);
    world_free(world);
}

/* One of four: two to compare with leave two updated, and three would tell. */
static void a_site_that_is_too_small_to_tell_is_not_probed(void **state)
{
    struct world *world = world_covered_at(CANARY);

    (void)state;
    world->slow = 3;
    analyses(world, 0);
    assert_int_equal(world->rollout.phases[0].members, CANARY);
    world_free(world);
}

/* Two others at its site are away, and one is of the hold-out. */
static void the_hold_out_is_not_probed(void **state)
{
    struct world *world = world_covered();

    (void)state;
    world->slow = 3;
    world->rollout.members[6].is_online = false;
    world->rollout.members[10].is_online = false;
    analyses(world, 0);
    assert_int_equal(world->rollout.phases[0].members, CANARY);
    world_free(world);
}

/* Its others are on the way: they tell. */
static void a_site_with_enough_on_the_way_is_not_probed(void **state)
{
    struct world *world = world_covered_at(2);

    (void)state;
    world->slow = 3;
    analyses(world, 0);
    assert_int_equal(world->rollout.phases[0].members, CANARY);
    world_free(world);
}

/* One device at a site is far slower, and so it is the one of a pair there: the
 * devices that come for the site are enough for both. */
static void a_pair_is_not_probed_next_to_its_site(void **state)
{
    struct world *world = world_covered();
    struct flo_analysis_evidence *evidence = &world->analysis.evidence;

    (void)state;
    analyses(world, 0);
    evidence->block = world->block++;
    evidence->probe_count = 2;
    snprintf(evidence->probes[0].name, FLO_SLICE_TEXT, "site&hw=s2&x");
    snprintf(evidence->probes[1].name, FLO_SLICE_TEXT, "site=s2");
    for (int i = 0; i < DEVICES; i++) {
        bool is_site = i % SITES == 2;
        world->probes[i] = is_site ? (uint8_t)(i < 8 ? 3 : 2) : 0;
    }
    world->analysis.probes = world->probes;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ANALYSIS,
                                                            .analysis = &world->analysis}),
                     0);
    assert_int_equal(world->analysis.finding.probed[1], 2);
    assert_int_equal(world->analysis.finding.probed[0], 0);
    assert_true(world->rollout.members[6].is_probe);
    assert_true(world->rollout.members[10].is_probe);
    assert_false(world->rollout.members[2].is_probe);
    world_free(world);
}

static void a_release_that_fails_probes_nobody(void **state)
{
    struct world *world = world_covered();

    (void)state;
    world->slow = 3;
    analyses(world, 0.12);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_int_equal(state_of(world, 7), FLO_EXECUTION_QUEUED);
    world_free(world);
}

/* Its ranges are those of the hash: an order for one would name nobody else. */
static void a_phase_that_is_not_covered_is_not_probed(void **state)
{
    struct world *world = world_new(true);

    (void)state;
    world->sites = SITES;
    start(world);
    go_well(world, 0, CANARY);
    world->slow = 3;
    analyses(world, 0);
    assert_int_equal(state_of(world, 7), FLO_EXECUTION_QUEUED);
    world_free(world);
}

/* No base is there yet, and hardly another device to compare with. */
static void a_steep_change_without_others_asks_a_person(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    world->above = (struct flo_analysis_above){.treated = {.devices = 20, .above = 19},
                                               .control = {.devices = 9}};
    analyses(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_non_null(strstr(world->rollout.reason, "19 of 20 updated devices above"));
    world_free(world);
}

static void a_steep_change_is_taken_back_at_once(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    world->above = (struct flo_analysis_above){.treated = {.devices = 20, .above = 19},
                                               .control = {.devices = 10}};
    analyses(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    world_free(world);
}

/* An experiment: a quarter has the release until a person says more. */
static struct world *world_of_experiment(void)
{
    struct world *world = world_new(false);

    world->rollout.phases[0].is_until_promoted = true;
    start(world);
    go_well(world, 0, CANARY);
    return world;
}

static void an_experiment_stays_until_a_person_promotes_it(void **state)
{
    (void)state;
    struct world *world = world_of_experiment();
    struct flo_rollout_next next;

    for (int block = 0; block < 20; block++) {
        analyses(world, -0.01);
    }
    assert_int_equal(world->rollout.phase, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_true(flo_rollout_next(&world->rollout, world->now_ms, 60000, &next));
    assert_string_equal(next.what, "phase 1: a person (promote, abort, "
                                   "rollback); 5 of 5 : 15 of 15 devices are "
                                   "there");

    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PROMOTE, .note = "ops"}),
        0);
    assert_int_equal(world->rollout.phase, 1);
    go_well(world, CANARY, DEVICES);
    world->now_ms += SOAK_MS;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}), 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void a_guard_takes_the_worse_arm_of_an_experiment_back(void **state)
{
    (void)state;
    struct world *world = world_of_experiment();

    for (int block = 0; block < 20; block++) {
        analyses(world, 0);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    analyses(world, 0.12);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_non_null(strstr(world->rollout.reason, "TTFT p95 +12.0 %"));
    world_free(world);
}

/* Through its phases, the watch, and the hold-out. */
static void a_good_release_reaches_the_hold_out_after_the_watch(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 11; i++) {
        analyses(world, 0);
        assert_int_equal(world->rollout.phase, 0);
    }
    analyses(world, 0); /* the hour is over: the first look */
    assert_int_equal(world->rollout.phase, 1);
    go_well(world, CANARY, 15);
    for (int i = 0; i < 12; i++) {
        analyses(world, 0);
    }
    assert_int_equal(world->rollout.phase, 1);
    assert_int_equal(world->rollout.phases[1].state, FLO_PHASE_PASSED);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    for (int i = 0; i < 24 * 12 - 1; i++) {
        analyses(world, 0);
        assert_int_equal(world->rollout.phase, 1);
    }
    analyses(world, 0);
    assert_int_equal(world->rollout.phase, 2);
    go_well(world, 15, DEVICES);
    world->now_ms += BLOCK_MS;
    (void)step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK});
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void a_leak_in_the_watch_is_an_alarm_and_takes_nothing_back(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 12; i++) {
        analyses(world, 0);
    }
    go_well(world, CANARY, 15);
    for (int i = 0; i < 12; i++) {
        analyses(world, 0);
    }
    size_t before = world->trace.bytes;
    analyses(world, 0.2);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_non_null(strstr(world->trace.data + before, "why      alarm: "));
    before = world->trace.bytes;
    analyses(world, 0.2); /* once is enough */
    assert_null(strstr(world->trace.data + before, "why      alarm: "));
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    world_free(world);
}

static void a_phase_is_held_and_goes_on_when_evidence_comes_late(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    struct flo_analysis_rules *rules = &world->rollout.analysis.rules;

    for (uint32_t i = 0; i < rules->count; i++) {
        rules->rules[i].devices_min = 60; /* more than there are */
    }
    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 8 * 12; i++) {
        assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_RUNNING);
        analyses(world, 0);
    }
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);
    assert_non_null(strstr(world->rollout.reason, "is held"));
    for (uint32_t i = 0; i < rules->count; i++) {
        rules->rules[i].devices_min = 5;
    }
    for (int i = 0; i < 8 * 12; i++) {
        analyses(world, 0); /* the look at 16 soaks */
    }
    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void without_controls_a_failure_pauses(void **state)
{
    (void)state;
    struct world *world = world_new(false);

    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 12; i++) {
        analyses(world, 0);
    }
    assert_int_equal(world->rollout.phase, 1);
    go_well(world, CANARY, DEVICES);
    analyses(world, 0.2);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    world_free(world);

    /* And without one it completes, though nothing can be proven. */
    world = world_new(false);
    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 12; i++) {
        analyses(world, 0);
    }
    go_well(world, CANARY, DEVICES);
    for (int i = 0; i < 12; i++) {
        analyses(world, 0);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void evidence_of_an_earlier_phase_is_ignored(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 12; i++) {
        analyses(world, 0);
    }
    world->analysis.evidence.phase = 0;
    (void)step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ANALYSIS,
                                                 .analysis = &world->analysis});
    assert_int_equal(world->actions.count, 0);
    assert_non_null(strstr(world->actions.why, "ignored: evidence of phase 1"));
    world_free(world);
}

/* A person may say that it is a cache: it has filled by the next evidence. */
static void memory_that_grows_pauses_and_takes_nothing_back(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    world->leak = 0.02;
    analyses(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_non_null(strstr(world->rollout.reason, "memory growth +2 % an hour on 50 updated"));
    for (int k = 0; k < CANARY; k++) {
        assert_int_equal(state_of(world, k + 1), FLO_EXECUTION_SUCCEEDED);
    }
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PROMOTE, .note = "ops"}),
        0);
    world->leak = 0.004;
    analyses(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

/* Two segments: the last five devices are of the second one. */
static struct world *world_of_two(void)
{
    struct world *world = world_new(true);

    world->rollout.segment_count = 2;
    snprintf(world->rollout.segments[1], FLO_SEGMENT_TEXT, "rare");
    return world;
}

static void set_segments(struct world *world)
{
    for (int i = 0; i < DEVICES; i++) {
        world->members[i].segment = i % 4 == 3 ? 1 : 0;
    }
}

static void analyses_rare(struct world *world, double change)
{
    struct flo_analysis_evidence *evidence = &world->analysis.evidence;

    memset(evidence, 0, sizeof(*evidence));
    evidence->phase = world->rollout.phase;
    evidence->block = world->block++;
    evidence->segment_count = 2;
    for (int s = 0; s < 2; s++) {
        double by = s == 1 ? change : 0;
        int treated = s == 1 ? 5 : 50;
        int control = s == 1 ? 60 : 400;
        snprintf(evidence->segments[s].name, FLO_SEGMENT_TEXT, "%s", world->rollout.segments[s]);
        evidence->segments[s].members = s == 1 ? 100 : 400;
        evidence->segments[s].arms[FLO_MEASURE_TTFT_P95].ratio = (struct flo_ratio_segment){
            {treated, log1p(by), treated * 0.0064}, {control, 0, control * 0.0064}};
    }
    world->now_ms += BLOCK_MS;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ANALYSIS,
                                                            .analysis = &world->analysis}),
                     0);
}

static void a_bad_segment_goes_back_and_the_others_go_on(void **state)
{
    (void)state;
    struct world *world = world_of_two();
    struct flo_gate_counts counts;

    start(world);
    set_segments(world);
    go_well(world, 0, CANARY); /* d0000004 is of the rare ones */
    analyses_rare(world, 0.35);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_non_null(strstr(world->rollout.reason, "rare: "));
    assert_int_equal(world->rollout.analysis.state.excluded, 2);
    for (int i = 0; i < DEVICES; i++) {
        bool is_rare = i % 4 == 3;
        enum flo_execution now = (enum flo_execution)world->members[i].state;
        assert_int_equal(now, i < CANARY ? FLO_EXECUTION_SUCCEEDED
                              : is_rare  ? FLO_EXECUTION_CANCELLED
                                         : FLO_EXECUTION_QUEUED);
    }

    /* It went back, and that is no bad end. */
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BACK,
                                                            .device = world->names[3],
                                                            .is_ordered = true}),
                     0);
    assert_int_equal(world->members[3].state, FLO_EXECUTION_ROLLED_BACK);
    flo_rollout_counts(&world->rollout, 0, &counts);
    assert_int_equal(counts.bad, 0);
    assert_int_equal(counts.here_members, CANARY - 1);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);

    /* Its numbers stop nobody any more. */
    analyses_rare(world, 0.35);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    golden_check("rollout-study-excludes", world->trace.data);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_release_is_taken_back),
        cmocka_unit_test(where_one_is_far_slower_more_follow_and_the_phase_waits),
        cmocka_unit_test(a_site_that_is_too_small_to_tell_is_not_probed),
        cmocka_unit_test(the_hold_out_is_not_probed),
        cmocka_unit_test(a_site_with_enough_on_the_way_is_not_probed),
        cmocka_unit_test(a_pair_is_not_probed_next_to_its_site),
        cmocka_unit_test(a_release_that_fails_probes_nobody),
        cmocka_unit_test(a_phase_that_is_not_covered_is_not_probed),
        cmocka_unit_test(a_steep_change_without_others_asks_a_person),
        cmocka_unit_test(a_steep_change_is_taken_back_at_once),
        cmocka_unit_test(an_experiment_stays_until_a_person_promotes_it),
        cmocka_unit_test(a_guard_takes_the_worse_arm_of_an_experiment_back),
        cmocka_unit_test(a_good_release_reaches_the_hold_out_after_the_watch),
        cmocka_unit_test(a_leak_in_the_watch_is_an_alarm_and_takes_nothing_back),
        cmocka_unit_test(a_phase_is_held_and_goes_on_when_evidence_comes_late),
        cmocka_unit_test(without_controls_a_failure_pauses),
        cmocka_unit_test(evidence_of_an_earlier_phase_is_ignored),
        cmocka_unit_test(memory_that_grows_pauses_and_takes_nothing_back),
        cmocka_unit_test(a_bad_segment_goes_back_and_the_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

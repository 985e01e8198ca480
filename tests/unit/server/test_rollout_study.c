/* Rollouts with statistical gates: a study halts, passes, holds and watches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/rollout/rollout.h"
#include "tests/unit/server/golden.h"
#include "tests/unit/server/study_waves.h"

#define DEVICES 20
#define CANARY 5
#define BLOCK_MS 300000
#define SOAK_MS 3600000

struct world {
    struct flo_rollout rollout;
    struct flo_rollout_member members[DEVICES + 1];
    struct flo_rollout_actions actions;
    struct flo_rollout_study study;
    struct flo_buf trace;
    struct flo_err err;
    char names[DEVICES][37];
    uint64_t now_ms;
    uint32_t block;
    struct flo_study_above above; /* TTFT p95 */
    int sites;                    /* device i is at site i mod sites + 1 */
    int slow;                     /* a device far slower than its site; 0 */
    struct flo_study_slices slices;
    double leak; /* growth of memory in an hour */
};

static void set_phase(struct world *world, const char *name, uint32_t devices,
                      uint64_t soak_ms)
{
    struct flo_rollout_phase *phase =
        &world->rollout.phases[world->rollout.phase_count++];

    snprintf(phase->name, sizeof(phase->name), "%s", name);
    phase->devices = devices;
    phase->soak_ms = soak_ms;
}

/* The canary, the rest, and, if wanted, a hold-out of five. */
static struct world *world_new(bool has_hold_out)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_rollout *rollout = &world->rollout;

    world->now_ms = 1000000;
    world->block = 100;
    snprintf(rollout->id, sizeof(rollout->id), "r-0001");
    snprintf(rollout->release, sizeof(rollout->release), "tiny@2");
    rollout->created_at_ms = world->now_ms;
    rollout->members = world->members;
    rollout->member_capacity = DEVICES + 1;
    rollout->gate_count = 1;
    flo_gate_default(FLO_GATE_FAILED, &rollout->gates[0]);
    rollout->gates[0].silence_ms_max = UINT64_C(1) << 40;
    flo_study_preset(FLO_PRESET_NORMAL, &rollout->study.rules);
    flo_study_phase(&rollout->study, 0);
    rollout->study.on_fail = FLO_ON_FAIL_ROLLBACK;
    rollout->study.block_ms = BLOCK_MS;
    rollout->segment_count = 1;
    snprintf(rollout->segments[0], FLO_SEGMENT_TEXT, "rpi5");
    set_phase(world, "canary", CANARY, SOAK_MS);
    set_phase(world, "rest", has_hold_out ? 15 : DEVICES, SOAK_MS);
    if (has_hold_out) {
        set_phase(world, "hold-out", DEVICES, 0);
        rollout->phases[2].is_hold_out = true;
        rollout->phases[2].watch_ms = UINT64_C(24) * 3600 * 1000;
    }
    for (int i = 0; i < DEVICES; i++) {
        snprintf(world->names[i], sizeof(world->names[i]), "d%07d", i + 1);
    }
    return world;
}

static void world_free(struct world *world)
{
    flo_buf_deinit(&world->trace);
    free(world);
}

static int step(struct world *world, struct flo_rollout_event event)
{
    event.now_ms = world->now_ms;
    int rv =
        flo_rollout_step(&world->rollout, &event, &world->actions, &world->err);
    flo_rollout_trace(&world->rollout, &event, &world->actions, &world->trace);
    return rv;
}

static void start(struct world *world)
{
    for (int i = 0; i < DEVICES; i++) {
        struct flo_rollout_place place = {
            .site = world->sites > 0 ? (uint32_t)(i % world->sites) + 1 : 0};
        struct flo_rollout_event event = {
            .kind = FLO_ROLLOUT_EVENT_JOINED,
            .now_ms = world->now_ms,
            .device = world->names[i],
            .is_online = true,
            .place = &place,
            .bucket = (uint32_t)((uint64_t)i * FLO_BUCKETS / DEVICES)};
        assert_int_equal(flo_rollout_step(&world->rollout, &event,
                                          &world->actions, &world->err),
                         0);
    }
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_START,
                                               .note = "ops"}),
        0);
}

static void go_well(struct world *world, int from, int to)
{
    static const enum flo_execution way[] = {
        FLO_EXECUTION_ACCEPTED, FLO_EXECUTION_SOAKING, FLO_EXECUTION_SUCCEEDED};

    for (int i = from; i < to; i++) {
        for (size_t k = 0; k < FLO_COUNT(way); k++) {
            assert_int_equal(step(world,
                                  (struct flo_rollout_event){
                                      .kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                      .device = world->names[i],
                                      .attempt = 1,
                                      .execution = way[k]}),
                             0);
        }
    }
}

static void set_arm(struct flo_count_arm *arm, double devices, double events,
                    double exposure)
{
    *arm = (struct flo_count_arm){.devices = devices,
                                  .events = events,
                                  .expected = exposure,
                                  .exposure = exposure,
                                  .sxx = events,
                                  .sxl = events * exposure / devices,
                                  .sll = exposure * exposure / devices};
}

/* A block ended: the release changed every latency by so much. */
static void studies(struct world *world, double change)
{
    struct flo_study_evidence *evidence = &world->study.evidence;
    struct flo_study_segment *segment = &evidence->segments[0];

    memset(evidence, 0, sizeof(*evidence));
    evidence->phase = world->rollout.phase;
    evidence->block = world->block++;
    evidence->segment_count = 1;
    segment->members = 450;
    segment->above[FLO_MEASURE_TTFT_P95] = world->above;
    evidence->slices = world->slices;
    for (int i = 0; i < FLO_MEASURE_COUNT; i++) {
        struct flo_statistic_arms *arms = &segment->arms[i];
        if (flo_measure_fact((enum flo_measure)i)->kind ==
            FLO_STATISTIC_RATIO) {
            arms->ratio.treated =
                (struct flo_ratio_arm){50, log1p(change), 50 * 0.08 * 0.08};
            arms->ratio.control =
                (struct flo_ratio_arm){400, 0, 400 * 0.08 * 0.08};
        } else if (i == FLO_MEASURE_LEAK) {
            arms->leak = (struct flo_leak_arms){
                .treated = {50, log1p(world->leak), 50 * 0.006 * 0.006},
                .control = {400, 0, 400 * 0.006 * 0.006},
                .slope = log1p(world->leak),
                .latest = log1p(world->leak)};
        } else if (i != FLO_MEASURE_DEATHS) {
            set_arm(&arms->count.treated, 50, 1, 100000);
            set_arm(&arms->count.control, 400, 8, 800000);
        }
    }
    set_wave(evidence, 0);
    if (world->slow > 0) {
        evidence->probe_count = 1;
        evidence->probes[0].least = log(2.1);
        snprintf(evidence->probes[0].device, sizeof(evidence->probes[0].device),
                 "%s", world->names[world->slow - 1]);
    }
    world->now_ms += BLOCK_MS;
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_STUDY,
                                               .study = &world->study}),
        0);
}

static void a_slower_release_is_taken_back(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    studies(world, 0.12);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_non_null(strstr(world->rollout.reason, "TTFT p95 +12.0 %"));
    golden_check("rollout-study-fails", world->trace.data);
    world_free(world);
}

/* ---- probes ---- */

static struct world *world_covered(void)
{
    struct world *world = world_new(true);

    world->rollout.is_covered = true;
    world->rollout.phases[0].is_spread = true;
    world->rollout.phases[2].is_spread = true;
    world->sites = CANARY;
    start(world);
    go_well(world, 0, CANARY);
    return world;
}

static enum flo_execution state_of(const struct world *world, int device)
{
    return (enum flo_execution)world->rollout.members[device - 1].state;
}

/* Two more at its site; the next one there is of the hold-out. */
static void
where_one_is_far_slower_more_follow_and_the_phase_waits(void **state)
{
    struct world *world = world_covered();
    const struct flo_rollout_phase *phases = world->rollout.phases;

    (void)state;
    world->slow = 3;
    studies(world, 0);
    assert_int_equal(state_of(world, 8), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(state_of(world, 13), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(state_of(world, 18), FLO_EXECUTION_QUEUED);
    assert_int_equal(phases[0].members, CANARY + 2);
    assert_int_equal(phases[1].members, 8);
    studies(world, 0); /* a site is probed once */
    assert_int_equal(phases[0].members, CANARY + 2);

    world->slow = 0;
    for (int i = 0; i < 13; i++) { /* the canary's own soak is over */
        studies(world, 0);
    }
    assert_int_equal(phases[0].state, FLO_PHASE_RUNNING);
    go_well(world, 7, 8);
    go_well(world, 12, 13);
    for (int i = 0; i < 11; i++) {
        studies(world, 0);
    }
    assert_int_equal(phases[0].state, FLO_PHASE_RUNNING);
    studies(world, 0);
    assert_int_equal(phases[0].state, FLO_PHASE_PASSED);
    assert_int_equal(state_of(world, 6), FLO_EXECUTION_NOTIFIED);
    flo_rollout_count(&world->rollout); /* as after a start of the program */
    assert_int_equal(phases[0].members, CANARY + 2);
    golden_check("rollout-probe", world->trace.data);
    world_free(world);
}

static void a_release_that_fails_probes_nobody(void **state)
{
    struct world *world = world_covered();

    (void)state;
    world->slow = 3;
    studies(world, 0.12);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_int_equal(state_of(world, 8), FLO_EXECUTION_QUEUED);
    world_free(world);
}

/* Its ranges are those of the hash: an order for one would name nobody else. */
static void a_phase_that_is_not_covered_is_not_probed(void **state)
{
    struct world *world = world_new(true);

    (void)state;
    world->sites = CANARY;
    start(world);
    go_well(world, 0, CANARY);
    world->slow = 3;
    studies(world, 0);
    assert_int_equal(state_of(world, 8), FLO_EXECUTION_QUEUED);
    world_free(world);
}

/* No base is there yet, and hardly another device to compare with. */
static void a_steep_change_without_others_asks_a_person(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    world->above = (struct flo_study_above){
        .treated = {.devices = 20, .above = 19}, .control = {.devices = 9}};
    studies(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_non_null(
        strstr(world->rollout.reason, "19 of 20 updated devices above"));
    world_free(world);
}

static void a_steep_change_is_taken_back_at_once(void **state)
{
    (void)state;
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    world->above = (struct flo_study_above){
        .treated = {.devices = 20, .above = 19}, .control = {.devices = 10}};
    studies(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    world_free(world);
}

static void name_slice(struct world *world, uint32_t members, uint8_t *in)
{
    struct flo_study_slices *slices = &world->slices;

    slices->count = 1;
    slices->rows[0] = (struct flo_study_slice){.name = "site=lyon",
                                               .measure = FLO_MEASURE_TTFT_P95,
                                               .is_culprit = true,
                                               .members = members,
                                               .updated = 2,
                                               .far = 2,
                                               .controls = 2,
                                               .told = {.has_effect = true,
                                                        .has_interval = true,
                                                        .effect = log(2),
                                                        .low = log(1.8),
                                                        .high = log(2.3)}};
    for (uint32_t i = 0; i < members; i++) {
        in[2 * i] = 1;
    }
    world->study.slices = in;
}

static uint8_t named(const struct world *world, const char *device)
{
    for (size_t i = 0; i < world->rollout.member_count; i++) {
        if (strcmp(world->rollout.members[i].device, device) == 0) {
            return world->rollout.members[i].state;
        }
    }
    fail_msg("%s is no member", device);
    return 0;
}

/* Members with even numbers stand there: some have it, some wait.  Nobody knows
 * where one stands that joins later. */
static void a_slice_goes_back_and_the_others_go_on(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    uint8_t in[DEVICES] = {0};
    uint32_t cancelled = 0;

    start(world);
    go_well(world, 0, CANARY);
    name_slice(world, 5, in);
    studies(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(world->rollout.reason,
                        "TTFT p95 2 times (95 % CI 1.8…2.3) at site=lyon: 2 of "
                        "2 updated devices against 2 there that are not: taken "
                        "back there");
    assert_int_equal(world->rollout.study.state.held_count, 1);
    for (size_t i = 0; i < DEVICES; i++) {
        const struct flo_rollout_member *member = &world->rollout.members[i];
        assert_int_equal(member->held, in[i] ? FLO_HELD_BACK : FLO_HELD_NOT);
        cancelled += member->state == FLO_EXECUTION_CANCELLED ? 1 : 0;
    }
    assert_true(cancelled > 0);
    assert_non_null(strstr(world->trace.data, "rollback"));
    size_t told = world->trace.bytes;
    studies(world, 0); /* once */
    assert_null(strstr(world->trace.data + told, "site=lyon"));

    const char *late = "f"; /* behind all */
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_JOINED,
                                           .device = late,
                                           .is_online = true});
    assert_int_equal(named(world, late), FLO_EXECUTION_CANCELLED);
    world_free(world);
}

static void a_slice_of_half_of_the_members_stops_the_rollout(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    uint8_t in[DEVICES] = {0};

    start(world);
    go_well(world, 0, CANARY);
    name_slice(world, DEVICES / 2, in);
    studies(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_non_null(strstr(world->rollout.reason, "at site=lyon"));
    assert_int_equal(world->rollout.study.state.held_count, 0);
    world_free(world);
}

/* Nobody there can tell: those that wait go on waiting, and a person says
 * what becomes of them. */
static struct world *world_that_asks(uint8_t *in)
{
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    name_slice(world, 5, in);
    world->slices.rows[0].is_culprit = false;
    world->slices.rows[0].is_asked = true;
    world->slices.rows[0].controls = 0;
    studies(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_non_null(strstr(world->rollout.reason,
                           " at site=lyon since the update, no device there "
                           "runs the old release any more: cannot tell; held "
                           "there, look"));
    assert_int_equal(flo_study_asked(&world->rollout.study.state), 1);
    return world;
}

static uint32_t cancelled_of(const struct world *world)
{
    uint32_t cancelled = 0;

    for (size_t i = 0; i < DEVICES; i++) {
        cancelled +=
            world->rollout.members[i].state == FLO_EXECUTION_CANCELLED ? 1 : 0;
    }
    return cancelled;
}

static void an_unclear_slice_waits_for_a_person_and_goes_on(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);

    assert_null(strstr(world->trace.data, "rollback"));
    assert_true(cancelled_of(world) > 0);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PROMOTE,
                                           .note = "ops",
                                           .slice = "site=lyon",
                                           .in_slice = in});
    assert_int_equal(flo_study_asked(&world->rollout.study.state), 0);
    assert_int_equal(cancelled_of(world), 0);
    assert_int_equal(world->rollout.phase, 0);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(world->rollout.members[i].held, FLO_HELD_NOT);
    }
    size_t told = world->trace.bytes;
    studies(world, 0); /* it was answered */
    assert_null(strstr(world->trace.data + told, "site=lyon"));
    world->slices.rows[0].is_culprit = true; /* and now it is known */
    studies(world, 0);
    assert_int_equal(world->rollout.study.state.held_as[0], FLO_SLICE_HELD);
    assert_int_equal(world->rollout.study.state.held_count, 1);
    world_free(world);
}

static void an_unclear_slice_is_taken_back_by_a_person(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);

    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ROLLBACK,
                                           .note = "ops",
                                           .slice = "site=lyon",
                                           .in_slice = in});
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.study.state.held_as[0], FLO_SLICE_HELD);
    assert_non_null(strstr(world->trace.data, "rollback"));
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(world->rollout.members[i].held,
                         in[i] ? FLO_HELD_BACK : FLO_HELD_NOT);
    }
    world_free(world);
}

/* All others have it, and the gates pass: the last word is a person's. */
static struct world *world_that_asks_at_the_end(uint8_t *in)
{
    struct world *world = world_new(false);

    world->rollout.phases[0].devices = DEVICES;
    world->rollout.phase_count = 1;
    start(world);
    name_slice(world, 5, in);
    world->slices.rows[0].is_culprit = false;
    world->slices.rows[0].is_asked = true;
    world->slices.rows[0].controls = 0;
    studies(world, 0);
    assert_int_equal(flo_study_asked(&world->rollout.study.state), 1);
    go_well(world, 0, DEVICES);
    for (int i = 0; i < 60; i++) {
        studies(world, 0);
    }
    return world;
}

static void answer(struct world *world, enum flo_rollout_event_kind kind,
                   const uint8_t *in)
{
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = kind,
                                               .note = "ops",
                                               .slice = "site=lyon",
                                               .in_slice = in}),
        0);
}

static void a_slice_that_waits_for_a_person_keeps_the_rollout_open(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks_at_the_end(in);
    struct flo_rollout_next next;

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);
    assert_non_null(
        strstr(world->rollout.reason, "site=lyon waits for an answer"));
    assert_true(flo_rollout_next(&world->rollout, world->now_ms, 60000, &next));
    assert_non_null(strstr(next.what, "a person's answer for site=lyon"));
    size_t told = world->trace.bytes;
    studies(world, 0); /* said once */
    assert_null(strstr(world->trace.data + told, "site=lyon"));
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE, in);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void a_promoted_rollout_takes_the_answer_for_a_slice(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks_at_the_end(in);

    assert_int_equal(
        step(world,
             (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PROMOTE,
                                        .note = "ops"}),
        0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_PROMOTED);
    answer(world, FLO_ROLLOUT_EVENT_ROLLBACK, in);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
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
        studies(world, -0.01);
    }
    assert_int_equal(world->rollout.phase, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_true(flo_rollout_next(&world->rollout, world->now_ms, 60000, &next));
    assert_string_equal(next.what, "phase 1: a person (promote, abort, "
                                   "rollback); 5 of 5 : 15 of 15 devices are "
                                   "there");

    assert_int_equal(
        step(world,
             (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PROMOTE,
                                        .note = "ops"}),
        0);
    assert_int_equal(world->rollout.phase, 1);
    go_well(world, CANARY, DEVICES);
    world->now_ms += SOAK_MS;
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}),
        0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void a_guard_takes_the_worse_arm_of_an_experiment_back(void **state)
{
    (void)state;
    struct world *world = world_of_experiment();

    for (int block = 0; block < 20; block++) {
        studies(world, 0);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    studies(world, 0.12);
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
        studies(world, 0);
        assert_int_equal(world->rollout.phase, 0);
    }
    studies(world, 0); /* the hour is over: the first look */
    assert_int_equal(world->rollout.phase, 1);
    go_well(world, CANARY, 15);
    for (int i = 0; i < 12; i++) {
        studies(world, 0);
    }
    assert_int_equal(world->rollout.phase, 1);
    assert_int_equal(world->rollout.phases[1].state, FLO_PHASE_PASSED);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    for (int i = 0; i < 24 * 12 - 1; i++) {
        studies(world, 0);
        assert_int_equal(world->rollout.phase, 1);
    }
    studies(world, 0);
    assert_int_equal(world->rollout.phase, 2);
    go_well(world, 15, DEVICES);
    world->now_ms += BLOCK_MS;
    (void)step(world,
               (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK});
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
        studies(world, 0);
    }
    go_well(world, CANARY, 15);
    for (int i = 0; i < 12; i++) {
        studies(world, 0);
    }
    size_t before = world->trace.bytes;
    studies(world, 0.2);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_non_null(strstr(world->trace.data + before, "why      alarm: "));
    before = world->trace.bytes;
    studies(world, 0.2); /* once is enough */
    assert_null(strstr(world->trace.data + before, "why      alarm: "));
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    world_free(world);
}

static void a_phase_is_held_and_goes_on_when_evidence_comes_late(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    struct flo_study_rules *rules = &world->rollout.study.rules;

    for (uint32_t i = 0; i < rules->count; i++) {
        rules->rules[i].devices_min = 60; /* more than there are */
    }
    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 8 * 12; i++) {
        assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_RUNNING);
        studies(world, 0);
    }
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);
    assert_non_null(strstr(world->rollout.reason, "is held"));
    for (uint32_t i = 0; i < rules->count; i++) {
        rules->rules[i].devices_min = 5;
    }
    for (int i = 0; i < 8 * 12; i++) {
        studies(world, 0); /* the look at 16 soaks */
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
        studies(world, 0);
    }
    assert_int_equal(world->rollout.phase, 1);
    go_well(world, CANARY, DEVICES);
    studies(world, 0.2);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    world_free(world);

    /* And without one it completes, though nothing can be proven. */
    world = world_new(false);
    start(world);
    go_well(world, 0, CANARY);
    for (int i = 0; i < 12; i++) {
        studies(world, 0);
    }
    go_well(world, CANARY, DEVICES);
    for (int i = 0; i < 12; i++) {
        studies(world, 0);
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
        studies(world, 0);
    }
    world->study.evidence.phase = 0;
    (void)step(world,
               (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_STUDY,
                                          .study = &world->study});
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
    studies(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_non_null(strstr(world->rollout.reason,
                           "memory growth +2 % an hour on 50 updated"));
    for (int k = 0; k < CANARY; k++) {
        assert_int_equal(state_of(world, k + 1), FLO_EXECUTION_SUCCEEDED);
    }
    assert_int_equal(
        step(world,
             (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PROMOTE,
                                        .note = "ops"}),
        0);
    world->leak = 0.004;
    studies(world, 0);
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

static void studies_rare(struct world *world, double change)
{
    struct flo_study_evidence *evidence = &world->study.evidence;

    memset(evidence, 0, sizeof(*evidence));
    evidence->phase = world->rollout.phase;
    evidence->block = world->block++;
    evidence->segment_count = 2;
    for (int s = 0; s < 2; s++) {
        double by = s == 1 ? change : 0;
        int treated = s == 1 ? 5 : 50;
        int control = s == 1 ? 60 : 400;
        snprintf(evidence->segments[s].name, FLO_SEGMENT_TEXT, "%s",
                 world->rollout.segments[s]);
        evidence->segments[s].members = s == 1 ? 100 : 400;
        evidence->segments[s].arms[FLO_MEASURE_TTFT_P95].ratio =
            (struct flo_ratio_segment){{treated, log1p(by), treated * 0.0064},
                                       {control, 0, control * 0.0064}};
    }
    world->now_ms += BLOCK_MS;
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_STUDY,
                                               .study = &world->study}),
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
    studies_rare(world, 0.35);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_non_null(strstr(world->rollout.reason, "rare: "));
    assert_int_equal(world->rollout.study.state.excluded, 2);
    for (int i = 0; i < DEVICES; i++) {
        bool is_rare = i % 4 == 3;
        enum flo_execution now = (enum flo_execution)world->members[i].state;
        assert_int_equal(now, i < CANARY ? FLO_EXECUTION_SUCCEEDED
                              : is_rare  ? FLO_EXECUTION_CANCELLED
                                         : FLO_EXECUTION_QUEUED);
    }

    /* It went back, and that is no bad end. */
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BACK,
                                               .device = world->names[3],
                                               .is_ordered = true}),
        0);
    assert_int_equal(world->members[3].state, FLO_EXECUTION_ROLLED_BACK);
    flo_rollout_counts(&world->rollout, 0, &counts);
    assert_int_equal(counts.bad, 0);
    assert_int_equal(counts.here_members, CANARY - 1);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);

    /* Its numbers stop nobody any more. */
    studies_rare(world, 0.35);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    golden_check("rollout-study-excludes", world->trace.data);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_release_is_taken_back),
        cmocka_unit_test(
            where_one_is_far_slower_more_follow_and_the_phase_waits),
        cmocka_unit_test(a_release_that_fails_probes_nobody),
        cmocka_unit_test(a_phase_that_is_not_covered_is_not_probed),
        cmocka_unit_test(a_steep_change_without_others_asks_a_person),
        cmocka_unit_test(a_steep_change_is_taken_back_at_once),
        cmocka_unit_test(a_slice_goes_back_and_the_others_go_on),
        cmocka_unit_test(a_slice_of_half_of_the_members_stops_the_rollout),
        cmocka_unit_test(an_unclear_slice_waits_for_a_person_and_goes_on),
        cmocka_unit_test(an_unclear_slice_is_taken_back_by_a_person),
        cmocka_unit_test(
            a_slice_that_waits_for_a_person_keeps_the_rollout_open),
        cmocka_unit_test(a_promoted_rollout_takes_the_answer_for_a_slice),
        cmocka_unit_test(an_experiment_stays_until_a_person_promotes_it),
        cmocka_unit_test(a_guard_takes_the_worse_arm_of_an_experiment_back),
        cmocka_unit_test(a_good_release_reaches_the_hold_out_after_the_watch),
        cmocka_unit_test(
            a_leak_in_the_watch_is_an_alarm_and_takes_nothing_back),
        cmocka_unit_test(a_phase_is_held_and_goes_on_when_evidence_comes_late),
        cmocka_unit_test(without_controls_a_failure_pauses),
        cmocka_unit_test(evidence_of_an_earlier_phase_is_ignored),
        cmocka_unit_test(memory_that_grows_pauses_and_takes_nothing_back),
        cmocka_unit_test(a_bad_segment_goes_back_and_the_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

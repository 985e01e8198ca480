/* A rollout of twenty devices with statistical gates, for tests. */
#ifndef FLOTILLA_TESTS_ROLLOUT_ANALYSIS_WORLD_H
#define FLOTILLA_TESTS_ROLLOUT_ANALYSIS_WORLD_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/rollout/rollout.h"
#include "tests/unit/server/analysis_waves.h"
#include "tests/unit/server/golden.h"

#define DEVICES 20
#define CANARY 5
#define BLOCK_MS 300000
#define SOAK_MS 3600000

struct world {
    struct flo_rollout rollout;
    struct flo_rollout_member members[DEVICES + 1];
    struct flo_rollout_actions actions;
    struct flo_rollout_analysis analysis;
    struct flo_buf trace;
    struct flo_err err;
    char names[DEVICES][37];
    uint64_t now_ms;
    uint32_t block;
    struct flo_analysis_above above; /* TTFT p95 */
    int sites;                       /* device i is at site i mod sites + 1 */
    int slow;                        /* a device far slower than its site; 0 */
    uint8_t probes[DEVICES];         /* those of its site */
    struct flo_analysis_slices slices;
    double leak; /* growth of memory in an hour */
};

static inline void set_phase(struct world *world, const char *name, uint32_t devices,
                             uint64_t soak_ms)
{
    struct flo_rollout_phase *phase = &world->rollout.phases[world->rollout.phase_count++];

    snprintf(phase->name, sizeof(phase->name), "%s", name);
    phase->devices = devices;
    phase->soak_ms = soak_ms;
}

/* The canary, the rest, and, if wanted, a hold-out of five. */
static inline struct world *world_new(bool has_hold_out)
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
    flo_analysis_preset(FLO_PRESET_NORMAL, &rollout->analysis.rules);
    flo_analysis_phase(&rollout->analysis, 0);
    rollout->analysis.on_fail = FLO_ON_FAIL_ROLLBACK;
    rollout->analysis.block_ms = BLOCK_MS;
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

static inline void world_free(struct world *world)
{
    flo_buf_deinit(&world->trace);
    free(world);
}

static inline int step(struct world *world, struct flo_rollout_event event)
{
    event.now_ms = world->now_ms;
    int rv = flo_rollout_step(&world->rollout, &event, &world->actions, &world->err);
    flo_rollout_trace(&world->rollout, &event, &world->actions, &world->trace);
    return rv;
}

static inline void start(struct world *world)
{
    for (int i = 0; i < DEVICES; i++) {
        struct flo_rollout_place place = {
            .site = world->sites > 0 ? (uint32_t)(i % world->sites) + 1 : 0};
        struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                          .now_ms = world->now_ms,
                                          .device = world->names[i],
                                          .is_online = true,
                                          .place = &place,
                                          .bucket =
                                              (uint32_t)((uint64_t)i * FLO_BUCKETS / DEVICES)};
        assert_int_equal(flo_rollout_step(&world->rollout, &event, &world->actions, &world->err),
                         0);
    }
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_START, .note = "ops"}), 0);
}

static inline void go_well(struct world *world, int from, int to)
{
    static const enum flo_execution way[] = {FLO_EXECUTION_ACCEPTED, FLO_EXECUTION_SOAKING,
                                             FLO_EXECUTION_SUCCEEDED};

    for (int i = from; i < to; i++) {
        for (size_t k = 0; k < FLO_COUNT(way); k++) {
            assert_int_equal(
                step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                                       .device = world->names[i],
                                                       .attempt = 1,
                                                       .execution = way[k]}),
                0);
        }
    }
}

static inline void set_arm(struct flo_count_arm *arm, double devices, double events,
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
static inline void analyses(struct world *world, double change)
{
    struct flo_analysis_evidence *evidence = &world->analysis.evidence;
    struct flo_analysis_segment *segment = &evidence->segments[0];

    memset(evidence, 0, sizeof(*evidence));
    evidence->phase = world->rollout.phase;
    evidence->block = world->block++;
    evidence->segment_count = 1;
    segment->members = 450;
    segment->above[FLO_MEASURE_TTFT_P95] = world->above;
    evidence->slices = world->slices;
    for (int i = 0; i < FLO_MEASURE_COUNT; i++) {
        struct flo_statistic_arms *arms = &segment->arms[i];
        if (flo_measure_fact((enum flo_measure)i)->kind == FLO_STATISTIC_RATIO) {
            arms->ratio.treated = (struct flo_ratio_arm){50, log1p(change), 50 * 0.08 * 0.08};
            arms->ratio.control = (struct flo_ratio_arm){400, 0, 400 * 0.08 * 0.08};
        } else if (i == FLO_MEASURE_LEAK) {
            arms->leak =
                (struct flo_leak_arms){.treated = {50, log1p(world->leak), 50 * 0.006 * 0.006},
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
        snprintf(evidence->probes[0].device, sizeof(evidence->probes[0].device), "%s",
                 world->names[world->slow - 1]);
        snprintf(evidence->probes[0].name, sizeof(evidence->probes[0].name), "site=s%d",
                 (world->slow - 1) % world->sites);
        for (int i = 0; i < DEVICES; i++) {
            world->probes[i] = i % world->sites == (world->slow - 1) % world->sites;
        }
    }
    world->analysis.probes = world->slow > 0 ? world->probes : NULL;
    world->now_ms += BLOCK_MS;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ANALYSIS,
                                                            .analysis = &world->analysis}),
                     0);
}

#endif

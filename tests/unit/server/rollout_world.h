/* A rollout and its devices for tests of the core: events in, a trace out. */
#ifndef FLOTILLA_TESTS_ROLLOUT_WORLD_H
#define FLOTILLA_TESTS_ROLLOUT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/rollout/rollout.h"
#include "tests/unit/server/golden.h"

#define ROOM 1024

struct world {
    struct flo_rollout rollout;
    struct flo_rollout_member members[ROOM];
    struct flo_rollout_actions actions;
    struct flo_buf trace;
    struct flo_err err;
    uint64_t now_ms;
    char names[ROOM][52];
    size_t count;
};

/* Devices whose buckets are spread evenly, in the order of their number. */
static inline struct world *world_new(size_t devices, uint32_t canary)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_rollout *rollout = &world->rollout;

    world->now_ms = 1000000;
    world->count = devices;
    snprintf(rollout->id, sizeof(rollout->id), "r-0001");
    snprintf(rollout->release, sizeof(rollout->release), "tiny@2.1.0");
    rollout->created_at_ms = world->now_ms;
    rollout->members = world->members;
    rollout->member_capacity = ROOM;
    rollout->phase_count = 2;
    snprintf(rollout->phases[0].name, FLO_NAME_MAX, "canary");
    rollout->phases[0].devices = canary;
    snprintf(rollout->phases[1].name, FLO_NAME_MAX, "all");
    rollout->phases[1].share_pct = 100;
    flo_gate_default(FLO_GATE_FAILED, &rollout->gates[FLO_GATE_FAILED]);
    rollout->gate_count = 1;
    rollout->gates[FLO_GATE_FAILED].margin = 0;
    for (size_t i = 0; i < devices; i++) {
        snprintf(world->names[i], sizeof(world->names[i]), "d%07zu-0000-4000-8000-000000000000",
                 i + 1);
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
    if (rv < 0) {
        flo_buf_printf(&world->trace, "               refused  %s\n", world->err.what);
    }
    return rv;
}

static inline int operator_does(struct world *world, enum flo_rollout_event_kind kind)
{
    return step(world, (struct flo_rollout_event){.kind = kind, .note = "ops"});
}

static inline void join_all(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                          .now_ms = world->now_ms,
                                          .device = world->names[i],
                                          .is_online = true,
                                          .bucket =
                                              (uint32_t)((uint64_t)i * FLO_BUCKETS / world->count)};
        assert_int_equal(flo_rollout_step(&world->rollout, &event, &world->actions, &world->err),
                         0);
    }
}

static inline void says(struct world *world, size_t device, uint32_t attempt,
                        enum flo_execution state, const char *note)
{
    world->now_ms += 100;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                                            .device = world->names[device - 1],
                                                            .attempt = attempt,
                                                            .execution = state,
                                                            .note = note}),
                     0);
}

static inline void about(struct world *world, size_t device, enum flo_rollout_event_kind kind)
{
    world->now_ms += 100;
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = kind, .device = world->names[device - 1]}),
        0);
}

static inline void wait_ms(struct world *world, uint64_t ms)
{
    world->now_ms += ms;
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}), 0);
}

static inline void goes_well(struct world *world, size_t device)
{
    says(world, device, 1, FLO_EXECUTION_ACCEPTED, NULL);
    says(world, device, 1, FLO_EXECUTION_PROBING, NULL);
    says(world, device, 1, FLO_EXECUTION_SOAKING, NULL);
    says(world, device, 1, FLO_EXECUTION_SUCCEEDED, NULL);
}

static inline struct world *world_started(size_t devices, uint32_t canary)
{
    struct world *world = world_new(devices, canary);
    join_all(world);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_START), 0);
    return world;
}

static inline void ends_as(struct world *world, enum flo_rollout_state state, const char *golden)
{
    assert_string_equal(flo_rollout_state_word(world->rollout.state),
                        flo_rollout_state_word(state));
    golden_check(golden, world->trace.data);
    world_free(world);
}

static inline enum flo_execution state_of(struct world *world, size_t device)
{
    size_t index = flo_rollout_find(&world->rollout, world->names[device - 1]);
    return (enum flo_execution)world->rollout.members[index].state;
}

#endif

/* Pace and its limits: windows, devices under way together, spread phases,
 * attempts again, kinds of failures.  Scenes are golden traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/rollout/rollout.h"
#include "unit/server/golden.h"

#define ROOM 2000
/* Monday 2026-01-05 00:00 UTC. */
#define MONDAY_MS UINT64_C(1767571200000)
#define HOUR_MS UINT64_C(3600000)
#define HOUR_S 3600

struct world {
    struct flo_rollout rollout;
    struct flo_rollout_member members[ROOM];
    uint32_t busy[64];
    struct flo_rollout_actions actions;
    struct flo_buf trace;
    struct flo_err err;
    uint64_t now_ms;
    char names[ROOM][37];
    struct flo_rollout_place places[ROOM];
    bool is_offline[ROOM];
    size_t count;
};

/* One phase of all, until a test says otherwise. */
static struct world *world_new(size_t devices)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_rollout *rollout = &world->rollout;

    world->now_ms = MONDAY_MS;
    world->count = devices;
    snprintf(rollout->id, sizeof(rollout->id), "r-0001");
    snprintf(rollout->release, sizeof(rollout->release), "tiny@2.1.0");
    rollout->created_at_ms = world->now_ms;
    rollout->members = world->members;
    rollout->member_capacity = ROOM;
    rollout->phase_count = 1;
    snprintf(rollout->phases[0].name, FLO_NAME_MAX, "all");
    rollout->phases[0].share_pct = 100;
    rollout->on_fail = FLO_ON_FAIL_HALT;
    flo_gate_default(FLO_GATE_FAILED, &rollout->gates[FLO_GATE_FAILED]);
    rollout->gate_count = 1;
    rollout->busy = world->busy;
    rollout->busy_count = FLO_COUNT(world->busy);
    for (size_t i = 0; i < devices; i++) {
        snprintf(world->names[i], sizeof(world->names[i]), "d%07u-0000-4000-8000-000000000000",
                 (unsigned)(i + 1) % 10000000);
    }
    return world;
}

static void world_free(struct world *world)
{
    flo_buf_deinit(&world->trace);
    free(world);
}

static void step(struct world *world, struct flo_rollout_event event)
{
    event.now_ms = world->now_ms;
    if (flo_rollout_step(&world->rollout, &event, &world->actions, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
    if (world->actions.count > 0 || world->actions.why[0] != '\0') {
        flo_rollout_trace(&world->rollout, &event, &world->actions, &world->trace);
    }
}

static void start(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                          .now_ms = world->now_ms,
                                          .device = world->names[i],
                                          .is_online = !world->is_offline[i],
                                          .place = &world->places[i],
                                          .bucket =
                                              (uint32_t)((uint64_t)i * FLO_BUCKETS / world->count)};
        assert_int_equal(flo_rollout_step(&world->rollout, &event, &world->actions, &world->err),
                         0);
    }
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_START, .note = "ops"});
}

static struct flo_rollout_member *member(struct world *world, size_t device)
{
    size_t index = flo_rollout_find(&world->rollout, world->names[device - 1]);

    assert_int_not_equal(index, SIZE_MAX);
    return &world->rollout.members[index];
}

static enum flo_execution state_of(struct world *world, size_t device)
{
    return (enum flo_execution)member(world, device)->state;
}

static void says(struct world *world, size_t device, uint32_t attempt, enum flo_execution state,
                 const char *note)
{
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                           .device = world->names[device - 1],
                                           .attempt = attempt,
                                           .execution = state,
                                           .note = note});
}

static void about(struct world *world, size_t device, enum flo_rollout_event_kind kind)
{
    step(world, (struct flo_rollout_event){.kind = kind, .device = world->names[device - 1]});
}

static void wait_ms(struct world *world, uint64_t ms)
{
    world->now_ms += ms;
    for (size_t i = 0; i < world->count; i++) {
        if (!world->is_offline[i]) {
            about(world, i + 1, FLO_ROLLOUT_EVENT_HEARD);
        }
    }
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK});
}

static uint32_t count_of(struct world *world, enum flo_execution state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->rollout.phase_count; i++) {
        count += world->rollout.phases[i].counts[state];
    }
    return count;
}

static void ends_as(struct world *world, enum flo_rollout_state state, const char *golden)
{
    assert_string_equal(flo_rollout_state_word(world->rollout.state),
                        flo_rollout_state_word(state));
    golden_check(golden, world->trace.data);
    world_free(world);
}

/* ---- windows ---- */

static void window_of(struct world *world, const char *text)
{
    assert_true(flo_window_parse(text, &world->rollout.window));
    for (size_t i = 0; i < FLO_COUNT(world->rollout.zones); i++) {
        world->rollout.zones[i].is_known = i < 3;
    }
    /* Lyon, New York, nobody knows. */
    world->rollout.zones[0].offset_s = HOUR_S;
    world->rollout.zones[1].offset_s = -5 * HOUR_S;
    for (size_t i = 0; i < world->count; i++) {
        world->places[i].zone = (uint8_t)(1 + i % 2);
    }
}

static void a_window_opens_by_each_devices_own_clock(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    window_of(world, "01:00-05:00");

    start(world); /* 01:00 in Lyon, 19:00 in New York */
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_QUEUED);
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 3, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    wait_ms(world, 6 * HOUR_MS - 1000);
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_QUEUED);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    wait_ms(world, 1000);
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_NOTIFIED);
    says(world, 2, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 4, 1, FLO_EXECUTION_SUCCEEDED, NULL);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "pace-window");
}

static void without_a_zone_a_device_never_begins_in_a_local_window(void **state)
{
    (void)state;
    struct world *world = world_new(2);
    window_of(world, "00:00-24:00");
    world->places[1].zone = 0;

    start(world);
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_NOTIFIED);
    for (int hour = 0; hour < 48; hour++) {
        wait_ms(world, HOUR_MS);
    }
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_QUEUED);

    /* The device said its zone. */
    world->places[1].zone = 1;
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_JOINED,
                                           .device = world->names[1],
                                           .place = &world->places[1]});
    wait_ms(world, 1000);
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_NOTIFIED);
    world_free(world);
}

struct moment {
    const char *window;
    int32_t offset_s;
    unsigned day, hour, minute; /* after that Monday, UTC */
    bool is_open;
    unsigned change_hours; /* from the Monday on */
};

static void windows_know_days_midnight_and_offsets(void **state)
{
    static const struct moment moments[] = {
        {"01:00-05:00 UTC", 0, 0, 0, 59, false, 1},
        {"01:00-05:00 UTC", 0, 0, 1, 0, true, 5},
        {"01:00-05:00 UTC", 0, 0, 5, 0, false, 25},
        {"01:00-05:00", 2 * HOUR_S, 0, 0, 0, true, 3},
        {"22:00-04:00", 0, 0, 23, 0, true, 28},
        {"22:00-04:00", 0, 1, 3, 59, true, 28},
        {"fri 22:00-04:00", 0, 5, 3, 0, true, 124},  /* Saturday morning */
        {"fri 22:00-04:00", 0, 4, 3, 0, false, 118}, /* Friday morning */
        {"sat,sun 00:00-24:00", 0, 4, 23, 0, false, 120},
        {"fri-mon 08:00-09:00", 0, 0, 8, 30, true, 9}, /* Monday */
        {"fri-mon 08:00-09:00", 0, 1, 8, 30, false, 104},
        {"mon 01:00-02:00", -5 * HOUR_S, 0, 6, 30, true, 7},
        {"mon 23:00-24:00", 10 * HOUR_S, 0, 13, 30, true, 14},
    };
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(moments); i++) {
        const struct moment *m = &moments[i];
        struct flo_window window;
        struct flo_window utc;
        uint64_t now_ms = MONDAY_MS + ((m->day * 24 + m->hour) * 60 + m->minute) * 60000ull;
        uint64_t change_ms;
        uint64_t again_ms;
        assert_true(flo_window_parse(m->window, &window));
        bool is_open = flo_window_is_open(&window, m->offset_s, now_ms, &change_ms);
        if (is_open != m->is_open || change_ms != MONDAY_MS + m->change_hours * HOUR_MS) {
            fail_msg("%zu: %s: %d until %llu h", i, m->window, is_open,
                     (unsigned long long)((change_ms - MONDAY_MS) / HOUR_MS));
        }
        /* An order says it by UTC. */
        flo_window_in_utc(&window, m->offset_s, &utc);
        assert_int_equal(flo_window_is_open(&utc, 0, now_ms, &again_ms), is_open);
        assert_int_equal(again_ms, change_ms);
    }
}

static void texts_that_are_no_window_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "01:00",
                                      "1:00-5:00",
                                      "01:00-01:00",
                                      "24:00-01:00",
                                      "01:00-25:00",
                                      "01:60-02:00",
                                      "01:00-05:00  UTC",
                                      "01:00-05:00 ",
                                      "01:00-05:00x",
                                      "funday 01:00-05:00",
                                      "mon01:00-05:00",
                                      "mon- 01:00-05:00",
                                      "mon, 01:00-05:00",
                                      "01:00-05:00 Europe/Paris x"};
    struct flo_window window;
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (strcmp(bad[i], "01:00-05:00 ") == 0) {
            continue; /* a blank at the end is local time */
        }
        if (flo_window_parse(bad[i], &window)) {
            fail_msg("`%s` is a window", bad[i]);
        }
    }
    assert_true(flo_window_parse("mon-fri 01:00-05:00 Europe/Paris", &window));
    assert_string_equal(window.zone, "Europe/Paris");
    assert_false(window.is_local);
    assert_int_equal(window.days, 0x1f);
}

/* ---- devices under way together ---- */

static void never_more_than_two_of_a_site(void **state)
{
    (void)state;
    struct world *world = world_new(12);
    uint32_t random = 5;
    world->rollout.limit_count = 1;
    world->rollout.limits[0] = (struct flo_rollout_limit){"site", 2};
    for (size_t i = 0; i < 12; i++) {
        world->places[i].slots[0] = i < 10 ? 1 + (uint32_t)(i % 2) : 0;
    }
    start(world);

    for (int i = 0; i < 2000; i++) {
        uint32_t of_site[3] = {0};
        for (size_t device = 1; device <= 12; device++) {
            bool is_told = state_of(world, device) != FLO_EXECUTION_QUEUED;
            of_site[member(world, device)->place.slots[0]] +=
                is_told && !flo_execution_is_end(state_of(world, device));
        }
        assert_true(of_site[1] <= 2 && of_site[2] <= 2);
        random = random * 1664525u + 1013904223u;
        size_t device = 1 + (random >> 8) % 12;
        if (state_of(world, device) != FLO_EXECUTION_QUEUED) {
            says(world, device, 1,
                 random & 1 << 20 ? FLO_EXECUTION_SUCCEEDED : FLO_EXECUTION_DOWNLOADING, NULL);
        }
        wait_ms(world, 1000);
    }

    assert_int_equal(count_of(world, FLO_EXECUTION_SUCCEEDED), 12);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void who_is_offline_takes_no_place_and_follows_later(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    world->rollout.concurrent_max = 1;
    world->is_offline[0] = true;
    start(world);

    assert_int_equal(state_of(world, 1), FLO_EXECUTION_QUEUED);
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_NOTIFIED);
    says(world, 2, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    wait_ms(world, 1000);
    says(world, 3, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    wait_ms(world, 1000);
    says(world, 4, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    wait_ms(world, 1000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    about(world, 1, FLO_ROLLOUT_EVENT_HEARD);
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_NOTIFIED);
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "pace-offline");
}

static void a_phase_has_a_limit_of_its_own(void **state)
{
    (void)state;
    struct world *world = world_new(6);
    world->rollout.concurrent_max = 5;
    world->rollout.phases[0].concurrent_max = 2;
    start(world);

    assert_int_equal(count_of(world, FLO_EXECUTION_NOTIFIED), 2);
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    wait_ms(world, 1000);
    assert_int_equal(count_of(world, FLO_EXECUTION_NOTIFIED), 2);
    assert_int_equal(count_of(world, FLO_EXECUTION_QUEUED), 3);
    world_free(world);
}

static void a_ramp_grows_with_success(void **state)
{
    (void)state;
    struct world *world = world_new(1000);
    struct flo_rollout_phase *phase = &world->rollout.phases[0];
    phase->starts_per_s = 1;
    phase->ramp_factor = 2;
    phase->ramp_successes = 10;
    start(world);
    uint32_t told[3];

    for (size_t i = 0, device = 1; i < 3; i++) {
        uint32_t before = count_of(world, FLO_EXECUTION_NOTIFIED);
        for (int second = 0; second < 20; second++) {
            wait_ms(world, 1000);
        }
        told[i] = count_of(world, FLO_EXECUTION_NOTIFIED) - before;
        for (size_t good = 0; good < 10; good++, device++) {
            says(world, device, 1, FLO_EXECUTION_SUCCEEDED, NULL);
        }
    }

    assert_int_equal(told[0], 20);
    assert_int_equal(told[1], 40);
    assert_int_equal(told[2], 80);
    world_free(world);
}

/* ---- sizes, strata ---- */

static void a_share_has_bounds_in_devices(void **state)
{
    (void)state;
    struct world *world = world_new(1000);
    world->rollout.phase_count = 3;
    world->rollout.phases[0] = (struct flo_rollout_phase){.share_pct = 0.1, .devices_min = 7};
    world->rollout.phases[1] = (struct flo_rollout_phase){.share_pct = 50, .devices_max = 100};
    world->rollout.phases[2] = (struct flo_rollout_phase){.share_pct = 100};
    start(world);

    assert_int_equal(world->rollout.phases[0].members, 7);
    assert_int_equal(world->rollout.phases[1].members, 93);
    assert_int_equal(world->rollout.phases[2].members, 900);
    world_free(world);
}

static void check_spread(size_t canary, const uint32_t *expected, bool some_offline)
{
    struct world *world = world_new(1000);
    uint32_t picked[5] = {0};
    uint64_t buckets = 0;
    uint64_t after = 0;
    world->rollout.phase_count = 2;
    world->rollout.phases[0] =
        (struct flo_rollout_phase){.devices = (uint32_t)canary, .is_spread = true};
    world->rollout.phases[1] = (struct flo_rollout_phase){.share_pct = 100};
    for (size_t i = 0; i < 1000; i++) { /* 900, 80, 15 and 5 devices */
        world->places[i].stratum = i < 900 ? 1 : i < 980 ? 2 : i < 995 ? 3 : 4;
        world->is_offline[i] = some_offline && i % 2 == 0;
        buckets += (uint64_t)i * FLO_BUCKETS / 1000;
    }
    start(world);

    assert_int_equal(world->rollout.phases[0].members, canary);
    for (size_t i = 0; i < 1000; i++) {
        const struct flo_rollout_member *m = &world->rollout.members[i];
        picked[m->place.stratum] += m->phase == 0;
        assert_true(m->phase != 0 || m->is_online);
        assert_true(i == 0 || strcmp(m[-1].device, m->device) < 0);
        after += m->bucket;
    }
    assert_int_equal(after, buckets); /* they only changed places */
    for (size_t i = 1; i < 5; i++) {
        if (picked[i] != expected[i - 1]) {
            fail_msg("%zu devices: %u of stratum %zu, not %u", canary, picked[i], i,
                     expected[i - 1]);
        }
    }
    world_free(world);
}

static void a_spread_canary_has_each_stratum_and_the_rest_by_size(void **state)
{
    (void)state;

    check_spread(2, (const uint32_t[]){1, 1, 0, 0}, false);
    check_spread(4, (const uint32_t[]){1, 1, 1, 1}, false);
    check_spread(20, (const uint32_t[]){17, 1, 1, 1}, false);
    check_spread(100, (const uint32_t[]){90, 8, 1, 1}, true);
}

static void a_spread_phase_orders_each_device_by_name(void **state)
{
    (void)state;
    struct world *world = world_new(6);
    world->rollout.phase_count = 2;
    world->rollout.phases[0] = (struct flo_rollout_phase){.devices = 2, .is_spread = true};
    snprintf(world->rollout.phases[0].name, FLO_NAME_MAX, "canary");
    world->rollout.phases[1] = (struct flo_rollout_phase){.share_pct = 100};
    snprintf(world->rollout.phases[1].name, FLO_NAME_MAX, "all");
    for (size_t i = 0; i < 6; i++) {
        world->places[i].stratum = i < 5 ? 1 : 2;
    }
    start(world);

    assert_int_equal(state_of(world, 1), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(state_of(world, 6), FLO_EXECUTION_NOTIFIED);
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 6, 1, FLO_EXECUTION_FAILED, "probe.golden");

    ends_as(world, FLO_ROLLOUT_HALTED, "pace-spread");
}

/* ---- what it waits for ---- */

static void waits_for(struct world *world, const char *what, uint64_t in_ms)
{
    struct flo_rollout_next next;

    assert_true(flo_rollout_next(&world->rollout, world->now_ms, 60000, &next));
    if (strcmp(next.what, what) != 0 || next.at_ms != world->now_ms + in_ms) {
        fail_msg("%s in %lld ms, not %s in %llu", next.what,
                 (long long)(next.at_ms - world->now_ms), what, (unsigned long long)in_ms);
    }
}

/* All of a first phase may wait for mains: nothing decides, and nothing is
 * wrong. */
static void a_phase_whose_devices_all_wait_says_when_it_looks_again(void **state)
{
    (void)state;
    struct world *world = world_new(6);
    world->rollout.phase_count = 2;
    world->rollout.phases[0] = (struct flo_rollout_phase){.devices = 2};
    world->rollout.phases[1] = (struct flo_rollout_phase){.share_pct = 100};
    start(world);
    world->rollout.deadlines_ms[FLO_EXECUTION_NOTIFIED] = 5400000;
    waits_for(world, "phase 1: 2 are under way", 3600000);

    for (size_t device = 1; device <= 2; device++) {
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                               .device = world->names[device - 1],
                                               .attempt = 1,
                                               .execution = FLO_EXECUTION_ACCEPTED,
                                               .waits = FLO_WAITS_YES});
    }
    wait_ms(world, 600000);
    assert_int_equal(world->rollout.phase, 0);
    waits_for(world, "phase 1: 2 wait for their surroundings", 60000);
    world->now_ms += 45000;
    waits_for(world, "phase 1: 2 wait for their surroundings", 15000);
    world_free(world);
}

static void each_state_that_does_not_last_says_what_it_waits_for(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    struct flo_rollout_next next;
    window_of(world, "01:00-05:00");
    world->places[3].zone = 0;
    world->is_offline[2] = true;
    world->rollout.approvals_needed = 1;
    world->rollout.expires_at_ms = world->now_ms + 7 * 24 * HOUR_MS;
    world->rollout.start_at_ms = world->now_ms + 2 * HOUR_MS;
    start(world);
    waits_for(world, "1 more approval", 7 * 24 * HOUR_MS);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_APPROVE, .note = "anna"});
    waits_for(world, "its time", 2 * HOUR_MS);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PUT_OFF,
                                           .note = "change freeze",
                                           .until_ms = world->now_ms + 3 * HOUR_MS});
    waits_for(world, "what forbids its begin", 3 * HOUR_MS);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BEGIN});
    waits_for(world,
              "phase 1: 1 is under way, 1 waits for its window, 1 has a window "
              "and no zone (label tz), 1 is away",
              60000);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PAUSE});
    waits_for(world,
              "a person (resume, promote, abort, rollback); 1 is under way, 1 "
              "is away",
              1000);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ABORT});
    waits_for(world, "1 is under way, 1 is away", 60000);
    says(world, 1, 1, FLO_EXECUTION_CANCELLED, NULL);
    wait_ms(world, 1000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ABORTED);
    assert_false(flo_rollout_next(&world->rollout, world->now_ms, 60000, &next));
    world_free(world);
}

/* ---- to the begin ---- */

static struct world *world_with_canary(size_t devices, uint32_t canary)
{
    struct world *world = world_new(devices);

    world->rollout.phase_count = 2;
    world->rollout.phases[0] = (struct flo_rollout_phase){.devices = canary};
    snprintf(world->rollout.phases[0].name, FLO_NAME_MAX, "canary");
    world->rollout.phases[1] = (struct flo_rollout_phase){.share_pct = 100};
    snprintf(world->rollout.phases[1].name, FLO_NAME_MAX, "all");
    return world;
}

static void operator_does(struct world *world, enum flo_rollout_event_kind kind)
{
    step(world, (struct flo_rollout_event){.kind = kind, .note = "ops"});
}

/* Half of 200 devices have the other release until a person decides. */
static void an_experiment_says_when_its_arms_are_no_comparison(void **state)
{
    (void)state;
    struct world *world = world_with_canary(200, 100);
    world->rollout.phases[0].is_until_promoted = true;
    start(world);
    wait_ms(world, 1000);
    for (size_t device = 1; device <= 100; device++) {
        says(world, device, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    waits_for(world,
              "phase 1: a person (promote, abort, rollback); 100 of 100 : 100 "
              "of 100 devices are there",
              5000);

    for (size_t device = 1; device <= 30; device++) {
        member(world, device)->is_online = false;
        member(world, device + 100)->is_online = false;
    }
    waits_for(world,
              "phase 1: a person (promote, abort, rollback); 70 of 100 : 70 "
              "of 100 devices are there",
              5000);

    for (size_t device = 101; device <= 130; device++) {
        member(world, device)->is_online = true;
    }
    waits_for(world,
              "phase 1: a person (promote, abort, rollback); 70 of 100 : 100 "
              "of 100 devices do not fit the shares: trust no comparison, look "
              "at who is missing",
              5000);
    world_free(world);
}

static void a_second_person_and_a_time_come_before_the_begin(void **state)
{
    (void)state;
    struct world *world = world_with_canary(3, 1);
    world->rollout.approvals_needed = 2;
    world->rollout.start_at_ms = MONDAY_MS + HOUR_MS;
    world->rollout.expires_at_ms = MONDAY_MS + 2 * HOUR_MS;
    start(world);
    operator_does(world, FLO_ROLLOUT_EVENT_APPROVE);
    wait_ms(world, 1000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_AWAITING_APPROVAL);
    operator_does(world, FLO_ROLLOUT_EVENT_APPROVE);
    wait_ms(world, HOUR_MS - 1000);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PUT_OFF,
                                           .note = "change freeze audit",
                                           .until_ms = MONDAY_MS + HOUR_MS + 60000});
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PUT_OFF,
                                           .note = "change freeze audit",
                                           .until_ms = MONDAY_MS + HOUR_MS + 60000});
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_QUEUED);
    operator_does(world, FLO_ROLLOUT_EVENT_BEGIN);
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 2, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 3, 1, FLO_EXECUTION_SUCCEEDED, NULL);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "rollout-approved");
}

static void who_nobody_approves_expires(void **state)
{
    (void)state;
    struct world *world = world_with_canary(3, 1);
    world->rollout.approvals_needed = 1;
    world->rollout.expires_at_ms = MONDAY_MS + HOUR_MS;
    start(world);
    wait_ms(world, HOUR_MS - 1);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_AWAITING_APPROVAL);
    wait_ms(world, 1);

    ends_as(world, FLO_ROLLOUT_ABORTED, "rollout-expires");
}

static void one_that_expires_under_way_is_aborted_or_paused(void **state)
{
    (void)state;
    for (int pauses = 0; pauses < 2; pauses++) {
        struct world *world = world_with_canary(3, 1);
        world->rollout.expires_at_ms = MONDAY_MS + HOUR_MS;
        world->rollout.pauses_when_expired = pauses == 1;
        start(world);
        says(world, 1, 1, FLO_EXECUTION_DOWNLOADING, NULL);
        wait_ms(world, HOUR_MS);
        assert_int_equal(world->rollout.state, pauses ? FLO_ROLLOUT_PAUSED : FLO_ROLLOUT_ABORTING);
        if (pauses) { /* a person may go on */
            operator_does(world, FLO_ROLLOUT_EVENT_RESUME);
            wait_ms(world, 1000);
            assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
        }
        world_free(world);
    }
}

static void a_snapshot_takes_who_joins_before_the_begin(void **state)
{
    (void)state;
    for (int snapshot = 0; snapshot < 2; snapshot++) {
        struct world *world = world_with_canary(3, 1);
        struct flo_rollout_event joined = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                           .device = "e0000001-0000-4000-8000-000000000000",
                                           .is_online = true};
        world->rollout.is_snapshot = snapshot == 1;
        world->rollout.approvals_needed = 1;
        start(world);
        step(world, joined);
        assert_int_equal(world->rollout.member_count, 4);
        operator_does(world, FLO_ROLLOUT_EVENT_APPROVE);
        operator_does(world, FLO_ROLLOUT_EVENT_BEGIN);
        joined.device = "e0000002-0000-4000-8000-000000000000";
        step(world, joined);
        assert_int_equal(world->rollout.member_count, snapshot ? 4 : 5);
        world_free(world);
    }
}

static void a_change_freeze_starts_nobody_and_ends_nobody(void **state)
{
    (void)state;
    struct world *world = world_with_canary(4, 2);
    start(world);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BARRED,
                                           .note = "change freeze audit",
                                           .until_ms = MONDAY_MS + HOUR_MS});
    says(world, 1, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    says(world, 2, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    wait_ms(world, 1000);
    assert_int_equal(world->rollout.phase, 1);
    assert_int_equal(state_of(world, 3), FLO_EXECUTION_QUEUED);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BARRED,
                                           .note = "the change freeze ended"});
    wait_ms(world, 1000);
    assert_int_equal(state_of(world, 3), FLO_EXECUTION_NOTIFIED);

    ends_as(world, FLO_ROLLOUT_RUNNING, "rollout-barred");
}

/* ---- failures ---- */

static void a_lost_network_is_tried_again_and_a_bad_release_is_not(void **state)
{
    (void)state;
    struct world *world = world_new(3);
    world->rollout.gates[FLO_GATE_FAILED].margin = 100;
    world->rollout.retries_max[FLO_FAILURE_NETWORK] = 2;
    world->rollout.retry_wait_ms = 600000;
    start(world);

    says(world, 1, 1, FLO_EXECUTION_DOWNLOADING, NULL);
    says(world, 1, 1, FLO_EXECUTION_FAILED, "net.stalled");
    says(world, 2, 1, FLO_EXECUTION_FAILED, "probe.golden");
    says(world, 3, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_QUEUED);
    assert_int_equal(state_of(world, 2), FLO_EXECUTION_FAILED);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    wait_ms(world, 599000);
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_QUEUED);
    says(world, 1, 1, FLO_EXECUTION_FAILED, "net.stalled"); /* told twice */
    assert_int_equal(member(world, 1)->retries, 1);
    wait_ms(world, 1000);
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_NOTIFIED);
    says(world, 1, 2, FLO_EXECUTION_FAILED, "net.unreachable");
    wait_ms(world, 600000);
    says(world, 1, 3, FLO_EXECUTION_FAILED, "net.unreachable");
    assert_int_equal(state_of(world, 1), FLO_EXECUTION_FAILED);

    ends_as(world, FLO_ROLLOUT_COMPLETED, "pace-retries");
}

static void too_many_failures_of_one_kind_stop_it(void **state)
{
    (void)state;
    struct world *world = world_new(100);
    world->rollout.gates[FLO_GATE_FAILED].margin = 100;
    world->rollout.aborts[0] = (struct flo_abort_rule){.kind = FLO_FAILURE_NETWORK,
                                                       .fail_pct = 20,
                                                       .executed_min = 10,
                                                       .action = FLO_ON_FAIL_PAUSE};
    world->rollout.abort_count = 1;
    start(world);

    says(world, 1, 1, FLO_EXECUTION_FAILED, "net.stalled");
    says(world, 2, 1, FLO_EXECUTION_FAILED, "disk.full");
    says(world, 3, 1, FLO_EXECUTION_FAILED, "disk.full");
    for (size_t device = 4; device <= 10; device++) {
        says(world, device, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    says(world, 11, 1, FLO_EXECUTION_FAILED, "net.timeout");
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    says(world, 12, 1, FLO_EXECUTION_FAILED, "net.timeout");

    ends_as(world, FLO_ROLLOUT_PAUSED, "pace-abort-on");
}

static void a_phase_that_is_unsure_may_pause(void **state)
{
    (void)state;
    struct world *world = world_new(20);
    world->rollout.phase_count = 2;
    world->rollout.phases[0] = (struct flo_rollout_phase){.devices = 10};
    world->rollout.phases[1] = (struct flo_rollout_phase){.share_pct = 100};
    world->rollout.pauses_when_unsure = true;
    start(world);

    says(world, 1, 1, FLO_EXECUTION_FAILED, "disk.full");
    says(world, 2, 1, FLO_EXECUTION_FAILED, "disk.full");
    for (size_t device = 3; device <= 10; device++) {
        says(world, device, 1, FLO_EXECUTION_SUCCEEDED, NULL);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);

    /* A resume waits for more, and does not pause again. */
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_RESUME});
    wait_ms(world, 1000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    world_free(world);
}

static void each_error_has_one_kind(void **state)
{
    static const struct {
        enum flo_execution end;
        const char *id;
        enum flo_failure kind;
    } ends[] = {{FLO_EXECUTION_FAILED, "net.stalled", FLO_FAILURE_NETWORK},
                {FLO_EXECUTION_FAILED, "disk.full", FLO_FAILURE_DISK},
                {FLO_EXECUTION_FAILED, "probe.speed", FLO_FAILURE_PROBE},
                {FLO_EXECUTION_FAILED, "", FLO_FAILURE_OTHER},
                {FLO_EXECUTION_ROLLED_BACK, "soak.health", FLO_FAILURE_TRIAL},
                {FLO_EXECUTION_TIMED_OUT, "net.stalled", FLO_FAILURE_TIMEOUT},
                {FLO_EXECUTION_REJECTED, "target.floor", FLO_FAILURE_REFUSED},
                {FLO_EXECUTION_REJECTED, "disk.full", FLO_FAILURE_DISK},
                {FLO_EXECUTION_REJECTED, "", FLO_FAILURE_REFUSED}};
    uint32_t kind;
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(ends); i++) {
        assert_string_equal(flo_failure_word(flo_failure_of(ends[i].end, ends[i].id)),
                            flo_failure_word(ends[i].kind));
    }
    for (uint32_t i = 0; i <= FLO_FAILURE_ANY; i++) {
        assert_true(flo_failure_parse(flo_failure_word(i), &kind) && kind == i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_opens_by_each_devices_own_clock),
        cmocka_unit_test(without_a_zone_a_device_never_begins_in_a_local_window),
        cmocka_unit_test(windows_know_days_midnight_and_offsets),
        cmocka_unit_test(texts_that_are_no_window_are_refused),
        cmocka_unit_test(never_more_than_two_of_a_site),
        cmocka_unit_test(who_is_offline_takes_no_place_and_follows_later),
        cmocka_unit_test(a_phase_has_a_limit_of_its_own),
        cmocka_unit_test(a_ramp_grows_with_success),
        cmocka_unit_test(a_share_has_bounds_in_devices),
        cmocka_unit_test(a_spread_canary_has_each_stratum_and_the_rest_by_size),
        cmocka_unit_test(a_spread_phase_orders_each_device_by_name),
        cmocka_unit_test(a_lost_network_is_tried_again_and_a_bad_release_is_not),
        cmocka_unit_test(a_phase_whose_devices_all_wait_says_when_it_looks_again),
        cmocka_unit_test(each_state_that_does_not_last_says_what_it_waits_for),
        cmocka_unit_test(an_experiment_says_when_its_arms_are_no_comparison),
        cmocka_unit_test(a_second_person_and_a_time_come_before_the_begin),
        cmocka_unit_test(who_nobody_approves_expires),
        cmocka_unit_test(one_that_expires_under_way_is_aborted_or_paused),
        cmocka_unit_test(a_snapshot_takes_who_joins_before_the_begin),
        cmocka_unit_test(a_change_freeze_starts_nobody_and_ends_nobody),
        cmocka_unit_test(too_many_failures_of_one_kind_stop_it),
        cmocka_unit_test(a_phase_that_is_unsure_may_pause),
        cmocka_unit_test(each_error_has_one_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

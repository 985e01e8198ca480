/* Any rollout, and any events in any order, drawn from a seed: what holds after each
 * step, whatever happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/core/rollout/decidable.h"
#include "server-stub/core/rollout/rollout.h"

#define ROOM 48
#define SITES 5
#define SEEDS 600
#define STEPS 400

struct world {
    struct flo_rollout rollout;
    struct flo_rollout draft;
    struct flo_rollout_member members[ROOM];
    struct flo_rollout_member copies[ROOM];
    struct flo_rollout_actions actions;
    struct flo_rollout_analysis analysis;
    struct flo_comparison evidence;
    uint32_t busy[SITES];
    uint8_t slices[ROOM];
    uint8_t probes[ROOM];
    char name[37];
    uint64_t now_ms;
    uint64_t random;
    uint32_t seed;
};

/* ---- chance ---- */

static uint32_t draw(struct world *world, uint32_t below)
{
    uint64_t z = (world->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static bool chance(struct world *world, uint32_t pct)
{
    return draw(world, 100) < pct;
}

/* ---- a rollout ---- */

static void draw_phases(struct world *world, struct flo_rollout *rollout)
{
    uint32_t devices = 0;
    double share = 0;
    bool is_hold_out = chance(world, 20);
    bool is_spread = chance(world, 40);

    rollout->phase_count = 1 + draw(world, 4);
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        struct flo_rollout_phase *phase = &rollout->phases[i];
        bool is_last = i + 1 == rollout->phase_count;
        *phase = (struct flo_rollout_phase){.soak_ms = chance(world, 50) ? 60000 : 0,
                                            .is_spread = is_spread && !is_last,
                                            .is_until_promoted = chance(world, 10),
                                            .starts_per_s = chance(world, 20) ? 0.5 : 0,
                                            .concurrent_max = chance(world, 20) ? 3 : 0};
        snprintf(phase->name, sizeof(phase->name), "p%u", i + 1);
        if (share <= 0 && chance(world, 50)) {
            devices += 1 + draw(world, 8);
            phase->devices = devices;
        } else {
            share = is_last ? 100 : share + (100 - share) * (1 + draw(world, 50)) / 100.0;
            phase->share_pct = share;
            phase->devices_min = chance(world, 20) ? 2 : 0;
            phase->devices_max = chance(world, 20) ? 20 : 0;
        }
        if (chance(world, 20)) {
            phase->starts_per_s = 1;
            phase->ramp_factor = 2;
            phase->ramp_successes = 1 + draw(world, 3);
        }
        if (is_hold_out && is_last && i > 0) {
            phase->is_hold_out = true;
            phase->watch_ms = 600000;
        }
    }
}

static void draw_gates(struct world *world, struct flo_rollout *rollout)
{
    flo_gate_default(FLO_GATE_FAILED, &rollout->gates[FLO_GATE_FAILED]);
    rollout->gates[FLO_GATE_FAILED].margin = draw(world, 3) * 40;
    rollout->gates[FLO_GATE_FAILED].silence_ms_max = 120000;
    rollout->gate_count = 1;
    if (chance(world, 40)) {
        struct flo_gate_rule *rule = &rollout->gates[rollout->gate_count++];
        flo_gate_default(FLO_GATE_RATIO, rule);
        rule->metric = FLO_METRIC_NAME_TTFT;
        rule->devices_min = 1 + draw(world, 3);
        rule->samples_min = 1;
        rule->has_action = chance(world, 50);
        rule->action = (enum flo_on_fail)draw(world, 3);
    }
    rollout->abort_count = chance(world, 30) ? 1 : 0;
    rollout->aborts[0] = (struct flo_abort_rule){
        .kind = FLO_FAILURE_ANY,
        .fail_pct = 30,
        .executed_min = 2,
        .action = chance(world, 50) ? (uint32_t)draw(world, 3) : FLO_ABORT_ACTION_NONE};
    rollout->on_fail = (enum flo_on_fail)draw(world, 3);
    rollout->pauses_when_unsure = chance(world, 30);
    rollout->holds_for_person = chance(world, 30);
    if (chance(world, 60)) {
        flo_analysis_preset(FLO_PRESET_NORMAL, &rollout->analysis.rules);
        rollout->analysis.rules.is_alarm = chance(world, 10);
        rollout->analysis.block_ms = 30000;
        rollout->analysis.on_fail = (enum flo_on_fail)draw(world, 3);
        for (uint32_t i = 0; i < rollout->analysis.rules.count; i++) {
            rollout->analysis.rules.rules[i].devices_min = 1 + draw(world, 3);
            rollout->analysis.rules.rules[i].controls_min = 1 + draw(world, 3);
        }
        if (chance(world, 10)) {
            snprintf(rollout->analysis.split_of, sizeof(rollout->analysis.split_of), "other");
        }
    }
}

static void draw_limits(struct world *world, struct flo_rollout *rollout)
{
    rollout->concurrent_max = chance(world, 20) ? 4 : 0;
    rollout->starts_per_s = chance(world, 30) ? 2 : 0;
    if (chance(world, 20)) {
        rollout->limit_count = 1;
        rollout->limits[0].most = 1 + draw(world, 2);
    }
    if (chance(world, 20)) {
        assert_true(flo_window_parse("01:00-05:00 device-local", &rollout->window));
        for (size_t i = 0; i < SITES; i++) {
            rollout->zones[i] = (struct flo_rollout_zone){.offset_s = (int32_t)i * 3600,
                                                          .is_known = chance(world, 70)};
        }
    }
    for (uint32_t i = 0; i < FLO_FAILURES; i++) {
        rollout->retries_max[i] = flo_failure_may_retry((enum flo_failure)i) ? draw(world, 3) : 0;
    }
    rollout->retry_wait_ms = 30000;
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        rollout->deadlines_ms[i] = chance(world, 70) ? 300000 : 0;
    }
    rollout->soak_ms = chance(world, 50) ? 60000 : 0;
}

static void draw_rollout(struct world *world, struct flo_rollout *rollout)
{
    memset(rollout, 0, sizeof(*rollout));
    snprintf(rollout->id, sizeof(rollout->id), "r-0001");
    rollout->created_at_ms = world->now_ms;
    rollout->members = world->members;
    rollout->member_capacity = ROOM;
    rollout->busy = world->busy;
    rollout->busy_count = SITES;
    rollout->segment_count = 2;
    draw_phases(world, rollout);
    draw_gates(world, rollout);
    draw_limits(world, rollout);
    rollout->is_covered = chance(world, 30);
    for (uint32_t i = 0; rollout->is_covered && i + 1 < rollout->phase_count; i++) {
        rollout->phases[i].is_spread = !rollout->phases[i].is_hold_out;
    }
    rollout->is_snapshot = chance(world, 20);
    rollout->approvals_needed = chance(world, 30) ? 1 + draw(world, 2) : 0;
    rollout->start_at_ms = chance(world, 20) ? world->now_ms + 60000 : 0;
    rollout->expires_at_ms = chance(world, 20) ? world->now_ms + 3600000 : 0;
    rollout->approve_by_ms = chance(world, 20) ? world->now_ms + 600000 : 0;
    rollout->pauses_when_expired = chance(world, 50);
    flo_analysis_phase(&rollout->analysis, 0);
}

/* ---- events ---- */

static void draw_slices(struct world *world)
{
    struct flo_analysis_slices *slices = &world->analysis.evidence.slices;
    struct flo_analysis_evidence *evidence = &world->analysis.evidence;

    slices->count = chance(world, 80) ? 0 : draw(world, 3);
    for (uint32_t i = 0; i < slices->count; i++) {
        slices->rows[i] = (struct flo_analysis_slice){.measure = FLO_MEASURE_TTFT_P95,
                                                      .is_culprit = chance(world, 50),
                                                      .is_asked = chance(world, 50),
                                                      .members = 1 + draw(world, 30),
                                                      .updated = 3,
                                                      .far = 2,
                                                      .controls = draw(world, 3)};
        snprintf(slices->rows[i].name, FLO_SLICE_TEXT, "site=s%u", draw(world, SITES));
    }
    slices->changed_count = draw(world, 2);
    slices->changed[0] = (struct flo_analysis_changed){.name = "site=x", .shift = 0.2};
    evidence->probe_count = draw(world, 3);
    for (uint32_t i = 0; i < evidence->probe_count; i++) {
        evidence->probes[i] = (struct flo_analysis_probe){.device = "d1", .least = 0.7};
        snprintf(evidence->probes[i].name, FLO_SLICE_TEXT, "site=s%u", draw(world, SITES));
    }
    for (size_t i = 0; i < ROOM; i++) {
        world->slices[i] = (uint8_t)draw(world, 4);
        world->probes[i] = (uint8_t)draw(world, 4);
    }
    world->analysis.slices = chance(world, 80) ? world->slices : NULL;
    world->analysis.probes = chance(world, 80) ? world->probes : NULL;
}

static void draw_analysis(struct world *world)
{
    struct flo_analysis_evidence *evidence = &world->analysis.evidence;
    double mean = chance(world, 80) ? 0 : (draw(world, 7) - 3.0) * 0.1;

    memset(&world->analysis, 0, sizeof(world->analysis));
    evidence->phase = chance(world, 90) ? world->rollout.phase : draw(world, 4);
    evidence->block = (uint32_t)(world->now_ms / 300000);
    evidence->segment_count = 2;
    for (uint32_t s = 0; s < 2; s++) {
        struct flo_analysis_segment *segment = &evidence->segments[s];
        snprintf(segment->name, sizeof(segment->name), "class-%u", s);
        segment->members = 1 + draw(world, 20);
        for (int m = 0; m < FLO_MEASURE_COUNT; m++) {
            int reading = flo_measure_fact((enum flo_measure)m)->reading;
            enum flo_statistic_kind kind = flo_measure_fact((enum flo_measure)m)->kind;
            double here = s == 0 || chance(world, 50) ? mean : 0;
            if (kind == FLO_STATISTIC_RATIO) {
                segment->arms[m].ratio = (struct flo_ratio_segment){
                    .treated = {.devices = draw(world, 30), .mean = here, .m2 = 0.01},
                    .control = {.devices = draw(world, 100), .m2 = 0.05}};
                evidence->readers[m] = draw(world, 3);
                evidence->wave[reading] = (struct flo_pooled_sums){.updated = 10,
                                                                   .controls = 50,
                                                                   .freedom = 58,
                                                                   .squares = 0.1,
                                                                   .freedom_updated = 9,
                                                                   .squares_updated = 0.02,
                                                                   .change = here * 10,
                                                                   .load = 2};
            } else if (kind == FLO_STATISTIC_COUNT) {
                double events = chance(world, 97) ? 1 : draw(world, 60);
                segment->arms[m].count.treated = (struct flo_count_arm){.devices = 10,
                                                                        .events = events,
                                                                        .expected = 10,
                                                                        .exposure = 4000,
                                                                        .sxx = events * events,
                                                                        .sxl = events,
                                                                        .sll = 10};
                segment->arms[m].count.control = (struct flo_count_arm){.devices = 90,
                                                                        .events = 9,
                                                                        .expected = 90,
                                                                        .exposure = 36000,
                                                                        .sxx = 9,
                                                                        .sxl = 9,
                                                                        .sll = 90};
            }
            segment->above[m].treated.devices = 12;
            segment->above[m].treated.above = chance(world, 1) ? 12 : 0;
            segment->above[m].control.devices = draw(world, 2) * 12;
        }
    }
    evidence->crash.treated.devices = chance(world, 90) ? 0 : draw(world, 4);
    evidence->crash.treated.expected = 0.1;
    evidence->crash.control.expected = 0.5;
    draw_slices(world);
}

static void draw_evidence(struct world *world)
{
    struct flo_comparison *evidence = &world->evidence;

    memset(evidence, 0, sizeof(*evidence));
    evidence->metric = FLO_METRIC_NAME_TTFT;
    evidence->phase = chance(world, 90) ? world->rollout.phase : draw(world, 4);
    evidence->is_last = chance(world, 30);
    evidence->is_cut = chance(world, 10);
    for (int i = 0; i < 2; i++) {
        struct flo_evidence_class *one = flo_evidence_class(evidence, i == 0 ? "a" : "b");
        one->updated.devices = draw(world, 5);
        one->waiting.devices = draw(world, 5);
        for (uint32_t k = draw(world, 4); k > 0; k--) {
            flo_histogram_add(&one->updated.values, 100 + draw(world, 400));
            flo_histogram_add(&one->waiting.values, 200);
        }
    }
}

/* Mostly devices that do what they are told. */
static enum flo_rollout_event_kind draw_kind(struct world *world)
{
    static const enum flo_rollout_event_kind often[] = {
        FLO_ROLLOUT_EVENT_EXECUTION, FLO_ROLLOUT_EVENT_EXECUTION, FLO_ROLLOUT_EVENT_EXECUTION,
        FLO_ROLLOUT_EVENT_EXECUTION, FLO_ROLLOUT_EVENT_TICK,      FLO_ROLLOUT_EVENT_TICK,
        FLO_ROLLOUT_EVENT_HEARD,     FLO_ROLLOUT_EVENT_ANALYSIS,  FLO_ROLLOUT_EVENT_EVIDENCE,
        FLO_ROLLOUT_EVENT_BACK,      FLO_ROLLOUT_EVENT_JOINED};

    return chance(world, 96) ? often[draw(world, FLO_COUNT(often))]
                             : (enum flo_rollout_event_kind)draw(world, FLO_ROLLOUT_EVENT_COUNT);
}

/* The way of a device that is well. */
static enum flo_execution next_state(struct world *world, enum flo_execution now)
{
    return now < FLO_EXECUTION_PROBING   ? FLO_EXECUTION_PROBING
           : now < FLO_EXECUTION_SOAKING ? FLO_EXECUTION_SOAKING
           : chance(world, 98)           ? FLO_EXECUTION_SUCCEEDED
                                         : FLO_EXECUTION_ROLLED_BACK;
}

static struct flo_rollout_event draw_event(struct world *world, bool is_early,
                                           struct flo_rollout_place *place)
{
    static const char *const notes[] = {NULL, "probe.golden", "io.network", "disk.full",
                                        "target.incompatible"};
    struct flo_rollout_event event = {
        .kind = is_early ? FLO_ROLLOUT_EVENT_JOINED : draw_kind(world), .now_ms = world->now_ms};
    uint32_t device = draw(world, chance(world, 98) ? ROOM : ROOM + 2);
    size_t index;

    snprintf(world->name, sizeof(world->name), "d%07u", device);
    *place = (struct flo_rollout_place){.zone = (uint8_t)draw(world, SITES + 1),
                                        .stratum = device % 3,
                                        .slots = {device % (SITES + 1)}};
    event.wall_ms = chance(world, 50) ? 0 : world->now_ms + UINT64_C(1767571200000);
    event.note = notes[draw(world, FLO_COUNT(notes))];
    if (event.kind <= FLO_ROLLOUT_EVENT_FORGOTTEN) {
        event.device = world->name;
        index = flo_rollout_find(&world->rollout, world->name);
        const struct flo_rollout_member *member = index != SIZE_MAX ? &world->members[index] : NULL;
        event.attempt = member == NULL         ? 1
                        : member->attempt == 0 ? 1 + draw(world, 2)
                                               : member->attempt + (chance(world, 5) ? 1 : 0);
        event.execution = member != NULL && chance(world, 85)
                              ? next_state(world, (enum flo_execution)member->state)
                              : (enum flo_execution)draw(world, FLO_EXECUTION_COUNT);
    }
    event.bucket = device * (FLO_BUCKETS / (ROOM + 2));
    event.place = chance(world, 80) ? place : NULL;
    event.is_online = chance(world, 80);
    event.is_superseded = chance(world, 5);
    event.segment = (uint8_t)draw(world, 2);
    event.slices = (uint8_t)draw(world, 8);
    event.is_ordered = chance(world, 50);
    event.is_aborted = chance(world, 50);
    event.is_current = chance(world, 20);
    event.is_overtaken = chance(world, 20);
    event.is_denied = chance(world, 20);
    event.waits = chance(world, 70)   ? FLO_WAITS_UNSAID
                  : chance(world, 50) ? FLO_WAITS_NO
                                      : FLO_WAITS_YES;
    event.is_retained = chance(world, 10);
    event.until_ms = chance(world, 50) ? 0 : world->now_ms + 60000;
    event.has_new_gates = chance(world, 50);
    return event;
}

/* Adds the members that the kind needs; false: this rollout has no such event. */
static bool complete(struct world *world, struct flo_rollout_event *event)
{
    const struct flo_analysis_state *state = &world->rollout.analysis.state;

    switch (event->kind) {
    case FLO_ROLLOUT_EVENT_EVIDENCE:
        draw_evidence(world);
        event->evidence = &world->evidence;
        event->gate = 1;
        return world->rollout.gate_count > 1;
    case FLO_ROLLOUT_EVENT_ANALYSIS:
        draw_analysis(world);
        event->analysis = &world->analysis;
        return true;
    case FLO_ROLLOUT_EVENT_EDIT:
        draw_rollout(world, &world->draft);
        event->draft = &world->draft;
        return true;
    case FLO_ROLLOUT_EVENT_PROMOTE:
    case FLO_ROLLOUT_EVENT_ROLLBACK:
        event->slice = state->held_count > 0 && chance(world, 50)
                           ? state->held[draw(world, state->held_count)]
                           : NULL;
        return true;
    default:
        return true;
    }
}

/* ---- what holds ---- */

static void counts_hold(struct world *world)
{
    struct flo_rollout again = world->rollout;

    memcpy(world->copies, world->members, sizeof(world->copies));
    again.members = world->copies;
    flo_rollout_count(&again);
    for (uint32_t i = 0; i < again.phase_count; i++) {
        const struct flo_rollout_phase *one = &world->rollout.phases[i];
        const struct flo_rollout_phase *other = &again.phases[i];
        if (one->members != other->members || one->away != other->away ||
            one->silent != other->silent || one->overdue != other->overdue ||
            one->excused != other->excused || one->struck != other->struck ||
            one->taken != other->taken || one->due != other->due ||
            memcmp(one->counts, other->counts, sizeof(one->counts)) != 0 ||
            memcmp(one->failures, other->failures, sizeof(one->failures)) != 0) {
            fail_msg("seed %u: the counts of phase %u are not those of its members", world->seed,
                     i);
        }
    }
}

static void members_hold(const struct world *world)
{
    const struct flo_rollout *rollout = &world->rollout;

    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        assert_true(i == 0 || strcmp(rollout->members[i - 1].device, member->device) < 0);
        assert_true(!member->is_waiting || member->is_away);
        assert_true(member->held != FLO_HELD_NOT || member->held_of == 0);
        assert_int_equal(flo_rollout_find(rollout, member->device), i);
        (void)flo_rollout_member_way(member);
    }
}

/* Each thing that people are told has its words. */
static void words_hold(struct world *world)
{
    const struct flo_rollout *rollout = &world->rollout;
    struct flo_rollout_next next;
    struct flo_rollout_soak soak;
    struct flo_rollout_cause causes[8];
    struct flo_rollout_lack lack;
    char what[FLO_LACK_TEXT];
    char fix[FLO_LACK_TEXT];
    uint64_t at_ms;
    uint32_t look;

    if (flo_rollout_next(rollout, world->now_ms, 60000, &next)) {
        assert_true(next.what[0] != '\0' && next.at_ms > world->now_ms);
    } else {
        assert_false(flo_rollout_state_is_active(rollout->state));
    }
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        assert_true(!flo_rollout_soak(rollout, i, &soak) || soak.until_ms >= soak.from_ms);
    }
    if (flo_rollout_causes(rollout, causes, FLO_COUNT(causes)) > 1) {
        assert_true(causes[0].devices >= causes[1].devices);
    }
    if (rollout->phase_count > 0 && flo_rollout_lacks(rollout, NULL, &lack)) {
        flo_rollout_lack_text(rollout, &lack, what, fix);
        assert_true(strncmp(what, "gate ", 5) == 0 && fix[0] != '\0');
    }
    if (flo_rollout_next_look(rollout, &look, &at_ms)) {
        assert_in_range(look, 1, FLO_SOAKS_MAX);
    }
}

static void step(struct world *world, bool is_early, struct flo_buf *trace)
{
    struct flo_rollout_place place;
    struct flo_rollout_event event = draw_event(world, is_early, &place);
    struct flo_err err = {0};
    enum flo_rollout_state before = world->rollout.state;

    if (!complete(world, &event)) {
        return;
    }
    int may = flo_rollout_may(&world->rollout, event.kind, &err);
    int rv = flo_rollout_step(&world->rollout, &event, &world->actions, &err);
    assert_true(may == 0 || rv == may);
    if (rv < 0) {
        assert_int_equal(err.code, rv);
        assert_true(err.what[0] != '\0');
        assert_int_equal(world->rollout.state, before);
        assert_int_equal(world->actions.count, 0);
    }
    trace->bytes = 0;
    flo_rollout_trace(&world->rollout, &event, &world->actions, trace);
    assert_true(trace->bytes > 0);
    counts_hold(world);
    members_hold(world);
    words_hold(world);
}

static void after_any_event_counts_order_and_words_hold(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) trace = {0};
    struct world *world = calloc(1, sizeof(*world));
    (void)state;

    assert_non_null(world);
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        memset(world, 0, sizeof(*world));
        world->seed = seed;
        world->random = seed;
        world->now_ms = 1000000;
        draw_rollout(world, &world->rollout);
        for (uint32_t i = 0; i < STEPS; i++) {
            uint64_t waits[] = {100, 1000, 20000, 400000};
            world->now_ms += waits[draw(world, chance(world, 90) ? 3 : 4)];
            if (i == 60) {
                struct flo_rollout_event start = {.kind = FLO_ROLLOUT_EVENT_START,
                                                  .now_ms = world->now_ms};
                struct flo_err err = {0};
                (void)!flo_rollout_step(&world->rollout, &start, &world->actions, &err);
            }
            step(world, i < 58, &trace);
        }
    }
    free(world);
}

static void join(struct world *world, const char *device, bool is_online, uint8_t slices)
{
    struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_JOINED,
                                      .now_ms = world->now_ms,
                                      .device = device,
                                      .is_online = is_online,
                                      .slices = slices};

    assert_int_equal(flo_rollout_step(&world->rollout, &event, &world->actions, NULL), 0);
}

/* With limits, an offline device is away from the start of its phase on. */
static void an_offline_device_of_a_slice_that_is_held_counts_once(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_analysis_state *analysis = &world->rollout.analysis.state;
    struct flo_rollout_event start = {.kind = FLO_ROLLOUT_EVENT_START, .now_ms = 1000};
    struct flo_gate_counts counts;
    (void)state;

    world->now_ms = 1000;
    world->rollout.members = world->members;
    world->rollout.member_capacity = ROOM;
    world->rollout.concurrent_max = 1;
    world->rollout.phase_count = 1;
    world->rollout.phases[0].share_pct = 100;
    flo_gate_default(FLO_GATE_FAILED, &world->rollout.gates[FLO_GATE_FAILED]);
    world->rollout.gate_count = 1;
    join(world, "a", true, 0);
    join(world, "b", false, 0);
    assert_int_equal(flo_rollout_step(&world->rollout, &start, &world->actions, NULL), 0);
    assert_true(world->members[1].is_away);

    snprintf(analysis->held[0], FLO_SLICE_TEXT, "site=lyon");
    analysis->held_count = 1;
    analysis->held_as[0] = FLO_SLICE_HELD;
    join(world, "b", false, 1); /* its labels say that it is there */

    assert_int_equal(world->members[1].state, FLO_EXECUTION_CANCELLED);
    flo_rollout_counts(&world->rollout, 0, &counts);
    assert_int_equal(counts.here_members, 1);
    assert_int_equal(counts.here_away, 0);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_offline_device_of_a_slice_that_is_held_counts_once),
        cmocka_unit_test(after_any_event_counts_order_and_words_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

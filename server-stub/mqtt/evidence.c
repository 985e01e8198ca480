/* Evidence for gates: selects devices and releases for a request to the
 * telemetry thread, and passes the answer to the rollout. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/mqtt/evidence.h"
#include "server-stub/state/rollouts/rollouts.h"

/* ---- asking ---- */

/* Tells whether evidence is gathered while the rollout is paused.  No block is
 * judged then, but a person may promote the rollout later. */
static bool keeps(const struct flo_rollout *core)
{
    return core->state == FLO_ROLLOUT_PAUSED;
}

static bool wants(const struct flo_rollout *core)
{
    enum flo_phase_state state = core->phases[core->phase].state;

    return (core->state == FLO_ROLLOUT_RUNNING || core->state == FLO_ROLLOUT_PAUSED) &&
           (state == FLO_PHASE_RUNNING || state == FLO_PHASE_HELD || state == FLO_PHASE_PASSED);
}

static size_t count_gates(const struct flo_rollout *core)
{
    size_t count = 0;

    for (uint32_t i = 0; i < core->gate_count; i++) {
        count += flo_gate_kind_of(core->gates[i].gate) == FLO_GATE_KIND_RATIO;
    }
    return count;
}

static void add_devices(const struct flo_rollout *core, struct flo_lane_evidence *evidence)
{
    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        if (member->state != FLO_EXECUTION_REMOVED && member->state != FLO_EXECUTION_SUPERSEDED) {
            memcpy(evidence->devices[evidence->device_count++], member->device,
                   sizeof(member->device));
        }
    }
}

/* Tells whether no device has the old release after this phase, so that none
 * remains to compare with.  A rollout's first of several phases never counts as
 * such: no phase before it was compared. */
static bool is_last(const struct flo_rollout *core)
{
    uint32_t behind = 0;

    for (uint32_t i = core->phase + 1; i < core->phase_count; i++) {
        const struct flo_rollout_phase *phase = &core->phases[i];
        behind += phase->members - phase->counts[FLO_EXECUTION_REMOVED] -
                  phase->counts[FLO_EXECUTION_SUPERSEDED];
    }
    return core->phase + 1 == core->phase_count || (core->phase > 0 && behind == 0);
}

static void add_gates(const struct flo_rollout *core, uint64_t now_ms,
                      struct flo_lane_evidence *evidence)
{
    for (uint32_t i = 0; i < core->gate_count; i++) {
        if (flo_gate_kind_of(core->gates[i].gate) != FLO_GATE_KIND_RATIO) {
            continue;
        }
        struct flo_comparison *one = &evidence->items[evidence->count];
        evidence->gates[evidence->count++] = i;
        one->metric = core->gates[i].metric;
        one->phase = core->phase;
        one->is_last = is_last(core);
        one->from_ms = core->phases[core->phase].started_at_ms;
        one->to_ms = now_ms;
    }
}

struct flo_lane_evidence *flo_evidence_ask(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry)
{
    const struct flo_rollout *core = &entry->core;
    size_t gates = count_gates(core);
    uint64_t now_ms = flo_controller_now_ms(controller);
    struct flo_err err = {0};

    if (gates == 0 || !wants(core)) {
        return NULL;
    }
    struct flo_lane_evidence *evidence = flo_lane_evidence_new(core->member_count, gates);
    if (evidence == NULL) {
        return NULL; /* the next time */
    }
    uint64_t began_at_ms = core->phases[core->phase].started_at_ms;
    uint64_t age_ms = now_ms > began_at_ms ? now_ms - began_at_ms : 0;
    snprintf(evidence->rollout, sizeof(evidence->rollout), "%s", core->id);
    snprintf(evidence->model, sizeof(evidence->model), "%s", entry->model);
    evidence->updated = entry->release;
    evidence->from_ms = flo_wall_ms() - age_ms;
    add_devices(core, evidence);
    add_gates(core, now_ms, evidence);
    if (flo_rollouts_others(controller, entry, evidence->waiting, &evidence->waiting_count, &err) <
        0) {
        flo_log_err(FLO_LOG_ERROR, "evidence", &err);
        flo_lane_evidence_free(evidence);
        return NULL;
    }
    return evidence;
}

/* ---- analyses ---- */

static void add_members(const struct flo_rollout *core, struct flo_observe_analysis *analysis)
{
    struct flo_analysis_evidence *evidence = &analysis->evidence;

    evidence->segment_count = core->segment_count;
    for (uint32_t i = 0; i < core->segment_count; i++) {
        memcpy(evidence->segments[i].name, core->segments[i], sizeof(evidence->segments[i].name));
    }
    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        struct flo_observe_member *to = &analysis->members[analysis->member_count++];
        memcpy(to->device, member->device, sizeof(to->device));
        to->segment = member->segment < core->segment_count ? member->segment : 0;
        to->way =
            member->held != FLO_HELD_NOT ? FLO_MEMBER_OUT : (uint8_t)flo_rollout_member_way(member);
        to->site = member->place.site;
        to->is_probe = member->is_probe;
        evidence->segments[to->segment].members++;
    }
}

/* Returns after how many blocks of 5 minutes the leak gate counts memory.
 * Tests with shorter blocks use the same number. */
static uint16_t leak_from(const struct flo_analysis_rules *rules)
{
    uint64_t from_ms = 0;

    for (uint32_t i = 0; i < rules->count; i++) {
        if (rules->rules[i].measure == FLO_MEASURE_LEAK) {
            from_ms = rules->rules[i].from_ms;
        }
    }
    uint64_t blocks = (from_ms + FLO_BLOCK_MS - 1) / FLO_BLOCK_MS;
    return blocks < UINT16_MAX ? (uint16_t)blocks : UINT16_MAX;
}

struct flo_observe_analysis *flo_evidence_analysis(struct flo_controller *controller,
                                                   struct flo_rollout_entry *entry)
{
    const struct flo_rollout *core = &entry->core;
    struct flo_observe_analysis *analysis;
    struct flo_err err = {0};

    if (core->analysis.rules.count == 0 || core->segment_count == 0 ||
        (!wants(core) && !keeps(core)) ||
        (analysis = flo_observe_analysis_new(core->member_count)) == NULL) {
        return NULL;
    }
    snprintf(analysis->rollout, sizeof(analysis->rollout), "%s", core->id);
    snprintf(analysis->model, sizeof(analysis->model), "%s", entry->model);
    snprintf(analysis->split_of, sizeof(analysis->split_of), "%s", core->analysis.split_of);
    analysis->is_kept = keeps(core);
    analysis->release = entry->release;
    analysis->phase = core->phase;
    analysis->block = core->analysis.state.block;
    analysis->excluded = core->analysis.state.excluded;
    analysis->leak_from = leak_from(&core->analysis.rules);
    analysis->heartbeat_ms = controller->heartbeat_ms;
    if (!analysis->is_kept && flo_rollouts_slices_ask(controller, entry, analysis, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "evidence", &err); /* none are listed */
    }
    add_members(core, analysis);
    return analysis;
}

static int step_analysis(struct flo_controller *controller,
                         const struct flo_observe_analysis *analysis, struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    struct flo_rollout_analysis *of = calloc(1, sizeof(*of));
    int rv = of == NULL ? flo_fail(err, FLO_E_MEMORY, "evidence")
                        : flo_rollouts_find(controller, analysis->rollout, &entry, err);

    uint8_t *slices = NULL;
    if (rv == 0) {
        of->evidence = analysis->evidence;
        rv = flo_rollouts_slices_name(entry, analysis, &of->evidence, &slices, err);
    }
    if (rv == 0) {
        of->slices = slices;
        of->probes = slices != NULL ? slices + entry->core.member_count : NULL;
        rv = flo_rollouts_step(
            controller, entry,
            (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ANALYSIS, .analysis = of}, err);
    }
    free(slices);
    free(of);
    return rv;
}

/* ---- the answer ---- */

static int step(struct flo_controller *controller, const struct flo_lane_evidence *evidence,
                struct flo_err *err)
{
    struct flo_rollout_entry *entry;

    FLO_TRY(flo_rollouts_find(controller, evidence->rollout, &entry, err));
    for (size_t i = 0; i < evidence->count; i++) {
        FLO_TRY(flo_rollouts_step(controller, entry,
                                  (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EVIDENCE,
                                                             .gate = evidence->gates[i],
                                                             .evidence = &evidence->items[i]},
                                  err));
    }
    return 0;
}

/* Passes the telemetry thread's answer to its rollout, in a transaction of its
 * own. */
static int take(struct flo_controller *controller, const struct flo_lane_query *query,
                struct flo_err *err)
{
    if (query->analysis != NULL && !query->analysis->is_new) {
        return 0;
    }
    FLO_TRY(flo_controller_begin(controller, err));
    int rv = query->analysis != NULL ? step_analysis(controller, query->analysis, err)
                                     : step(controller, query->evidence, err);
    return flo_controller_end(controller, rv, err);
}

static void on_answer(void *context, const struct flo_lane_query *query, const char *text,
                      const struct flo_err *err)
{
    struct flo_controller *controller = context;
    struct flo_err failed = {0};

    (void)text;
    flo_rollouts_count_evidence(controller->rollouts, -1);
    if (err->code != 0) {
        flo_log_err(FLO_LOG_ERROR, "evidence", err);
    } else if (take(controller, query, &failed) < 0) {
        flo_log_err(FLO_LOG_ERROR, "evidence", &failed);
    }
}

static void ask(struct flo_controller *controller, struct flo_lane_evidence *evidence,
                struct flo_observe_analysis *analysis)
{
    struct flo_lane_query *query = calloc(1, sizeof(*query));
    struct flo_err err = {0};

    if (query == NULL) {
        flo_lane_evidence_free(evidence);
        flo_observe_analysis_free(analysis);
        return;
    }
    query->evidence = evidence;
    query->analysis = analysis;
    query->context = controller;
    query->done = on_answer;
    if (flo_lane_ask(controller->lane, query, &err) < 0) {
        flo_log(FLO_LOG_DEBUG, "evidence", "%s", err.what); /* the next time */
    } else {
        flo_rollouts_count_evidence(controller->rollouts, 1);
    }
}

void flo_evidence_tick(struct flo_controller *controller, uint64_t now_ms)
{
    uint64_t block_ms = controller->options.evidence_block_ms;
    uint64_t pause_ms =
        block_ms > 0 && block_ms < FLO_EVIDENCE_EVERY_MS ? block_ms : FLO_EVIDENCE_EVERY_MS;

    if (!flo_rollouts_begin_evidence(controller->rollouts, now_ms, pause_ms)) {
        return;
    }
    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts); i++) {
        struct flo_lane_evidence *evidence =
            flo_evidence_ask(controller, flo_rollouts_at(controller->rollouts, i));
        if (evidence != NULL) {
            ask(controller, evidence, NULL);
        }
        struct flo_observe_analysis *analysis =
            flo_evidence_analysis(controller, flo_rollouts_at(controller->rollouts, i));
        if (analysis != NULL) {
            ask(controller, NULL, analysis);
        }
    }
}

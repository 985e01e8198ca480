/* Analysis: the statistical analysis of rollouts: defaults, stored state, and
 * records. */
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/work.h"

/* ---- phases of a preset ---- */

static json_t *add_phase(json_t *phases, const char *name, json_t *size)
{
    json_t *phase = json_pack("{s:s,s:o}", "name", name, "size", size);

    json_array_append_new(phases, phase);
    return phase;
}

/* Adds the phase that updates a device at each value of a label; it is the
 * second phase. */
static void add_cover(json_t *phases, uint32_t wave, uint64_t soak_ms)
{
    json_t *phase = add_phase(phases, "cover", json_integer((json_int_t)wave));

    json_object_set_new(phase, "covers", json_true());
    flo_json_put_number(phase, "soak_ms", soak_ms);
}

/* Returns the phases of a preset, each larger than the one before.  A small
 * fleet has fewer phases. */
json_t *flo_rollouts_preset_phases(const struct flo_analysis_rules *rules, uint32_t members,
                                   const struct flo_rollout_cover *cover)
{
    uint32_t most = members - cover->hold_out;
    struct flo_preset_phase phase;
    json_t *phases = json_array();
    uint32_t before = 0;

    for (uint32_t i = 0; flo_preset_phase(rules->preset, i, members, cover->hold_out, &phase);
         i++) {
        bool is_all = phase.devices >= most;
        if (phase.devices <= before) {
            continue;
        }
        if (json_array_size(phases) == 1 && cover->wave > before && cover->wave < phase.devices) {
            add_cover(phases, cover->wave, phase.soak_ms);
        }
        before = phase.devices;
        flo_json_put_number(add_phase(phases, is_all ? "rest" : phase.name,
                                      is_all && cover->hold_out == 0
                                          ? json_string("100%")
                                          : json_integer((json_int_t)phase.devices)),
                            "soak_ms", phase.soak_ms);
    }
    if (cover->hold_out > 0) {
        flo_json_put_number(add_phase(phases, "hold-out", json_string("100%")), "watch_ms",
                            rules->watch_ms);
    }
    return phases;
}

/* Adds the standard gates (preset `normal`) for a large fleet if the
 * specification has no gates.  If a person gave the phases, these gates only
 * stop a bad rollout and never delay a phase. */
static bool add_standard(const struct flo_spec *read, uint32_t members, json_t *spec)
{
    if (read->has_gates || members < FLO_FLEET_MIN) {
        return false;
    }
    json_object_set_new(spec, "gates",
                        read->has_phases
                            ? json_pack("{s:s,s:b}", "preset", "normal", "alarm_only", 1)
                            : json_pack("{s:s}", "preset", "normal"));
    return true;
}

static int read_again(struct flo_rollout_entry *entry, struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;
    struct flo_rollout draft;
    uint64_t block_ms = core->analysis.block_ms;

    FLO_TRY(flo_spec_read(entry->own->spec, &entry->spec, err));
    flo_spec_draft(&entry->spec, &draft);
    core->phase_count = draft.phase_count;
    memcpy(core->phases, draft.phases, sizeof(core->phases));
    memcpy(core->gates, draft.gates, sizeof(core->gates));
    core->gate_count = draft.gate_count;
    core->analysis = draft.analysis;
    core->analysis.block_ms = block_ms;
    core->is_covered = draft.is_covered;
    return 0;
}

/* Copies the standard deviation of the controls' differences from an earlier
 * rollout of the same model. */
static void learn_spread(const struct flo_controller *controller, struct flo_rollout_entry *entry)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        const struct flo_rollout_entry *other = controller->rollouts->items[i];
        if (strcmp(other->model, entry->model) == 0 && other->core.analysis.spread > 0) {
            entry->core.analysis.spread = other->core.analysis.spread;
        }
    }
}

/* Counts the members of a draft's hold-out: those that no earlier phase
 * updates. */
static uint32_t held_by(const struct flo_rollout *core)
{
    uint32_t members = (uint32_t)core->member_count;
    uint32_t last = core->phase_count - 1;

    if (core->phase_count < 2 || !core->phases[last].is_hold_out) {
        return 0;
    }
    const struct flo_rollout_phase *rest = &core->phases[last - 1];
    uint32_t taken =
        rest->devices > 0 ? rest->devices : (uint32_t)(rest->share_pct * members / 100);
    return taken < members ? members - taken : 0;
}

/* Gives the rollout the phases of a preset, and divides its members among
 * them. */
static int settle_phases(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         struct flo_err *err)
{
    uint32_t members = (uint32_t)entry->core.member_count;
    struct flo_rollout_cover cover = {.hold_out =
                                          flo_hold_out(entry->spec.analysis.hold_out_pct, members)};

    FLO_TRY(flo_rollouts_choose_cover(controller, entry, err));
    if (entry->core.is_covered) {
        FLO_TRY(flo_rollouts_order_members(entry, cover.hold_out, &cover, err));
    }
    json_object_set_new(entry->own->spec, "phases",
                        flo_rollouts_preset_phases(&entry->spec.analysis, members, &cover));
    return read_again(entry, err);
}

/* Chooses the label of the cover for phases that a person gave, and orders the
 * members by it. */
static int cover_given(struct flo_controller *controller, struct flo_rollout_entry *entry,
                       struct flo_err *err)
{
    struct flo_rollout_cover cover;

    FLO_TRY(flo_rollouts_choose_cover(controller, entry, err));
    return flo_rollouts_order_members(entry, held_by(&entry->core), &cover, err);
}

int flo_rollouts_settle(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        struct flo_err *err)
{
    uint32_t members = (uint32_t)entry->core.member_count;
    bool has_changed = add_standard(&entry->spec, members, entry->own->spec);
    int rv = has_changed ? read_again(entry, err) : 0;
    const struct flo_analysis_rules *rules = &entry->spec.analysis;

    if (rv == 0 && !entry->spec.has_phases && rules->preset != FLO_PRESET_NONE) {
        rv = settle_phases(controller, entry, err);
    } else if (rv == 0 && entry->core.is_covered) {
        rv = cover_given(controller, entry, err);
    }
    if (rv == 0) {
        rv = flo_rollouts_settle_split(controller, entry, err);
    }
    learn_spread(controller, entry);
    FLO_TRY(rv);
    return entry->core.analysis.rules.count == 0 ? rv
                                                 : flo_rollouts_segment(controller, entry, err);
}

/* ---- kept with the rollout ---- */

static json_t *passed_json(const struct flo_analysis *analysis)
{
    json_t *passed = json_array();

    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if (analysis->state.standing[i].verdict == FLO_VERDICT_PASS) {
            json_array_append_new(
                passed, json_string(flo_measure_fact(analysis->rules.rules[i].measure)->word));
        }
    }
    return passed;
}

/* Returns, by name of each rule, the earlier phase in which the rule passed. */
static json_t *passed_in_json(const struct flo_analysis *analysis)
{
    json_t *passed = json_object();

    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if (analysis->state.passed_in[i] > 0) {
            json_object_set_new(passed, flo_measure_fact(analysis->rules.rules[i].measure)->word,
                                json_integer(analysis->state.passed_in[i]));
        }
    }
    return passed;
}

/* Returns, for each phase, the sums of each reading by name. */
static json_t *waves_json(const struct flo_rollout *core)
{
    const struct flo_analysis_state *state = &core->analysis.state;
    json_t *waves = json_array();

    for (uint32_t i = 0; i <= core->phase && i < FLO_ANALYSIS_WAVES_MAX; i++) {
        json_t *wave = json_object();
        for (int k = 0; k < FLO_READING_COUNT; k++) {
            if (state->waves[i][k].updated > 0) {
                json_object_set_new(wave, flo_reading_fact((enum flo_observed_reading)k)->word,
                                    flo_analysis_sums_json(&state->waves[i][k]));
            }
        }
        json_array_append_new(waves, wave);
    }
    return waves;
}

static json_t *listed_json(const struct flo_analysis_state *state)
{
    json_t *names = json_array();

    for (uint32_t i = 0; i < state->held_count; i++) {
        json_array_append_new(names, json_string(state->held[i]));
    }
    return names;
}

json_t *flo_rollouts_analysis_json(const struct flo_rollout *core)
{
    const struct flo_analysis_state *state = &core->analysis.state;
    json_t *segments = json_array();
    json_t *probed = json_array();

    if (core->analysis.rules.count == 0 && core->analysis.split_of[0] == '\0') {
        json_decref(segments);
        json_decref(probed);
        return NULL;
    }
    for (uint32_t i = 0; i < core->probed_count; i++) {
        json_array_append_new(probed, json_integer(core->probed[i]));
    }
    for (uint32_t i = 0; i < core->segment_count; i++) {
        json_array_append_new(segments, json_string(core->segments[i]));
    }
    return json_pack("{s:f,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:b,s:o,s:o,s:o}", "spread",
                     core->analysis.spread, "split_of", core->analysis.split_of, "segments",
                     segments, "probed", probed, "listed", listed_json(state), "held",
                     flo_object_slices(core, FLO_SLICE_HELD), "asked",
                     flo_object_slices(core, FLO_SLICE_ASKED), "let_go",
                     flo_object_slices(core, FLO_SLICE_LET_GO), "looks", (json_int_t)state->looks,
                     "block", (json_int_t)state->block, "excluded", (json_int_t)state->excluded,
                     "alarmed", (int)state->is_alarmed, "passed", passed_json(&core->analysis),
                     "passed_in", passed_in_json(&core->analysis), "waves", waves_json(core));
}

static void read_passed(struct flo_analysis *analysis, const json_t *passed)
{
    enum flo_measure measure;
    json_t *word;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)passed, i, word)
    {
        if (!json_is_string(word) || !flo_measure_parse(json_string_value(word), &measure)) {
            continue;
        }
        for (uint32_t rule = 0; rule < analysis->rules.count; rule++) {
            if (analysis->rules.rules[rule].measure == measure) {
                analysis->state.standing[rule].verdict = FLO_VERDICT_PASS;
            }
        }
    }
}

static void read_passed_in(struct flo_rollout *core, const json_t *passed)
{
    struct flo_analysis *analysis = &core->analysis;

    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        json_int_t phase = json_integer_value(
            json_object_get(passed, flo_measure_fact(analysis->rules.rules[i].measure)->word));
        if (phase > 0 && phase <= FLO_ROLLOUT_PHASES_MAX) {
            analysis->state.passed_in[i] = (uint8_t)phase;
        }
    }
}

static void read_waves(struct flo_analysis_state *state, const json_t *waves)
{
    for (uint32_t i = 0; i < FLO_ANALYSIS_WAVES_MAX; i++) {
        const json_t *wave = json_array_get(waves, i);
        for (int k = 0; k < FLO_READING_COUNT; k++) {
            const char *word = flo_reading_fact((enum flo_observed_reading)k)->word;
            struct flo_pooled_sums sums = {0};
            if (flo_analysis_sums_read(json_object_get(wave, word), &sums)) {
                state->waves[i][k] = sums;
            }
        }
    }
}

static void read_slices(struct flo_analysis_state *state, const json_t *names,
                        enum flo_slice_hold as)
{
    json_t *name;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)names, i, name)
    {
        uint32_t at = json_is_string(name) ? flo_analysis_held(state, json_string_value(name))
                                           : FLO_ANALYSIS_SLICES_MAX;
        if (at == state->held_count && at < FLO_ANALYSIS_SLICES_MAX) {
            snprintf(state->held[at], FLO_SLICE_TEXT, "%s", json_string_value(name));
            state->held_count++;
        }
        if (at < state->held_count) {
            state->held_as[at] = (uint8_t)as;
        }
    }
}

/* Reads the stored state of an analysis.  An unreadable field counts as at the
 * begin of the phase. */
void flo_rollouts_analysis_read(struct flo_rollout *core, const json_t *json)
{
    struct flo_analysis_state *state = &core->analysis.state;
    const json_t *segments = json_object_get(json, "segments");
    json_t *name;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)segments, i, name)
    {
        if (json_is_string(name) && core->segment_count < FLO_SEGMENTS_MAX) {
            snprintf(core->segments[core->segment_count++], FLO_SEGMENT_TEXT, "%s",
                     json_string_value(name));
        }
    }
    /* The slices are read in their stored order, because members refer to them
     * by index. */
    read_slices(state, json_object_get(json, "listed"), FLO_SLICE_HELD);
    read_slices(state, json_object_get(json, "held"), FLO_SLICE_HELD);
    read_slices(state, json_object_get(json, "asked"), FLO_SLICE_ASKED);
    read_slices(state, json_object_get(json, "let_go"), FLO_SLICE_LET_GO);
    const char *split_of = json_string_value(json_object_get(json, "split_of"));
    if (split_of != NULL && flo_name_is_valid(split_of)) {
        snprintf(core->analysis.split_of, sizeof(core->analysis.split_of), "%s", split_of);
    }
    json_array_foreach(json_object_get(json, "probed"), i, name)
    {
        if (core->probed_count < FLO_ROLLOUT_PROBED_MAX) {
            core->probed[core->probed_count++] = (uint32_t)json_integer_value(name);
        }
    }
    state->looks = (uint32_t)json_integer_value(json_object_get(json, "looks"));
    state->block = (uint32_t)json_integer_value(json_object_get(json, "block"));
    state->excluded = (uint16_t)json_integer_value(json_object_get(json, "excluded"));
    double spread = json_number_value(json_object_get(json, "spread"));
    core->analysis.spread = spread > 0 && spread < 10 ? spread : 0;
    state->is_alarmed = json_is_true(json_object_get(json, "alarmed"));
    read_passed(&core->analysis, json_object_get(json, "passed"));
    read_passed_in(core, json_object_get(json, "passed_in"));
    read_waves(state, json_object_get(json, "waves"));
}

/* ---- records ---- */

static int audit_changes(struct flo_controller *controller, const char *id,
                         const struct flo_rollout_analysis *of, struct flo_err *err)
{
    const struct flo_analysis *analysis = &of->analysis;
    char text[FLO_ANALYSIS_TEXT];

    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if ((of->finding.changed >> i & 1) != 0) {
            flo_analysis_say(analysis, i, of->evidence.phase, of->evidence.segment_count, text);
            FLO_TRY(flo_controller_audit(controller, "controller", "rollout.verdict", id,
                                         flo_verdict_word(analysis->state.standing[i].verdict),
                                         text, err));
        }
    }
    return 0;
}

int flo_rollouts_record(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        const struct flo_rollout_analysis *of, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_digest digest;
    char hex[FLO_DIGEST_TEXT];
    json_t *record = flo_analysis_record(&of->analysis, entry->core.id, &of->evidence, &of->moment,
                                         &of->results, &of->finding);

    flo_json_dump_canonical(record, &text);
    if (record != NULL && !text.failed) {
        flo_sha256(text.data, text.bytes, &digest);
        flo_digest_text(&digest, hex);
        json_object_set_new(record, "digest", json_string(hex));
        text.bytes = 0;
        flo_json_dump_canonical(record, &text);
        flo_rollouts_found_keep(controller, entry, record);
    }
    json_decref(record);
    if (text.failed || text.data == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "evidence of %s", entry->core.id);
    }
    FLO_TRY(flo_fleet_evidence_put(controller->store,
                                   &(struct flo_fleet_evidence){.rollout = entry->core.id,
                                                                .number = of->evidence.block,
                                                                .at_ms = flo_wall_ms(),
                                                                .body = text.data},
                                   err));
    return audit_changes(controller, entry->core.id, of, err);
}

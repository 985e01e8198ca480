/* Gates: writes the gates of a rollout as JSON, for REST and the live
 * stream. */
#include <math.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/view.h"

static json_t *view_arm(const struct flo_gate_arm *arm, int metric)
{
    return json_pack("{s:i,s:I,s:f,s:s}", "devices", (int)arm->devices, "samples",
                     (json_int_t)arm->samples, "value", arm->value, "unit",
                     flo_metric_fact(metric)->unit);
}

static void view_share(const struct flo_gate_result *result, json_t *out)
{
    json_object_set_new(out, "value", json_real(result->share.share_pct));
    if (result->share.has_interval) {
        json_object_set_new(out, "interval",
                            json_pack("[f,f]", result->share.low_pct, result->share.high_pct));
    }
    json_object_set_new(out, "bad", json_integer(result->bad));
    json_object_set_new(out, "ended", json_integer(result->done));
    json_object_set_new(out, "devices", json_integer(result->members));
}

static void view_ratio(const struct flo_gate_result *result, int metric, json_t *out)
{
    json_object_set_new(out, "value", json_real(result->ratio));
    json_object_set_new(out, "hardware", json_string(result->hardware));
    json_object_set_new(out, "updated", view_arm(&result->updated, metric));
    json_object_set_new(out, "waiting", view_arm(&result->waiting, metric));
    json_object_set_new(out, "compared", json_integer(result->compared));
    json_object_set_new(out, "not_compared", json_integer(result->not_compared));
    json_object_set_new(out, "cut", json_boolean(result->is_cut));
    json_object_set_new(out, "from_ms", json_integer((json_int_t)result->from_ms));
    json_object_set_new(out, "to_ms", json_integer((json_int_t)result->to_ms));
}

static json_t *view_gate(const struct flo_rollout *core, uint32_t gate)
{
    const struct flo_gate_rule *rule = &core->gates[gate];
    struct flo_gate_result result;
    char title[FLO_GATE_TITLE];
    char text[FLO_GATE_TEXT], because[FLO_GATE_TEXT];

    flo_rollout_gate(core, gate, core->phase, &result);
    flo_gate_title(rule, title);
    flo_gate_text(rule, &result, text);
    flo_gate_because(rule, &result, because);
    if (core->phases[core->phase].state == FLO_PHASE_WAITING) {
        result.verdict = FLO_VERDICT_INCONCLUSIVE;
        snprintf(because, sizeof(because), "waits: no device was told yet");
    } else if (core->state == FLO_ROLLOUT_COMPLETED && result.verdict == FLO_VERDICT_INCONCLUSIVE) {
        snprintf(because, sizeof(because), "did not decide: the rollout completed without it");
    }
    json_t *out = json_pack("{s:s,s:s,s:i,s:s,s:f,s:s,s:s,s:s,s:s,s:s}", "name", title, "gate",
                            flo_gate_word(rule->gate), "phase", (int)core->phase + 1, "phase_name",
                            core->phases[core->phase].name, "limit", result.limit, "unit",
                            flo_gate_unit(rule->gate), "verdict", flo_verdict_word(result.verdict),
                            "text", text, "because", because, "action",
                            flo_on_fail_word(rule->has_action ? rule->action : core->on_fail));
    if (flo_gate_kind_of(rule->gate) == FLO_GATE_KIND_RATIO) {
        view_ratio(&result, rule->metric, out);
    } else {
        view_share(&result, out);
    }
    return out;
}

/* Adds the numbers of a rule's newest evaluation. */
static void view_finding(const struct flo_analysis_standing *standing, json_t *out)
{
    const struct flo_statistic_result *result = &standing->result;
    const struct flo_analysis_row row = {.told = standing->told};
    double told, low, high;
    json_t *numbers = flo_statistic_result_json(result);
    bool is_ratio = result->kind == FLO_STATISTIC_RATIO || result->kind == FLO_STATISTIC_LEAK;
    json_t *value = json_object_get(numbers, is_ratio ? "effect_pct" : "ratio");
    json_t *interval = json_object_get(numbers, is_ratio ? "ci_pct" : "ci_ratio");

    json_object_set(out, "value", value != NULL ? value : json_null());
    if (json_is_number(json_array_get(interval, 0)) &&
        json_is_number(json_array_get(interval, 1))) {
        json_object_set(out, "interval", interval);
    }
    if (flo_analysis_effect(&row, &told, &low, &high)) { /* never clipped */
        json_object_set_new(out, "value", json_real(told));
        if (isfinite(low) && isfinite(high)) {
            json_object_set_new(out, "interval", json_pack("[f,f]", low, high));
        }
    }
    json_object_set_new(out, "result", numbers);
}

/* Returns a rule's verdict in the present phase.  If that is inconclusive
 * although the rule passed in an earlier phase, returns the pass and sets
 * *phase to that phase.  The last phase has no controls left, so it often
 * cannot decide. */
static enum flo_verdict verdict_of(const struct flo_rollout *core, uint32_t index, bool is_awaited,
                                   uint32_t *phase)
{
    const struct flo_analysis_state *state = &core->analysis.state;
    enum flo_verdict verdict = state->standing[index].verdict;
    uint8_t passed_in = state->passed_in[index];

    *phase = core->phase;
    if (verdict == FLO_VERDICT_INCONCLUSIVE && passed_in > 0 && passed_in <= core->phase &&
        !is_awaited) {
        *phase = passed_in - 1u;
        return FLO_VERDICT_PASS;
    }
    return verdict;
}

static const char *unit_of(const struct flo_measure_fact *fact)
{
    return fact->kind == FLO_STATISTIC_RATIO  ? "%"
           : fact->kind == FLO_STATISTIC_LEAK ? "% an hour"
                                              : "times";
}

/* Returns a statistical gate as JSON.  Such a gate is a rule of the rollout's
 * analysis. */
static json_t *view_rule(const struct flo_rollout *core, uint32_t index)
{
    const struct flo_analysis *analysis = &core->analysis;
    const struct flo_analysis_rule *rule = &analysis->rules.rules[index];
    const struct flo_analysis_standing *standing = &analysis->state.standing[index];
    const struct flo_measure_fact *fact = flo_measure_fact(rule->measure);
    char text[FLO_ANALYSIS_TEXT], because[FLO_ANALYSIS_TEXT];
    bool is_awaited =
        flo_rollout_analysis_waits(core, core->phase) &&
        flo_analysis_awaits(analysis, index, core->phase, core->phase + 1 == core->phase_count);
    uint32_t phase;
    enum flo_verdict verdict = verdict_of(core, index, is_awaited, &phase);

    flo_rollout_analysis_text(core, index, text);
    flo_rollout_analysis_because(core, index, is_awaited, because);
    json_t *out =
        json_pack("{s:s,s:s,s:i,s:s,s:f,s:s,s:s,s:s,s:s,s:s,s:b,s:b}", "name", fact->title, "gate",
                  fact->word, "phase", (int)phase + 1, "phase_name", core->phases[phase].name,
                  "limit", rule->limit, "unit", unit_of(fact), "verdict", flo_verdict_word(verdict),
                  "text", text, "because", because, "action",
                  flo_on_fail_word(rule->has_action ? rule->action : analysis->on_fail),
                  "statistical", 1, "critical", (int)is_awaited);
    if (standing->has_result) {
        view_finding(standing, out);
    }
    uint32_t look;
    uint64_t at_ms;
    if (standing->verdict == FLO_VERDICT_INCONCLUSIVE &&
        json_is_true(json_object_get(out, "critical")) &&
        flo_rollout_next_look(core, &look, &at_ms)) {
        json_object_set_new(out, "look", json_integer((json_int_t)look));
        json_object_set_new(out, "look_at_ms", json_integer((json_int_t)at_ms));
    }
    return out;
}

/* Lists the gates of the present phase, one row each. */
json_t *flo_object_rollout_gates(const struct flo_rollout *core)
{
    json_t *gates = json_array();

    for (uint32_t gate = 0; gate < core->gate_count; gate++) {
        json_array_append_new(gates, view_gate(core, gate));
    }
    for (uint32_t rule = 0; rule < core->analysis.rules.count; rule++) {
        json_array_append_new(gates, view_rule(core, rule));
    }
    return gates;
}

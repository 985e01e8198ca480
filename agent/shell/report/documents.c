/* Documents: writes the device's reports as JSON (contracts/messages.md section
 * 3). */
#include <string.h>

#include <flotilla/errors/memory.h>

#include "proto/memory/figures.h"

#include "agent/shell/report/memory.h"

#define TEXT_MAX 1024

/* Makes a JSON string from text that may end within a character, or that is a
 * program's output. */
json_t *flo_report_text(const char *text)
{
    char clean[TEXT_MAX];

    flo_text_clean(text, strlen(text), clean, sizeof(clean));
    return json_string(clean);
}

json_t *flo_report_error(const struct flo_agent_error *error)
{
    if (error->code == 0 && error->what[0] == '\0') {
        return json_null();
    }
    return json_pack("{s:s, s:o, s:s}", "id", error->code == 0 ? "" : flo_error_id(error->code),
                     "what", flo_report_text(error->what), "step", error->step);
}

static json_t *detail_json(const struct flo_agent_detail *detail)
{
    json_t *json = json_object();

    flo_json_put_text(json, "codec", detail->codec);
    flo_json_put_number(json, "bytes", detail->bytes);
    flo_json_put_number(json, "full_bytes", detail->full_bytes);
    flo_json_put_number(json, "neighbour_bytes", detail->neighbour_bytes);
    flo_json_put_number(json, "took_ms", detail->took_ms);
    flo_json_put_number(json, "cases", detail->cases);
    if (detail->cases != 0) {
        json_object_set_new(json, "passed", json_integer(detail->passed));
    }
    if (detail->ratio > 0) {
        json_object_set_new(json, "ratio", json_real(detail->ratio));
    }
    flo_json_put_number(json, "memory_bytes", detail->memory_bytes);
    return json;
}

json_t *flo_report_execution(const struct flo_agent_execution *execution)
{
    char digest[FLO_DIGEST_TEXT];
    bool is_end = flo_execution_is_end(execution->state);
    json_t *json;

    flo_digest_text(&execution->release.digest, digest);
    json = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:b}", "type", "execution", "execution",
        execution->id, "rollout", execution->rollout, "phase", (int)execution->phase, "order",
        execution->order, "model", execution->release.model, "release", digest, "version",
        execution->release.version, "state", flo_execution_word(execution->state), "end", is_end);
    if (json == NULL) {
        return NULL;
    }
    if (is_end && (execution->error.code != 0 || execution->error.what[0] != '\0')) {
        json_object_set_new(json, "error", flo_report_error(&execution->error));
    }
    json_object_set_new(json, "detail", detail_json(&execution->detail));
    return json;
}

static json_t *slot_json(const struct flo_release_ref *ref, uint64_t number)
{
    char digest[FLO_DIGEST_TEXT];

    if (flo_digest_is_zero(&ref->digest)) {
        return json_null();
    }
    flo_digest_text(&ref->digest, digest);
    return json_pack("{s:s, s:s, s:I}", "release", digest, "version", ref->version, "number",
                     (json_int_t)number);
}

static const char *state_word(const struct flo_agent_model *agent)
{
    if (agent->live >= 0) {
        return agent->is_ill ? "down" : agent->is_switching ? "loading" : "ready";
    }
    if (flo_agent_is_resting(agent)) {
        return "on-demand";
    }
    return agent->engines[FLO_AGENT_CURRENT].state == FLO_ENGINE_LOADING ? "loading" : "down";
}

/* Makes the JSON of the serving release.  During a trial that is the
 * candidate. */
static json_t *serving_json(const struct flo_agent_model *agent)
{
    const struct flo_release_ref *ref = &agent->slots.current;
    char digest[FLO_DIGEST_TEXT];

    if (agent->live >= 0) {
        ref = &agent->engines[agent->live].release;
    }
    if (flo_digest_is_zero(&ref->digest)) {
        return json_null();
    }
    flo_digest_text(&ref->digest, digest);
    return json_pack("{s:s, s:s}", "release", digest, "version", ref->version);
}

static json_t *denied_json(const struct flo_slots *slots)
{
    json_t *json = json_array();
    char digest[FLO_DIGEST_TEXT];

    for (uint32_t i = 0; i < slots->denial_count; i++) {
        if (slots->denials[i].cause != FLO_DENIAL_ALLOWED) {
            flo_digest_text(&slots->denials[i].release, digest);
            json_array_append_new(json, json_string(digest));
        }
    }
    return json;
}

static struct flo_agent_target target_of(const struct flo_trust *trust,
                                         const struct flo_shell_model *model)
{
    const struct flo_slots *slots = &model->slots;
    struct flo_agent_target target = {
        .current_number = slots->current_number,
        .is_current_denied =
            flo_slots_is_denied(slots, &slots->current, slots->current_number) ||
            (trust != NULL && flo_trust_is_release_revoked(trust, &slots->current))};
    struct flo_agent_error refusal;
    const struct flo_digest *wanted =
        flo_digest_is_zero(&slots->stated.target) ? &slots->current : &slots->stated.target;

    if (!flo_digest_is_zero(wanted) && flo_digest_equal(wanted, &model->no_memory.release)) {
        target.refusal = FLO_E_MEMORY_BUDGET;
    }
    if (slots->stated.number == 0) {
        return target;
    }
    target.release = slots->stated.target;
    if (model->assigned.seq == slots->stated.number) {
        target.number = model->assigned.number;
    }
    if (!flo_digest_is_zero(&target.release)) {
        flo_shell_refusal(trust, slots, &target.release, target.number, &refusal);
        if (refusal.code != 0) {
            target.refusal = refusal.code;
        }
    }
    return target;
}

bool flo_report_drift(struct flo_shell *shell, uint32_t index)
{
    struct flo_shell_model *model = &shell->models[index];
    struct flo_agent_target target = target_of(shell->identity.trust, model);
    enum flo_drift drift = flo_agent_drift(&shell->agent, index, &target);

    if (drift == model->drift) {
        return false;
    }
    model->drift = drift;
    model->drift_at_ms = flo_wall_ms();
    return true;
}

/* Returns why the device blocks the assigned release, or the running one. */
static const char *denied_because(const struct flo_slots *slots)
{
    bool is_there = flo_digest_is_zero(&slots->stated.target) ||
                    flo_digest_equal(&slots->stated.target, &slots->current);

    switch (is_there ? flo_slots_denial(slots, &slots->current, slots->current_number)
                     : flo_slots_denial(slots, &slots->stated.target, 0)) {
    case FLO_DENIAL_FAULT:
        return "it failed here before";
    case FLO_DENIAL_SPEED:
        return "it was too slow here";
    case FLO_DENIAL_MEMORY:
        return "it took too much memory here";
    case FLO_DENIAL_ORDERED:
        return "it was taken back here";
    case FLO_DENIAL_ALLOWED:
    case FLO_DENIAL_CAUSES:
        break;
    }
    return "it is revoked, or older than releases that failed here";
}

static void add_why(const struct flo_shell_model *model, json_t *json)
{
    const char *why = model->drift == FLO_DRIFT_NO_MEMORY ? model->no_memory.why
                      : model->drift == FLO_DRIFT_DENIED  ? denied_because(&model->slots)
                                                          : NULL;

    if (json != NULL && why != NULL) {
        json_object_set_new(json, "why", json_string(why));
    }
}

json_t *flo_report_drifted(const struct flo_shell *shell, uint32_t index)
{
    const struct flo_shell_model *model = &shell->models[index];
    const struct flo_release_ref *current = &shell->agent.models[index].slots.current;
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&current->digest, digest);
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "drift", "kind",
                             flo_drift_word(model->drift), "model", model->slots.model, "release",
                             digest, "version", current->version);
    add_why(model, json);
    return json;
}

static json_t *drift_json(const struct flo_shell_model *model)
{
    if (model->drift == FLO_DRIFT_NONE) {
        return json_null();
    }
    json_t *json = json_pack("{s:s, s:I}", "kind", flo_drift_word(model->drift), "since_at_ms",
                             (json_int_t)model->drift_at_ms);
    add_why(model, json);
    return json;
}

static json_t *target_json(const struct flo_shell_model *model)
{
    const struct flo_slots *slots = &model->slots;
    uint64_t number = model->assigned.seq == slots->stated.number ? model->assigned.number : 0;
    char digest[FLO_DIGEST_TEXT];

    if (slots->stated.number == 0 || flo_digest_is_zero(&slots->stated.target)) {
        return json_null();
    }
    flo_digest_text(&slots->stated.target, digest);
    return json_pack("{s:s, s:I, s:I, s:s}", "release", digest, "number", (json_int_t)number, "by",
                     (json_int_t)slots->stated.number, "order", slots->stated.order);
}

static json_t *execution_json(const struct flo_agent_model *agent, bool waits)
{
    const struct flo_agent_execution *execution = &agent->execution;
    char digest[FLO_DIGEST_TEXT];
    uint64_t ago = flo_now_ms() - execution->since_ms;

    if (!agent->has_execution) {
        return json_null();
    }
    flo_digest_text(&execution->release.digest, digest);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:I}", "id", execution->id, "rollout",
                     execution->rollout, "release", digest, "state",
                     flo_execution_word(execution->state), "reason",
                     flo_report_text(execution->reason), "waits", (int)waits, "since_at_ms",
                     (json_int_t)(flo_wall_ms() - ago));
}

uint32_t flo_report_model_rung(const struct flo_shell *shell, uint32_t index)
{
    const struct flo_shell_model *model = &shell->models[index];
    int live = shell->agent.models[index].live;
    uint32_t rung = model->pending[live < 0 ? FLO_AGENT_CURRENT : live].rung;
    uint32_t pressure = shell->watch->rungs[index];

    return rung > pressure ? rung : pressure;
}

static json_t *limits_json(const struct flo_pressure_limits *limits)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < FLO_PRESSURE_LIMIT_COUNT; i++) {
        if (flo_pressure_holds(limits, i)) {
            json_array_append_new(list, json_string(flo_pressure_limit_word(i)));
        }
    }
    return list;
}

/* Makes the JSON of the memory plan, the degradation level and its cause. */
json_t *flo_report_memory(const struct flo_shell *shell)
{
    const struct flo_shell_plan *plan = shell->plan;
    enum flo_rung_why why;
    uint32_t rung = flo_report_rung(shell, &why);
    json_t *json =
        json_pack("{s:I, s:I, s:s}", "budget", (json_int_t)shell->watch->machine.memory_bytes,
                  "rung", (json_int_t)rung, "why", flo_rung_why_word(why));

    if (json != NULL) {
        json_object_set_new(json, "limits", limits_json(&shell->watch->limits));
    }
    if (json != NULL && plan->is_planned && plan->count > 0) {
        json_object_set_new(json, "planned", flo_json_u64(plan->plan.planned));
        json_object_set_new(json, "pool", flo_json_u64(plan->plan.pool));
    }
    return json;
}

static json_t *model_json(const struct flo_shell_model *model, const struct flo_agent_model *agent,
                          uint32_t rung, bool waits)
{
    const struct flo_slots *slots = &model->slots;
    json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "model", slots->model, "state",
                             state_word(agent), "serving", serving_json(agent), "current",
                             slot_json(&agent->slots.current, slots->current_number), "previous",
                             slot_json(&agent->slots.previous, slots->previous_number), "candidate",
                             slot_json(&agent->slots.candidate, slots->candidate_number));

    if (json != NULL && model->signature.why != 0) {
        json_object_set_new(json, "untrusted", json_string(flo_error_id(model->signature.why)));
    }
    if (json != NULL) {
        json_object_set_new(json, "rung", flo_json_u64(rung));
        json_object_set_new(json, "target", target_json(model));
        json_object_set_new(json, "drift", drift_json(model));
        json_object_set_new(json, "execution", execution_json(agent, waits));
        json_object_set_new(json, "denied", denied_json(slots));
        json_object_set_new(json, "floor", flo_json_u64(slots->floor));
        json_object_set_new(json, "floor_hard", flo_json_u64(slots->floor_hard));
    }
    return json;
}

/* Makes the JSON of the planner's numbers for a model; NULL: there are none. */
static json_t *figures_json(const struct flo_shell_plan *plan, uint32_t place)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->places[i] == place) {
            return flo_memory_told_json(
                &(struct flo_memory_told){.model = plan->models[i],
                                          .adapter_bytes = plan->adapter_bytes[i],
                                          .draft_bytes = plan->draft_bytes[i],
                                          .is_measured = plan->are_measured[i],
                                          .is_resident = !plan->is_planned || plan->count == 1 ||
                                                         plan->plan.models[i].is_resident});
        }
    }
    return NULL;
}

void flo_report_variant(const struct flo_variants *variants, json_t *model)
{
    if (variants->is_choice) {
        flo_json_put_text(model, "variant", variants->name);
        flo_json_put_text(model, "instead_of", variants->larger);
    }
}

static json_t *models_json(const struct flo_shell *shell)
{
    json_t *json = json_array();

    for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
        if (shell->models[i].slots.model[0] != '\0') {
            json_t *model = model_json(&shell->models[i], &shell->agent.models[i],
                                       flo_report_model_rung(shell, (uint32_t)i),
                                       flo_agent_is_waiting(&shell->agent, (uint32_t)i));
            json_t *figures = figures_json(shell->plan, (uint32_t)i);
            json_object_set_new(model, "memory", figures); /* NULL: none */
            flo_report_variant(&shell->watch->variants[i], model);
            json_array_append_new(json, model);
        }
    }
    return json;
}

static void add_power(const struct flo_shell *shell, json_t *profile)
{
    const struct flo_sensed *sensed = &shell->watch->sensed;

    if (!shell->watch->is_on) {
        return; /* the sensors have not been read yet */
    }
    json_object_set_new(profile, "power",
                        json_pack("{s:b, s:i}", "mains", (int)!sensed->is_discharging,
                                  "battery_pct", (int)sensed->battery_pct));
    if (sensed->has_zone) {
        json_object_set_new(profile, "temperature_mc", json_integer((json_int_t)sensed->zone_mc));
    }
}

/* Makes the JSON of the certificate with which the device connects. */
static json_t *certificate_json(const struct flo_identity *identity)
{
    const struct flo_pair *pair = &identity->pairs.list[identity->pair];

    return json_pack("{s:s, s:I, s:I}", "serial", pair->facts.serial, "number",
                     (json_int_t)pair->number, "until_ms", (json_int_t)pair->facts.not_after_ms);
}

json_t *flo_report_degraded(const struct flo_shell *shell)
{
    uint64_t since_ms;
    const struct flo_agent_error *error = flo_shell_degraded(shell, &since_ms);

    return error == NULL ? NULL
                         : json_pack("{s:s, s:s, s:I}", "id", flo_error_id(error->code), "text",
                                     error->what, "since_ms", (json_int_t)since_ms);
}

json_t *flo_report_reported(const struct flo_shell *shell)
{
    json_t *groups = json_array();
    json_t *profile = flo_machine_json(&shell->settings, &shell->watch->machine,
                                       flo_store_disk_free(shell->store));
    json_t *json;
    size_t group_count;
    const char(*in)[FLO_NAME_MAX + 1] = flo_shell_groups(shell, &group_count);

    for (size_t i = 0; i < group_count; i++) {
        json_array_append_new(groups, json_string(in[i]));
    }
    json_object_set(profile, "labels",
                    (json_t *)(uintptr_t)flo_config_tree(shell->settings.config, "labels"));
    json = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:o, s:o, s:b}", "v", 2, "device",
                     shell->identity.device, "name", shell->identity.name, "agent", FLO_VERSION,
                     "rev", (json_int_t)shell->report->rev, "at_ms", (json_int_t)flo_wall_ms(),
                     "boot_id", shell->boot_id, "groups", groups, "profile", profile, "models",
                     models_json(shell), "frozen", (int)shell->agent.is_frozen);
    if (json != NULL) {
        json_object_set_new(json, "clock_kept", json_boolean(flo_wall_is_kept()));
        json_object_set_new(json, "memory", flo_report_memory(shell));
        json_object_set_new(json, "life", shell->life[0] == '\0' ? NULL : flo_report_life(shell));
        json_object_set_new(json, "degraded", flo_report_degraded(shell));
        add_power(shell, profile);
        json_object_set_new(json, "certificate", certificate_json(&shell->identity));
        if (shell->db != NULL) {
            json_object_set_new(json, "events", flo_events_told_json(shell->db));
            json_object_set_new(json, "audit", flo_witness_json(shell));
        }
        json_object_set_new(json, "top", flo_json_u64(shell->device.top));
        json_object_set_new(json, "epoch", flo_json_u64(shell->device.epoch));
        json_object_set_new(json, "trust", flo_json_u64(shell->device.trust_number));
        json_object_set_new(json, "frozen_emergency",
                            json_boolean(shell->device.is_frozen_emergency));
        json_object_set_new(json, "prompts_stay", json_boolean(flo_shell_prompts_stay(shell)));
        json_object_set_new(json, "prompts_stay_emergency",
                            json_boolean(shell->device.prompts_stay_emergency));
    }
    return json;
}

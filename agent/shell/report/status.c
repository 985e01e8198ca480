/* Status: writes the state of the device as JSON for an operator. */
#include <stdlib.h>
#include <unistd.h>

#include "agent/shell/report/report.h"
#include "proto/serve.h"

/* Returns the number of bytes of the files of the release's variant; 0: no
 * variant is complete on this device. */
static uint64_t variant_bytes(const struct flo_shell *shell, const struct flo_release_ref *ref,
                              const struct flo_release *release)
{
    int chosen = flo_store_release_variant(shell->store, &ref->digest, release);
    uint64_t bytes = 0;

    if (chosen >= 0) {
        const struct flo_release_variant *variant = &release->variants[chosen];
        for (uint32_t i = 0; i < variant->file_count; i++) {
            bytes += release->files[variant->files[i]].bytes;
        }
    }
    return bytes;
}

static json_t *slot_status(struct flo_shell *shell, const struct flo_release_ref *ref,
                           const char *state)
{
    struct flo_release *release;
    json_t *json, *serve = NULL;
    uint64_t bytes = 0;

    if (flo_digest_is_zero(&ref->digest)) {
        return json_null();
    }
    release = calloc(1, sizeof(*release));
    if (release != NULL && flo_store_release_load(shell->store, &ref->digest, release, NULL) == 0) {
        bytes = variant_bytes(shell, ref, release);
        serve = flo_serve_json(&release->serve);
        flo_release_deinit(release);
    }
    free(release);
    json = json_pack("{s:s, s:s, s:s, s:I}", "model", ref->model, "version", ref->version, "state",
                     state, "bytes", (json_int_t)bytes);
    if (serve != NULL) {
        json_object_set_new(json, "serve", serve);
    }
    return json;
}

static bool is_served(const struct flo_agent_model *model, const struct flo_release_ref *release)
{
    return model->live >= 0 &&
           flo_digest_equal(&model->engines[model->live].release.digest, &release->digest);
}

static json_t *slots_status(struct flo_shell *shell, const struct flo_agent_model *model)
{
    const struct flo_agent_slots *slots = &model->slots;
    const char *current = is_served(model, &slots->current) ? "serving"
                          : shell->serve == NULL            ? "stopped"
                          : flo_agent_is_resting(model)     ? "on-demand"
                          : model->live >= 0                ? "kept"
                          : model->engines[FLO_AGENT_CURRENT].state == FLO_ENGINE_WAITING
                              ? "down"
                              : "loading";
    const char *candidate =
        model->has_execution ? flo_execution_word(model->execution.state) : "staged";

    return json_pack("{s:o, s:o, s:o}", "current", slot_status(shell, &slots->current, current),
                     "previous",
                     slot_status(shell, &slots->previous,
                                 is_served(model, &slots->previous) ? "serving" : "kept"),
                     "candidate", slot_status(shell, &slots->candidate, candidate));
}

static json_t *model_status(struct flo_shell *shell, uint32_t index)
{
    const struct flo_agent_model *model = &shell->agent.models[index];
    struct flo_serve_status serving = {0};
    json_t *json;

    if (shell->serve != NULL) {
        flo_serve_get_status(shell->serve, index, &serving);
    }
    json =
        json_pack("{s:s, s:o, s:I, s:I, s:o*}", "model", shell->models[index].slots.model, "slots",
                  slots_status(shell, model), "engine_rss_bytes",
                  (json_int_t)(serving.is_live ? serving.roles[serving.live].rss_bytes : 0),
                  "queue", (json_int_t)serving.held, "draft", flo_serve_draft_json(&serving.draft));
    if (json != NULL) {
        json_object_set_new(json, "rung", json_integer(flo_report_model_rung(shell, index)));
        flo_report_variant(&shell->watch->variants[index], json);
    }
    if (json != NULL && model->has_execution) {
        json_object_set_new(json, "execution", flo_report_execution(&model->execution));
        json_object_set_new(json, "reason", flo_report_text(model->execution.reason));
    }
    return json;
}

static json_t *models_status(struct flo_shell *shell)
{
    json_t *json = json_array();

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (shell->models[i].slots.model[0] != '\0') {
            json_array_append_new(json, model_status(shell, i));
        }
    }
    return json;
}

static json_t *neighbours_status(const struct flo_neighbour_counts *counts)
{
    return json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I}", "mode",
                     counts->serves ? "serve"
                     : counts->uses ? "use"
                                    : "off",
                     "port", (int)counts->port, "in_bytes", (json_int_t)counts->in_bytes,
                     "out_bytes", (json_int_t)counts->out_bytes, "refused",
                     (json_int_t)counts->refused, "used_bytes", (json_int_t)counts->used_bytes,
                     "budget_bytes", (json_int_t)counts->budget);
}

static json_t *site_status(const struct flo_site *site)
{
    return json_pack("{s:b, s:b, s:i}", "wanted", (int)site->is_wanted, "on", (int)site->is_on,
                     "port", (int)site->port);
}

static json_t *endpoints_status(const struct flo_serve *serve)
{
    struct flo_serve_endpoint_status endpoints[FLO_SERVE_ENDPOINTS_MAX];
    uint32_t count = serve == NULL ? 0 : flo_serve_get_endpoints(serve, endpoints);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "name", endpoints[i].name,
                                              "device", endpoints[i].kind == FLO_TARGET_DEVICE,
                                              "ready", (int)endpoints[i].is_ready));
    }
    return list;
}

/* Heat, charge and the limits that hold because of them. */
static json_t *power_status(const struct flo_watch *watch)
{
    const struct flo_sensed *s = &watch->sensed;
    char limits[FLO_PRESSURE_LIMITS_TEXT];

    flo_pressure_limits_text(&watch->limits, limits);
    json_t *json = json_pack("{s:s, s:b}", "limits", limits, "mains", (int)!s->is_discharging);

    if (s->has_zone) {
        json_object_set_new(json, "temperature_mc", json_integer((json_int_t)s->zone_mc));
        json_object_set_new(json, "trip_mc", json_integer((json_int_t)s->trip_mc));
    }
    if (s->battery_pct >= 0) {
        json_object_set_new(json, "battery_pct", json_integer(s->battery_pct));
    }
    return json;
}

json_t *flo_control_status(struct flo_shell *shell)
{
    json_t *json = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:i, s:o, s:o, s:o, "
        "s:o, s:I}",
        "v", 1, "agent", FLO_VERSION, "device", shell->identity.device, "name",
        shell->identity.name, "fleet", shell->identity.fleet, "controller",
        shell->identity.controller, "enrolled", (int)shell->identity.is_there, "online",
        (int)flo_shell_link_is_up(shell), "frozen", (int)shell->agent.is_frozen, "pid",
        (int)getpid(), "models", models_status(shell), "memory", flo_report_memory(shell),
        "neighbours", neighbours_status(shell->neighbour_counts), "audit", flo_witness_json(shell),
        "outbox_corrupt", (json_int_t)(shell->db == NULL ? 0 : flo_outbox_db_corrupt(shell->db)));
    json_object_set_new(json, "degraded", flo_report_degraded(shell));
    json_object_set_new(json, "power", power_status(shell->watch));
    json_object_set_new(json, "site", site_status(&shell->neighbour_counts->site));
    json_object_set_new(json, "endpoints", endpoints_status(shell->serve));
    json_object_set_new(json, "prompts_stay", json_boolean(flo_shell_prompts_stay(shell)));
    return json;
}

/* Checkup: collects facts and findings of this device, for a report to the
 * controller. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/hardware/memory.h"
#include "agent/shell/serving/serving.h"
#include "base/host/crypto.h"

#define DAY_MS 86400000
#define FINDINGS_MAX 64 /* largest number of findings in a report */
#define MODELS_MAX 8

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t median_token_us(const struct flo_shell_model *model)
{
    uint64_t sorted[FLO_COUNT(model->recent_token_us)];
    size_t count =
        model->recent_count < FLO_COUNT(sorted) ? model->recent_count : FLO_COUNT(sorted);

    memcpy(sorted, model->recent_token_us, sizeof(sorted));
    qsort(sorted, count, sizeof(sorted[0]), by_value);
    return count == 0 ? 0 : sorted[count / 2];
}

/* Returns how many bytes an engine reads for each token: the size of the
 * model's file, because a dense model is read completely. */
static uint64_t token_bytes(struct flo_shell *shell, const struct flo_digest *release)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *document = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file = NULL;

    if (!flo_digest_is_zero(release) &&
        flo_shell_release_get(shell, release, &document, NULL) == 0) {
        file = flo_shell_model_file(shell, release, document, &variant);
    }
    return file == NULL ? 0 : file->bytes;
}

static void take_certificate(const struct flo_shell *shell, struct flo_checkup *out)
{
    const struct flo_identity *identity = &shell->identity;
    const struct flo_pair *pair = &identity->pairs.list[identity->pair];

    if (identity->is_there) {
        out->has_certificate = true;
        out->certificate_days =
            ((int64_t)pair->facts.not_after_ms - (int64_t)flo_shell_clock_ms(shell)) / DAY_MS;
    }
}

static void take_engine(struct flo_shell *shell, uint32_t model, struct flo_checkup *out)
{
    struct flo_serve_status status = {0};

    flo_serve_get_status(shell->serve, model, &status);
    out->is_served = !flo_digest_is_zero(&shell->models[model].slots.current);
    out->is_live = status.is_live;
    snprintf(out->kernel, sizeof(out->kernel), "%s", status.kernel);
    snprintf(out->kernel_best, sizeof(out->kernel_best), "%s",
             shell->hardware->watch.machine.kernel);
    if (!status.is_live) {
        return;
    }
    out->is_packed = status.roles[status.live].is_packed;
    out->can_be_packed = flo_shell_packs(shell);
    out->threads = status.threads;
    out->context = status.context;
    out->token_bytes = token_bytes(shell, &status.roles[status.live].release);
    out->token_us = median_token_us(&shell->models[model]);
}

/* Collects the facts; `leaves` holds a text of theirs. */
static void gather(struct flo_shell *shell, uint32_t model, char leaves[128],
                   struct flo_checkup *out)
{
    enum flo_rung_why why;
    uint64_t since_ms;

    memset(out, 0, sizeof(*out));
    flo_sensors_read(flo_sensors_root(), &out->sensed);
    out->cpus = flo_cpus_allowed();
    out->disk_free_bytes = flo_store_disk_free(shell->store);
    out->sandbox_lacks = flo_sandbox_lacks();
    out->memory_bytes_per_s = shell->hardware->watch.machine.bench.memory_bytes_per_s;
    out->int8_ops_per_s = shell->hardware->watch.machine.bench.int8_ops_per_s;
    out->rung = flo_report_rung(shell, &why);
    out->rung_why = flo_rung_why_word(why);
    const struct flo_agent_error *degraded = flo_shell_degraded(shell, &since_ms);
    out->degraded = degraded == NULL ? NULL : degraded->what;
    flo_api_rules_leave(&shell->settings.rules, leaves, 128);
    out->leaves = leaves[0] == '\0' ? NULL : leaves;
    take_engine(shell, model, out);
    take_certificate(shell, out);
}

/* ---- as JSON ---- */

/* Appends a word to a comma list; an empty list holds "none" first. */
static void add_word(char out[160], const char *word)
{
    size_t bytes = strlen(out);

    snprintf(out + bytes, 160 - bytes, "%s%s", bytes == 0 ? "" : ", ", word);
}

static const char *lacks_text(uint32_t lacks)
{
    static char out[160];

    out[0] = '\0';
    for (uint32_t i = 0; i < FLO_WAIT_COUNT; i++) {
        if ((lacks & FLO_WAIT_BIT(i)) != 0) {
            add_word(out, flo_wait_word(i));
        }
    }
    return out[0] == '\0' ? "none" : out;
}

static json_t *machine_facts(const struct flo_shell *shell, const struct flo_checkup *c)
{
    const struct flo_sensed *s = &c->sensed;
    json_t *json = json_object();

    flo_json_set_number(json, "rung", c->rung);
    flo_json_set_text(json, "rung-why", c->rung_why);
    flo_json_set_number(json, "bench-memory-bytes-per-s", c->memory_bytes_per_s);
    flo_json_set_number(json, "bench-int8-ops-per-s", c->int8_ops_per_s);
    flo_json_set_text(json, "arch", shell->hardware->watch.machine.arch);
    flo_json_set_text(json, "kernel-best", c->kernel_best);
    flo_json_set_number(json, "cpus", c->cpus);
    flo_json_set_number(json, "load-centi", s->load_centi);
    flo_json_set_number(json, "memory-bytes", s->memory_bytes);
    flo_json_set_number(json, "memory-free-bytes", s->memory_free_bytes);
    flo_json_set_number(json, "swap-used-bytes", s->swap_used_bytes);
    flo_json_set_number(json, "disk-free-bytes", c->disk_free_bytes);
    if (s->has_pressure) {
        flo_json_set_number(json, "psi-cpu-centipercent", s->psi_cpu);
        flo_json_set_number(json, "psi-memory-centipercent", s->psi_memory);
        flo_json_set_number(json, "psi-io-centipercent", s->psi_io);
    }
    if (s->cgroup_bytes_max > 0) {
        flo_json_set_number(json, "cgroup-bytes", s->cgroup_bytes);
        flo_json_set_number(json, "cgroup-bytes-max", s->cgroup_bytes_max);
    }
    if (s->has_zone) {
        json_object_set_new(json, "temperature-mc", json_integer((json_int_t)s->zone_mc));
        flo_json_set_number(json, "trip-mc", (uint64_t)s->trip_mc);
    }
    if (s->battery_pct >= 0) {
        flo_json_set_number(json, "battery-pct", (uint64_t)s->battery_pct);
    } else {
        flo_json_set_text(json, "battery-pct", "none");
    }
    json_object_set_new(json, "mains", json_boolean(!s->is_discharging));
    char limits[FLO_PRESSURE_LIMITS_TEXT];
    flo_pressure_limits_text(&shell->hardware->watch.limits, limits);
    flo_json_set_text(json, "limits", limits[0] == '\0' ? "none" : limits);
    flo_json_set_text(json, "updates-lack", lacks_text(shell->hardware->watch.lacks));
    if (s->clock_khz > 0) {
        flo_json_set_number(json, "clock-khz", s->clock_khz);
        flo_json_set_number(json, "clock-khz-max", s->clock_khz_max);
    }
    return json;
}

/* Returns the key of a fact about a model.  The first model has the plain key,
 * the next ones have "m1-", "m2-" and so on before it. */
static const char *key_of(uint32_t place, const char *key)
{
    static char out[FLO_NAME_MAX + 1];

    if (place == 0) {
        return key;
    }
    snprintf(out, sizeof(out), "m%u-%s", place, key);
    return out;
}

static void engine_facts(const struct flo_agent_model *model, uint32_t place,
                         const struct flo_checkup *c, json_t *json)
{
    json_object_set_new(json, key_of(place, "live"), json_boolean(c->is_live));
    flo_json_set_text(json, key_of(place, "model"), model->name);
    flo_json_set_text(json, key_of(place, "version"), model->slots.current.version);
    if (model->has_execution) {
        flo_json_set_text(json, key_of(place, "execution"), model->execution.id);
        flo_json_set_text(json, key_of(place, "execution-state"),
                          flo_execution_word(model->execution.state));
    }
    if (!c->is_live) {
        return;
    }
    flo_json_set_text(json, key_of(place, "kernel"), c->kernel);
    flo_json_set_number(json, key_of(place, "threads"), c->threads);
    flo_json_set_number(json, key_of(place, "context"), c->context);
    json_object_set_new(json, key_of(place, "packed"), json_boolean(c->is_packed));
    flo_json_set_number(json, key_of(place, "token-bytes"), c->token_bytes);
    flo_json_set_number(json, key_of(place, "token-us"), c->token_us);
    flo_json_set_number(json, key_of(place, "expected-mtps"), flo_checkup_rate_mtps(c));
    if (flo_checkup_cost(c).bound_by != NULL) {
        flo_json_set_text(json, key_of(place, "bound-by"), flo_checkup_cost(c).bound_by);
    }
}

static void add_finding(const struct flo_finding *one, const char *model, json_t *list)
{
    char what[sizeof(one->what) + FLO_NAME_MAX + 3];
    json_t *json;

    if (json_array_size(list) == FINDINGS_MAX) {
        return;
    }
    snprintf(what, sizeof(what), "%s%s%s", model, model[0] == '\0' ? "" : ": ", one->what);
    json = json_pack("{s:s, s:s, s:s, s:s}", "id", flo_finding_id(one->kind), "level",
                     flo_finding_level(one->kind), "what", what, "fix", flo_finding_fix(one->kind));
    if (json != NULL && one->has_numbers) {
        json_object_set_new(json, "measured", json_real(one->measured));
        json_object_set_new(json, "expected", json_real(one->expected));
        flo_json_set_text(json, "unit", flo_finding_unit(one->kind));
    }
    json_array_append_new(list, json);
}

/* Adds the facts and findings of a model; the machine's follow after all
 * models. */
static void add_model(struct flo_shell *shell, uint32_t i, uint32_t place, json_t *facts,
                      json_t *list)
{
    struct flo_checkup checkup;
    char leaves[128];
    struct flo_findings findings;

    gather(shell, i, leaves, &checkup);
    flo_checkup_find_engine(&checkup, &findings);
    engine_facts(&shell->agent.models[i], place, &checkup, facts);
    for (size_t k = 0; k < findings.count; k++) {
        add_finding(&findings.list[k], shell->agent.models[i].name, list);
    }
}

int flo_hardware_checkup(struct flo_shell *shell, json_t *out, struct flo_err *err)
{
    struct flo_checkup checkup;
    char leaves[128];
    struct flo_findings findings;
    uint32_t place = 0;
    json_t *facts;
    json_t *list = json_array();

    (void)err;
    gather(shell, 0, leaves, &checkup);
    facts = machine_facts(shell, &checkup);
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (shell->agent.models[i].name[0] != '\0' && place < MODELS_MAX) {
            add_model(shell, i, place++, facts, list);
        }
    }
    flo_checkup_find_machine(&checkup, &findings);
    for (size_t k = 0; k < findings.count; k++) {
        add_finding(&findings.list[k], "", list);
    }
    json_object_set_new(out, "facts", facts);
    json_object_set_new(out, "findings", list);
    return 0;
}

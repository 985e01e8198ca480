/* From a POSTed specification to a rollout. */
#include <stdlib.h>
#include <string.h>

#include "proto/policy.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"

/* Devices that a rollout tells in a second, unless asked otherwise: each says
 * about ten things on its way, and ten thousand take eight minutes. */
#define STARTS_PER_S 20
#define SOAK_MS_MAX UINT64_C(2592000000)

/* ---- phases ---- */

static void phases_standard(struct flo_rollout *core)
{
    core->phase_count = 2;
    snprintf(core->phases[0].name, sizeof(core->phases[0].name), "canary");
    core->phases[0].devices = 1;
    snprintf(core->phases[1].name, sizeof(core->phases[1].name), "all");
    core->phases[1].share_pct = 100;
}

static int read_phase(const json_t *json, size_t index,
                      struct flo_rollout_phase *out, struct flo_err *err)
{
    char standard[32];
    const char *name;
    uint64_t devices;
    int rv;

    if (!json_is_object(json)) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "phases[%zu] is no object",
                        index);
    }
    snprintf(standard, sizeof(standard), "phase-%zu", index + 1);
    if ((rv = flo_json_opt_name(json, "name", standard, &name, err)) < 0 ||
        (rv = flo_json_opt_u64(json, "devices", 1, FLO_ROLLOUT_MEMBERS_MAX, 0,
                               &devices, err)) < 0 ||
        (rv = flo_json_opt_real(json, "share_pct", 0, 100, 0, &out->share_pct,
                                err)) < 0 ||
        (rv = flo_json_opt_u64(json, "soak_ms", 0, SOAK_MS_MAX, 0,
                               &out->soak_ms, err)) < 0) {
        return flo_wrap(err, rv, "phases[%zu]", index);
    }
    out->devices = (uint32_t)devices;
    snprintf(out->name, sizeof(out->name), "%s", name);
    return 0;
}

static int read_phases(const json_t *spec, struct flo_rollout *core,
                       struct flo_err *err)
{
    json_t *phases;
    int rv = flo_json_opt_array(spec, "phases", FLO_ROLLOUT_PHASES_MAX, &phases,
                                err);

    if (rv < 0) {
        return rv;
    }
    if (phases == NULL) {
        phases_standard(core);
        return 0;
    }
    core->phase_count = (uint32_t)json_array_size(phases);
    for (uint32_t i = 0; i < core->phase_count && rv == 0; i++) {
        rv = read_phase(json_array_get(phases, i), i, &core->phases[i], err);
    }
    return rv < 0 ? rv : flo_rollout_check(core, err);
}

/* ---- gates ---- */

/* In a rollout of one phase there is no device left to be compared with. */
static int check_gates(const struct flo_rollout *core, struct flo_err *err)
{
    for (uint32_t i = 0; i < core->gate_count; i++) {
        if (flo_gate_kind_of(core->gates[i].gate) == FLO_GATE_KIND_RATIO &&
            core->phase_count < 2) {
            flo_fail(err, FLO_E_REST_SCHEMA,
                     "gates.%s compares updated devices with waiting ones; a "
                     "rollout of 1 phase leaves nobody waiting",
                     flo_gate_word(core->gates[i].gate));
            return flo_err_fix(err, "begin with a smaller phase");
        }
    }
    return 0;
}

static int read_gates(const json_t *spec, struct flo_rollout *core,
                      struct flo_err *err)
{
    json_t *gates;
    int rv = flo_json_opt_object(spec, "gates", &gates, err);

    if (rv == 0) {
        rv = flo_gates_parse(gates, core->gates, &core->gate_count, err);
    }
    return rv < 0 ? rv : check_gates(core, err);
}

/* ---- policy ---- */

/* Devices read it the same way: a policy that they would refuse is refused
 * here. */
static int read_policy(const json_t *spec, struct flo_policy *out,
                       struct flo_err *err)
{
    json_t *policy;
    int rv = flo_json_opt_object(spec, "policy", &policy, err);

    if (rv < 0) {
        return rv;
    }
    flo_policy_default(out);
    rv = flo_policy_read(policy, out, err);
    return rv < 0 ? rv
                  : flo_json_opt_u64(spec, "soak_ms", 0, SOAK_MS_MAX,
                                     out->soak_ms, &out->soak_ms, err);
}

/* ---- the whole ---- */

static int take_release(void *context, const struct flo_fleet_release *release)
{
    struct flo_rollout_entry *entry = context;

    entry->release_bytes = release->bytes;
    return flo_digest_parse(release->digest, &entry->release) ? 0 : FLO_E_DB;
}

/* `lift` is kept as the number up to which denials are lifted. */
static int read_words_of_floor(const json_t *spec, struct flo_err *err)
{
    const json_t *lift = json_object_get(spec, "lift");
    bool below;

    if (lift != NULL && !json_is_boolean(lift) && !json_is_integer(lift)) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `lift` is neither true nor false");
    }
    return flo_json_opt_bool(spec, "below_floor", false, &below, err);
}

static int read_words(const json_t *spec, struct flo_rollout_entry *entry,
                      struct flo_err *err)
{
    const char *title;
    const char *group;
    const char *on_fail;
    int rv;

    if ((rv = flo_json_get_text(spec, "release", 2 * FLO_NAME_MAX + 1, &title,
                                err)) < 0 ||
        (rv = flo_json_opt_name(spec, "group", "all", &group, err)) < 0 ||
        (rv = flo_json_opt_text(spec, "on_fail", 16, "halt", &on_fail, err)) <
            0 ||
        (rv = flo_json_opt_real(spec, "starts_per_s", 0.001, 100000,
                                STARTS_PER_S, &entry->core.starts_per_s, err)) <
            0 ||
        (rv = flo_release_title_parse(title, entry->model, entry->version,
                                      err)) < 0) {
        return rv;
    }
    if ((rv = read_words_of_floor(spec, err)) < 0) {
        return rv;
    }
    if (!flo_on_fail_parse(on_fail, &entry->core.on_fail)) {
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "on_fail: halt, rollback or pause, not `%s`", on_fail);
    }
    snprintf(entry->group, sizeof(entry->group), "%s", group);
    snprintf(entry->core.release, sizeof(entry->core.release), "%s", title);
    return 0;
}

int flo_rollouts_read_spec(struct flo_controller *controller, json_t *spec,
                           struct flo_rollout_entry **out, struct flo_err *err)
{
    struct flo_rollout_entry *entry = calloc(1, sizeof(*entry));
    int rv;

    if (entry == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "rollout");
    }
    if ((rv = read_words(spec, entry, err)) < 0 ||
        (rv = read_phases(spec, &entry->core, err)) < 0 ||
        (rv = read_gates(spec, &entry->core, err)) < 0 ||
        (rv = read_policy(spec, &entry->policy, err)) < 0 ||
        /* Last: a request that says nonsense is told so first. */
        (rv = flo_fleet_release_get(controller->store, entry->model,
                                    entry->version, take_release, entry, err)) <
            0) {
        flo_rollouts_entry_free(entry);
        if (rv == FLO_E_META_SCHEMA && err != NULL) {
            rv = err->code = FLO_E_REST_SCHEMA;
        }
        return rv;
    }
    flo_rollout_deadlines(&entry->core, &entry->policy);
    entry->spec = spec;
    *out = entry;
    return 0;
}

/* Variants: starts a switch to a smaller variant of a release under memory
 * pressure, and back; and the measurement of another variant that may be faster.
 *
 * The updater chose a variant when the release was staged.  The store names it,
 * and the larger variant in whose place it serves.  This file finds the variant
 * to switch to.  agent/core/memory/pressure.c decides when to switch, watch.c
 * when to measure, and an execution (agent/core/execution/variant.c) carries it
 * out. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/device/device.h"
#include "agent/shell/hardware/memory.h"
#include "agent/shell/outbox/stories.h"

#define AGAIN_MS 3600000 /* pause after a failed switch */
/* pause after a measurement that came to no end: no memory, or an order */
#define MEASURE_AGAIN_MS 86400000

static void copy_name(const struct flo_release *release, int variant, char out[FLO_NAME_MAX + 1])
{
    snprintf(out, FLO_NAME_MAX + 1, "%s", variant < 0 ? "" : release->variants[variant].name);
}

/* Finds the variants smaller than `chosen` and to be measured next to it, by the
 * rules of the updater's plan. */
static void find_others(struct flo_shell *shell, const struct flo_release *release, int chosen,
                        struct flo_variants *out)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *machine = flo_machine_json(&shell->settings, &shell->hardware->watch.machine,
                                       flo_store_disk_free(shell->store));
    struct flo_profile profile;

    if (machine != NULL && chosen >= 0 && flo_profile_parse(machine, &profile, NULL) == 0) {
        copy_name(release, flo_plan_smaller(release, &profile, (uint32_t)chosen), out->smaller);
        copy_name(release, flo_plan_unmeasured(release, &profile, (uint32_t)chosen),
                  out->unmeasured);
    }
}

static void learn(struct flo_shell *shell, const struct flo_digest *digest,
                  struct flo_variants *out)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *release = NULL;
    int chosen, larger;

    if (flo_shell_release_get(shell, digest, &release, NULL) < 0) {
        return;
    }
    chosen = flo_store_release_variant(shell->store, digest, release);
    larger = flo_store_variant_instead_of(shell->store, digest, release);
    copy_name(release, chosen, out->name);
    out->is_choice = release->variant_count > 1;
    copy_name(release, larger, out->larger);
    copy_name(release, -1, out->smaller);
    copy_name(release, -1, out->unmeasured);
    find_others(shell, release, chosen, out);
    if (chosen >= 0 && larger >= 0) {
        uint64_t less = flo_plan_memory_bytes(release, (uint32_t)chosen);
        uint64_t more = flo_plan_memory_bytes(release, (uint32_t)larger);
        out->more_bytes = more > less ? more - less : 0;
    }
}

/* Stores what a measurement found that changed nothing.  A variant without a
 * result is measured again later. */
static void measured(struct flo_shell *shell, uint32_t place, uint64_t now)
{
    struct flo_variants *variants = &shell->hardware->watch.variants[place];
    enum flo_execution end = shell->agent.models[place].execution.state;

    if (end == FLO_EXECUTION_FAILED || end == FLO_EXECUTION_ROLLED_BACK ||
        end == FLO_EXECUTION_TIMED_OUT) {
        flo_speeds_fail(shell, place);
    } else {
        flo_speeds_take(shell, place);
    }
    memcpy(variants->refused, variants->unmeasured, sizeof(variants->refused));
    variants->measure_again_ms = now + MEASURE_AGAIN_MS;
    variants->name[0] = '\0'; /* the next variant to measure is looked up */
}

/* Updates the knowledge about a model's variants.  Returns whether a switch may
 * begin. */
static bool look(struct flo_shell *shell, uint32_t place, uint64_t now)
{
    struct flo_variants *variants = &shell->hardware->watch.variants[place];
    const struct flo_agent_model *model = &shell->agent.models[place];
    const struct flo_digest *current = &model->slots.current.digest;
    bool is_idle = !model->has_execution && model->live == FLO_AGENT_CURRENT && !model->is_linked;

    if (variants->is_asked && !model->has_execution) {
        variants->is_asked = false;
        if (model->execution.is_measured) {
            measured(shell, place, now);
        } else {
            variants->again_ms = now + AGAIN_MS;
        }
    }
    if (!flo_digest_equal(&variants->release, current)) {
        memset(variants, 0, sizeof(*variants));
        variants->release = *current;
    }
    if (variants->name[0] == '\0' && is_idle) {
        learn(shell, current, variants);
        shell->agent.revision++; /* makes the agent send a report */
        flo_queue_wake(&shell->queue);
    }
    return is_idle && now >= variants->again_ms && shell->identity.is_there && !shell->is_local &&
           !shell->agent.is_frozen;
}

void flo_variants_look(struct flo_shell *shell, const uint32_t *places, size_t count, uint64_t now,
                       struct flo_pressure_facts *facts)
{
    for (size_t i = 0; i < count; i++) {
        const struct flo_variants *variants = &shell->hardware->watch.variants[places[i]];
        bool may_begin = look(shell, places[i], now);

        facts->variants[i].is_smaller = variants->larger[0] != '\0';
        facts->variants[i].may_shrink = may_begin && variants->smaller[0] != '\0';
        facts->variants[i].may_grow = may_begin && variants->larger[0] != '\0';
        facts->variants[i].more_bytes = variants->more_bytes;
    }
}

/* Prepares an execution that brings the variant; post() begins it. */
static struct flo_agent_execution *prepare(struct flo_shell *shell, uint32_t place,
                                           const char *variant)
{
    struct flo_intake *intake = &shell->models[place].exchange;
    struct flo_agent_execution *execution = &intake->execution;

    memset(intake, 0, sizeof(*intake));
    intake->event = (struct flo_agent_event){
        .kind = FLO_AGENT_DEPLOY, .model = place, .deploy.execution = execution};
    execution->release = shell->agent.models[place].slots.current;
    flo_stories_name(shell->db, "variant", execution);
    snprintf(execution->variant, sizeof(execution->variant), "%s", variant);
    flo_policy_default(&execution->policy);
    execution->policy.soak_ms = flo_config_u64(shell->settings.config, "bundle_soak");
    return execution;
}

static void post(struct flo_shell *shell, uint32_t place)
{
    shell->hardware->watch.variants[place].is_asked = true;
    flo_queue_post(&shell->queue, &shell->models[place].exchange.event);
}

void flo_variants_ask(struct flo_shell *shell, uint32_t place, bool is_smaller)
{
    const struct flo_variants *variants = &shell->hardware->watch.variants[place];
    struct flo_agent_execution *execution =
        prepare(shell, place, is_smaller ? variants->smaller : variants->larger);

    /* memory is short, so the smaller variant does not wait for conditions */
    execution->policy.urgent = is_smaller;
    post(shell, place);
}

bool flo_variants_measure(struct flo_shell *shell, uint32_t place, uint64_t now)
{
    const struct flo_variants *variants = &shell->hardware->watch.variants[place];
    bool is_refused =
        strcmp(variants->unmeasured, variants->refused) == 0 && now < variants->measure_again_ms;
    struct flo_agent_execution *execution;

    if (variants->unmeasured[0] == '\0' || variants->larger[0] != '\0' || is_refused ||
        !look(shell, place, now)) {
        return false;
    }
    execution = prepare(shell, place, variants->unmeasured);
    execution->is_measured = true;
    memset(&shell->models[place].compared, 0, sizeof(shell->models[place].compared));
    execution->policy.probe_speed_ratio_max = FLO_SPEED_PERCENT_MAX / 100.0;
    post(shell, place);
    return true;
}

static int keep(struct flo_shell *shell, const struct flo_agent_execution *to, struct flo_err *err)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *release = NULL;
    const struct flo_digest *digest = &to->release.digest;
    const struct flo_release_variant *variant, *before = NULL;

    FLO_TRY(flo_shell_release_get(shell, digest, &release, err));
    variant = flo_release_variant_named(release, to->variant);
    if (variant == NULL) {
        return flo_fail(err, FLO_E_STATE, "%s has no variant %s", to->release.model, to->variant);
    }
    if (!to->is_measured) { /* a faster variant does not stand in for the other one */
        int first = flo_store_variant_instead_of(shell->store, digest, release);
        first = first < 0 ? flo_store_release_variant(shell->store, digest, release) : first;
        before =
            first >= 0 && &release->variants[first] != variant ? &release->variants[first] : NULL;
    }
    return flo_store_variant_keep(shell->store, digest, variant, before, err);
}

void flo_variants_keep(struct flo_shell *shell, uint32_t place)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_WRITTEN, .model = place};
    struct flo_err err = {0};
    const struct flo_agent_execution *execution = &shell->agent.models[place].execution;

    if (execution->is_measured) { /* while the store names the variant before */
        flo_speeds_take(shell, place);
    }
    if (keep(shell, execution, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        event.kind = FLO_AGENT_UNWRITTEN;
        event.error.code = err.code;
        snprintf(event.error.what, sizeof(event.error.what), "%.255s", err.what);
    } else {
        memset(&shell->hardware->watch.variants[place], 0,
               sizeof(shell->hardware->watch.variants[place]));
    }
    flo_queue_post(&shell->queue, &event);
}

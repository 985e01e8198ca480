/* Variants: starts a switch to a smaller variant of a release under memory
 * pressure, and back.
 *
 * The updater chose a variant when the release was staged.  The store names it,
 * and the larger variant in whose place it serves.  This file finds the variant
 * to switch to.  agent/core/memory/pressure.c decides when to switch, and an
 * execution (agent/core/execution/variant.c) carries it out. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/device/device.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/outbox/stories.h"

#define AGAIN_MS 3600000 /* pause after a failed switch */

static void copy_name(const struct flo_release *release, int variant, char out[FLO_NAME_MAX + 1])
{
    snprintf(out, FLO_NAME_MAX + 1, "%s", variant < 0 ? "" : release->variants[variant].name);
}

/* Finds a variant smaller than `chosen`, by the rules of the updater's plan;
 * -1: there is none. */
static int find_smaller(struct flo_shell *shell, const struct flo_release *release, int chosen)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *machine =
        flo_machine_json(&shell->settings, &shell->machine, flo_store_disk_free(shell->store));
    struct flo_profile profile;

    return machine == NULL || chosen < 0 || flo_profile_parse(machine, &profile, NULL) < 0
               ? -1
               : flo_plan_smaller(release, &profile, (uint32_t)chosen);
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
    copy_name(release, find_smaller(shell, release, chosen), out->smaller);
    if (chosen >= 0 && larger >= 0) {
        uint64_t less = flo_plan_memory_bytes(release, (uint32_t)chosen);
        uint64_t more = flo_plan_memory_bytes(release, (uint32_t)larger);
        out->more_bytes = more > less ? more - less : 0;
    }
}

/* Updates the knowledge about a model's variants.  Returns whether a switch may
 * begin. */
static bool look(struct flo_shell *shell, uint32_t place, uint64_t now)
{
    struct flo_variants *variants = &shell->watch.variants[place];
    const struct flo_agent_model *model = &shell->agent.models[place];
    const struct flo_digest *current = &model->slots.current.digest;
    bool is_idle = !model->has_execution && model->live == FLO_AGENT_CURRENT && !model->is_linked;

    if (variants->is_asked && !model->has_execution) {
        variants->is_asked = false;
        variants->again_ms = now + AGAIN_MS;
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
        const struct flo_variants *variants = &shell->watch.variants[places[i]];
        bool may_begin = look(shell, places[i], now);

        facts->variants[i].is_smaller = variants->larger[0] != '\0';
        facts->variants[i].may_shrink = may_begin && variants->smaller[0] != '\0';
        facts->variants[i].may_grow = may_begin && variants->larger[0] != '\0';
        facts->variants[i].more_bytes = variants->more_bytes;
    }
}

void flo_variants_ask(struct flo_shell *shell, uint32_t place, bool is_smaller)
{
    struct flo_variants *variants = &shell->watch.variants[place];
    struct flo_intake *intake = &shell->models[place].exchange;
    struct flo_agent_execution *execution = &intake->execution;

    memset(intake, 0, sizeof(*intake));
    intake->event = (struct flo_agent_event){
        .kind = FLO_AGENT_DEPLOY, .model = place, .deploy.execution = execution};
    execution->release = shell->agent.models[place].slots.current;
    flo_stories_name(shell->db, "variant", execution);
    snprintf(execution->variant, sizeof(execution->variant), "%s",
             is_smaller ? variants->smaller : variants->larger);
    flo_policy_default(&execution->policy);
    execution->policy.soak_ms = flo_config_u64(shell->settings.config, "bundle_soak");
    /* memory is short, so the smaller variant does not wait for conditions */
    execution->policy.urgent = is_smaller;
    variants->is_asked = true;
    flo_queue_post(&shell->queue, &intake->event);
}

static int keep(struct flo_shell *shell, const struct flo_agent_execution *to, struct flo_err *err)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *release = NULL;
    const struct flo_digest *digest = &to->release.digest;
    const struct flo_release_variant *first = NULL, *variant = NULL;

    FLO_TRY(flo_shell_release_get(shell, digest, &release, err));
    int before = flo_store_variant_instead_of(shell->store, digest, release);
    if (before < 0) {
        before = flo_store_release_variant(shell->store, digest, release);
    }
    for (uint32_t v = 0; v < release->variant_count; v++) {
        bool is_it = strcmp(release->variants[v].name, to->variant) == 0;
        variant = is_it ? &release->variants[v] : variant;
        first = (int)v == before && !is_it ? &release->variants[v] : first;
    }
    return variant == NULL
               ? flo_fail(err, FLO_E_STATE, "%s has no variant %s", to->release.model, to->variant)
               : flo_store_variant_keep(shell->store, digest, variant, first, err);
}

void flo_variants_keep(struct flo_shell *shell, uint32_t place)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_WRITTEN, .model = place};
    struct flo_err err = {0};

    if (keep(shell, &shell->agent.models[place].execution, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        event.kind = FLO_AGENT_UNWRITTEN;
        event.error.code = err.code;
        snprintf(event.error.what, sizeof(event.error.what), "%.255s", err.what);
    } else {
        memset(&shell->watch.variants[place], 0, sizeof(shell->watch.variants[place]));
    }
    flo_queue_post(&shell->queue, &event);
}

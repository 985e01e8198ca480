/* Memory: collects the planner's numbers for the releases on the device.
 *
 * A file that several engines map counts once.  An engine measures the other
 * memory for each degradation level (measuring.c).  Until then the release's
 * own declaration counts, or the memory of its model's current release. */
#include <assert.h>
#include <string.h>

#include "proto/memory/figures.h"

#include "agent/shell/device/runtimes.h"
#include "agent/shell/serving/state.h"

_Static_assert(FLO_MEMORY_MODELS_MAX >= FLO_AGENT_MODELS_MAX, "one place each");

/* ---- one release ---- */

/* Takes the memory from the runtime's file.  A runtime with an unreadable file
 * needs none, because it is not started.  A program that reads a link is
 * pinned, because no request would load it again. */
static void look_at_runtime(const struct flo_shell *shell, const struct flo_release *release,
                            const struct flo_release_variant *variant, struct flo_memory_model *out)
{
    struct flo_device_runtime runtime;

    if (flo_runtimes_read(&shell->settings, variant->runtime, &runtime, NULL) < 0) {
        return;
    }
    if (flo_runtimes_plan(&runtime, release, variant, NULL) == 0) {
        out->private_bytes[0] = runtime.memory_bytes;
        out->is_pinned = out->is_pinned || runtime.is_linked;
    }
    flo_runtimes_deinit(&runtime);
}

/* Returns the measured memory of this release, else that of its model's current
 * release; NULL: neither is known. */
static const uint64_t *measured_of(const struct flo_shell *shell, const struct flo_digest *digest,
                                   uint32_t model)
{
    const struct flo_shell_measured *own = flo_shell_measured(shell, digest);
    const struct flo_shell_measured *measured =
        own != NULL ? own : flo_shell_measured(shell, &shell->models[model].slots.current);

    return measured != NULL && measured->is_known ? measured->private_bytes : NULL;
}

/* Makes the planner's numbers for a release, and says where they come from.
 * `name` is the variant; "": the one that was chosen.  Returns false when the
 * release has no document. */
static bool tell(struct flo_shell *shell, uint32_t model, const struct flo_digest *release,
                 const char *name, struct flo_memory_told *told)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *document = NULL;
    const struct flo_release_variant *variant = NULL;
    struct flo_memory_model *out = &told->model;
    const struct flo_release_file *file;
    const struct flo_model_spec *spec;

    *told = (struct flo_memory_told){.model = {.weight = FLO_MEMORY_WEIGHT_STANDARD, .rungs = 1}};
    if (flo_digest_is_zero(release) || flo_shell_release_get(shell, release, &document, NULL) < 0) {
        return false;
    }
    memcpy(out->name, document->model, sizeof(out->name));
    spec = flo_spec_of(&shell->settings, document->model);
    if (spec != NULL) {
        out->is_pinned = spec->is_pinned;
        out->weight = spec->weight;
    }
    variant = flo_release_variant_named(document, name);
    file = variant != NULL ? flo_release_variant_file(document, variant, "model")
                           : flo_shell_model_file(shell, release, document, &variant);
    if (variant != NULL && !flo_release_is_native(variant)) {
        look_at_runtime(shell, document, variant, out);
        return true;
    }
    if (file != NULL) {
        const uint64_t *measured = measured_of(shell, release, model);
        flo_memory_figures(document, variant, file, measured, out);
        told->is_measured = measured != NULL;
        told->adapter_bytes =
            flo_memory_adapter_bytes(flo_release_variant_file(document, variant, "adapter"));
        told->draft_bytes = flo_memory_draft_bytes(document, variant);
    }
    return file != NULL;
}

bool flo_shell_memory_candidate(struct flo_shell *shell, uint32_t model,
                                const struct flo_digest *release, struct flo_memory_model *out)
{
    const struct flo_agent_model *agent = &shell->agent.models[model];
    bool is_measured = agent->has_execution && agent->execution.is_measured &&
                       flo_digest_equal(&agent->execution.release.digest, release);
    struct flo_memory_told told;
    bool is_there = tell(shell, model, release, is_measured ? agent->execution.variant : "", &told);

    *out = told.model;
    return is_there;
}

/* ---- all of them ---- */

/* The first release of a model counts as soon as it is staged, because its
 * engine will be loaded. */
const struct flo_digest *flo_shell_memory_release(const struct flo_slots *slots)
{
    return flo_digest_is_zero(&slots->current) ? &slots->candidate : &slots->current;
}

static bool is_measured(struct flo_shell *shell, const struct flo_digest *release,
                        const struct flo_memory_model *model)
{
    return model->n_files == 0 || flo_shell_measured(shell, release) != NULL;
}

void flo_shell_plan_again(struct flo_shell *shell)
{
    shell->serving->memory.known.is_planned = false;
}

bool flo_shell_memory_inputs(struct flo_shell *shell)
{
    struct flo_shell_memory *memory = &shell->serving->memory;
    bool are_measured = true;

    memory->known.count = 0;
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_digest *release = flo_shell_memory_release(&shell->models[i].slots);
        struct flo_memory_model *out = &memory->known.models[memory->known.count];
        struct flo_memory_told told;

        if (!tell(shell, i, release, "", &told)) {
            continue;
        }
        *out = told.model;
        memory->known.adapter_bytes[memory->known.count] = told.adapter_bytes;
        memory->known.draft_bytes[memory->known.count] = told.draft_bytes;
        memory->known.are_measured[memory->known.count] = told.is_measured;
        are_measured = are_measured && is_measured(shell, release, out);
        out->rung_min = shell->watch->rungs[i];
        out->is_demoted = shell->watch->is_demoted[i];
        memory->releases[memory->known.count] = *release;
        memory->known.places[memory->known.count++] = i;
    }
    if (memory->known.count < 2) {
        return true; /* a device with one model needs no plan, so any release may be tried */
    }
    for (size_t i = 0; !are_measured && i < memory->known.count; i++) {
        if (!is_measured(shell, &memory->releases[i], &memory->known.models[i])) {
            flo_shell_measure(shell, &memory->releases[i]);
            break;
        }
    }
    return are_measured;
}

size_t flo_shell_memory_index(const struct flo_shell *shell, uint32_t model)
{
    for (size_t i = 0; i < shell->serving->memory.known.count; i++) {
        if (shell->serving->memory.known.places[i] == model) {
            return i;
        }
    }
    return FLO_MEMORY_MODELS_MAX;
}

/* ---- a candidate ---- */

/* Lists the models on the device, with `candidate` in place of its model, or in
 * addition if its model is new.  Returns their number. */
static size_t with_candidate(const struct flo_shell *shell, uint32_t model,
                             const struct flo_memory_model *candidate, struct flo_memory_model *out,
                             size_t *own)
{
    size_t count = shell->serving->memory.known.count;

    memcpy(out, shell->serving->memory.known.models, count * sizeof(*out));
    *own = flo_shell_memory_index(shell, model);
    if (*own == FLO_MEMORY_MODELS_MAX) {
        *own = count++;
    }
    assert(*own < FLO_MEMORY_MODELS_MAX);
    out[*own] = *candidate;
    return count;
}

int flo_shell_memory_check(struct flo_shell *shell, uint32_t model,
                           const struct flo_digest *release, struct flo_err *err)
{
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX], candidate;
    struct flo_memory_plan plan;
    size_t own, count;

    (void)flo_shell_memory_inputs(shell);
    if (!flo_shell_memory_candidate(shell, model, release, &candidate)) {
        return 0;
    }
    count = with_candidate(shell, model, &candidate, models, &own);
    return count == 1
               ? 0 /* a device with one model needs no plan, so any release may be tried */
               : flo_memory_plan(models, count, shell->watch->machine.memory_bytes, &plan, err);
}

/* ---- what has no room ---- */

/* Tells whether the model is on demand and never gets memory.  If all models
 * are pinned and exceed the budget together, the least important one is left
 * out. */
static bool is_left_out(const struct flo_shell *shell, uint32_t model)
{
    const struct flo_shell_memory *memory = &shell->serving->memory;
    size_t own = flo_shell_memory_index(shell, model);
    size_t order[FLO_MEMORY_MODELS_MAX];
    bool are_resident = true;

    if (memory->known.count < 2 || !memory->known.is_planned || memory->known.plan.fits ||
        own >= memory->known.count) {
        return false;
    }
    flo_memory_order(memory->known.models, memory->known.count, order);
    for (size_t i = 0; i < memory->known.count; i++) {
        are_resident = are_resident && memory->known.plan.models[i].is_resident;
    }
    return are_resident ? own == order[memory->known.count - 1]
                        : !memory->known.plan.models[own].is_resident;
}

void flo_shell_memory_judge(struct flo_shell *shell, const struct flo_err *why)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_shell_model *model = &shell->models[i];
        const struct flo_slots *slots = &model->slots;
        const struct flo_digest *target = &slots->stated.target;
        bool is_there = flo_digest_is_zero(target) || flo_digest_equal(target, &slots->current);
        struct flo_err err = {0};

        if (is_there && is_left_out(shell, i)) {
            flo_shell_memory_refuse(shell, i, &slots->current, why);
        } else if (is_there || flo_digest_equal(target, &model->no_memory.release)) {
            if (is_there || flo_shell_memory_check(shell, i, target, &err) == 0) {
                model->no_memory.release = (struct flo_digest){0};
            }
        } else if (flo_shell_memory_check(shell, i, target, &err) < 0) {
            flo_shell_memory_refuse(shell, i, target, &err);
        }
    }
}

void flo_shell_memory_refuse(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release, const struct flo_err *why)
{
    shell->models[model].no_memory.release = *release;
    snprintf(shell->models[model].no_memory.why, sizeof(shell->models[model].no_memory.why),
             "%.255s", why->what);
}

/* Decides how a candidate is loaded next to its model's current release.  A
 * candidate does not use the memory that on-demand models share, because their
 * requests would wait until the candidate's soak ends. */
static enum flo_memory_way way(struct flo_shell *shell, uint32_t model,
                               const struct flo_memory_model *candidate)
{
    const struct flo_shell_memory *memory = &shell->serving->memory;
    size_t own = flo_shell_memory_index(shell, model);
    struct flo_memory_plan plan;
    uint64_t needed;

    if (own == FLO_MEMORY_MODELS_MAX || flo_digest_is_zero(&shell->models[model].slots.current)) {
        /* the plan already counts this release, so there is memory for it */
        return FLO_MEMORY_WARM;
    }
    if (flo_memory_plan(memory->known.models, memory->known.count,
                        shell->watch->machine.memory_bytes, &plan, NULL) < 0) {
        return FLO_MEMORY_STOP_FIRST;
    }
    return flo_memory_candidate(memory->known.models, memory->known.count, &plan, own, candidate,
                                false, &needed);
}

bool flo_shell_fits_both(struct flo_shell *shell, uint32_t model, const struct flo_digest *beside)
{
    struct flo_memory_model candidate;

    (void)flo_shell_memory_inputs(shell);
    if (!flo_shell_memory_candidate(shell, model, beside, &candidate)) {
        return true; /* no document or file of the release is here, so no engine loads it */
    }
    return way(shell, model, &candidate) != FLO_MEMORY_STOP_FIRST &&
           (flo_config_u64(shell->settings.config, "memory_budget") != 0 ||
            candidate.files[0].bytes + candidate.private_bytes[0] <= flo_machine_memory_free());
}

/* ---- rungs ---- */

/* Returns the degradation level for a load in this role.  It is 0 on a device
 * with one model, whose engine stays within the budget itself. */
static uint32_t rung_of(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                        const struct flo_digest *release)
{
    const struct flo_shell_memory *memory = &shell->serving->memory;
    size_t own = flo_shell_memory_index(shell, model);
    struct flo_memory_model candidate;

    if (memory->known.count < 2 || !memory->known.is_planned || own == FLO_MEMORY_MODELS_MAX ||
        !flo_shell_memory_candidate(shell, model, release, &candidate)) {
        return 0;
    }
    if (candidate.rungs == 1) {
        return 0;
    }
    if (!memory->known.plan.models[own].is_resident ||
        (role == FLO_AGENT_BESIDE && way(shell, model, &candidate) == FLO_MEMORY_SMALL)) {
        return candidate.rungs - 1;
    }
    return memory->known.plan.models[own].rung;
}

void flo_shell_rung_set(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                        struct flo_serve_model *out)
{
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    uint32_t rung = rung_of(shell, model, role, &out->release);

    shell->models[model].pending[role].rung = rung;
    if (shell->serving->memory.known.count < 2 || !shell->serving->memory.known.is_planned) {
        return;
    }
    flo_memory_rungs(out->context, out->sessions, rungs);
    out->context = rungs[rung].context;
    out->sessions = rungs[rung].sessions;
    /* a release may ask for a smaller cache than the plan counts on */
    if (rung > 0 || (out->cache != FLO_SERVE_CACHE_Q8_0 && out->cache != FLO_SERVE_CACHE_Q4_0)) {
        out->cache = flo_shell_cache(&rungs[rung]);
    }
    /* the memory plan limits the engine, so the engine itself needs no limit */
    out->memory_bytes_max = 0;
}

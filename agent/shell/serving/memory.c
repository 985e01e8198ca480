/* Memory: is there room for a release next to the models that are here?
 *
 * The planner's inputs are the files that engines map, each of which counts
 * once, and the rest of what the release says that it needs.  Every model stays
 * in memory: none is loaded on demand yet. */
#include <string.h>

#include "agent/core/memory/memory.h"
#include "agent/shell/device/runtimes.h"
#include "agent/shell/serving/serving.h"

#define PRIVATE_BYTES_MIN (UINT64_C(16) << 20) /* of an engine */

struct inputs {
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
    size_t count;
};
_Static_assert(FLO_MEMORY_MODELS_MAX >= FLO_AGENT_MODELS_MAX, "one place each");

/* As its file says; one that cannot be read is not started either. */
static uint64_t runtime_memory(const struct flo_shell *shell,
                               const struct flo_release_variant *variant)
{
    struct flo_device_runtime runtime;

    if (flo_runtimes_read(&shell->settings, variant->runtime, &runtime, NULL) <
        0) {
        return 0;
    }
    uint64_t bytes = runtime.memory_bytes;
    flo_runtimes_deinit(&runtime);
    return bytes;
}

static void look_at_file(const struct flo_release *release,
                         const struct flo_release_variant *variant,
                         const struct flo_release_file *file,
                         struct flo_memory_model *out)
{
    uint64_t private_bytes =
        PRIVATE_BYTES_MIN + flo_shell_adapter_bytes(flo_release_variant_file(
                                release, variant, "adapter"));

    out->n_files = 1;
    out->files[0].digest = file->digest;
    out->files[0].bytes = file->bytes;
    out->private_bytes[0] = private_bytes;
    if (variant->memory_bytes > file->bytes + private_bytes) {
        out->private_bytes[0] = variant->memory_bytes - file->bytes;
    }
}

/* false: nothing is known of it. */
static bool look(struct flo_shell *shell, const struct flo_digest *digest,
                 struct flo_memory_model *out)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *release = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file;

    *out = (struct flo_memory_model){
        .is_pinned = true, .weight = FLO_MEMORY_WEIGHT_STANDARD, .rungs = 1};
    if (flo_digest_is_zero(digest) ||
        flo_shell_release_get(shell, digest, &release, NULL) < 0) {
        return false;
    }
    memcpy(out->name, release->model, sizeof(out->name));
    file = flo_shell_model_file(shell, digest, release, &variant);
    if (variant != NULL && !flo_release_is_native(variant)) {
        out->private_bytes[0] = runtime_memory(shell, variant);
        return true;
    }
    if (file != NULL) {
        look_at_file(release, variant, file, out);
    }
    return file != NULL;
}

/* All current releases but that of `without`. */
static void look_at_others(struct flo_shell *shell, uint32_t without,
                           struct inputs *out)
{
    out->count = 0;
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (i != without && look(shell, &shell->models[i].slots.current,
                                 &out->models[out->count])) {
            out->count++;
        }
    }
}

int flo_shell_memory_check(struct flo_shell *shell, uint32_t model,
                           const struct flo_digest *release,
                           struct flo_err *err)
{
    struct flo_memory_plan plan;
    struct inputs inputs;

    look_at_others(shell, model, &inputs);
    if (inputs.count == 0 ||
        !look(shell, release, &inputs.models[inputs.count])) {
        return 0; /* alone it may try */
    }
    return flo_memory_plan(inputs.models, inputs.count + 1,
                           shell->machine.memory_bytes, &plan, err);
}

static bool fits(struct flo_shell *shell, uint32_t model,
                 const struct flo_memory_model *beside)
{
    struct flo_memory_plan plan;
    struct inputs inputs;
    size_t own;

    look_at_others(shell, model, &inputs);
    own = inputs.count;
    if (look(shell, &shell->models[model].slots.current, &inputs.models[own])) {
        uint64_t needed;
        int rv = flo_memory_plan(inputs.models, own + 1,
                                 shell->machine.memory_bytes, &plan, NULL);
        return rv == 0 &&
               flo_memory_candidate(inputs.models, own + 1, &plan, own, beside,
                                    true, &needed) == FLO_MEMORY_WARM;
    }
    inputs.models[own] = *beside;
    return flo_memory_plan(inputs.models, own + 1, shell->machine.memory_bytes,
                           &plan, NULL) == 0;
}

bool flo_shell_fits_both(struct flo_shell *shell, uint32_t model,
                         const struct flo_digest *beside)
{
    struct flo_memory_model memory;

    if (!look(shell, beside, &memory)) {
        return true; /* nothing to load */
    }
    return fits(shell, model, &memory) &&
           (flo_config_u64(shell->settings.config, "memory_budget") != 0 ||
            memory.files[0].bytes + memory.private_bytes[0] <=
                flo_machine_memory_free());
}

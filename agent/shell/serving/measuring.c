/* Measuring: asks an engine how much memory a release needs at each degradation
 * level.
 *
 * Each release is measured once, in a process that reads only the head of the
 * file. */
#include <string.h>

#include "agent/shell/serving/state.h"

static void list_rungs(const struct flo_shell *shell, const struct flo_release *release,
                       const struct flo_release_variant *variant,
                       struct flo_memory_rung out[FLO_MEMORY_RUNGS])
{
    const struct flo_shell_asked asked = flo_shell_asked(shell, release, variant);

    flo_memory_rungs(asked.context, asked.sessions, out);
}

enum flo_serve_cache flo_shell_cache(const struct flo_memory_rung *rung)
{
    return rung->cache == FLO_MEMORY_CACHE_F16 ? FLO_SERVE_CACHE_F16 : FLO_SERVE_CACHE_Q8_0;
}

const struct flo_shell_measured *flo_shell_measured(const struct flo_shell *shell,
                                                    const struct flo_digest *release)
{
    for (size_t i = 0; i < FLO_MEASURED_MAX; i++) {
        const struct flo_shell_measured *measured = &shell->serving->memory.measured[i];
        if (flo_digest_equal(&measured->release, release)) {
            return measured;
        }
    }
    return NULL;
}

/* Returns a free entry of `measured`, or the oldest one. */
static struct flo_shell_measured *take_place(struct flo_shell_memory *memory)
{
    struct flo_shell_measured *out = &memory->measured[memory->next];

    memory->next = (memory->next + 1) % FLO_MEASURED_MAX;
    memset(out, 0, sizeof(*out));
    out->release = memory->asked;
    memset(&memory->asked, 0, sizeof(memory->asked));
    return out;
}

static void done(void *context, const struct flo_serve_planned *plans, const struct flo_err *err)
{
    struct flo_shell *shell = context;
    struct flo_shell_measured *out = take_place(&shell->serving->memory);
    uint64_t draft_bytes = shell->serving->memory.asked_draft_bytes;

    shell->serving->memory.planner = NULL;
    if (err != NULL) {
        flo_log_err(FLO_LOG_WARN, "memory", err);
    } else {
        out->is_known = true;
        out->weights_bytes = plans[0].weights_bytes;
        for (uint32_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
            out->private_bytes[i] = plans[i].private_bytes + FLO_MEMORY_PROCESS_BYTES;
        }
        out->private_bytes[0] -= draft_bytes < out->private_bytes[0] ? draft_bytes : 0;
    }
    flo_queue_wake(&shell->queue);
}

/* Opens the draft of a variant, if it is on the device, for the plan of rung
 * 0. */
static void add_draft(struct flo_shell *shell, const struct flo_release *release,
                      const struct flo_release_variant *variant,
                      struct flo_serve_planning *planning)
{
    const struct flo_release_file *draft =
        flo_release_variant_file(release, variant, FLO_ROLE_DRAFT);

    shell->serving->memory.asked_draft_bytes = 0;
    if (draft != NULL &&
        flo_store_blob_open(shell->store, &draft->digest, &planning->draft_fd, NULL, NULL) == 0) {
        shell->serving->memory.asked_draft_bytes = draft->bytes;
        planning->ways[0].has_draft = true;
    }
}

static int ask(struct flo_shell *shell, const struct flo_digest *release, struct flo_err *err)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *document = NULL;
    const struct flo_release_variant *variant = NULL;
    const struct flo_release_file *file = NULL;
    struct flo_serve_planning planning = {
        .count = FLO_MEMORY_RUNGS, .context = shell, .done = done};
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];

    FLO_TRY(flo_shell_release_get(shell, release, &document, err));
    file = flo_shell_model_file(shell, release, document, &variant);
    if (file == NULL || !flo_release_is_native(variant)) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "no model of ours is in it");
    }
    list_rungs(shell, document, variant, rungs);
    for (uint32_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        planning.ways[i].context = rungs[i].context;
        planning.ways[i].sessions = rungs[i].sessions;
        planning.ways[i].cache = flo_shell_cache(&rungs[i]);
    }
    FLO_TRY(flo_store_blob_open(shell->store, &file->digest, &planning.fd, NULL, err));
    add_draft(shell, document, variant, &planning);
    return flo_serve_plan(shell->serve, &planning, &shell->serving->memory.planner, err);
}

void flo_shell_measure(struct flo_shell *shell, const struct flo_digest *release)
{
    struct flo_err err = {0};

    if (shell->is_local || !flo_digest_is_zero(&shell->serving->memory.asked)) {
        return; /* a measurement is already running */
    }
    shell->serving->memory.asked = *release;
    if (ask(shell, release, &err) < 0) {
        done(shell, NULL, &err);
    }
}

/* Sweep: deletes blobs that no record names. */
#include <stdlib.h>

#include <flotilla/plural.h>

#include "agent/shell/queue/timers.h"
#include "agent/shell/update/memory.h"

bool flo_update_begin(struct flo_shell *shell)
{
    shell->update = calloc(1, sizeof(*shell->update));
    return shell->update != NULL;
}

bool flo_shell_collect_open(struct flo_shell *shell, event_callback_fn on_collect)
{
    shell->update->collect = evtimer_new(shell->base, on_collect, shell);
    return shell->update->collect != NULL;
}

void flo_shell_collect_close(struct flo_shell *shell)
{
    if (shell->update->collect != NULL) {
        event_free(shell->update->collect);
        shell->update->collect = NULL;
    }
}

void flo_shell_collect_later(struct flo_shell *shell, unsigned in_ms)
{
    flo_shell_later(shell->update->collect, in_ms);
}

uint32_t flo_shell_sweep(struct flo_shell *shell, const struct flo_digest *keep, size_t keep_count)
{
    struct flo_collected collected = {0};
    struct flo_err err = {0};

    if (flo_store_collect(shell->store, keep, keep_count, &collected, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "store", &err);
    } else if (collected.files > 0) {
        flo_log(FLO_LOG_INFO, "store", "removed %u file%s, %llu bytes", collected.files,
                flo_s(collected.files), (unsigned long long)collected.bytes);
    }
    return collected.files;
}

bool flo_shell_make_room(struct flo_shell *shell, uint32_t job, const struct flo_digest *release)
{
    size_t keep_count = flo_store_blob_has(shell->store, release, 0) ? 1 : 0;

    flo_store_keep_patches(shell->store, false);
    uint32_t count = flo_shell_sweep(shell, release, keep_count);
    if (count == 0 && shell->update->stepless_job != job) {
        shell->update->stepless_job = job;
        flo_store_keep_steps(shell->store, false);
        count = flo_shell_sweep(shell, release, keep_count);
        flo_store_keep_steps(shell->store, true);
    }
    flo_store_keep_patches(shell->store, shell->neighbour_counts->serves);
    return count > 0;
}

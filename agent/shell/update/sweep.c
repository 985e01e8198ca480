/* Sweep: deletes blobs that no record names. */
#include <flotilla/plural.h>

#include "agent/shell/update/memory.h"

void flo_shell_collect_by(struct flo_shell *shell, struct event *collect)
{
    shell->update->collect = collect;
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

struct flo_guest *flo_shell_guest(struct flo_shell *shell)
{
    return &shell->update->guest;
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

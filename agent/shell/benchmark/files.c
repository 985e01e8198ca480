/* Files: finds what a benchmark reads of a release on this device. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/plural.h>

#include "agent/shell/benchmark/benchmarking.h"
#include "agent/shell/device/device.h"
#include "agent/shell/serving/serving.h"

/* Writes the path of an open file.  The descriptor is closed. */
static int path_of(int fd, char out[4096], struct flo_err *err)
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, out, 4095);
    close(fd);
    out[bytes < 0 ? 0 : bytes] = '\0';
    return bytes > 0 ? 0 : flo_fail_errno(err, FLO_E_IO_OPEN, "%s", link);
}

static int blob_path(struct flo_shell *shell, const struct flo_digest *digest, char out[4096],
                     struct flo_err *err)
{
    int fd = -1;

    FLO_TRY(flo_store_blob_open(shell->store, digest, &fd, NULL, err));
    return path_of(fd, out, err);
}

/* Finds the model that a job without a release means. */
static int find_current(const struct flo_shell *shell, const struct flo_benchmark_job *job,
                        struct flo_digest *out, struct flo_err *err)
{
    size_t count = 0;

    for (size_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &shell->agent.models[i];
        if (!flo_digest_is_zero(&model->slots.current.digest) &&
            (job->model[0] == '\0' || strcmp(job->model, model->name) == 0)) {
            *out = model->slots.current.digest;
            count++;
        }
    }
    return count == 1
               ? 0
               : flo_fail(err, FLO_E_STATE, "a benchmark of %s: %zu release%s here",
                          job->model[0] == '\0' ? "what serves" : job->model, count, flo_s(count));
}

int flo_benchmark_check_kind(const struct flo_release *release, bool is_runtime, bool is_adapter,
                             struct flo_err *err)
{
    if (!is_runtime && !is_adapter) {
        return 0;
    }
    flo_fail(err, FLO_E_NOT_BUILT, "%s@%s: benchmarks of %s", release->model, release->version,
             is_runtime ? "a runtime's release" : "an adapter");
    return flo_err_fix(err, is_runtime ? "measure it with the runtime's own tools"
                                       : "measure the release of its base model");
}

static int find_files(struct flo_shell *shell, const struct flo_digest *digest,
                      struct flo_shell_files *files, struct flo_err *err)
{
    char text[FLO_DIGEST_TEXT];
    int rv = flo_shell_files_get(shell, digest, files, err);

    if (rv < 0) {
        flo_digest_text(digest, text);
        return flo_wrap(err, rv, "a benchmark of %.19s…", text);
    }
    return flo_benchmark_check_kind(files->release, files->model == NULL, files->adapter != NULL,
                                    err);
}

/* Finds the first golden file of the variant. */
static void find_golden(struct flo_shell *shell, const struct flo_shell_files *files,
                        struct flo_benchmark_files *out)
{
    const struct flo_release *release = files->release;
    const struct flo_release_file *file = NULL;

    for (uint32_t i = 0; i < release->golden_count && file == NULL; i++) {
        (void)!flo_release_golden_file(release, files->variant,
                                       release->files[release->golden[i]].name,
                                       FLO_GOLDEN_BYTES_MAX, &file, NULL);
    }
    if (file == NULL || blob_path(shell, &file->digest, out->golden, NULL) < 0) {
        out->golden[0] = '\0';
    }
}

int flo_benchmark_find(struct flo_shell *shell, const struct flo_benchmark_job *job,
                       struct flo_benchmark_files *out, struct flo_benchmark_seen *seen,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};
    struct flo_digest digest = job->release;
    int fd = -1;

    memset(out, 0, sizeof(*out));
    if (flo_digest_is_zero(&digest)) {
        FLO_TRY(find_current(shell, job, &digest, err));
    }
    FLO_TRY(find_files(shell, &digest, &files, err));
    FLO_TRY(blob_path(shell, &files.model->digest, out->model, err));
    if (flo_store_packed_open(shell->store, &files.model->digest, &fd, NULL) < 0 ||
        path_of(fd, out->packed, NULL) < 0) {
        out->packed[0] = '\0';
    }
    find_golden(shell, &files, out);
    out->context = flo_shell_asked(shell, files.release, files.variant).context;
    flo_digest_text(&digest, seen->release);
    snprintf(seen->model, sizeof(seen->model), "%s", files.release->model);
    snprintf(seen->version, sizeof(seen->version), "%s", files.release->version);
    snprintf(seen->variant, sizeof(seen->variant), "%s",
             files.release->variant_count > 1 ? files.variant->name : "");
    seen->file_bytes = (double)files.model->bytes;
    return 0;
}

/* The probe of a candidate: with the golden prompts of its release. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/golden.h>

#include "agent/shell/serving/serving.h"

static void probed(void *context, const struct flo_probe_result *result)
{
    struct flo_shell *shell = context;
    struct flo_agent_event event = {.kind = FLO_AGENT_PROBED,
                                    .model = shell->probing};

    event.detail.cases = result->cases;
    event.detail.passed = result->passed;
    event.detail.memory_bytes = result->memory_bytes;
    if (result->token_us_current > 0) {
        event.detail.ratio =
            result->token_us_candidate / result->token_us_current;
    }
    event.error.code = result->error;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s",
             result->what);
    flo_queue_post(&shell->queue, &event);
}

static double smaller(double a, double b)
{
    if (a <= 0 || b <= 0) {
        return a > b ? a : b;
    }
    return a < b ? a : b;
}

static int golden_read(struct flo_shell *shell,
                       const struct flo_release *release, char **text,
                       size_t *bytes, struct flo_err *err)
{
    const struct flo_release_file *file =
        release->golden_count == 0 ? NULL : &release->files[release->golden[0]];
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t size;
    int rv;

    if (file == NULL) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN,
                        "%s@%s brings no golden prompts", release->model,
                        release->version);
    }
    if (file->bytes > FLO_GOLDEN_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE,
                        "golden prompts of %llu bytes, at most %u",
                        (unsigned long long)file->bytes, FLO_GOLDEN_BYTES_MAX);
    }
    rv = flo_store_blob_open_verified(shell->store, &file->digest, &fd, &size,
                                      err);
    if (rv < 0) {
        return rv;
    }
    *text = malloc((size_t)size + 1);
    if (*text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "golden prompts");
    }
    (*text)[size] = '\0';
    *bytes = (size_t)size;
    return flo_fd_pread_all(fd, *text, (size_t)size, 0, err);
}

struct files {
    struct flo_shell *shell;
    const struct flo_release *release;
};

/* A file that a golden case names: a vector. */
static int read_file(void *context, const char *name, size_t bytes_max,
                     char **data, size_t *bytes, struct flo_err *err)
{
    const struct files *files = context;
    const struct flo_release_file *file =
        flo_release_find(files->release, name);
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t size = 0;

    if (file == NULL || file->bytes > bytes_max) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "the release has no file %.100s of at most %zu bytes",
                        name, bytes_max);
    }
    int rv = flo_store_blob_open_verified(files->shell->store, &file->digest,
                                          &fd, &size, err);
    if (rv < 0) {
        return rv;
    }
    *data = malloc((size_t)size + 1);
    *bytes = (size_t)size;
    return *data == NULL ? flo_fail(err, FLO_E_MEMORY, "a golden vector")
                         : flo_fd_pread_all(fd, *data, (size_t)size, 0, err);
}

void flo_shell_probe(struct flo_shell *shell,
                     const struct flo_agent_action *action)
{
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};
    const struct flo_release *release;
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    const struct flo_policy *policy =
        &shell->agent.models[action->model].execution.policy;
    struct flo_probe_limits limits = {.timeout_ms = policy->probe_timeout_ms};
    struct flo_err err = {0};
    size_t bytes = 0;
    int rv = flo_shell_files_get(shell, &action->release.digest, &files, &err);

    release = files.release;
    shell->probing = action->model;
    if (rv == 0) {
        memcpy(limits.adapter, files.adapter_name, sizeof(files.adapter_name));
        limits.adapter_scale = files.adapter_scale;
        rv = golden_read(shell, release, &text, &bytes, &err);
    }
    if (rv == 0) {
        limits.speed_ratio_max = smaller(policy->probe_speed_ratio_max,
                                         release->probe_speed_ratio_max);
        limits.memory_bytes_max = release->probe_memory_bytes_max;
        struct files named = {shell, release};
        limits.read_file = read_file;
        limits.file_context = &named;
        rv = flo_serve_probe(shell->serve, action->model, text, bytes, &limits,
                             probed, shell, &err);
    }
    if (rv < 0) {
        struct flo_probe_result result = {.error = err.code};
        snprintf(result.what, sizeof(result.what), "%.255s", err.what);
        probed(shell, &result);
    }
}

/* Probing: probes a candidate with all golden cases of its release. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/serving/state.h"

static void probed(void *context, const struct flo_probe_result *result)
{
    struct flo_shell *shell = context;
    struct flo_agent_event event = {.kind = FLO_AGENT_PROBED, .model = shell->serving->probing};

    event.detail.cases = result->cases;
    event.detail.passed = result->passed;
    event.detail.memory_bytes = result->memory_bytes;
    if (result->token_us_current > 0) {
        event.detail.ratio = result->token_us_candidate / result->token_us_current;
    }
    shell->models[shell->serving->probing].compared.candidate_us = result->token_us_candidate;
    shell->models[shell->serving->probing].compared.current_us = result->token_us_current;
    event.error.code = result->error;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s", result->what);
    flo_queue_post(&shell->queue, &event);
}

static double smaller(double a, double b)
{
    if (a <= 0 || b <= 0) {
        return a > b ? a : b;
    }
    return a < b ? a : b;
}

struct files {
    struct flo_shell *shell;
    const struct flo_release *release;
    const struct flo_release_variant *variant;
};

/* Reads a file of the variant: one with golden cases, or one that a case
 * names. */
static int read_file(void *context, const char *name, size_t bytes_max, char **data, size_t *bytes,
                     struct flo_err *err)
{
    const struct files *files = context;
    const struct flo_release_file *file;
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t size = 0;

    FLO_TRY(flo_release_golden_file(files->release, files->variant, name, bytes_max, &file, err));
    FLO_TRY(flo_store_blob_open_verified(files->shell->store, &file->digest, &fd, &size, err));
    *data = malloc((size_t)size + 1);
    *bytes = (size_t)size;
    return *data == NULL ? flo_fail(err, FLO_E_MEMORY, "%s", name)
                         : flo_fd_pread_all(fd, *data, (size_t)size, 0, err);
}

static int read_golden(struct files *files, struct flo_golden *golden, struct flo_err *err)
{
    const struct flo_golden_files source = {read_file, files};

    return flo_release_golden(files->release, files->variant, &source, golden, err);
}

int flo_shell_golden_read(struct flo_shell *shell, const struct flo_digest *release,
                          struct flo_golden *golden, struct flo_err *err)
{
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};
    FLO_TRY(flo_shell_files_get(shell, release, &files, err));
    struct files named = {shell, files.release, files.variant};

    return read_golden(&named, golden, err);
}

void flo_shell_probe(struct flo_shell *shell, const struct flo_agent_action *action)
{
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};
    const struct flo_agent_execution *execution = &shell->agent.models[action->model].execution;
    const struct flo_policy *policy = &execution->policy;
    struct flo_probe_limits limits = {.timeout_ms = policy->probe_timeout_ms,
                                      .must_be_faster = execution->is_measured};
    struct flo_golden golden = {0};
    struct flo_err err = {0};
    int rv = flo_shell_files_of(shell, action, &files, &err);
    const struct flo_release *release = files.release;
    struct files named = {shell, release, files.variant};
    const struct flo_golden_files source = {read_file, &named};

    shell->serving->probing = action->model;
    if (rv == 0) {
        memcpy(limits.adapter, files.adapter_name, sizeof(files.adapter_name));
        limits.adapter_scale = files.adapter_scale;
        rv = read_golden(&named, &golden, &err);
    }
    if (rv == 0) {
        limits.speed_ratio_max = execution->is_measured ? policy->probe_speed_ratio_max
                                                        : smaller(policy->probe_speed_ratio_max,
                                                                  release->probe_speed_ratio_max);
        limits.memory_bytes_max = release->probe_memory_bytes_max;
        limits.files = &source;
        rv = flo_serve_probe(shell->serve, action->model, &golden, &limits, probed, shell, &err);
    }
    if (rv < 0) {
        struct flo_probe_result result = {.error = err.code};
        snprintf(result.what, sizeof(result.what), "%.255s", err.what);
        probed(shell, &result);
    }
}

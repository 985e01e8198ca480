/* Adapters: finds the files on this device of a release that consists of a
 * model file and an adapter for it. */
#include <stdlib.h>
#include <string.h>

#include "proto/memory/figures.h"

#include "agent/shell/serving/serving.h"

static int find_files(struct flo_shell *shell, const struct flo_digest *digest,
                      struct flo_shell_files *files, struct flo_err *err)
{
    const struct flo_release *release = files->release;
    char text[FLO_DIGEST_TEXT];

    if (files->variant == NULL) {
        files->model = flo_shell_model_file(shell, digest, release, &files->variant);
    } else {
        files->model = flo_release_variant_file(release, files->variant, "model");
    }
    if (files->variant == NULL || (files->model == NULL && flo_release_is_native(files->variant))) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "%s@%s: a file of it is not on this device",
                        release->model, release->version);
    }
    if (!flo_release_is_native(files->variant)) {
        return 0; /* the runtime's program reads the files itself */
    }
    files->draft = flo_release_variant_file(release, files->variant, FLO_ROLE_DRAFT);
    FLO_TRY(flo_release_adapter(release, files->variant, &files->adapter, err));
    if (files->adapter != NULL) {
        flo_digest_text(&files->adapter->digest, text);
        snprintf(files->adapter_name, sizeof(files->adapter_name), "r.%.16s",
                 strchr(text, ':') + 1);
        files->adapter_scale = files->adapter->scale_ppm / (double)FLO_SCALE_PPM;
    }
    return 0;
}

static int get_files(struct flo_shell *shell, const struct flo_digest *release, const char *variant,
                     struct flo_shell_files *out, struct flo_err *err)
{
    struct flo_shell_files files = {0};
    int rv = flo_shell_release_get(shell, release, &files.release, err);

    if (rv == 0) {
        files.variant = flo_release_variant_named(files.release, variant);
        rv = find_files(shell, release, &files, err);
    }
    if (rv < 0) {
        flo_shell_files_free(&files);
        return rv;
    }
    *out = files;
    return 0;
}

int flo_shell_files_get(struct flo_shell *shell, const struct flo_digest *release,
                        struct flo_shell_files *out, struct flo_err *err)
{
    return get_files(shell, release, "", out, err);
}

int flo_shell_files_of(struct flo_shell *shell, const struct flo_agent_action *action,
                       struct flo_shell_files *out, struct flo_err *err)
{
    const struct flo_agent_model *model = &shell->agent.models[action->model];
    bool is_exchange = action->role == FLO_AGENT_BESIDE && model->has_execution &&
                       flo_digest_equal(&model->execution.release.digest, &action->release.digest);

    return get_files(shell, &action->release.digest, is_exchange ? model->execution.variant : "",
                     out, err);
}

void flo_shell_files_free(struct flo_shell_files *files)
{
    flo_shell_release_free(&files->release);
    files->release = NULL;
}

void flo_shell_window_begin(struct flo_shell *shell, const struct flo_agent_action *action)
{
    FLO_CLEANUP(flo_shell_files_free) struct flo_shell_files files = {0};
    struct flo_measure_window *window = &shell->models[action->model].telemetry;
    bool is_choice =
        flo_shell_files_of(shell, action, &files, NULL) == 0 && files.release->variant_count > 1;

    window->release = action->release;
    snprintf(window->variant, sizeof(window->variant), "%s", is_choice ? files.variant->name : "");
}

int flo_shell_adapter_add(struct flo_shell *shell, const struct flo_shell_files *files,
                          struct flo_serve_model *model, struct flo_err *err)
{
    struct flo_serve_adapter *adapter = &model->adapters[0];
    uint64_t bytes = flo_memory_adapter_bytes(files->adapter);

    if (files->adapter == NULL) {
        return 0;
    }
    FLO_TRY(flo_store_blob_open_verified(shell->store, &files->adapter->digest, &adapter->fd, NULL,
                                         err));
    memcpy(adapter->name, files->adapter_name, sizeof(files->adapter_name));
    adapter->is_private = true;
    model->n_adapters = 1;
    /* Memory for one and a half adapters is counted, because the next one loads
     * while this one serves */
    model->adapter_bytes = bytes + bytes / 2;
    return 0;
}

/* Draft: gives a release's draft to the engine that opens its model.
 *
 * A draft changes the speed of answers alone.  So a draft that is missing or
 * damaged is left out, and the release serves without it.  So it does after its
 * engine was lost, because the draft may be the reason. */
#include "agent/shell/serving/serving.h"

void flo_shell_draft_leave(struct flo_serve_model *model, const char *why)
{
    if (model->draft_fd > 0) {
        flo_fd_cleanup(&model->draft_fd);
    }
    model->draft_fd = 0;
    snprintf(model->draft_why, sizeof(model->draft_why), "%.*s", (int)sizeof(model->draft_why) - 1,
             why);
    flo_log(FLO_LOG_WARN, "serve", "%s@%s: its draft is left out: %s", model->model, model->version,
            why);
}

void flo_shell_draft_add(struct flo_shell *shell, const struct flo_shell_files *files,
                         const char *reason, struct flo_serve_model *model)
{
    struct flo_err err = {0};

    if (files->draft == NULL) {
        return;
    }
    if (reason != NULL) {
        flo_shell_draft_leave(model, reason);
    } else if (flo_store_blob_open(shell->store, &files->draft->digest, &model->draft_fd, NULL,
                                   &err) < 0) {
        flo_shell_draft_leave(model, err.what);
    }
}

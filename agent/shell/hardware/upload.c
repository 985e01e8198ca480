/* Upload: sends a report that an order asked for to the controller. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/hardware/memory.h"
#include "agent/shell/https/https.h"

struct flo_upload {
    struct flo_shell *shell;
    char order[FLO_NAME_MAX + 1];
    flo_upload_done *done;
    void *context;
    struct flo_https *https;
};

/* Judges the controller's answer.  Status 409 is a success: the controller has
 * the report, but its answer to an earlier upload was lost. */
static int judge(const struct flo_http_answer *answer, struct flo_err *err)
{
    if (answer->status == 200 || answer->status == 201 || answer->status == 409) {
        return 0;
    }
    int rv = flo_http_fail(answer, "the report", err);
    return flo_http_is_passing(rv, answer) ? FLO_E_NET_UNREACHABLE : rv;
}

static void on_done(void *context, const struct flo_http_answer *answer,
                    const struct flo_err *failed)
{
    struct flo_upload upload = *(struct flo_upload *)context;
    struct flo_err err = {0};

    free(context);
    upload.shell->hardware->upload = NULL;
    if (failed != NULL) {
        err = *failed;
    } else {
        err.code = judge(answer, &err);
    }
    upload.done(upload.context, upload.order, err.code < 0 ? &err : NULL);
}

void flo_upload_cancel(struct flo_shell *shell)
{
    if (shell->hardware->upload != NULL) {
        flo_https_cancel(shell->hardware->upload->https);
        free(shell->hardware->upload);
        shell->hardware->upload = NULL;
    }
}

int flo_upload_start(struct flo_shell *shell, const char *order, struct flo_buf *body,
                     flo_upload_done *done, void *context, struct flo_err *err)
{
    struct flo_upload *upload = NULL;
    char path[FLO_NAME_MAX + 32];
    int rv;

    if (shell->hardware->upload == NULL) {
        upload = calloc(1, sizeof(*upload));
    }
    if (upload == NULL) {
        flo_buf_deinit(body);
        return flo_fail(err, shell->hardware->upload == NULL ? FLO_E_MEMORY : FLO_E_STATE,
                        "report of order %s: another is on its way", order);
    }
    upload->shell = shell;
    upload->done = done;
    upload->context = context;
    snprintf(upload->order, sizeof(upload->order), "%s", order);
    snprintf(path, sizeof(path), "/v1/reports/%s", order);
    rv = flo_https_start(
        shell,
        &(struct flo_https_ask){
            .method = "PUT", .path = path, .body = body, .done = on_done, .context = upload},
        &upload->https, err);
    if (rv < 0) {
        free(upload);
        return rv;
    }
    shell->hardware->upload = upload;
    return 0;
}

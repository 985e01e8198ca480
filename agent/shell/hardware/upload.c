/* Upload of a report: HTTPS on a thread of its own, so that the loop never
 * waits for the network. */
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shell/hardware/hardware.h"
#include "base/host/http_client.h"
#include "base/host/wake.h"

#define TIMEOUT_MS 60000

struct flo_upload {
    struct flo_shell *shell;
    char order[FLO_NAME_MAX + 1];
    char url[640];
    struct flo_buf body;
    flo_upload_done *done;
    void *context;
    pthread_t thread;
    bool has_thread;
    int wake;
    struct event *ended;
    atomic_bool is_cancelled;
    int code; /* of the thread, read after its end */
    struct flo_err err;
};

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    const struct flo_upload *upload = context;

    (void)done, (void)total;
    return atomic_load(&upload->is_cancelled) ? FLO_E_STATE : 0;
}

/* 409: it has the report; the answer to the upload before got lost. */
static int judge(const struct flo_http_answer *answer, struct flo_err *err)
{
    if (answer->status == 200 || answer->status == 201 ||
        answer->status == 409) {
        return 0;
    }
    int rv = flo_http_fail(answer, "the report", err);
    return flo_http_is_passing(rv, answer) ? FLO_E_NET_UNREACHABLE : rv;
}

static int send_body(struct flo_upload *upload, struct flo_err *err)
{
    const struct flo_identity *identity = &upload->shell->identity;
    struct flo_http_options options = {.ca_file = identity->ca_file,
                                       .cert_file = identity->cert_file,
                                       .key_file = identity->key_file,
                                       .timeout_ms = TIMEOUT_MS};
    struct flo_http_request request = {.method = "PUT",
                                       .url = upload->url,
                                       .body = upload->body.data,
                                       .body_bytes = upload->body.bytes,
                                       .on_progress = on_progress,
                                       .context = upload};
    struct flo_http_answer answer = {0};
    struct flo_http *http = NULL;
    int rv = flo_http_open(&options, &http, err);

    if (rv == 0) {
        rv = flo_http_call(http, &request, &answer, err);
        if (rv < 0 && flo_http_is_passing(rv, &answer)) {
            rv = FLO_E_NET_UNREACHABLE;
        }
    }
    if (rv == 0) {
        rv = judge(&answer, err);
    }
    flo_buf_deinit(&answer.body);
    flo_http_close(http);
    return rv;
}

static void *run(void *context)
{
    struct flo_upload *upload = context;

    upload->code = send_body(upload, &upload->err);
    flo_wake_poke(upload->wake);
    return NULL;
}

static void upload_free(struct flo_upload *upload)
{
    if (upload->has_thread) {
        pthread_join(upload->thread, NULL);
    }
    if (upload->ended != NULL) {
        event_free(upload->ended);
    }
    flo_fd_cleanup(&upload->wake);
    flo_buf_deinit(&upload->body);
    free(upload);
}

static void on_end(evutil_socket_t fd, short events, void *context)
{
    struct flo_upload *upload = context;
    struct flo_shell *shell = upload->shell;
    flo_upload_done *done = upload->done;
    void *for_done = upload->context;
    char order[FLO_NAME_MAX + 1];
    struct flo_err err = {0};
    int code;

    (void)fd, (void)events;
    pthread_join(upload->thread, NULL);
    upload->has_thread = false;
    memcpy(order, upload->order, sizeof(order));
    code = upload->code;
    err = upload->err;
    err.code = code;
    shell->upload = NULL;
    upload_free(upload);
    done(for_done, order, code < 0 ? &err : NULL);
}

void flo_upload_cancel(struct flo_shell *shell)
{
    if (shell->upload != NULL) {
        atomic_store(&shell->upload->is_cancelled, true);
        upload_free(shell->upload);
        shell->upload = NULL;
    }
}

static int begin(struct flo_upload *upload, struct flo_err *err)
{
    upload->wake = flo_wake_open();
    if (upload->wake < 0) {
        return flo_fail_errno(err, FLO_E_MEMORY, "upload");
    }
    upload->ended =
        event_new(upload->shell->base, upload->wake, EV_READ, on_end, upload);
    if (upload->ended == NULL || event_add(upload->ended, NULL) != 0 ||
        pthread_create(&upload->thread, NULL, run, upload) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "upload");
    }
    upload->has_thread = true;
    return 0;
}

int flo_upload_start(struct flo_shell *shell, const char *order,
                     struct flo_buf *body, flo_upload_done *done, void *context,
                     struct flo_err *err)
{
    struct flo_upload *upload = NULL;
    int rv;

    if (shell->upload == NULL) {
        upload = calloc(1, sizeof(*upload));
    }
    if (upload == NULL) {
        flo_buf_deinit(body);
        return flo_fail(err, shell->upload == NULL ? FLO_E_MEMORY : FLO_E_STATE,
                        "report of order %s: another is on its way", order);
    }
    upload->shell = shell;
    upload->wake = -1;
    upload->done = done;
    upload->context = context;
    upload->body = *body;
    memset(body, 0, sizeof(*body));
    snprintf(upload->order, sizeof(upload->order), "%s", order);
    snprintf(upload->url, sizeof(upload->url), "%s/v1/reports/%s",
             shell->identity.controller, order);
    rv = begin(upload, err);
    if (rv < 0) {
        upload_free(upload);
        return rv;
    }
    shell->upload = upload;
    return 0;
}

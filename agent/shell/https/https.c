#include "agent/shell/https/https.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/host/wake.h"

#define TIMEOUT_MS 60000

struct flo_https {
    const char *method;
    char url[640];
    /* copies of the paths, made when the call started */
    char ca_file[4200], cert_file[4200], key_file[4200];
    struct flo_buf body;
    size_t answer_bytes_max;
    flo_https_done *done;
    void *context;
    pthread_t thread;
    bool has_thread;
    int wake;
    struct event *ended;
    atomic_bool is_cancelled;
    /* results of the thread; the loop reads them after the thread has ended */
    int code;
    struct flo_err err;
    struct flo_http_answer answer;
};

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    const struct flo_https *https = context;

    (void)done, (void)total;
    return atomic_load(&https->is_cancelled) ? FLO_E_STATE : 0;
}

static int call(struct flo_https *https, struct flo_err *err)
{
    struct flo_http_options options = {.ca_file = https->ca_file,
                                       .cert_file = https->cert_file,
                                       .key_file = https->key_file,
                                       .timeout_ms = TIMEOUT_MS};
    struct flo_http_request request = {.method = https->method,
                                       .url = https->url,
                                       .body = https->body.data,
                                       .body_bytes = https->body.bytes,
                                       .answer_bytes_max = https->answer_bytes_max,
                                       .on_progress = on_progress,
                                       .context = https};
    struct flo_http *http = NULL;
    int rv = flo_http_open(&options, &http, err);

    if (rv == 0) {
        rv = flo_http_call(http, &request, &https->answer, err);
        if (rv < 0 && flo_http_is_passing(rv, &https->answer)) {
            rv = FLO_E_NET_UNREACHABLE;
        }
    }
    flo_http_close(http);
    return rv;
}

static void *run(void *context)
{
    struct flo_https *https = context;

    https->code = call(https, &https->err);
    flo_wake_poke(https->wake);
    return NULL;
}

static void https_free(struct flo_https *https)
{
    if (https->has_thread) {
        pthread_join(https->thread, NULL);
    }
    flo_event_drop(&https->ended);
    flo_fd_cleanup(&https->wake);
    flo_buf_deinit(&https->body);
    flo_buf_deinit(&https->answer.body);
    free(https);
}

static void on_end(evutil_socket_t fd, short events, void *context)
{
    struct flo_https *https = context;

    (void)fd, (void)events;
    pthread_join(https->thread, NULL);
    https->has_thread = false;
    https->err.code = https->code;
    https->done(https->context, &https->answer, https->code < 0 ? &https->err : NULL);
    https_free(https);
}

void flo_https_cancel(struct flo_https *https)
{
    if (https != NULL) {
        atomic_store(&https->is_cancelled, true);
        https_free(https);
    }
}

static int begin(struct flo_https *https, struct flo_shell *shell, struct flo_err *err)
{
    https->wake = flo_wake_open();
    if (https->wake < 0) {
        return flo_fail_errno(err, FLO_E_MEMORY, "https");
    }
    https->ended = event_new(shell->base, https->wake, EV_READ, on_end, https);
    if (https->ended == NULL || event_add(https->ended, NULL) != 0 ||
        pthread_create(&https->thread, NULL, run, https) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "https");
    }
    https->has_thread = true;
    return 0;
}

static void take_body(struct flo_https *https, struct flo_buf *body)
{
    if (body != NULL) {
        https->body = *body;
        memset(body, 0, sizeof(*body));
    }
}

int flo_https_start(struct flo_shell *shell, const struct flo_https_ask *ask,
                    struct flo_https **out, struct flo_err *err)
{
    const struct flo_identity *identity = &shell->identity;
    struct flo_https *https = calloc(1, sizeof(*https));
    int rv;

    if (https == NULL) {
        if (ask->body != NULL) {
            flo_buf_deinit(ask->body);
        }
        return flo_fail(err, FLO_E_MEMORY, "https");
    }
    take_body(https, ask->body);
    https->wake = -1;
    https->method = ask->method;
    https->done = ask->done;
    https->context = ask->context;
    https->answer_bytes_max = ask->answer_bytes_max;
    snprintf(https->url, sizeof(https->url), "%s%s", identity->controller, ask->path);
    snprintf(https->ca_file, sizeof(https->ca_file), "%s", identity->ca_file);
    snprintf(https->cert_file, sizeof(https->cert_file), "%s", identity->cert_file);
    snprintf(https->key_file, sizeof(https->key_file), "%s", identity->key_file);
    rv = begin(https, shell, err);
    if (rv < 0) {
        https_free(https);
        return rv;
    }
    *out = https;
    return 0;
}

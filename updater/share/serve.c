/* Blob server: GET /v1/blobs/sha256:<hex>, for devices of the fleet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/errors/neighbour.h>
#include <flotilla/errors/rest.h>
#include <flotilla/plural.h>

#include "base/host/httpd.h"
#include "base/host/tls_time.h"
#include "updater/share/share.h"

#define CONNECTIONS_MAX 64
#define IDLE_MS 15000
#define TOLD_MS 500
/* a download that reports no progress for so long no longer counts as
 * running */
#define STILL_MS 300000

struct share {
    const struct flo_share_job *job;
    struct flo_store *store;
    struct event_base *base;
    struct flo_httpd *httpd;
    struct event *readable;
    struct event *tick;
    struct flo_share_budget budget;
    struct flo_share_fetched fetched;
    uint64_t fetched_at_ms;
    uint64_t served_bytes, refused;
    uint64_t told; /* served bytes plus refused requests at the last report */
    int fd;
    size_t bytes;
    char line[FLO_SHARE_LINE_BYTES_MAX];
};

/* ---- answers ---- */

static bool is_fetched(const struct share *share, const struct flo_digest *digest)
{
    return share->fetched.moves && flo_now_ms() - share->fetched_at_ms < STILL_MS &&
           flo_digest_is_among(digest, share->fetched.blobs, share->fetched.count);
}

/* Checks the client's certificate.  Refuses this device itself, which asks
 * itself when all devices have the same list of neighbours. */
static int check_peer(const struct share *share, struct flo_httpd_request *request,
                      struct flo_err *err)
{
    const char *name = flo_httpd_peer_name(request);

    if (name == NULL || !flo_uuid_is_valid(name)) {
        return flo_fail(err, FLO_E_REST_AUTH, "a device's certificate is needed");
    }
    return strcmp(name, share->job->device) == 0
               ? flo_fail(err, FLO_E_BLOB_ABSENT, "device %s is this one: it has what it has", name)
               : 0;
}

static int check_load(struct share *share, struct flo_httpd_request *request, struct flo_err *err)
{
    uint64_t left_ms = 0;
    char text[32];

    if (!flo_share_budget_has(&share->budget, flo_now_ms(), &left_ms)) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)(left_ms / 1000 + 1));
        flo_httpd_add_header(request, "Retry-After", text);
        return flo_fail(err, FLO_E_NEIGHBOUR_BUDGET,
                        "%llu bytes were sent in these 24 hours, "
                        "neighbours_budget is %llu",
                        (unsigned long long)share->budget.used_bytes,
                        (unsigned long long)share->budget.limit_bytes);
    }
    if (flo_httpd_files(share->httpd) >= share->job->transfers_max) {
        flo_httpd_add_header(request, "Retry-After", "1");
        return flo_fail(
            err, FLO_E_NEIGHBOUR_BUSY, "%llu artifact%s %s being sent, the most at once",
            (unsigned long long)share->job->transfers_max, flo_s(share->job->transfers_max),
            flo_plural(share->job->transfers_max, "is", "are"));
    }
    return 0;
}

static int open_blob(struct share *share, struct flo_httpd_request *request,
                     const struct flo_digest *digest, int *fd, struct flo_err *err)
{
    int rv = flo_store_blob_open(share->store, digest, fd, NULL, err);

    if (rv == FLO_E_BLOB_ABSENT && is_fetched(share, digest)) {
        flo_httpd_add_header(request, "Retry-After", "1");
        return flo_fail(err, FLO_E_NEIGHBOUR_FETCHES, "this device is fetching it");
    }
    return rv == FLO_E_BLOB_ABSENT ? flo_fail(err, rv, "it is not on this device") : rv;
}

static void on_get(void *context, struct flo_httpd_request *request)
{
    struct share *share = context;
    const char *text = flo_httpd_param(request, "digest");
    struct flo_digest digest;
    char etag[FLO_DIGEST_TEXT];
    struct flo_err err = {0};
    int fd = -1;
    int rv = check_peer(share, request, &err);

    if (rv == 0 && (text == NULL || !flo_digest_parse(text, &digest))) {
        rv = flo_fail(&err, FLO_E_REST_SCHEMA, "`%.80s` is no sha256:<64 hex digits>",
                      text == NULL ? "" : text);
    }
    if (rv == 0) {
        rv = open_blob(share, request, &digest, &fd, &err);
    }
    if (rv == 0) {
        rv = check_load(share, request, &err);
        if (rv < 0) {
            close(fd);
            share->refused++;
        }
    }
    if (rv < 0) {
        flo_httpd_answer_err(request, &err);
        return;
    }
    flo_digest_text(&digest, etag);
    flo_httpd_answer_file(request, fd, "application/octet-stream", etag);
}

static bool on_sent(void *context, size_t bytes)
{
    struct share *share = context;

    share->served_bytes += bytes;
    return flo_share_budget_spend(&share->budget, bytes, flo_now_ms());
}

/* ---- the agent ---- */

static void tell(struct share *share, const char *line, size_t bytes)
{
    /* A report that does not fit the socket buffer is dropped; the next one has
     * its numbers. */
    if (send(share->fd, line, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE) {
        event_base_loopbreak(share->base);
    }
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct share *share = context;
    uint64_t sum = share->served_bytes + share->refused;
    char line[256];

    (void)fd, (void)events;
    if (sum == share->told) {
        return;
    }
    share->told = sum;
    int n = snprintf(line, sizeof(line),
                     "{\"event\":\"served\",\"bytes\":%llu,\"used_bytes\":%llu,"
                     "\"used_ms\":%llu,\"refused\":%llu}\n",
                     (unsigned long long)share->served_bytes,
                     (unsigned long long)share->budget.used_bytes,
                     (unsigned long long)(flo_now_ms() - share->budget.began_ms),
                     (unsigned long long)share->refused);
    tell(share, line, (size_t)n);
}

static void take_lines(struct share *share)
{
    size_t begin = 0;

    for (size_t i = 0; i < share->bytes; i++) {
        struct flo_err err = {0};
        if (share->line[i] != '\n') {
            continue;
        }
        if (flo_share_fetched_parse(share->line + begin, i - begin, &share->fetched, &err) < 0) {
            flo_log_err(FLO_LOG_ERROR, "share", &err);
        }
        share->fetched_at_ms = flo_now_ms();
        begin = i + 1;
    }
    memmove(share->line, share->line + begin, share->bytes - begin);
    share->bytes -= begin;
}

static void on_readable(evutil_socket_t fd, short events, void *context)
{
    struct share *share = context;
    ssize_t got = read(fd, share->line + share->bytes, sizeof(share->line) - share->bytes);

    (void)events;
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got > 0) {
        share->bytes += (size_t)got;
        take_lines(share);
    }
    if (got <= 0 || share->bytes == sizeof(share->line)) {
        /* the agent closed the connection, or sent a line without end */
        event_base_loopbreak(share->base);
    }
}

/* ---- open, serve ---- */

static int open_listener(struct share *share, struct flo_err *err)
{
    const struct flo_share_job *job = share->job;
    const struct flo_httpd_options options = {
        .connections_max = CONNECTIONS_MAX,
        .idle_timeout_ms = IDLE_MS,
        .rate_bytes_per_s = job->rate_bytes_per_s,
        .on_sent = on_sent,
        .sent_context = share,
    };
    const struct flo_httpd_tls tls = {
        .cert_file = job->cert_file,
        .key_file = job->key_file,
        .client_ca_file = job->ca_file,
        .client_cert_required = true,
        .revoked_file = job->revoked_file,
    };
    uint16_t port = 0;
    char line[64];

    FLO_TRY(flo_httpd_open(share->base, &options, &share->httpd, err));
    FLO_TRY(flo_httpd_route(share->httpd, "GET", "/v1/blobs/{digest}", 0, on_get, share, err));
    FLO_TRY(flo_httpd_listen(share->httpd, job->listen, &tls, 0, &port, err));
    int n = snprintf(line, sizeof(line), "{\"event\":\"listening\",\"port\":%u}\n", (unsigned)port);
    tell(share, line, (size_t)n);
    return 0;
}

static int open_share(struct share *share, struct flo_err *err)
{
    const struct timeval each = {.tv_usec = TOLD_MS * 1000};
    struct flo_err warning = {0};

    if (flo_tls_time_set(share->job->time_ms, false, &warning) < 0) {
        flo_log_err(FLO_LOG_ERROR, "share", &warning);
    }
    share->base = event_base_new();
    if (share->base == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "event loop");
    }
    FLO_TRY(flo_store_open(share->job->state_dir, false, &share->store, err));
    FLO_TRY(open_listener(share, err));
    evutil_make_socket_nonblocking(share->fd);
    share->readable = event_new(share->base, share->fd, EV_READ | EV_PERSIST, on_readable, share);
    share->tick = event_new(share->base, -1, EV_PERSIST, on_tick, share);
    return share->readable == NULL || share->tick == NULL ||
                   event_add(share->readable, NULL) != 0 || event_add(share->tick, &each) != 0
               ? flo_fail(err, FLO_E_MEMORY, "events")
               : 0;
}

static void close_share(struct share *share)
{
    flo_httpd_close(share->httpd);
    if (share->readable != NULL) {
        event_free(share->readable);
    }
    if (share->tick != NULL) {
        event_free(share->tick);
    }
    if (share->base != NULL) {
        event_base_free(share->base);
    }
    flo_store_close(share->store);
    free(share);
}

int flo_share_serve(const struct flo_share_job *job, int fd, struct flo_err *err)
{
    struct share *share = calloc(1, sizeof(*share));

    if (share == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "neighbours");
    }
    share->job = job;
    share->fd = fd;
    share->budget = (struct flo_share_budget){.limit_bytes = job->budget_bytes,
                                              .used_bytes = job->used_bytes,
                                              /* may wrap below 0, which does no
                                               * harm: only differences to later
                                               * times count */
                                              .began_ms = flo_now_ms() - job->used_ms};
    int rv = open_share(share, err);

    if (rv == 0) {
        rv = flo_share_sandbox_enter(job, err);
    }
    if (rv == 0) {
        event_base_dispatch(share->base);
    }
    close_share(share);
    return rv;
}

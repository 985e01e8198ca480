/* HTTP server: its options, from opening to closing; see httpd.h. */
#include "base/host/httpd/connection.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD_TIMEOUT_MS 10000
#define IDLE_TIMEOUT_MS 60000
#define WRITE_TIMEOUT_MS 60000

static void on_room(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    flo_httpd_room_mind(context);
}

size_t flo_httpd_files(const struct flo_httpd *httpd)
{
    size_t count = 0;

    for (const struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        count += c->file_fd >= 0 ? 1 : 0;
    }
    return count;
}

/* Limits the output of all connections with one token bucket; input has no
 * limit. */
static bool limit_rate(struct flo_httpd *httpd)
{
    uint64_t rate = httpd->options.rate_bytes_per_s;
    size_t bytes = rate > EV_RATE_LIMIT_MAX ? EV_RATE_LIMIT_MAX : (size_t)rate;

    if (rate == 0) {
        return true;
    }
    httpd->rate = ev_token_bucket_cfg_new(EV_RATE_LIMIT_MAX, EV_RATE_LIMIT_MAX, bytes, bytes, NULL);
    httpd->all =
        httpd->rate == NULL ? NULL : bufferevent_rate_limit_group_new(httpd->base, httpd->rate);
    return httpd->all != NULL;
}

int flo_httpd_open(struct event_base *base, const struct flo_httpd_options *options,
                   struct flo_httpd **out, struct flo_err *err)
{
    struct flo_httpd *httpd = calloc(1, sizeof(*httpd));
    struct event *room = evtimer_new(base, on_room, httpd);
    if (httpd == NULL || room == NULL) {
        if (room != NULL) {
            event_free(room);
        }
        free(httpd);
        return flo_fail(err, FLO_E_MEMORY, "no memory for the HTTP server");
    }
    httpd->base = base;
    httpd->room = room;
    httpd->reserve = -1;
    httpd->most = SIZE_MAX;
    flo_random(&httpd->run, sizeof(httpd->run));
    if (options != NULL) {
        httpd->options = *options;
    }
    if (httpd->options.connections_max == 0) {
        httpd->options.connections_max = 256;
    }
    if (httpd->options.head_timeout_ms == 0) {
        httpd->options.head_timeout_ms = HEAD_TIMEOUT_MS;
    }
    if (httpd->options.idle_timeout_ms == 0) {
        httpd->options.idle_timeout_ms = IDLE_TIMEOUT_MS;
    }
    if (httpd->options.write_timeout_ms == 0) {
        httpd->options.write_timeout_ms = WRITE_TIMEOUT_MS;
    }
    if (!limit_rate(httpd) || !flo_httpd_lack_ready(httpd)) {
        flo_httpd_close(httpd);
        return flo_fail(err, FLO_E_MEMORY, "no memory for the HTTP server");
    }
    signal(SIGPIPE, SIG_IGN);
    *out = httpd;
    return 0;
}

void flo_httpd_close(struct flo_httpd *httpd)
{
    if (httpd == NULL) {
        return;
    }
    flo_httpd_connections_free(httpd);
    flo_httpd_listeners_free(httpd);
    if (httpd->reserve >= 0) {
        close(httpd->reserve);
    }
    flo_httpd_routes_free(httpd);
    if (httpd->piece != NULL) {
        evbuffer_free(httpd->piece);
    }
    if (httpd->lack != NULL) {
        evbuffer_free(httpd->lack);
    }
    if (httpd->all != NULL) {
        bufferevent_rate_limit_group_free(httpd->all);
    }
    if (httpd->rate != NULL) {
        ev_token_bucket_cfg_free(httpd->rate);
    }
    event_free(httpd->room);
    free(httpd);
}

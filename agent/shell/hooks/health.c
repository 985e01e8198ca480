/* Health check: sends one HTTP request to a program, and judges the status of
 * the answer. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/linking.h"
#include "agent/shell/hooks/hooks.h"

#define LINE_MAX_BYTES 1024

struct flo_health {
    struct bufferevent *bev;
    struct event *deadline;
    int status;
    void (*done)(void *context, const char *why);
    void *context;
};

void flo_health_cancel(struct flo_health *health)
{
    if (health == NULL) {
        return;
    }
    if (health->bev != NULL) {
        bufferevent_free(health->bev);
    }
    flo_event_drop(&health->deadline);
    free(health);
}

static void tell(struct flo_health *health, const char *why)
{
    void (*done)(void *context, const char *why) = health->done;
    void *context = health->context;

    flo_health_cancel(health);
    done(context, why);
}

static void judge(struct flo_health *health, bool is_over)
{
    struct evbuffer *input = bufferevent_get_input(health->bev);
    char line[LINE_MAX_BYTES];
    ev_ssize_t n = evbuffer_copyout(input, line, sizeof(line));
    char why[64];
    int status;

    if (!is_over && n < (ev_ssize_t)sizeof(line) &&
        memchr(line, '\n', n > 0 ? (size_t)n : 0) == NULL) {
        return; /* the rest of the status line has not arrived yet */
    }
    status = flo_http_status_read(line, n > 0 ? (size_t)n : 0);
    if (status == health->status) {
        tell(health, NULL);
        return;
    }
    snprintf(why, sizeof(why), status == 0 ? "no answer of HTTP" : "status %d", status);
    tell(health, why);
}

static void on_read(struct bufferevent *bev, void *context)
{
    (void)bev;
    judge(context, false);
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
    (void)bev;
    if ((what & BEV_EVENT_EOF) != 0) {
        judge(context, true);
    } else if ((what & BEV_EVENT_ERROR) != 0) {
        tell(context, "nobody answers");
    }
}

static void on_deadline(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    tell(context, "no answer in time");
}

/* ---- start ---- */

static socklen_t make_address(const struct flo_health_address *address,
                              struct sockaddr_storage *out)
{
    union {
        struct sockaddr_in *four;
        struct sockaddr_in6 *six;
        struct sockaddr_storage *any;
    } to = {.any = out};

    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, address->host, &to.four->sin_addr) == 1) {
        to.four->sin_family = AF_INET;
        to.four->sin_port = htons(address->port);
        return sizeof(*to.four);
    }
    to.six->sin6_family = AF_INET6;
    to.six->sin6_port = htons(address->port);
    return inet_pton(AF_INET6, address->host, &to.six->sin6_addr) == 1 ? sizeof(*to.six) : 0;
}

static bool begin(struct flo_health *health, struct event_base *base,
                  const struct flo_health_address *address)
{
    const struct timeval limit = {.tv_sec = FLO_HEALTH_MS_MAX / 1000};
    struct sockaddr_storage to;
    socklen_t bytes = make_address(address, &to);
    bool is_six = strchr(address->host, ':') != NULL;

    health->bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    health->deadline = evtimer_new(base, on_deadline, health);
    if (health->bev == NULL || health->deadline == NULL || bytes == 0 ||
        evtimer_add(health->deadline, &limit) != 0) {
        return false;
    }
    bufferevent_setcb(health->bev, on_read, NULL, on_event, health);
    bufferevent_setwatermark(health->bev, EV_READ, 0, LINE_MAX_BYTES);
    evbuffer_add_printf(bufferevent_get_output(health->bev),
                        "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUser-Agent: flotilla-agent\r\n"
                        "Connection: close\r\n\r\n",
                        address->path, is_six ? "[" : "", address->host, is_six ? "]" : "",
                        (unsigned)address->port);
    bufferevent_enable(health->bev, EV_READ | EV_WRITE);
    /* An error that comes at once is reported by an event, too. */
    (void)bufferevent_socket_connect(health->bev, (struct sockaddr *)&to, (int)bytes);
    return true;
}

int flo_health_start(struct event_base *base, const struct flo_health_address *address, int status,
                     void (*done)(void *context, const char *why), void *context,
                     struct flo_health **out, struct flo_err *err)
{
    struct flo_health *health = calloc(1, sizeof(*health));

    if (health == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a look at the health");
    }
    health->status = status;
    health->done = done;
    health->context = context;
    if (!begin(health, base, address)) {
        flo_health_cancel(health);
        return flo_fail(err, FLO_E_MEMORY, "a look at the health");
    }
    *out = health;
    return 0;
}

/* HTTP pauses: the server pauses, resumes and frees its listeners. */
#include "base/host/httpd/connection.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <flotilla/errors/io.h>

#define FULL_MS 60000 /* time for which a refusal is told */

/* Moves the first listener to the end.  The first one in the list is served
 * first when clients wait on several. */
static void put_last(struct flo_httpd *httpd)
{
    struct httpd_listener *first = httpd->listeners, **end = &first->next;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = first;
    httpd->listeners = first->next;
    first->next = NULL;
}

void flo_httpd_pause(struct flo_httpd *httpd)
{
    if (httpd->is_paused || httpd->listeners == NULL) {
        return;
    }
    httpd->is_paused = true;
    for (struct httpd_listener *l = httpd->listeners; l != NULL; l = l->next) {
        evconnlistener_disable(l->evl);
    }
    put_last(httpd);
}

void flo_httpd_resume(struct flo_httpd *httpd)
{
    if (!httpd->is_paused) {
        return;
    }
    httpd->is_paused = false;
    for (struct httpd_listener *l = httpd->listeners; l != NULL; l = l->next) {
        if (evtimer_pending(l->resume, NULL) == 0 && !l->is_off) {
            evconnlistener_enable(l->evl);
        }
    }
}

int flo_httpd_room(const struct flo_httpd *httpd, uint64_t *refused, struct flo_err *err)
{
    *refused = httpd->refused;
    if (httpd->full == 0 || flo_now_ms() - httpd->full_at_ms >= FULL_MS) {
        return 0;
    }
    if (httpd->full == FLO_E_DESCRIPTORS) {
        return flo_fail(err, httpd->full, "no descriptor was left for a client");
    }
    flo_fail(err, httpd->full, "all %zu connections were in use; clients refused so far: %llu",
             httpd->options.connections_max, (unsigned long long)httpd->refused);
    return flo_err_fix(err, "nothing: clients have a place when one is free; if it lasts, see "
                            "who holds them (ss -xp, ss -tp)");
}

void flo_httpd_refused(struct flo_httpd *httpd, int code, struct flo_err *err)
{
    uint64_t refused;
    bool is_news = flo_httpd_room(httpd, &refused, err) == 0;

    httpd->refused++;
    httpd->full = code;
    httpd->full_at_ms = flo_now_ms();
    if (flo_httpd_room(httpd, &refused, err) < 0 && is_news) {
        flo_log_err(FLO_LOG_WARN, "httpd", err);
    }
}

void flo_httpd_reserve(struct flo_httpd *httpd)
{
    if (httpd->reserve < 0) { /* whatever it is a copy of */
        httpd->reserve = fcntl(evconnlistener_get_fd(httpd->listeners->evl), F_DUPFD_CLOEXEC, 3);
    }
}

int flo_httpd_listener_copy(const struct flo_httpd *httpd, int tag)
{
    for (struct httpd_listener *l = httpd->listeners; l != NULL; l = l->next) {
        if (l->tag == tag) {
            return fcntl(evconnlistener_get_fd(l->evl), F_DUPFD_CLOEXEC, 3);
        }
    }
    return -1;
}

void flo_httpd_listener_turn(struct flo_httpd *httpd, int tag, bool is_on)
{
    for (struct httpd_listener *l = httpd->listeners; l != NULL; l = l->next) {
        if (l->tag != tag || l->is_off == !is_on) {
            continue;
        }
        l->is_off = !is_on;
        if (is_on && !httpd->is_paused) {
            evconnlistener_enable(l->evl);
        } else {
            evconnlistener_disable(l->evl);
        }
    }
}

void flo_httpd_listener_free(struct httpd_listener *listener)
{
    if (listener->evl != NULL) {
        evconnlistener_free(listener->evl);
    }
    if (listener->resume != NULL) {
        event_free(listener->resume);
    }
    if (listener->unix_path != NULL) {
        unlink(listener->unix_path);
        free(listener->unix_path);
    }
    SSL_CTX_free(listener->tls);
    flo_httpd_tls_forget(&listener->files);
    free(listener);
}

void flo_httpd_listeners_free(struct flo_httpd *httpd)
{
    while (httpd->listeners != NULL) {
        struct httpd_listener *listener = httpd->listeners;
        httpd->listeners = listener->next;
        flo_httpd_listener_free(listener);
    }
}

/* HTTP listeners: sockets on TCP and unix paths that accept connections. */
#include "base/host/httpd/connection.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/net.h>

/* Length of the kernel's queue, above the connections of a busy second.  If the
 * queue is full, a non-blocking connect() on a unix socket fails at once
 * (EAGAIN) */
#define ACCEPT_BACKLOG 1024

/* ---- sockets ---- */

static int bind_fail(struct flo_err *err, const char *address)
{
    if (errno == EADDRINUSE) {
        flo_fail(err, FLO_E_PORT_IN_USE, "%s is in use", address);
        flo_err_fix(err, "stop what listens on %s or choose another address", address);
        return FLO_E_PORT_IN_USE;
    }
    bool is_elsewhere = errno == EADDRNOTAVAIL;
    int rv = flo_fail_errno(err, FLO_E_IO_OPEN, "listen on %s", address);
    return is_elsewhere ? flo_err_fix(err, "take an address that this machine "
                                           "has (ip address), or 0.0.0.0")
                        : rv;
}

/* Whoever sees a socket's path may connect.  Only listen() may show that a port is
 * in use.  libevent gets sockets that listen, so its backlog is 0. */
static int bind_and_listen(int fd, const struct sockaddr *address, socklen_t bytes)
{
    return bind(fd, address, bytes) < 0 ? -1 : listen(fd, ACCEPT_BACKLOG);
}

/* Tells whether a socket file is left over, so that no process accepts on
 * it. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    int rv = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    bool is_stale = rv < 0 && errno == ECONNREFUSED;
    close(fd);
    return is_stale;
}

static int listen_unix(const char *path, int *out, struct flo_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof(address.sun_path)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "socket path of %zu characters, at most %zu fit",
                        strlen(path), sizeof(address.sun_path) - 1);
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "socket");
    }
    if (is_stale(&address)) {
        unlink(path);
    }
    mode_t mask = umask(0117); /* gives the socket mode 0660 from its creation on */
    int rv = bind_and_listen(fd, (const struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (rv < 0) {
        rv = bind_fail(err, path);
        close(fd);
        return rv;
    }
    *out = fd;
    return 0;
}

/* Binds a TCP socket to "host:port" or "[v6]:port". */
static int listen_tcp(const char *text, int *out, uint16_t *port, struct flo_err *err)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof(host)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "address \"%.64s\" is not host:port or unix:/path",
                        text);
    }
    /* The digits are checked, because getaddrinfo would read 65537 as port
     * 1. */
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
        strtoul(colon + 1, NULL, 10) > UINT16_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "address \"%.64s\": a port is 0 to 65535", text);
    }
    size_t bytes = (size_t)(colon - text);
    if (text[0] == '[' && colon[-1] == ']') {
        memcpy(host, text + 1, bytes - 2);
        host[bytes - 2] = '\0';
    } else {
        memcpy(host, text, bytes);
        host[bytes] = '\0';
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rv = getaddrinfo(host, colon + 1, &hints, &found);
    if (rv != 0) {
        return flo_fail(err, FLO_E_CFG_RANGE, "address \"%.64s\": %s", text, gai_strerror(rv));
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        freeaddrinfo(found);
        return flo_fail_errno(err, FLO_E_IO_OPEN, "socket");
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    rv = bind_and_listen(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (rv < 0) {
        rv = bind_fail(err, text);
        close(fd);
        return rv;
    }
    struct sockaddr_storage bound;
    socklen_t bound_bytes = sizeof(bound);
    getsockname(fd, (struct sockaddr *)&bound, &bound_bytes);
    *port = bound.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&bound)->sin6_port)
                                        : ntohs(((struct sockaddr_in *)(void *)&bound)->sin_port);
    *out = fd;
    return 0;
}

/* Takes the socket N of "fd:N", which listens already. */
static int listen_copy(const char *text, int *out, struct flo_err *err)
{
    int fd = atoi(text + 3);
    int listens = 0;
    socklen_t bytes = sizeof(listens);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes) < 0 || listens == 0) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%.32s is no socket that listens", text);
    }
    *out = fd;
    return 0;
}

static void on_accept(struct evconnlistener *evl, evutil_socket_t fd, struct sockaddr *address,
                      int bytes, void *context)
{
    (void)evl;
    flo_httpd_accept(context, fd, address, bytes);
}

static const struct timeval retry = {.tv_usec = 100000};

static void on_resume(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct httpd_listener *listener = context;
    flo_httpd_reserve(listener->httpd);
    if (listener->httpd->reserve < 0) {
        event_add(listener->resume, &retry);
    }
    if (!listener->httpd->is_paused && !listener->is_off) {
        evconnlistener_enable(listener->evl);
    }
}

/* Pauses accepting when no descriptors are left, else the event loop would spin
 * on the error.  The connection that has been idle longest gives up its descriptor.
 * When all are busy, one client gets that of the reserve, so that a check of health
 * is answered. */
static void on_accept_error(struct evconnlistener *evl, void *context)
{
    struct httpd_listener *listener = context;
    struct flo_httpd *httpd = listener->httpd;
    struct sockaddr_storage from = {0};
    socklen_t bytes = sizeof(from);
    struct flo_err err = {0};
    flo_httpd_refused(httpd, FLO_E_DESCRIPTORS, &err);
    evconnlistener_disable(evl);
    event_add(listener->resume, &retry);
    httpd->has_yielded = flo_httpd_give_way(httpd, NULL);
    if (!httpd->has_yielded && httpd->reserve >= 0) {
        close(httpd->reserve);
        httpd->reserve = -1;
        int fd = accept4(evconnlistener_get_fd(evl), (struct sockaddr *)&from, &bytes,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            flo_httpd_accept(listener, fd, (const struct sockaddr *)&from, (int)bytes);
        }
    }
}

int flo_httpd_listen(struct flo_httpd *httpd, const char *address, const struct flo_httpd_tls *tls,
                     int tag, uint16_t *port, struct flo_err *err)
{
    struct httpd_listener *listener = calloc(1, sizeof(*listener));
    uint16_t bound = 0;
    int fd = -1;
    if (listener == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a listener");
    }
    listener->httpd = httpd;
    listener->tag = tag;
    int rv = tls == NULL ? 0 : flo_httpd_tls_make(tls, &listener->tls, err);
    if (rv == 0 && tls != NULL) {
        rv = flo_httpd_tls_keep(&listener->files, tls, err);
    }
    if (rv == 0) {
        bool is_unix = strncmp(address, "unix:", 5) == 0;
        bool is_copy = strncmp(address, "fd:", 3) == 0;
        rv = is_unix   ? listen_unix(address + 5, &fd, err)
             : is_copy ? listen_copy(address, &fd, err)
                       : listen_tcp(address, &fd, &bound, err);
        if (rv == 0 && is_unix) {
            listener->unix_path = strdup(address + 5);
        }
    }
    if (rv < 0) {
        flo_httpd_listener_free(listener);
        return rv;
    }
    listener->resume = evtimer_new(httpd->base, on_resume, listener);
    listener->evl = evconnlistener_new(httpd->base, on_accept, listener,
                                       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (listener->evl == NULL || listener->resume == NULL) {
        if (listener->evl == NULL) {
            close(fd);
        }
        flo_httpd_listener_free(listener);
        return flo_fail_errno(err, FLO_E_IO_OPEN, "listen on %s", address);
    }
    evconnlistener_set_error_cb(listener->evl, on_accept_error);
    listener->next = httpd->listeners;
    httpd->listeners = listener;
    flo_httpd_reserve(httpd);
    if (port != NULL) {
        *port = bound;
    }
    return 0;
}

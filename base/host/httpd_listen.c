/* HTTP server: listeners on TCP and unix sockets, and their TLS. */
#include "base/host/httpd_internal.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* more than the connections of a busy second: a full queue makes connect()
 * on a unix socket fail at once (EAGAIN) for clients that do not block */
#define ACCEPT_BACKLOG 1024

/* ---- TLS --------------------------------------------------------- */

static int tls_fail(struct flo_err *err, const char *what, const char *file)
{
    char why[128];
    unsigned long code = ERR_peek_last_error();
    ERR_error_string_n(code, why, sizeof(why));
    ERR_clear_error();
    flo_fail(err, FLO_E_NET_TLS, "%s %s cannot be used", what, file);
    flo_err_why(err, "%s", why);
    return FLO_E_NET_TLS;
}

static int tls_make(const struct flo_httpd_tls *tls, SSL_CTX **out,
                    struct flo_err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for TLS");
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    int rv = 0;
    if (SSL_CTX_use_certificate_chain_file(context, tls->cert_file) != 1) {
        rv = tls_fail(err, "certificate", tls->cert_file);
    } else if (SSL_CTX_use_PrivateKey_file(context, tls->key_file,
                                           SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(context) != 1) {
        rv = tls_fail(err, "key", tls->key_file);
    } else if (tls->client_ca_file != NULL) {
        STACK_OF(X509_NAME) *names =
            SSL_load_client_CA_file(tls->client_ca_file);
        if (names == NULL || SSL_CTX_load_verify_locations(
                                 context, tls->client_ca_file, NULL) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            rv = tls_fail(err, "client CA", tls->client_ca_file);
        } else {
            SSL_CTX_set_client_CA_list(context, names);
            SSL_CTX_set_verify(context,
                               SSL_VERIFY_PEER |
                                   (tls->client_cert_required
                                        ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                        : 0),
                               NULL);
        }
    }
    if (rv < 0) {
        SSL_CTX_free(context);
        return rv;
    }
    *out = context;
    return 0;
}

void flo_httpd_tls_peer_name(struct bufferevent *bev, char *out, size_t bytes)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    X509 *certificate = ssl == NULL ? NULL : SSL_get1_peer_certificate(ssl);
    out[0] = '\0';
    if (certificate == NULL) {
        return;
    }
    if (SSL_get_verify_result(ssl) == X509_V_OK) {
        int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                                          NID_commonName, out, (int)bytes);
        /* A NUL inside, or a name that was cut, is no name. */
        if (n <= 0 || (size_t)n >= bytes - 1 || strlen(out) != (size_t)n) {
            out[0] = '\0';
        }
    }
    X509_free(certificate);
}

/* ---- sockets ----------------------------------------------------- */

static int bind_fail(struct flo_err *err, const char *address)
{
    if (errno == EADDRINUSE) {
        flo_fail(err, FLO_E_PORT_IN_USE, "%s is in use", address);
        flo_err_fix(err, "stop what listens on %s or choose another address",
                    address);
        return FLO_E_PORT_IN_USE;
    }
    bool is_elsewhere = errno == EADDRNOTAVAIL;
    int rv = flo_fail_errno(err, FLO_E_IO_OPEN, "listen on %s", address);
    return is_elsewhere ? flo_err_fix(err, "take an address that this machine "
                                           "has (ip address), or 0.0.0.0")
                        : rv;
}

/* Nobody answers on a socket file: it is left over. */
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
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "socket path of %zu characters, at most %zu fit",
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
    mode_t mask = umask(0117); /* 0660 from the first moment */
    int rv = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (rv < 0) {
        rv = bind_fail(err, path);
        close(fd);
        return rv;
    }
    *out = fd;
    return 0;
}

/* "host:port", "[v6]:port" -> a bound socket. */
static int listen_tcp(const char *text, int *out, uint16_t *port,
                      struct flo_err *err)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text ||
        (size_t)(colon - text) >= sizeof(host)) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "address \"%.64s\" is not host:port or unix:/path",
                        text);
    }
    /* getaddrinfo would take 65537 for port 1. */
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
        strtoul(colon + 1, NULL, 10) > UINT16_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "address \"%.64s\": a port is 0 to 65535", text);
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
        return flo_fail(err, FLO_E_CFG_RANGE, "address \"%.64s\": %s", text,
                        gai_strerror(rv));
    }
    int fd =
        socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        freeaddrinfo(found);
        return flo_fail_errno(err, FLO_E_IO_OPEN, "socket");
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    rv = bind(fd, found->ai_addr, found->ai_addrlen);
    if (rv == 0) {
        rv = listen(fd, ACCEPT_BACKLOG); /* a taken port may show here only */
    }
    freeaddrinfo(found);
    if (rv < 0) {
        rv = bind_fail(err, text);
        close(fd);
        return rv;
    }
    struct sockaddr_storage bound;
    socklen_t bound_bytes = sizeof(bound);
    getsockname(fd, (struct sockaddr *)&bound, &bound_bytes);
    *port = bound.ss_family == AF_INET6
                ? ntohs(((struct sockaddr_in6 *)(void *)&bound)->sin6_port)
                : ntohs(((struct sockaddr_in *)(void *)&bound)->sin_port);
    *out = fd;
    return 0;
}

static void on_accept(struct evconnlistener *evl, evutil_socket_t fd,
                      struct sockaddr *address, int bytes, void *context)
{
    (void)evl;
    flo_httpd_accept(context, fd, address, bytes);
}

static void on_resume(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct httpd_listener *listener = context;
    if (!listener->httpd->is_paused) {
        evconnlistener_enable(listener->evl);
    }
}

/* Out of descriptors: breathe, else the loop spins on the same error. */
static void on_accept_error(struct evconnlistener *evl, void *context)
{
    struct httpd_listener *listener = context;
    struct timeval pause = {.tv_usec = 100000};
    flo_log(FLO_LOG_WARN, "httpd", "accept: %s", strerror(errno));
    evconnlistener_disable(evl);
    event_add(listener->resume, &pause);
}

/* The first in the list is served first when clients wait for all of them. */
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
        if (evtimer_pending(l->resume, NULL) == 0) {
            evconnlistener_enable(l->evl);
        }
    }
}

static void listener_free(struct httpd_listener *listener)
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
    free(listener);
}

int flo_httpd_listen(struct flo_httpd *httpd, const char *address,
                     const struct flo_httpd_tls *tls, int tag, uint16_t *port,
                     struct flo_err *err)
{
    struct httpd_listener *listener = calloc(1, sizeof(*listener));
    uint16_t bound = 0;
    int fd = -1;
    if (listener == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a listener");
    }
    listener->httpd = httpd;
    listener->tag = tag;
    int rv = tls == NULL ? 0 : tls_make(tls, &listener->tls, err);
    if (rv == 0) {
        bool is_unix = strncmp(address, "unix:", 5) == 0;
        rv = is_unix ? listen_unix(address + 5, &fd, err)
                     : listen_tcp(address, &fd, &bound, err);
        if (rv == 0 && is_unix) {
            listener->unix_path = strdup(address + 5);
        }
    }
    if (rv < 0) {
        listener_free(listener);
        return rv;
    }
    listener->resume = evtimer_new(httpd->base, on_resume, listener);
    listener->evl = evconnlistener_new(
        httpd->base, on_accept, listener,
        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, ACCEPT_BACKLOG, fd);
    if (listener->evl == NULL || listener->resume == NULL) {
        if (listener->evl == NULL) {
            close(fd);
        }
        listener_free(listener);
        return flo_fail_errno(err, FLO_E_IO_OPEN, "listen on %s", address);
    }
    evconnlistener_set_error_cb(listener->evl, on_accept_error);
    listener->next = httpd->listeners;
    httpd->listeners = listener;
    if (port != NULL) {
        *port = bound;
    }
    return 0;
}

void flo_httpd_listeners_free(struct flo_httpd *httpd)
{
    while (httpd->listeners != NULL) {
        struct httpd_listener *listener = httpd->listeners;
        httpd->listeners = listener->next;
        listener_free(listener);
    }
}

/* Exchange: sends one HTTP request and reads its answer, without blocking. */
#include "engine/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES 65536

void flo_exchange_init(struct flo_exchange *exchange, const struct flo_peer *peer)
{
    *exchange = (struct flo_exchange){.fd = -1, .reader.peer = peer};
}

void flo_exchange_end(struct flo_exchange *exchange)
{
    flo_fd_cleanup(&exchange->fd);
    flo_buf_deinit(&exchange->out);
    flo_exchange_init(exchange, exchange->reader.peer);
}

static int connect_to(int fd, const char *path, uint16_t number)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in port = {.sin_family = AF_INET,
                               .sin_port = htons(number),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    if (path[0] == '\0') {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        return connect(fd, (struct sockaddr *)&port, sizeof(port));
    }
    if (strlen(path) >= sizeof(local.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
    return connect(fd, (struct sockaddr *)&local, sizeof(local));
}

int flo_exchange_connect(const char *path, uint16_t port)
{
    int family = path[0] == '\0' ? AF_INET : AF_UNIX;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect_to(fd, path, port) < 0 && errno != EINPROGRESS) {
        int keep = errno;
        flo_fd_cleanup(&fd);
        errno = keep;
    }
    return fd;
}

static int broken(const struct flo_exchange *exchange, struct flo_err *err)
{
    const struct flo_peer *peer = exchange->reader.peer;

    return flo_fail_errno(err, peer->lost, "the connection to %s", peer->name);
}

int flo_exchange_begin(struct flo_exchange *exchange, int fd, struct flo_err *err)
{
    exchange->fd = fd;
    exchange->is_connecting = true; /* asks for the connection's error once */
    return fd < 0 || exchange->out.failed ? broken(exchange, err) : 0;
}

short flo_exchange_events(const struct flo_exchange *exchange)
{
    bool writes = exchange->is_connecting || exchange->sent < exchange->out.bytes;
    return (short)(POLLIN | (writes ? POLLOUT : 0));
}

static int send_rest(struct flo_exchange *exchange, struct flo_err *err)
{
    while (exchange->sent < exchange->out.bytes) {
        ssize_t n = send(exchange->fd, exchange->out.data + exchange->sent,
                         exchange->out.bytes - exchange->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN)) {
            return 0;
        }
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            /* not an error yet: the server may have sent its answer early */
            exchange->sent = exchange->out.bytes;
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return broken(exchange, err);
        }
        exchange->sent += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int check_connect(struct flo_exchange *exchange, struct flo_err *err)
{
    int error = 0;
    socklen_t bytes = sizeof(error);

    getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    errno = error;
    exchange->is_connecting = false;
    return error == 0 ? 0 : broken(exchange, err);
}

int flo_exchange_go_on(struct flo_exchange *exchange, flo_body_fn *take, void *context,
                       struct flo_err *err)
{
    static char data[READ_BYTES];

    FLO_TRY(exchange->is_connecting ? check_connect(exchange, err) : 0);
    FLO_TRY(send_rest(exchange, err));
    ssize_t n = recv(exchange->fd, data, sizeof(data), 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : broken(exchange, err);
    }
    FLO_TRY(n == 0 ? flo_reply_end(&exchange->reader, err)
                   : flo_reply_read(&exchange->reader, data, (size_t)n, take, context, err));
    return exchange->reader.state == FLO_REPLY_DONE;
}

/* Door: functions in the place of libc's and OpenSSL's; see door.h. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server-stub/core/guard/entrance.h"
#include "server-stub/mqtt/broker/guard/door.h"
#include "server-stub/mqtt/broker/guard/openssl.h"
#include "server-stub/mqtt/broker/guard/plugin.h"

#define DESCRIPTORS_MAX (1 << 20)
#define DESCRIPTORS_KEPT 8 /* descriptors below the limit stay free for the broker's files */
#define TAKEN_MAX 64       /* connections that are taken in one go */
#define TICK_MS 50
#define HEAD_BYTES 5 /* head of a TLS record */
#define HELLO_BYTES_MAX 16384

/* Roles of a descriptor; a connection at the door has its place and 1. */
enum { NOTHING = 0, LISTENER = -1, DOOR = -2 };

static struct {
    struct flo_entrance core;
    struct flo_broker_door_asks asks;
    uint16_t port; /* 0: the door guards no listener */
    bool is_open;
    int epoll, wake;
    int descriptors; /* the broker's limit */
    uint64_t tick_ms;
    int16_t roles[DESCRIPTORS_MAX];
} door;

/* Declares `real`, the function whose place the door takes. */
#define REAL(name, type, ...)                                                                      \
    static type (*real)(__VA_ARGS__);                                                              \
    if (real == NULL) {                                                                            \
        *(void **)&real = dlsym(RTLD_NEXT, name);                                                  \
    }

static int role_of(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS_MAX ? door.roles[fd] : NOTHING;
}

/* ---- connections at the door ---- */

/* Ends a connection, so that neither side keeps anything of it. */
static void end(int fd, bool is_inside)
{
    const struct linger none = {.l_onoff = 1};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    /* The broker sees the end of its own, and closes it. */
    (void)(is_inside ? shutdown(fd, SHUT_RDWR) : close(fd));
}

static void cut(uint64_t now_ms)
{
    for (int place; (place = flo_entrance_cut(&door.core, now_ms)) >= 0;) {
        end(door.core.places[place].fd, door.core.places[place].is_inside);
    }
}

/* Looks whether the hello of a connection is whole.  Nothing is taken from the
 * socket. */
static void look(int fd, int place)
{
    uint8_t head[HEAD_BYTES];
    int waiting = 0;
    ssize_t got = recv(fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
    int bytes = got == HEAD_BYTES ? head[3] << 8 | head[4] : 0;

    if (got == 0 || (got < 0 && errno != EAGAIN) || (got > 0 && head[0] != 22) ||
        bytes > HELLO_BYTES_MAX) {
        end(fd, false);
    } else if (bytes > 0 && ioctl(fd, FIONREAD, &waiting) == 0 && waiting >= HEAD_BYTES + bytes) {
        flo_entrance_hello(&door.core, place);
    }
}

static void arrive(int fd, struct sockaddr_in6 *from, uint64_t now_ms)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    char address[48] = "";
    bool is_wasteful = false;
    int place = -1;

    if (from->sin6_family == AF_INET6) {
        memset(&from->sin6_addr.s6_addr[8], 0, 8);
    }
    (void)getnameinfo((struct sockaddr *)from, sizeof(*from), address, sizeof(address), NULL, 0,
                      NI_NUMERICHOST);
    if (fd < door.descriptors - DESCRIPTORS_KEPT) {
        place = flo_entrance_arrives(&door.core, address, fd, now_ms, &is_wasteful);
        cut(now_ms);
    }
    if (is_wasteful) {
        door.asks.unfinished(address);
    }
    if (place < 0) {
        end(fd, false);
        return;
    }
    door.roles[fd] = (int16_t)(place + 1);
    (void)epoll_ctl(door.epoll, EPOLL_CTL_ADD, fd, &event);
    look(fd, place);
}

/* Tells whether a connection comes from the address that it came to, and so from
 * this host.  The controllers' do, and those of no device. */
static bool is_own(int fd, const struct sockaddr_in6 *from)
{
    struct sockaddr_in6 to = {0};
    socklen_t bytes = sizeof(to);

    if (getsockname(fd, (struct sockaddr *)&to, &bytes) < 0) {
        return false;
    }
    to.sin6_port = from->sin6_port; /* at the same place for IPv4 */
    return memcmp(&to, from, sizeof(to)) == 0;
}

/* Takes connections in.  Returns one of this host, which need not wait and does
 * not count, or -1. */
static int take(int listener, uint64_t now_ms)
{
    for (int i = 0; i < TAKEN_MAX; i++) {
        struct sockaddr_in6 from = {0};
        socklen_t bytes = sizeof(from);
        int fd = accept4(listener, (struct sockaddr *)&from, &bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 || is_own(fd, &from)) {
            return fd;
        }
        arrive(fd, &from, now_ms);
    }
    return -1;
}

/* Returns a connection that may go in, or -1. */
static int next(void)
{
    struct epoll_event events[TAKEN_MAX];
    uint64_t now_ms = flo_now_ms();
    int count = epoll_wait(door.epoll, events, TAKEN_MAX, 0);
    int own = -1;

    for (int i = 0; i < count; i++) {
        int role = role_of(events[i].data.fd);
        if (role == LISTENER && own < 0) {
            own = take(events[i].data.fd, now_ms);
        } else if (role > 0) {
            look(events[i].data.fd, role - 1);
        }
    }
    if (own >= 0) {
        return own;
    }
    int place = flo_entrance_admits(&door.core, now_ms);
    cut(now_ms);
    if (place < 0) {
        errno = EAGAIN;
        return -1;
    }
    int fd = door.core.places[place].fd;
    (void)epoll_ctl(door.epoll, EPOLL_CTL_DEL, fd, NULL);
    return fd;
}

/* ---- in the place of libc ---- */

static bool is_guarded(int fd)
{
    struct sockaddr_in6 at = {0};
    socklen_t bytes = sizeof(at);

    return door.port != 0 && getsockname(fd, (struct sockaddr *)&at, &bytes) == 0 &&
           at.sin6_family != AF_UNIX && ntohs(at.sin6_port) == door.port;
}

/* Exchanges the listening socket for the door's epoll descriptor.  Without the
 * means for that the socket stays as it is. */
int listen(int fd, int backlog)
{
    REAL("listen", int, int, int)
    int rv = real(fd, backlog);
    int kept = rv == 0 && is_guarded(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = kept};

    if (kept >= 0 && kept < door.descriptors &&
        epoll_ctl(door.epoll, EPOLL_CTL_ADD, kept, &event) == 0 &&
        dup3(door.epoll, fd, O_CLOEXEC) == fd) {
        door.roles[kept] = LISTENER;
        door.roles[fd] = DOOR;
        door.is_open = true;
    }
    return rv;
}

int accept(int fd, __SOCKADDR_ARG from, socklen_t *__restrict bytes)
{
    REAL("accept", int, int, __SOCKADDR_ARG, socklen_t *)

    return role_of(fd) == DOOR ? next() : real(fd, from, bytes);
}

int close(int fd)
{
    REAL("close", int, int)
    int role = role_of(fd);

    if (role > 0) {
        flo_entrance_leaves(&door.core, role - 1);
    }
    if (role != NOTHING) {
        door.roles[fd] = NOTHING;
    }
    return real(fd);
}

/* ---- in the place of OpenSSL ---- */

static int place_of(const void *ssl)
{
    return role_of(SSL_get_fd(ssl)) - 1;
}

/* Notes whose handshake is over. */
static void learn(void *ssl, int place)
{
    char who[FLO_NAME_MAX + 1] = "";
    void *certificate = SSL_get1_peer_certificate(ssl);

    if (certificate == NULL) {
        return;
    }
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, who, sizeof(who));
    X509_free(certificate);
    if (!flo_entrance_names(&door.core, place, who)) {
        door.asks.unfinished(who);
        cut(flo_now_ms());
    }
}

/* The broker reads, too, while a handshake goes on. */
int SSL_read(void *ssl, void *out, int bytes)
{
    REAL("SSL_read", int, void *, void *, int)
    int rv = real(ssl, out, bytes);
    int place = place_of(ssl);

    if (place >= 0 && door.core.places[place].state == FLO_ENTRANCE_NAMELESS &&
        SSL_is_init_finished(ssl)) {
        learn(ssl, place);
    }
    return rv;
}

/* The broker's first packet is CONNACK.  Its fourth byte is 0 when the broker
 * accepts. */
int SSL_write(void *ssl, const void *data, int bytes)
{
    REAL("SSL_write", int, void *, const void *, int)
    int rv = real(ssl, data, bytes);
    int place = place_of(ssl);
    const uint8_t *packet = data;

    if (place >= 0 && rv == bytes && bytes >= 4 && packet[0] == 0x20 && packet[3] == 0) {
        bool is_due = door.asks.is_due(door.core.places[place].name);
        door.roles[SSL_get_fd(ssl)] = NOTHING;
        flo_entrance_connects(&door.core, place, is_due);
    }
    return rv;
}

/* ---- what the guard calls ---- */

void flo_broker_door_guards(uint16_t port, struct flo_broker_door_asks asks)
{
    struct epoll_event woken = {.events = EPOLLIN | EPOLLET, .data.fd = -1};
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    door.descriptors = limit.rlim_cur < DESCRIPTORS_MAX ? (int)limit.rlim_cur : DESCRIPTORS_MAX;
    door.epoll = epoll_create1(EPOLL_CLOEXEC);
    door.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    (void)epoll_ctl(door.epoll, EPOLL_CTL_ADD, door.wake, &woken);
    door.asks = asks;
    door.port = port;
}

void flo_broker_door_tick(uint64_t now_ms)
{
    if (door.port != 0 && !door.is_open) {
        mosquitto_log_printf(MOSQ_LOG_WARNING,
                             "guard: no limit before CONNECT: it needs a listener on %u, and "
                             "LD_PRELOAD=/.../flotilla-broker-guard.so",
                             door.port);
        door.port = 0;
    }
    if (door.core.top > 0 && now_ms >= door.tick_ms) {
        door.tick_ms = now_ms + TICK_MS;
        cut(now_ms);
        (void)eventfd_write(door.wake, 1); /* somebody may go in by now */
    }
}

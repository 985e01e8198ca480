/* Our HTTP server next to evhttp: slow clients, and one large upload.
 *
 *     bench_http evhttp|httpd slow CLIENTS SECONDS
 *     bench_http evhttp|httpd upload MEBIBYTES
 *
 * `slow`: each client sends a byte of an endless head every 250 ms.  Both
 * servers have a timeout of 2 s and room for 256 connections (httpd by its
 * option, evhttp by the limit of descriptors).  An honest client asks once a
 * second; the line tells how often it got an answer within a second.
 * `upload`: one body, which the server throws away; the line tells how much
 * memory the server needed for it.  See docs/decisions/http-server.md. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/base.h>

#include "base/host/httpd.h"

enum {
    TIMEOUT_S = 2,
    DRIP_MS = 250,
    CLIENTS_MAX = 4000,
    CONNECTIONS_MAX = 256,
    SPARE = 64 /* descriptors for everything else */
};

static const uint64_t body_bytes_max = UINT64_C(4) << 30;

/* ---- the servers: GET / answers "ok", PUT / takes a body ---- */

static void answer_evhttp(struct evhttp_request *request, void *context)
{
    struct evbuffer *body = evbuffer_new();

    (void)context;
    evbuffer_add(body, "ok", 2);
    evhttp_send_reply(request, 200, "OK", body);
    evbuffer_free(body);
}

static uint16_t open_evhttp(struct event_base *base)
{
    struct evhttp *http = evhttp_new(base);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    evhttp_set_timeout(http, TIMEOUT_S);
    evhttp_set_max_headers_size(http, 32 << 10);
    evhttp_set_max_body_size(http, (ev_ssize_t)body_bytes_max);
    evhttp_set_gencb(http, answer_evhttp, NULL);
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &length);
    return ntohs(address.sin_port);
}

static void answer_httpd(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_answer(request, 200, "text/plain", "ok", 2);
}

static int take_body(void *context, struct flo_httpd_request *request, const void *data,
                     size_t bytes, struct flo_err *err)
{
    (void)context;
    (void)request;
    (void)data;
    (void)bytes;
    (void)err;
    return 0;
}

static uint16_t open_httpd(struct event_base *base)
{
    const struct flo_httpd_options options = {.connections_max = CONNECTIONS_MAX,
                                              .head_timeout_ms = TIMEOUT_S * 1000};
    static const struct flo_httpd_upload upload = {.on_body = take_body,
                                                   .body_bytes_max = UINT64_C(4) << 30};
    struct flo_httpd *httpd;
    uint16_t port = 0;
    struct flo_err err;

    if (flo_httpd_open(base, &options, &httpd, &err) < 0 ||
        flo_httpd_route(httpd, "GET", "/", 0, answer_httpd, NULL, &err) < 0 ||
        flo_httpd_route_upload(httpd, "PUT", "/", &upload, answer_httpd, NULL, &err) < 0 ||
        flo_httpd_listen(httpd, "127.0.0.1:0", NULL, 0, &port, &err) < 0) {
        exit(1);
    }
    return port;
}

/* Starts the server as a child; its port. */
static uint16_t start(bool is_evhttp, pid_t *pid)
{
    int ends[2];
    uint16_t port = 0;

    if (pipe(ends) < 0 || (*pid = fork()) < 0) {
        exit(1);
    }
    if (*pid == 0) {
        struct event_base *base = event_base_new();
        struct rlimit limit = {CONNECTIONS_MAX + SPARE, CONNECTIONS_MAX + SPARE};

        /* Each refused accept is a line. */
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || freopen("/dev/null", "w", stderr) == NULL) {
            exit(1);
        }
        port = is_evhttp ? open_evhttp(base) : open_httpd(base);
        if (write(ends[1], &port, sizeof(port)) != sizeof(port)) {
            exit(1);
        }
        event_base_dispatch(base);
        exit(0);
    }
    if (read(ends[0], &port, sizeof(port)) != sizeof(port)) {
        exit(1);
    }
    return port;
}

/* ---- the clients ---- */

/* A connection, for `flags` SOCK_NONBLOCK perhaps not finished; connecting,
 * sending and receiving wait at most a second. */
static int dial(uint16_t port, int flags)
{
    const struct timeval second = {.tv_sec = 1};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) {
        perror("socket");
        exit(1);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    (void)connect(fd, (struct sockaddr *)&address, sizeof(address));
    return fd;
}

/* Has the server closed the connection? */
static bool is_closed(int fd)
{
    char data[512];
    ssize_t n;

    do {
        n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
    } while (n > 0);
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* Milliseconds until an honest client's answer; -1: none in a second. */
static int ask(uint16_t port)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n"
                                  "Connection: close\r\n\r\n";
    uint64_t begin = flo_now_us();
    int fd = dial(port, 0);
    char data[64];
    int ms = -1;

    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
        recv(fd, data, sizeof(data), 0) > 12 && memcmp(data + 9, "200", 3) == 0) {
        ms = (int)((flo_now_us() - begin) / 1000);
    }
    close(fd);
    return ms;
}

struct slow {
    int fd;         /* -1: the server closed it */
    bool has_begun; /* its head is on the way */
};

/* One more byte of the head, or its beginning. */
static void drip(struct slow *slow)
{
    static const char head[] = "GET / HTTP/1.1\r\nX: ";

    if (slow->fd >= 0 && slow->has_begun && is_closed(slow->fd)) {
        close(slow->fd);
        slow->fd = -1;
    }
    if (slow->fd >= 0 && slow->has_begun) {
        (void)send(slow->fd, "a", 1, MSG_NOSIGNAL);
    } else if (slow->fd >= 0) {
        slow->has_begun = send(slow->fd, head, sizeof(head) - 1, MSG_NOSIGNAL) > 0;
    }
}

static void run_slow(const char *name, uint16_t port, int clients, int seconds)
{
    static struct slow slows[CLIENTS_MAX];
    int open_count = 0, answered = 0, worst_ms = 0;

    for (int i = 0; i < clients; i++) {
        slows[i].fd = dial(port, SOCK_NONBLOCK);
    }
    for (int second = 0; second < seconds; second++) {
        int ms;

        for (int turn = 0; turn < 1000 / DRIP_MS; turn++) {
            for (int i = 0; i < clients; i++) {
                drip(&slows[i]);
            }
            poll(NULL, 0, DRIP_MS);
        }
        ms = ask(port);
        answered += ms >= 0;
        worst_ms = ms > worst_ms ? ms : worst_ms;
    }
    for (int i = 0; i < clients; i++) {
        open_count += slows[i].fd >= 0;
    }
    printf("{\"server\":\"%s\",\"slow_clients\":%d,\"still_open\":%d,"
           "\"asked\":%d,\"answered\":%d,\"answer_ms_max\":%d,",
           name, clients, open_count, seconds, answered, worst_ms);
}

static long peak_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmHWM: %ld", &kib);
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib;
}

static void run_upload(const char *name, uint16_t port, pid_t pid, int mebibytes)
{
    static char piece[1 << 20];
    long before = peak_kib(pid);
    int fd = dial(port, 0);
    char data[256] = {0};
    int head = snprintf(data, sizeof(data),
                        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: "
                        "%lld\r\n\r\n",
                        (long long)mebibytes << 20);
    bool sent = send(fd, data, (size_t)head, MSG_NOSIGNAL) == head;

    for (int i = 0; sent && i < mebibytes; i++) {
        for (size_t at = 0; sent && at < sizeof(piece);) {
            ssize_t n = send(fd, piece + at, sizeof(piece) - at, MSG_NOSIGNAL);

            sent = n > 0;
            at += sent ? (size_t)n : 0;
        }
    }
    data[0] = '\0';
    if (recv(fd, data, sizeof(data) - 1, 0) < 12) {
        sent = false;
    }
    printf("{\"server\":\"%s\",\"upload_mib\":%d,\"answer\":\"%.12s\","
           "\"memory_grew_mib\":%.1f,",
           name, mebibytes, sent ? data : "none", (double)(peak_kib(pid) - before) / 1024);
    close(fd);
}

int main(int argc, char **argv)
{
    bool is_slow = argc == 5 && strcmp(argv[2], "slow") == 0;
    int count = argc > 3 ? atoi(argv[3]) : 0;
    struct rusage usage;
    uint16_t port;
    pid_t pid;

    if ((!is_slow && (argc != 4 || strcmp(argv[2], "upload") != 0)) || count < 1 ||
        count > CLIENTS_MAX) {
        fprintf(stderr, "usage: bench_http evhttp|httpd slow CLIENTS SECONDS\n"
                        "       bench_http evhttp|httpd upload MEBIBYTES\n");
        return 2;
    }
    port = start(strcmp(argv[1], "evhttp") == 0, &pid);
    if (is_slow) {
        run_slow(argv[1], port, count, atoi(argv[4]));
    } else {
        run_upload(argv[1], port, pid, count);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    getrusage(RUSAGE_CHILDREN, &usage);
    printf("\"server_cpu_ms\":%ld}\n",
           (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
               (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
    return 0;
}

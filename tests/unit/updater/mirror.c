/* A mirror for tests: one connection after the other, one request each. */
#include "mirror.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool put(int fd, const void *data, size_t bytes)
{
    const char *p = data;

    while (bytes > 0) {
        ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool read_head(int fd, char *head, size_t room)
{
    size_t used = 0;

    while (used + 1 < room) {
        ssize_t n = recv(fd, head + used, room - used - 1, 0);
        if (n <= 0) {
            return false;
        }
        used += (size_t)n;
        head[used] = '\0';
        if (strstr(head, "\r\n\r\n") != NULL) {
            return true;
        }
    }
    return false;
}

static void header(const char *head, const char *name, char *out, size_t room)
{
    const char *at = head;
    size_t chars = strlen(name);

    out[0] = '\0';
    while ((at = strstr(at, "\r\n")) != NULL) {
        at += 2;
        if (strncasecmp(at, name, chars) == 0 && at[chars] == ':') {
            at += chars + 1;
            at += strspn(at, " ");
            snprintf(out, room, "%.*s", (int)strcspn(at, "\r"), at);
            return;
        }
    }
}

static void answer_text(int fd, int status, const char *type, const char *body)
{
    char head[256];
    int chars = snprintf(head, sizeof(head),
                         "HTTP/1.1 %d X\r\nContent-Type: %s\r\n"
                         "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                         status, type, strlen(body));

    if (put(fd, head, (size_t)chars)) {
        put(fd, body, strlen(body));
    }
}

static void send_file(struct mirror *mirror, int fd, int file, int64_t from, int64_t size)
{
    static char piece[65536];
    int64_t limit = size - from;

    if (mirror->cut_after > 0 && mirror->cut_count != 0 && mirror->cut_after < limit) {
        limit = mirror->cut_after;
        mirror->cut_after += mirror->cut_later;
        if (mirror->cut_count > 0) {
            mirror->cut_count--;
        }
    }
    while (limit > 0) {
        size_t want = limit < (int64_t)sizeof(piece) ? (size_t)limit : sizeof(piece);
        ssize_t n = pread(file, piece, want, from);
        if (n <= 0) {
            return;
        }
        if (mirror->flip_at >= from && mirror->flip_at < from + n) {
            piece[mirror->flip_at - from] ^= 1;
        }
        /* Counted first: the test reads it as soon as it has the last byte. */
        mirror->sent_bytes += (unsigned long long)n;
        if (!put(fd, piece, (size_t)n)) {
            mirror->sent_bytes -= (unsigned long long)n;
            return;
        }
        from += n;
        limit -= n;
    }
    if (mirror->is_holding) { /* until the client goes */
        struct pollfd client = {.fd = fd, .events = POLLIN};
        (void)poll(&client, 1, -1);
    }
    for (int i = 0; i < mirror->extra_bytes; i++) {
        put(fd, "x", 1);
    }
}

static void answer_file(struct mirror *mirror, int fd, const char *kind, const char *hex)
{
    char path[512];
    char head[512];
    char length[64] = "";
    struct stat st;
    int64_t from = 0;

    snprintf(path, sizeof(path), "%s/%s-%s", mirror->dir, kind, hex);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &st) < 0) {
        answer_text(fd, 404, "text/plain", "no such artifact");
        return;
    }
    if (!mirror->is_without_range) {
        sscanf(mirror->last_range, "bytes=%ld-", &from);
    }
    if (from >= st.st_size && from > 0) {
        close(file);
        answer_text(fd, 416, "text/plain", "range");
        return;
    }
    if (!mirror->is_without_length) {
        snprintf(length, sizeof(length), "Content-Length: %lld\r\n",
                 (long long)(st.st_size - from + mirror->extra_bytes));
    }
    int chars = snprintf(head, sizeof(head),
                         "HTTP/1.1 %d X\r\nContent-Type: application/octet-stream\r\n"
                         "ETag: \"sha256:%s\"\r\nConnection: close\r\n%s",
                         from > 0 ? 206 : 200, hex, length);
    if (from > 0) {
        chars += snprintf(head + chars, sizeof(head) - (size_t)chars,
                          "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)from,
                          (long long)st.st_size - 1, (long long)st.st_size);
    }
    chars += snprintf(head + chars, sizeof(head) - (size_t)chars, "\r\n");
    if (put(fd, head, (size_t)chars)) {
        send_file(mirror, fd, file, from, st.st_size);
    }
    close(file);
}

static void handle(struct mirror *mirror, int fd)
{
    static char head[16384];
    char hex[65];

    if (!read_head(fd, head, sizeof(head))) {
        return;
    }
    header(head, "Range", mirror->last_range, sizeof(mirror->last_range));
    header(head, "If-Range", mirror->last_if_range, sizeof(mirror->last_if_range));
    mirror->requests++;
    if (mirror->raw != NULL) {
        for (size_t i = 0; i < mirror->raw_times; i++) {
            if (!put(fd, mirror->raw, mirror->raw_bytes)) {
                break;
            }
        }
    } else if (mirror->is_portal) {
        answer_text(fd, 200, "text/html; charset=utf-8", "<html>please log in</html>");
    } else if (mirror->status != 0 && mirror->status_count != 0) {
        if (mirror->status_count > 0) {
            mirror->status_count--;
        }
        answer_text(fd, mirror->status, "text/plain", "no");
    } else if (sscanf(head, "GET /v1/blobs/sha256:%64[0-9a-f] ", hex) == 1) {
        answer_file(mirror, fd, "sha256", hex);
    } else if (sscanf(head, "GET /v1/envelopes/sha256:%64[0-9a-f] ", hex) == 1) {
        answer_file(mirror, fd, "envelope", hex);
    } else {
        answer_text(fd, 404, "text/plain", "no such path");
    }
}

static void *serve(void *context)
{
    struct mirror *mirror = context;

    for (;;) {
        int fd = accept4(mirror->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (mirror->is_closing) {
            if (fd >= 0) {
                close(fd);
            }
            return NULL;
        }
        if (fd >= 0) {
            handle(mirror, fd);
            shutdown(fd, SHUT_WR);
            close(fd);
        }
    }
}

void mirror_open(struct mirror *mirror, const char *dir)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);

    memset(mirror, 0, sizeof(*mirror));
    snprintf(mirror->dir, sizeof(mirror->dir), "%s", dir);
    mirror->flip_at = -1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    mirror->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (mirror->listen_fd < 0 || bind(mirror->listen_fd, (struct sockaddr *)&address, bytes) < 0 ||
        listen(mirror->listen_fd, 16) < 0 ||
        getsockname(mirror->listen_fd, (struct sockaddr *)&address, &bytes) < 0 ||
        pthread_create(&mirror->thread, NULL, serve, mirror) != 0) {
        abort();
    }
    snprintf(mirror->url, sizeof(mirror->url), "http://127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
}

void mirror_close(struct mirror *mirror)
{
    struct sockaddr_in address;
    socklen_t bytes = sizeof(address);

    mirror->is_closing = true;
    /* A last connection wakes the thread. */
    if (getsockname(mirror->listen_fd, (struct sockaddr *)&address, &bytes) == 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0) {
            (void)connect(fd, (struct sockaddr *)&address, bytes);
            close(fd);
        }
    }
    pthread_join(mirror->thread, NULL);
    close(mirror->listen_fd);
}

/* Without memory an answer has a status line all the same: each allocation of
 * an answer fails once, and the client hears the answer or memory.exhausted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/event.h>

#include "base/host/httpd.h"
#include "unit/waits.h"

/* As in test_no_memory.c. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define HAS_HEAP 0
#else
#define HAS_HEAP 1
#endif

static bool is_counting;
static unsigned long count, failing; /* failing 0: none */

#if HAS_HEAP
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t items, size_t bytes);
void *__libc_realloc(void *data, size_t bytes);
void *malloc(size_t bytes);
void *calloc(size_t items, size_t bytes);
void *realloc(void *data, size_t bytes);

static bool fails(void)
{
    return is_counting && ++count == failing;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t items, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(items, bytes);
}

void *realloc(void *data, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(data, bytes);
}
#endif

/* ---- a server and a client on one thread ---- */

#define BODY_BYTES 5000

struct world {
    struct event_base *base;
    struct flo_httpd *httpd;
    uint16_t port;
};

static void on_whole(void *context, struct flo_httpd_request *request)
{
    static char body[BODY_BYTES];

    (void)context;
    is_counting = true;
    memset(body, 'a', sizeof(body));
    flo_httpd_add_header(request, "ETag", "\"1\"");
    flo_httpd_answer(request, 200, "text/plain", body, sizeof(body));
}

static void on_error(void *context, struct flo_httpd_request *request)
{
    struct flo_err err = {0};

    (void)context;
    is_counting = true;
    flo_fail(&err, FLO_E_ABSENT, "no such thing");
    flo_httpd_answer_err(request, &err);
}

static void on_stream(void *context, struct flo_httpd_request *request)
{
    (void)context;
    is_counting = true;
    flo_httpd_stream_begin(request, 200, "text/plain");
    if (flo_httpd_stream_chunk(request, "hello", 5, 0)) {
        flo_httpd_stream_end(request);
    } else {
        flo_httpd_stream_abort(request);
    }
}

static int world_open(void **state)
{
    static struct world world;
    struct flo_err err = {0};

    world.base = event_base_new();
    assert_int_equal(flo_httpd_open(world.base, NULL, &world.httpd, &err), 0);
    assert_int_equal(flo_httpd_route(world.httpd, "GET", "/whole", 0, on_whole, NULL, &err), 0);
    assert_int_equal(flo_httpd_route(world.httpd, "GET", "/error", 0, on_error, NULL, &err), 0);
    assert_int_equal(flo_httpd_route(world.httpd, "GET", "/stream", 0, on_stream, NULL, &err), 0);
    assert_int_equal(flo_httpd_listen(world.httpd, "127.0.0.1:0", NULL, 0, &world.port, &err), 0);
    *state = &world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;

    flo_httpd_close(world->httpd);
    event_base_free(world->base);
    return 0;
}

/* One request on a connection of its own, to the server's end of it. */
static const char *ask(struct world *world, const char *path)
{
    static char answer[2 * BODY_BYTES];
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(world->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char text[128];
    size_t bytes = 0;
    ssize_t got = -1;

    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    int chars = snprintf(text, sizeof(text),
                         "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(send(fd, text, (size_t)chars, 0), chars);
    WAIT_TURNING(got == 0, {
        event_base_loop(world->base, EVLOOP_NONBLOCK);
        got = recv(fd, answer + bytes, sizeof(answer) - 1 - bytes, MSG_DONTWAIT);
        bytes += got > 0 ? (size_t)got : 0;
        waits_pause();
    });
    is_counting = false;
    close(fd);
    answer[bytes] = '\0';
    return answer;
}

static bool is_whole(const char *answer, const char *wanted)
{
    const char *body = strstr(answer, "\r\n\r\n");
    const char *same = strstr(wanted, "\r\n\r\n");

    return body != NULL && strncmp(answer, wanted, 12) == 0 && strlen(body) == strlen(same);
}

static bool is_told(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 500 ", 13) == 0 && strstr(answer, "\r\n\r\n") != NULL &&
           strstr(answer, "\"code\":\"memory.exhausted\"") != NULL;
}

/* A stream that has begun ends without its last chunk. */
static bool is_cut(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 200 ", 13) == 0 &&
           strstr(answer, "Transfer-Encoding: chunked") != NULL &&
           strstr(answer, "0\r\n\r\n") == NULL;
}

static void each_allocation_of_an_answer_may_fail(void **state)
{
    static const char *const paths[] = {"/whole", "/error", "/stream"};
    struct world *world = *state;
    unsigned bad = 0, told = 0;

    if (!HAS_HEAP) {
        skip();
    }
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        failing = 0;
        free(strdup(ask(world, paths[i])));
        count = 0;
        char *wanted = strdup(ask(world, paths[i]));
        unsigned long all = count;
        assert_true(all > 0);
        for (failing = 1; failing <= all; failing++) {
            count = 0;
            const char *answer = ask(world, paths[i]);
            bool is_bad = !is_whole(answer, wanted) && !is_told(answer) && !is_cut(answer);
            told += is_told(answer);
            bad += is_bad;
            if (is_bad) {
                print_error("%s, allocation %lu of %lu: %.60s\n", paths[i], failing, all, answer);
            }
        }
        free(wanted);
    }
    assert_int_equal(bad, 0);
    assert_true(told > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_allocation_of_an_answer_may_fail, world_open,
                                        world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

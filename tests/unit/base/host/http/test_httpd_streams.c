/* The HTTP server's long answers and requests: files, uploads, streams, and
 * clients that read slowly or leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/base/host/http/httpd_world.h"
#include "unit/waits.h"

static void a_file_answers_ranges_and_etags(void **state)
{
    size_t bytes;
    (void)state;
    int fd = dial(world.port);
    say(fd, "GET /file HTTP/1.1\r\n" END);
    char *text = hear(fd, &bytes);
    const char *body = strstr(text, "\r\n\r\n") + 4;
    assert_int_equal(bytes - (size_t)(body - text), FILE_BYTES);
    for (int i = 0; i < FILE_BYTES; i++) {
        assert_int_equal(body[i], 'a' + i % 23);
    }
    assert_non_null(strstr(text, "ETag: \"sha256:abc\"\r\n"));
    free(text);
    expect("GET /file HTTP/1.1\r\nRange: bytes=23-25\r\n" END, "HTTP/1.1 206",
           "Content-Range: bytes 23-25/300000\r\n");
    expect("GET /file HTTP/1.1\r\nRange: bytes=23-25\r\n" END, "HTTP/1.1 206", "\r\n\r\nabc");
    expect("GET /file HTTP/1.1\r\nRange: bytes=299998-\r\n" END, "HTTP/1.1 206",
           "Content-Length: 2\r\n");
    expect("GET /file HTTP/1.1\r\nRange: bytes=-5\r\n" END, "HTTP/1.1 206",
           "bytes 299995-299999/300000");
    expect("GET /file HTTP/1.1\r\nRange: bytes=300000-\r\n" END, "HTTP/1.1 416", "bytes */300000");
    expect("GET /file HTTP/1.1\r\nRange: bytes=1-2\r\n"
           "If-Range: \"other\"\r\n" END,
           "HTTP/1.1 200", "Content-Length: 300000");
    expect("GET /file HTTP/1.1\r\nIf-None-Match: \"x\", "
           "\"sha256:abc\"\r\n" END,
           "HTTP/1.1 304", "ETag");
    expect("HEAD /file HTTP/1.1\r\n" END, "HTTP/1.1 200", "Content-Length: 300000");
}

static void an_upload_streams_and_its_refusal_is_heard(void **state)
{
    struct flo_buf body = {.bytes_max = 8u << 20};
    (void)state;
    flo_buf_text(&body, "PUT /up HTTP/1.1\r\nAuthorization: Bearer t\r\n"
                        "Content-Length: 3000000\r\n" END);
    for (int i = 0; i < 300000; i++) {
        flo_buf_text(&body, "0123456789");
    }
    expect(body.data, "HTTP/1.1 200", "\r\n\r\n3000000");
    int before = __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST);
    body.data[500000] = '!';
    expect(body.data, "HTTP/1.1 422", "\"code\":\"target.hash\"");
    WAIT_UNTIL(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST) != before);
    assert_int_equal(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST), before + 1);
    expect("PUT /up HTTP/1.1\r\nContent-Length: 10\r\n" END, "HTTP/1.1 401",
           "\"code\":\"rest.auth\"");
    flo_buf_deinit(&body);
}

static void a_client_that_leaves_is_noticed(void **state)
{
    static const char *const heads[] = {
        "GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /later HTTP/1.0\r\nHost: localhost\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < 2 * FLO_COUNT(heads); i++) {
        int before = __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST);
        int fd = i % 2 == 0 ? dial(world.port) : dial_unix();
        __atomic_store_n(&world.kept, NULL, __ATOMIC_SEQ_CST);
        say(fd, heads[i / 2]);
        WAIT_UNTIL(__atomic_load_n(&world.kept, __ATOMIC_SEQ_CST) != NULL);
        close(fd);
        WAIT_UNTIL(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST) != before);
        assert_int_equal(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST), before + 1);
    }
    world.kept = NULL;
}

/* Over TCP and a unix socket, before and in a stream. */
static void a_client_that_only_sends_no_more_gets_its_answer(void **state)
{
    static const char *const paths[] = {"/later", "/keep"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        char head[128];
        char text[512];
        int before = __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST);
        int fd = i < 2 ? dial(world.port) : dial_unix();
        snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\n" END, paths[i % 2]);
        say(fd, head);
        if (i % 2 == 1) {
            assert_true(recv(fd, text, sizeof(text), 0) > 0);
        }
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        world_await_looks();
        assert_int_equal(write(world.control[1], "e", 1), 1);
        char *rest = hear(fd, NULL);
        assert_non_null(strstr(rest, "0\r\n\r\n"));
        free(rest);
        assert_int_equal(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST), before);
    }
}

static void a_stream_can_end_from_outside_the_handler(void **state)
{
    (void)state;
    int before = __atomic_load_n(&world.closed, __ATOMIC_SEQ_CST);
    int fd = dial(world.port);
    say(fd, "GET /keep HTTP/1.1\r\n" END);
    char text[512];
    assert_true(recv(fd, text, sizeof(text), 0) > 0);
    assert_int_equal(write(world.control[1], "e", 1), 1);
    char *rest = hear(fd, NULL);
    assert_non_null(strstr(rest, "0\r\n\r\n"));
    free(rest);
    assert_int_equal(__atomic_load_n(&world.closed, __ATOMIC_SEQ_CST), before);
}

static void a_slow_reader_stops_a_stream_at_its_backlog(void **state)
{
    (void)state;
    char *text = ask("GET /flood HTTP/1.1\r\n" END);
    assert_int_equal(world.streams, 15); /* 1 MiB with head and chunk sizes */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_answers_ranges_and_etags),
        cmocka_unit_test(an_upload_streams_and_its_refusal_is_heard),
        cmocka_unit_test(a_client_that_leaves_is_noticed),
        cmocka_unit_test(a_client_that_only_sends_no_more_gets_its_answer),
        cmocka_unit_test(a_stream_can_end_from_outside_the_handler),
        cmocka_unit_test(a_slow_reader_stops_a_stream_at_its_backlog),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, world_open, world_close);
}

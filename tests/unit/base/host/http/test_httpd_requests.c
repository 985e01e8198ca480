/* The HTTP server, over real sockets: requests that it answers, requests that
 * it refuses, and that it stays alive for the next client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/lead.h>
#include <flotilla/errors/state.h>

#include "base/host/httpd/parse.h"
#include "unit/base/host/http/httpd_world.h"

static void routes_give_parameters_query_and_token(void **state)
{
    (void)state;
    expect("GET /v1/things/sha256:ab%2Dc?q=a+b%26&x=1 HTTP/1.1\r\n"
           "Authorization: Bearer secret\r\n" END,
           "HTTP/1.1 200 OK\r\n",
           "id=sha256:ab-c q=a b& bearer=secret peer=- from=127.0.0.1 tag=1");
    expect("GET /v1/things/7/more HTTP/1.1\r\n" END, "HTTP/1.1 200", "id=7 ");
    expect("GET /app/a/b.js HTTP/1.1\r\n" END, "HTTP/1.1 200", "a/b.js");
    expect("HEAD /v1/things/7 HTTP/1.1\r\n" END, "HTTP/1.1 200", "Content-Length: ");
}

static void an_escaped_slash_is_part_of_its_segment(void **state)
{
    (void)state;
    expect("GET /v1/things/a%2Fb HTTP/1.1\r\n" END, "HTTP/1.1 200", "id=a/b ");
    expect("GET /v1/things/7%2fmore HTTP/1.1\r\n" END, "HTTP/1.1 200", "id=7/more ");
    expect("GET /v1%2Fthings/7 HTTP/1.1\r\n" END, "HTTP/1.1 404", "rest.not");
    expect("GET /v1/things/a%252Fb HTTP/1.1\r\n" END, "HTTP/1.1 200", "id=a%2Fb ");
    expect("GET /%761/things/a%25 HTTP/1.1\r\n" END, "HTTP/1.1 200", "id=a% ");
    expect("GET /app/a%2F..%2Fb HTTP/1.1\r\n" END, "HTTP/1.1 200", "a%2F..%2Fb");
}

static void unknown_paths_methods_and_hosts_are_refused(void **state)
{
    (void)state;
    expect("GET /nothing HTTP/1.1\r\n" END, "HTTP/1.1 404", "\"code\":\"rest.not_found\"");
    expect("GET /v1/things/ HTTP/1.1\r\n" END, "HTTP/1.1 404", "rest.not");
    expect("DELETE /echo HTTP/1.1\r\n" END, "HTTP/1.1 405", "\"code\":\"rest.method\"");
    expect("GET /v1/things/1 HTTP/1.1\r\nHost: evil.example\r\n"
           "Connection: close\r\n\r\n",
           "HTTP/1.1 421", "rest.header");
}

static void a_refused_method_is_told_what_is_allowed(void **state)
{
    (void)state;
    expect("DELETE /echo HTTP/1.1\r\n" END, "HTTP/1.1 405", "\r\nAllow: POST\r\n");
    expect("PUT /v1/things/7/more HTTP/1.1\r\n" END, "HTTP/1.1 405", "\r\nAllow: GET, HEAD\r\n");
}

#define ORIGIN "Origin: https://app.example\r\n"
#define ASKS "Access-Control-Request-Method: POST\r\n"

static void a_page_of_a_listed_origin_may_read_answers(void **state)
{
    (void)state;
    expect("GET /v1/things/7 HTTP/1.1\r\n" ORIGIN END, "HTTP/1.1 200",
           "\r\nAccess-Control-Allow-Origin: https://app.example\r\n");
    expect("GET /nothing HTTP/1.1\r\n" ORIGIN END, "HTTP/1.1 404",
           "\r\nAccess-Control-Allow-Origin: https://app.example\r\n");
    expect("OPTIONS /echo HTTP/1.1\r\n" ORIGIN ASKS
           "Access-Control-Request-Headers: authorization, x-a\r\n" END,
           "HTTP/1.1 204",
           "\r\nAccess-Control-Allow-Methods: POST\r\n"
           "Access-Control-Allow-Headers: authorization, x-a\r\n");
}

static void expect_without(const char *request, const char *begins, const char *word)
{
    char *text = ask(request);

    assert_null(strstr(text, word));
    expect_of(text, request, begins, "");
}

static void a_page_of_another_origin_is_told_nothing(void **state)
{
    static const char *const pages[] = {"Origin: https://app.example.evil\r\n",
                                        "Origin: http://app.example\r\n", "Origin: null\r\n", ""};
    char text[256];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(pages); i++) {
        snprintf(text, sizeof(text), "GET /v1/things/7 HTTP/1.1\r\n%s" END, pages[i]);
        expect_without(text, "HTTP/1.1 200", "Access-Control");
        snprintf(text, sizeof(text), "OPTIONS /echo HTTP/1.1\r\n%s" ASKS END, pages[i]);
        expect_without(text, "HTTP/1.1 405", "Access-Control");
    }
}

static void an_origin_has_no_path(void **state)
{
    static const char *const good[] = {"https://app.example", "http://localhost:5173",
                                       "http://[::1]:8080"};
    static const char *const bad[] = {"",
                                      "*",
                                      "null",
                                      "https://",
                                      "app.example",
                                      "https://app.example/",
                                      "https://App.example",
                                      "ftp://app.example",
                                      "https://a\r\nX: y"};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        assert_true(flo_httpd_origin_is_valid(good[i]));
    }
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_httpd_origin_is_valid(bad[i]));
    }
}

static void malformed_heads_are_refused_and_the_server_lives(void **state)
{
    static const char *const heads[][2] = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/2.0\r\nHost: localhost\r\n\r\n", "HTTP/1.1 505"},
        {"GET /echo HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"},
        {"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400"},
        {"GET /echo HTTP/1.1\r\nHost: a\r\n folded: 1\r\n\r\n", "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
         "Content-Length: 6\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501"},
        {"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
         "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400"},
        {"GET http://x?a=/v1/things/7 HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400"},
        {"GET http://x#/v1/things/7 HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400"},
        /* the start of a TLS client; nothing else will come */
        {"\x16\x03\x01\x02", "HTTP/1.1 400"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(heads); i++) {
        expect(heads[i][0], heads[i][1], "\"code\":\"rest.");
    }
    alive();
}

static void who_says_close_once_is_closed(void **state)
{
    static const char *const words[] = {"close\r\nConnection: keep-alive",
                                        "keep-alive\r\nConnection: close", "keep-alive, close"};
    char head[256];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        snprintf(head, sizeof(head),
                 "GET /v1/things/7 HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n",
                 words[i]);
        expect(head, "HTTP/1.1 200", "\r\nConnection: close\r\n");
    }
}

static void a_head_that_is_too_long_gets_431(void **state)
{
    struct flo_buf head = {.bytes_max = 1u << 20};
    (void)state;
    flo_buf_text(&head, "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: ");
    for (int i = 0; i < 40000; i++) {
        flo_buf_text(&head, "x");
    }
    expect(head.data, "HTTP/1.1 431", "rest.header");
    head.bytes = 0;
    flo_buf_text(&head, "GET /echo HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 101; i++) {
        flo_buf_text(&head, "a: b\r\n");
    }
    flo_buf_text(&head, "\r\n");
    expect(head.data, "HTTP/1.1 431", "more than 100 headers");
    flo_buf_deinit(&head);
    alive();
}

/* Its rest never comes: only from its first byte on is time short. */
static char *ask_slowly(const char *request)
{
    int fd = dial(world.port);
    world_shorten_heads();
    say(fd, request);
    return hear(fd, NULL);
}

static void expect_slowly(const char *request, const char *begins, const char *contains)
{
    expect_of(ask_slowly(request), request, begins, contains);
}

static void a_slow_head_gets_408(void **state)
{
    (void)state;
    expect_slowly("GET /echo HTT", "HTTP/1.1 408", "net.timeout");
}

static void a_slow_head_behind_an_answer_ends_the_connection(void **state)
{
    (void)state;
    char *text = ask_slowly("GET /v1/things/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
                            "GET /v1/thi");
    const char *second = strstr(text, "HTTP/1.1 408");
    assert_non_null(second);
    assert_non_null(strstr(second, "Connection: close"));
    free(text);
}

static void a_slow_body_gets_408(void **state)
{
    (void)state;
    expect_slowly("POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                  "Content-Length: 100\r\n\r\nabc",
                  "HTTP/1.1 408", "net.timeout");
}

static void a_body_over_the_limit_gets_413(void **state)
{
    struct flo_buf body = {.bytes_max = 1u << 22};
    (void)state;
    expect("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
           "1001\r\n\r\n",
           "HTTP/1.1 413", "\"code\":\"rest.too_large\"");
    flo_buf_text(&body, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 500; i++) {
        flo_buf_text(&body, "4\r\nabcd\r\n"); /* it never ends */
    }
    expect(body.data, "HTTP/1.1 413", "rest.too_large");
    flo_buf_deinit(&body);
}

static void chunked_bodies_are_put_together(void **state)
{
    (void)state;
    expect("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END
           "3;ext=1\r\nabc\r\n0a\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
           "HTTP/1.1 200", "\r\n\r\nabc0123456789");
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    char *text = ask("POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Length: 3\r\n\r\none"
                     "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
                     "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" END "three");
    const char *one = strstr(text, "\r\n\r\none");
    const char *two = strstr(text, "6\r\npiece\n\r\n0\r\n\r\n");
    const char *three = strstr(text, "\r\n\r\nthree");
    assert_true(one != NULL && two != NULL && three != NULL);
    assert_true(one < two && two < three);
    free(text);
}

static void any_cut_of_a_chunked_body_gives_the_same(void **state)
{
    static const char body[] = "5\r\nhello\r\n1;x\r\n!\r\n0\r\nA: b\r\n\r\n";
    (void)state;
    for (size_t step = 1; step < sizeof(body); step++) {
        struct httpd_chunked chunked = {0};
        char out[16] = "";
        size_t at = 0, n = 0;
        while (!chunked.is_done && at < sizeof(body) - 1) {
            size_t left = sizeof(body) - 1 - at;
            const char *piece;
            size_t piece_bytes;
            ptrdiff_t used = flo_httpd_chunked_next(&chunked, body + at, left < step ? left : step,
                                                    &piece, &piece_bytes);
            assert_true(used > 0);
            memcpy(out + n, piece, piece_bytes);
            n += piece_bytes;
            at += (size_t)used;
        }
        assert_true(chunked.is_done);
        assert_string_equal(out, "hello!");
    }
}

/* A client that asks again finds the controller that leads: 409 would be an
 * end, and a device would give its update up. */
static void a_controller_that_lost_the_lead_is_away_for_a_moment(void **state)
{
    static const int codes[] = {FLO_E_STATE_SUPERSEDED, FLO_E_LEAD_NONE, FLO_E_DB_UNREACHABLE};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(codes); i++) {
        assert_int_equal(flo_httpd_status_of(codes[i]), 503);
    }
    assert_int_equal(flo_httpd_status_of(FLO_E_STATE), 409);
}

/* In a world of its own. */
#define SLOW(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_give_parameters_query_and_token),
        cmocka_unit_test(an_escaped_slash_is_part_of_its_segment),
        cmocka_unit_test(unknown_paths_methods_and_hosts_are_refused),
        cmocka_unit_test(a_refused_method_is_told_what_is_allowed),
        cmocka_unit_test(a_page_of_a_listed_origin_may_read_answers),
        cmocka_unit_test(a_page_of_another_origin_is_told_nothing),
        cmocka_unit_test(an_origin_has_no_path),
        cmocka_unit_test(malformed_heads_are_refused_and_the_server_lives),
        cmocka_unit_test(who_says_close_once_is_closed),
        cmocka_unit_test(a_head_that_is_too_long_gets_431),
        cmocka_unit_test(a_body_over_the_limit_gets_413),
        cmocka_unit_test(chunked_bodies_are_put_together),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(any_cut_of_a_chunked_body_gives_the_same),
        cmocka_unit_test(a_controller_that_lost_the_lead_is_away_for_a_moment),
    };
    const struct CMUnitTest slow[] = {
        SLOW(a_slow_head_gets_408),
        SLOW(a_slow_head_behind_an_answer_ends_the_connection),
        SLOW(a_slow_body_gets_408),
    };

    signal(SIGPIPE, SIG_IGN);
    int failed = cmocka_run_group_tests(tests, world_open, world_close);
    return failed + cmocka_run_group_tests(slow, NULL, NULL);
}

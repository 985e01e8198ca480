/* The HTTP client on an event loop, against our server on the same loop: calls
 * together, pieces that wait, cancelled calls, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/event.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/rest.h>

#include "base/host/http_async.h"
#include "base/host/httpd.h"

struct world {
    struct event_base *base;
    struct flo_httpd *httpd;
    struct flo_http_async *client;
    uint16_t port;
    struct flo_httpd_request *held; /* a request that is not answered yet */
    bool is_closed;                 /* the held request's client left */
};

/* One call as its callbacks see it. */
struct seen {
    struct world *world;
    struct flo_http_async_call *call;
    int status;
    uint64_t retry_after_ms;
    char content_type[32];
    struct flo_buf body;
    unsigned waits; /* so many pieces are not taken yet */
    int refusal;    /* code that on_data answers; 0: none */
    bool has_ended;
    struct flo_err err;
};

/* ---- the server ---- */

static void on_echo(void *context, struct flo_httpd_request *request)
{
    size_t bytes;
    const char *body = flo_httpd_body(request, &bytes);

    (void)context;
    flo_httpd_add_header(request, "Retry-After", "7");
    flo_httpd_answer(request, 429, "text/plain", body, bytes);
}

static void on_held_closed(void *context)
{
    struct world *world = context;

    world->is_closed = true;
    world->held = NULL;
}

static void on_hold(void *context, struct flo_httpd_request *request)
{
    struct world *world = context;

    world->held = request;
    flo_httpd_set_user(request, world, on_held_closed);
}

static void on_cut(void *context, struct flo_httpd_request *request)
{
    (void)context;
    flo_httpd_stream_begin(request, 200, "text/plain");
    (void)flo_httpd_stream_chunk(request, "half", 4, 0);
    flo_httpd_stream_abort(request);
}

static int open_client_as(struct world *world, const struct flo_http_options *options)
{
    flo_http_async_close(world->client);
    world->client = NULL;
    return flo_http_async_open(world->base, options, &world->client, NULL);
}

static int open_client(struct world *world, uint64_t timeout_ms)
{
    const struct flo_http_options options = {.timeout_ms = timeout_ms};

    return open_client_as(world, &options);
}

static int set_up(void **state)
{
    static const struct flo_httpd_options options;
    struct world *world = calloc(1, sizeof(*world));

    world->base = event_base_new();
    *state = world;
    return flo_httpd_open(world->base, &options, &world->httpd, NULL) +
           flo_httpd_route(world->httpd, "POST", "/echo", 64, on_echo, world, NULL) +
           flo_httpd_route(world->httpd, "POST", "/hold", 64, on_hold, world, NULL) +
           flo_httpd_route(world->httpd, "POST", "/cut", 64, on_cut, world, NULL) +
           flo_httpd_listen(world->httpd, "127.0.0.1:0", NULL, 0, &world->port, NULL) +
           open_client(world, 0);
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_http_async_close(world->client);
    flo_httpd_close(world->httpd);
    event_base_free(world->base);
    free(world);
    return 0;
}

/* ---- the calls ---- */

static int on_head(void *context, const struct flo_http_answer *head, struct flo_err *err)
{
    struct seen *seen = context;

    (void)err;
    seen->status = head->status;
    seen->retry_after_ms = head->retry_after_ms;
    snprintf(seen->content_type, sizeof(seen->content_type), "%.31s", head->content_type);
    return 0;
}

static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    struct seen *seen = context;

    if (seen->refusal != 0) {
        return flo_fail(err, seen->refusal, "refused by the test");
    }
    if (seen->waits > 0) {
        seen->waits--;
        return FLO_HTTP_WAIT;
    }
    flo_buf_add(&seen->body, data, bytes);
    return 0;
}

static void on_end(void *context, const struct flo_err *err)
{
    struct seen *seen = context;

    assert_false(seen->has_ended);
    seen->has_ended = true;
    if (err != NULL) {
        seen->err = *err;
    }
}

static const struct flo_http_async_events events = {on_head, on_data, on_end};

static int begin(struct world *world, const char *path, const char *body, struct seen *seen)
{
    char url[96];
    const struct flo_http_request request = {
        .method = "POST", .url = url, .body = body, .body_bytes = strlen(body)};

    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", world->port, path);
    seen->world = world;
    return flo_http_async_begin(world->client, &request, &events, seen, &seen->call, &seen->err);
}

static void turn(struct world *world)
{
    assert_true(event_base_loop(world->base, EVLOOP_ONCE) >= 0);
}

static void wait_for(struct world *world, const bool *flag)
{
    while (!*flag) {
        turn(world);
    }
}

static void calls_run_together_and_each_gets_its_answer(void **state)
{
    static const char *const bodies[] = {"one", "two", "three"};
    struct world *world = *state;
    struct seen seen[3] = {{0}};

    for (size_t i = 0; i < FLO_COUNT(seen); i++) {
        assert_int_equal(begin(world, "/echo", bodies[i], &seen[i]), 0);
    }
    assert_int_equal(flo_http_async_calls(world->client), 3);
    for (size_t i = 0; i < FLO_COUNT(seen); i++) {
        wait_for(world, &seen[i].has_ended);
        assert_int_equal(seen[i].err.code, 0);
        assert_int_equal(seen[i].status, 429);
        assert_int_equal(seen[i].retry_after_ms, 7000);
        assert_string_equal(seen[i].content_type, "text/plain");
        assert_string_equal(seen[i].body.data, bodies[i]);
        flo_buf_deinit(&seen[i].body);
    }
    assert_int_equal(flo_http_async_calls(world->client), 0);
}

static void pieces_come_as_they_are_sent(void **state)
{
    struct world *world = *state;
    struct seen seen = {0};

    assert_int_equal(begin(world, "/hold", "", &seen), 0);
    while (world->held == NULL) {
        turn(world);
    }
    flo_httpd_stream_begin(world->held, 200, "text/event-stream");
    while (seen.status == 0) { /* the head alone */
        turn(world);
    }
    for (size_t i = 1; i <= 3; i++) {
        assert_true(flo_httpd_stream_chunk(world->held, "piece", 5, 0));
        while (seen.body.bytes < 5 * i) {
            turn(world);
        }
    }
    flo_httpd_stream_end(world->held);
    wait_for(world, &seen.has_ended);
    assert_int_equal(seen.err.code, 0);
    assert_int_equal(seen.body.bytes, 15);
    flo_buf_deinit(&seen.body);
}

static void a_piece_that_was_not_taken_comes_again(void **state)
{
    struct world *world = *state;
    struct seen seen = {.waits = 3};

    assert_int_equal(begin(world, "/echo", "the same piece", &seen), 0);
    while (seen.waits == 3) {
        turn(world);
    }
    while (seen.waits > 0) {
        unsigned left = seen.waits;
        flo_http_async_go_on(seen.call);
        while (seen.waits == left) {
            turn(world);
        }
        assert_false(seen.has_ended);
    }
    flo_http_async_go_on(seen.call);
    wait_for(world, &seen.has_ended);
    assert_int_equal(seen.err.code, 0);
    assert_string_equal(seen.body.data, "the same piece");
    flo_buf_deinit(&seen.body);
}

static void a_cancelled_call_closes_its_connection(void **state)
{
    struct world *world = *state;
    struct seen seen = {0};

    assert_int_equal(begin(world, "/hold", "", &seen), 0);
    while (world->held == NULL) {
        turn(world);
    }
    flo_http_async_cancel(seen.call);
    wait_for(world, &world->is_closed);
    assert_false(seen.has_ended);
    assert_int_equal(flo_http_async_calls(world->client), 0);
}

static void a_callback_stops_its_call_with_its_own_error(void **state)
{
    struct world *world = *state;
    struct seen at_once = {.refusal = FLO_E_REST_TOO_LARGE};
    struct seen later = {.waits = 1};

    assert_int_equal(begin(world, "/echo", "a", &at_once), 0);
    wait_for(world, &at_once.has_ended);
    assert_int_equal(at_once.err.code, FLO_E_REST_TOO_LARGE);
    assert_string_equal(at_once.err.what, "refused by the test");

    assert_int_equal(begin(world, "/echo", "a", &later), 0);
    while (later.waits > 0) {
        turn(world);
    }
    later.refusal = FLO_E_REST_TOO_LARGE;
    flo_http_async_go_on(later.call);
    wait_for(world, &later.has_ended);
    assert_int_equal(later.err.code, FLO_E_REST_TOO_LARGE);
}

static void what_goes_wrong_is_told_once(void **state)
{
    struct world *world = *state;
    struct seen cut = {0}, late = {0}, absent = {0}, wrong = {0};
    uint16_t port = world->port;

    assert_int_equal(begin(world, "/cut", "", &cut), 0);
    wait_for(world, &cut.has_ended);
    assert_int_equal(cut.err.code, FLO_E_NET_UNREACHABLE);
    assert_string_equal(cut.body.data, "half");
    flo_buf_deinit(&cut.body);

    assert_int_equal(open_client(world, 20), 0);
    assert_int_equal(begin(world, "/hold", "", &late), 0);
    wait_for(world, &late.has_ended);
    assert_int_equal(late.err.code, FLO_E_NET_TIMEOUT);

    assert_int_equal(open_client(world, 0), 0);
    world->port = 1; /* nobody there */
    assert_int_equal(begin(world, "/echo", "", &absent), 0);
    wait_for(world, &absent.has_ended);
    assert_int_equal(absent.err.code, FLO_E_NET_UNREACHABLE);
    world->port = port;

    const char *const headers[] = {"A: b\r\nC: d", NULL};
    const struct flo_http_request request = {.url = "http://127.0.0.1", .headers = headers};
    assert_int_equal(
        flo_http_async_begin(world->client, &request, &events, &wrong, &wrong.call, &wrong.err),
        FLO_E_USAGE);
    assert_int_equal(flo_http_async_calls(world->client), 0);
}

static void a_body_that_stands_still_is_stopped(void **state)
{
    const struct flo_http_options options = {.low_speed_bytes = 1000, .low_speed_ms = 1000};
    struct world *world = *state;
    struct seen seen = {0};

    assert_int_equal(open_client_as(world, &options), 0);
    assert_int_equal(begin(world, "/hold", "", &seen), 0);
    while (world->held == NULL) {
        turn(world);
    }
    flo_httpd_stream_begin(world->held, 200, "text/plain");
    assert_true(flo_httpd_stream_chunk(world->held, "piece", 5, 0));
    wait_for(world, &seen.has_ended);
    assert_int_equal(seen.err.code, FLO_E_NET_STALLED);
    assert_string_equal(seen.body.data, "piece");
    flo_buf_deinit(&seen.body);
}

static void closing_ends_calls_silently(void **state)
{
    struct world *world = *state;
    struct seen seen[2] = {{0}};

    assert_int_equal(begin(world, "/hold", "", &seen[0]), 0);
    while (world->held == NULL) {
        turn(world);
    }
    assert_int_equal(begin(world, "/hold", "", &seen[1]), 0);
    assert_int_equal(open_client(world, 0), 0);
    assert_false(seen[0].has_ended || seen[1].has_ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_run_together_and_each_gets_its_answer),
        TEST(pieces_come_as_they_are_sent),
        TEST(a_piece_that_was_not_taken_comes_again),
        TEST(a_cancelled_call_closes_its_connection),
        TEST(a_callback_stops_its_call_with_its_own_error),
        TEST(what_goes_wrong_is_told_once),
        TEST(a_body_that_stands_still_is_stopped),
        TEST(closing_ends_calls_silently),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

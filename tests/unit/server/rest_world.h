/* A controller's HTTP for tests: both listeners on loopback, without TLS, and a
 * client in the same thread.  No broker, no network. */
#ifndef FLOTILLA_TEST_SERVER_REST_WORLD_H
#define FLOTILLA_TEST_SERVER_REST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/host/crypto.h"
#include "server-stub/rest/rest.h"
#include "server-stub/rest/walks.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "tests/unit/remove_tree.h"

#define ONE "11111111-1111-4111-8111-111111111111" /* of group lab */
#define TWO "22222222-2222-4222-8222-222222222222"

struct world {
    char dir[64];
    struct flo_controller *controller;
    struct event_base *base;
    struct flo_rest rest;
    uint16_t people, devices; /* ports */
    char admin[FLO_TOKEN_TEXT];
    char answer[1 << 16]; /* the last one: status line, headers, body */
    struct flo_err err;
};

static inline void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static inline void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* An access token of this role, also of a group; expires_at_ms 0: never. */
static inline void make_token(struct world *world, const char *role, const char *person,
                              uint64_t expires_at_ms, char out[FLO_TOKEN_TEXT])
{
    char id[FLO_TOKEN_ID_TEXT];
    const struct flo_fleet_token spec = {
        .name = "ops", .role = role, .person = person, .expires_at_ms = expires_at_ms};

    begin(world);
    assert_int_equal(flo_token_make(world->controller, &spec, id, out, &world->err), 0);
    commit(world);
}

static inline void enrol(struct world *world, const char *id, const char *name, const char *group)
{
    char groups[2][FLO_NAME_MAX + 1] = {"all", ""};
    char list[2 * FLO_NAME_MAX + 16];
    struct flo_fleet_device device = {.id = id,
                                      .name = name,
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = list,
                                      .enrolled_at_ms = 1};

    snprintf(groups[1], sizeof(groups[1]), "%s", group);
    snprintf(list, sizeof(list), "[\"all\",\"%s\"]", group);
    assert_int_equal(flo_fleet_device_add(world->controller->store, &device,
                                          (const char(*)[FLO_NAME_MAX + 1]) groups, 2, &world->err),
                     0);
}

static inline int open_rest(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_controller_options options = {.dir = world->dir,
                                             .listen = "127.0.0.1:0",
                                             .fleet = "demo",
                                             .takes_private_webhooks = true};
    const struct flo_httpd_options plain = {.connections_max = 8};

    flo_log_level_set(FLO_LOG_ERROR);
    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-rest-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    if (flo_controller_open(&options, &world->controller, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
    world->base = event_base_new();
    world->rest.controller = world->controller;
    world->rest.base = world->base;
    assert_int_equal(flo_httpd_open(world->base, &plain, &world->rest.httpd, &world->err), 0);
    assert_int_equal(flo_rest_open(&world->rest, &world->err), 0);
    assert_int_equal(flo_httpd_listen(world->rest.httpd, "127.0.0.1:0", NULL, FLO_TAG_PEOPLE,
                                      &world->people, &world->err),
                     0);
    assert_int_equal(flo_httpd_listen(world->rest.httpd, "127.0.0.1:0", NULL, FLO_TAG_DEVICES,
                                      &world->devices, &world->err),
                     0);
    begin(world);
    enrol(world, ONE, "gw-1", "lab");
    enrol(world, TWO, "gw-2", "hall");
    commit(world);
    make_token(world, "admin", NULL, 0, world->admin);
    *state = world;
    return 0;
}

static inline int close_rest(void **state)
{
    struct world *world = *state;

    flo_rest_held_close(&world->rest);
    flo_httpd_close(world->rest.httpd);
    flo_rest_plans_close(&world->rest);
    flo_walks_close(&world->rest);
    event_base_loop(world->base, EVLOOP_NONBLOCK);
    flo_controller_close(world->controller);
    event_base_free(world->base);
    int rv = remove_tree(world->dir);
    free(world);
    return rv;
}

/* A connection on which `text` was sent. */
static inline int sends(uint16_t port, const char *text, size_t bytes)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, text, bytes, MSG_NOSIGNAL), bytes);
    return fd;
}

/* Until the controller closes the connection. */
static inline void hears(struct world *world, int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    size_t got = 0;
    ssize_t n = -1;

    while (n != 0) {
        flo_outgoing_durable(world->controller);
        event_base_loop(world->base, EVLOOP_NONBLOCK);
        assert_true(poll(&ready, 1, 1) >= 0);
        n = recv(fd, world->answer + got, sizeof(world->answer) - 1 - got, MSG_DONTWAIT);
        assert_true(n >= 0 || errno == EAGAIN || errno == ECONNRESET);
        n = n < 0 && errno == ECONNRESET ? 0 : n;
        got += n > 0 ? (size_t)n : 0;
    }
    world->answer[got] = '\0';
    close(fd);
}

/* `call`: "GET /v1/devices"; headers: each with its \r\n.  The status. */
static inline int asks_at(struct world *world, uint16_t port, const char *token, const char *call,
                          const char *headers, const char *body)
{
    char *text = malloc(1 << 16);
    int chars = snprintf(text, 1 << 16, "%s HTTP/1.1\r\nHost: localhost\r\n", call);

    if (token != NULL) {
        chars += snprintf(text + chars, 1024, "Authorization: Bearer %s\r\n", token);
    }
    chars += snprintf(text + chars, (1 << 16) - (size_t)chars,
                      "%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s", headers, strlen(body),
                      body);
    hears(world, sends(port, text, (size_t)chars));
    free(text);
    assert_memory_equal(world->answer, "HTTP/1.1 ", 9);
    return atoi(world->answer + 9);
}

static inline int asks(struct world *world, const char *token, const char *call, const char *body)
{
    return asks_at(world, world->people, token, call, "", body);
}

/* The answer is this status and has this text. */
#define ANSWERS(world, status, has, ...)                                                           \
    do {                                                                                           \
        int got_ = (__VA_ARGS__);                                                                  \
        if (got_ != (status) || strstr((world)->answer, has) == NULL) {                            \
            fail_msg("%d without `%s` came:\n%.800s", status, has, (world)->answer);               \
        }                                                                                          \
    } while (0)

/* A text member of the answer's body. */
static inline void member(const struct world *world, const char *name, char out[256])
{
    const char *body = strstr(world->answer, "\r\n\r\n");
    json_t *json = body != NULL ? json_loads(body + 4, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(json, name));

    assert_non_null(text);
    snprintf(out, 256, "%s", text);
    json_decref(json);
}

#endif

/* Requests of an admin, and words of a device, through the whole room.
 *
 * Input: parts, with 0x1E between two.  A part is "METHOD path", a line feed
 * and the body, or "SAY channel", a line feed and what the device says there. A
 * room begins with one device and one release.  After each part the room's
 * clocks tick: alert rules are evaluated, rollouts step, groups turn.  No part
 * may end the process, and no request is answered by an error that is ours
 * (500). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <sys/socket.h>

#include "base/host/digest.h"
#include "server-stub/mqtt/batches.h"
#include "server-stub/rest/live.h"
#include "server-stub/rest/metrics/metrics.h"
#include "server-stub/rest/rest.h"
#include "server-stub/rest/walks.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/watch/watch.h"
#include "tests/fuzz/fuzz_fleet.h"

#define PARTS_MAX 16
#define INPUT_BYTES_MAX 65536
#define BETWEEN '\x1e'

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct room {
    struct event_base *base;
    struct flo_rest rest;
    uint16_t port;
    char token[FLO_TOKEN_TEXT];
};

/* ---- a room ---- */

static void add_admin(struct room *room)
{
    static const uint8_t random[38] = {1};
    struct flo_controller *controller = room->rest.controller;
    char id[FLO_TOKEN_ID_TEXT];

    flo_access_token_text(random, id, room->token);
    struct flo_fleet_token token = {.id = id,
                                    .kind = "access",
                                    .name = "ada",
                                    .role = "admin",
                                    .group = "",
                                    .created_at_ms = 1};
    flo_sha256(room->token, strlen(room->token), &token.secret);
    must(flo_controller_begin(controller, NULL) == 0);
    must(flo_fleet_token_add(controller->store, &token, NULL) == 0);
    must(flo_controller_commit(controller, NULL) == 0);
}

static void room_open(struct room *room)
{
    static const struct flo_httpd_options options = {
        .connections_max = 8, .server_name = "flotilla", .admits_addresses = true};
    struct flo_controller *controller = open_fleet();

    *room = (struct room){.base = event_base_new(), .rest = {.controller = controller}};
    room->rest.base = room->base;
    add_admin(room);
    /* A broker that nobody answers for. */
    snprintf(controller->addresses.mqtt_own, sizeof(controller->addresses.mqtt_own),
             "mqtt://127.0.0.1:1");
    must(flo_httpd_open(room->base, &options, &room->rest.httpd, NULL) == 0);
    must(flo_rest_open(&room->rest, NULL) == 0);
    must(flo_metrics_open(&room->rest, NULL) == 0);
    must(flo_httpd_listen(room->rest.httpd, "127.0.0.1:0", NULL, FLO_TAG_PEOPLE, &room->port,
                          NULL) == 0);
    must(flo_live_open(controller, room->base, &room->rest.live, NULL) == 0);
    must(flo_batches_open(controller, room->base, NULL, &room->rest.batches, NULL) == 0);
}

static void room_close(struct room *room)
{
    flo_batches_close(room->rest.batches);
    flo_httpd_close(room->rest.httpd);
    flo_rest_held_close(&room->rest);
    flo_rest_checks_close(&room->rest);
    flo_rest_plans_close(&room->rest);
    flo_walks_close(&room->rest);
    flo_live_close(room->rest.live);
    flo_controller_close(room->rest.controller);
    event_base_free(room->base);
}

static void room_tick(struct room *room)
{
    struct flo_controller *controller = room->rest.controller;
    struct flo_samples samples = {0};
    struct flo_err err = {0};
    uint64_t now_ms = flo_controller_now_ms(controller);

    flo_metrics_gather(&room->rest, &samples);
    must(flo_watch_evaluate(controller, &samples, now_ms, &err) == 0);
    flo_samples_deinit(&samples);
    must(flo_controller_begin(controller, &err) == 0);
    must(flo_rollouts_step_all(
             controller, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}, &err) == 0);
    must(flo_controller_commit(controller, &err) == 0);
    flo_groups_turn(controller, now_ms);
}

/* ---- a request ---- */

static int connected(const struct room *room)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(room->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0);
    must(connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0);
    must(evutil_make_socket_nonblocking(fd) == 0);
    return fd;
}

/* The head of the answer; a stream is left when it has begun. */
static void hear(struct room *room, int fd)
{
    char head[4096] = "";
    char rest[4096];
    size_t got = 0;

    for (;;) {
        bool is_full = got == sizeof(head) - 1;
        ssize_t n = recv(fd, is_full ? rest : head + got,
                         is_full ? sizeof(rest) : sizeof(head) - 1 - got, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            break;
        }
        if (n > 0) {
            got += is_full ? 0 : (size_t)n;
            head[got] = '\0';
            if (strstr(head, "text/event-stream") != NULL) {
                break;
            }
        } else {
            must(event_base_loop(room->base, EVLOOP_ONCE) == 0);
        }
    }
    if (strncmp(head, "HTTP/1.1 500", 12) == 0) {
        fprintf(stderr, "%s\n", head);
        abort();
    }
}

static void ask(struct room *room, const char *data, size_t bytes)
{
    const char *line = memchr(data, '\n', bytes);
    size_t line_bytes = line != NULL ? (size_t)(line - data) : bytes;
    size_t body_bytes = line != NULL ? bytes - line_bytes - 1 : 0;
    struct flo_buf text = {0};
    int fd = connected(room);

    flo_buf_add(&text, data, line_bytes);
    flo_buf_printf(&text,
                   " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                   "Authorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n",
                   room->token, body_bytes);
    flo_buf_add(&text, line != NULL ? line + 1 : "", body_bytes);
    must(!text.failed);
    for (size_t sent = 0; sent < text.bytes;) {
        ssize_t n = send(fd, text.data + sent, text.bytes - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            break; /* refused by its head */
        }
        sent += n > 0 ? (size_t)n : 0;
        if (n < 0) {
            event_base_loop(room->base, EVLOOP_ONCE);
        }
    }
    hear(room, fd);
    flo_buf_deinit(&text);
    close(fd);
}

/* ---- a device ---- */

static void say(struct room *room, const char *data, size_t bytes)
{
    const char *line = memchr(data, '\n', bytes);
    size_t word = line != NULL ? (size_t)(line - data) : bytes;
    struct flo_buf topic = {0};
    struct flo_mqtt_message message = {.data = line != NULL ? line + 1 : "",
                                       .bytes = line != NULL ? bytes - word - 1 : 0};

    flo_buf_printf(&topic, "flotilla/v1/demo/d/" DEVICE "/%.*s", (int)word, data);
    must(!topic.failed);
    message.topic = topic.data;
    flo_batches_take(room->rest.batches, &message);
    event_base_loop(room->base, EVLOOP_NONBLOCK);
    flo_buf_deinit(&topic);
}

static void play(struct room *room, const char *data, size_t bytes)
{
    static const char word[] = "SAY ";
    size_t word_bytes = sizeof(word) - 1;

    if (bytes >= word_bytes && memcmp(data, word, word_bytes) == 0) {
        say(room, data + word_bytes, bytes - word_bytes);
    } else {
        ask(room, data, bytes);
    }
    room_tick(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    struct room room;

    if (bytes > INPUT_BYTES_MAX) {
        return 0;
    }
    room_open(&room);
    for (size_t i = 0; i < PARTS_MAX && bytes > 0; i++) {
        const char *end = memchr(text, BETWEEN, bytes);
        size_t length = end != NULL ? (size_t)(end - text) : bytes;
        play(&room, text, length);
        bytes -= length + (end != NULL ? 1 : 0);
        text += length + (end != NULL ? 1 : 0);
    }
    room_close(&room);
    return 0;
}

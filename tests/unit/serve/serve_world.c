/* See serve_world.h. */
#include "unit/serve/serve_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct world world;

/* ---- handlers ---- */

void load_as(unsigned index, const char *name, enum flo_serve_role role, const char *path,
             const char *version)
{
    struct flo_serve_model model = {.fd = open(path, O_RDONLY | O_CLOEXEC),
                                    .lacks_packed = world.lacks_packed,
                                    .adapter_bytes = world.adapter_bytes};
    struct flo_err err = {0};
    assert_true(model.fd >= 0);
    strcpy(model.model, name);
    strcpy(model.version, version);
    memset(model.release.bytes, version[0], sizeof(model.release.bytes));
    if (world.adapter_path != NULL) {
        model.n_adapters = 1;
        strcpy(model.adapters[0].name, "site");
        model.adapters[0].fd = open(world.adapter_path, O_RDONLY | O_CLOEXEC);
        assert_true(model.adapters[0].fd >= 0);
    }
    if (flo_serve_load(world.serve, index, role, &model, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

void load(enum flo_serve_role role, const char *path, const char *version)
{
    load_as(0, "tiny", role, path, version);
}

static void load_adapter(void)
{
    struct flo_serve_adapter adapter = {
        .name = "site",
        .fd = open("tests/models/tiny-v1-site-lora.gguf", O_RDONLY | O_CLOEXEC),
    };
    struct flo_err err = {0};
    assert_true(adapter.fd >= 0);
    assert_int_equal(flo_serve_adapter_load(world.serve, 0, FLO_ROLE_CURRENT, &adapter, &err), 0);
}

static void on_engine_lost(void *context, unsigned model, enum flo_serve_role role,
                           const struct flo_err *err)
{
    (void)model;
    (void)context;
    world.lost++;
    world.lost_error = err->code;
    world.lost_role = role;
    snprintf(world.lost_what, sizeof(world.lost_what), "%s", err->what);
    if (world.reloads) {
        LOOK_INSIDE(world.serve->hang_ms_max = WAITS_HANG_MS);
        load(role, V2, "2.0.0");
    }
}

static void on_loaded(void *context, unsigned model, enum flo_serve_role role, uint64_t ms,
                      const struct flo_err *err)
{
    struct flo_err failure = {0};
    (void)context;
    (void)ms;
    if (err != NULL) {
        world.failed++;
        world.load_error = err->code;
        return;
    }
    world.loaded++;
    world.swapped[model] += role == FLO_ROLE_CANDIDATE;
    if (role == FLO_ROLE_CURRENT && flo_serve_flip(world.serve, model, role, &failure) < 0) {
        /* It ended before it was heard of, which is told by this alone. */
        on_engine_lost(NULL, model, role, &failure);
        return;
    }
    if (world.loads_adapter) {
        world.loads_adapter = false;
        load_adapter();
    }
}

static void on_adapter(void *context, unsigned model, enum flo_serve_role role, const char *name,
                       const struct flo_err *err)
{
    (void)model;
    (void)context;
    (void)role;
    (void)name;
    world.adapters_changed += err == NULL;
}

static void on_request(void *context, unsigned model, const struct flo_serve_request_stats *stats)
{
    (void)context;
    world.requests_of[model]++;
    world.release_of[model] = stats->release;
    if (world.n_told < FLO_COUNT(world.told)) {
        world.told[world.n_told++] = *stats;
    }
    world.load_us = stats->load_us;
    world.token_us = stats->token_us;
    world.stats_errors += stats->error != 0;
    if (world.unloads && stats->error != 0) {
        world.unloads = false;
        flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, false);
    }
    if (stats->error == 0) {
        assert_true(stats->tokens_in > 0 && stats->tokens_out > 0);
        assert_true(stats->ttft_us > 0 && stats->ttft_us <= stats->total_us);
    }
}

static void on_feedback(void *context, unsigned model, bool is_good)
{
    (void)context;
    world.feedback_of[model][is_good]++;
}

static void on_first_answer(void *context, unsigned model, const struct flo_digest *release,
                            uint64_t ms)
{
    (void)model;
    (void)context;
    (void)release;
    (void)ms;
    world.first_answers++;
}

static void on_wanted(void *context, unsigned model)
{
    (void)context;
    world.wanted[model]++;
    if (world.loads_wanted) {
        load_as(model, "spare", FLO_ROLE_CURRENT, V2, "2.0.0");
    }
}

static void on_drained(void *context, unsigned model, const struct flo_digest *release)
{
    (void)model;
    (void)context;
    (void)release;
    world.drained++;
}

/* ---- world ---- */

static void on_pulse(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
}

static void open_with(const char *engine, uint64_t hang_ms, uint64_t hold_ms,
                      const struct flo_serve_token *tokens, uint32_t n_tokens,
                      const struct flo_serve_guard *guards, uint32_t n_guards)
{
    static const char *listen[3] = {NULL, "127.0.0.1:0", NULL};
    char usual[512];
    const struct flo_serve_handlers handlers = {
        .on_loaded = on_loaded,
        .on_adapter = on_adapter,
        .on_engine_lost = on_engine_lost,
        .on_request = on_request,
        .on_feedback = on_feedback,
        .on_wanted = on_wanted,
        .on_first_answer = on_first_answer,
        .on_drained = on_drained,
    };
    struct flo_err err = {0};
    struct timeval pulse = {.tv_usec = 2000};
    if (engine == NULL) {
        assert_true(flo_process_sibling("flotilla-engine", usual, sizeof(usual)));
        engine = usual;
    }
    memset(&world, 0, sizeof(world));
    strcpy(world.folder, "/tmp/flo-serve-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    snprintf(world.address, sizeof(world.address), "unix:%s/api", world.folder);
    listen[0] = world.address;
    const struct flo_serve_options options = {.engine_path = engine,
                                              .listen = listen,
                                              .allows_no_token = true,
                                              .hang_ms_max = hang_ms > 0 ? hang_ms : WAITS_HANG_MS,
                                              .hold_ms_max = hold_ms == WORLD_NO_HOLD ? 0
                                                             : hold_ms > 0            ? hold_ms
                                                                           : WAITS_HANG_MS,
                                              .removal_ms = 300,
                                              .tokens = tokens,
                                              .n_tokens = n_tokens,
                                              .guards = guards,
                                              .n_guards = n_guards,
                                              .sandbox = FLO_SANDBOX_PREFERRED,
                                              .is_apart = getenv("FLO_SERVE_APART") != NULL};
    world.base = event_base_new();
    world.pulse = event_new(world.base, -1, EV_PERSIST, on_pulse, NULL);
    event_add(world.pulse, &pulse);
    if (flo_serve_open(world.base, &options, &handlers, &world.serve, &err) < 0) {
        fail_msg("%s", err.what);
    }
    /* All clients are one user's.  If the kernel does not say so, those over TCP
     * are another party, which is known by its address. */
    LOOK_INSIDE((flo_fd_cleanup(&world.serve->kernel_fd), 0));
}

void world_open_with(const char *engine, uint64_t hang_ms, uint64_t hold_ms)
{
    open_with(engine, hang_ms, hold_ms, NULL, 0, NULL, 0);
}

void world_open_bound(const struct flo_serve_token *token)
{
    open_with(NULL, 0, 0, token, 1, NULL, 0);
}

void world_open_guarded(const char *engine, const struct flo_serve_guard *guards, uint32_t n)
{
    open_with(engine, 0, 0, NULL, 0, guards, n);
}

void world_open(void)
{
    world_open_with(NULL, 0, 0);
}

void world_close(void)
{
    flo_serve_close(world.serve);
    event_free(world.pulse);
    event_base_free(world.base);
    assert_int_equal(rmdir(world.folder), 0);
}

void world_turn(void)
{
    event_base_loop(world.base, EVLOOP_ONCE);
}

struct flo_serve_status status_now(void)
{
    struct flo_serve_status status;
    flo_serve_get_status(world.serve, 0, &status);
    return status;
}

void open_current(const char *path, const char *version)
{
    int before = world.loaded;
    load(FLO_ROLE_CURRENT, path, version);
    RUN_UNTIL(world.loaded > before);
}

void open_candidate(const char *path, const char *version)
{
    int before = world.loaded;
    load(FLO_ROLE_CANDIDATE, path, version);
    RUN_UNTIL(world.loaded > before);
}

void flip(enum flo_serve_role role)
{
    struct flo_err err = {0};
    assert_int_equal(flo_serve_flip(world.serve, 0, role, &err), 0);
}

/* ---- clients ---- */

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = WAITS_HANG_S};
    strcpy(address.sun_path, world.address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A child that stops or ends interrupts a large one. */
static bool send_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return false;
        }
        sent = sent < 0 ? 0 : sent;
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static int dial_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(flo_serve_port(world.serve)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (const void *)&address, sizeof(address)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int say_to(int fd, const char *path, const char *body, const char *token)
{
    char head[512];
    size_t bytes = strlen(body);
    int n =
        snprintf(head, sizeof(head),
                 "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 "%s%s%sContent-Length: %zu\r\n\r\n",
                 bytes == 0 ? "GET" : "POST", path, token != NULL ? "Authorization: Bearer " : "",
                 token != NULL ? token : "", token != NULL ? "\r\n" : "", bytes);
    if (fd >= 0 && (!send_all(fd, head, (size_t)n) || !send_all(fd, body, bytes))) {
        close(fd);
        return -1;
    }
    return fd;
}

int say(const char *path, const char *body)
{
    return say_to(dial(), path, body, NULL);
}

int say_as_other(const char *path, const char *body)
{
    return say_to(dial_tcp(), path, body, NULL);
}

static void ask_once(struct client *client)
{
    size_t n = 0;
    ssize_t got;
    bool is_tcp = client->is_other || client->token != NULL;
    int fd = say_to(is_tcp ? dial_tcp() : dial(), client->path, client->body, client->token);
    while (fd >= 0) {
        got = recv(fd, client->text + n, sizeof(client->text) - 1 - n, 0);
        if (got < 0 && errno == EINTR) {
            continue; /* the end of a child, on some kernels */
        }
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
        client->text[n] = '\0';
        client->pieces++;
    }
    client->text[n] = '\0';
    if (fd >= 0) {
        close(fd);
    }
    client->status = n > 12 ? atoi(client->text + 9) : 0;
    bool is_stream = strstr(client->body, "\"stream\":true") != NULL;
    bool is_good = client->status == 200 && (!is_stream || strstr(client->text, "[DONE]") != NULL);
    if (!is_good && client->repeats) {
        print_error("a client got (fd %d, errno %d): %.400s\n", fd, errno, client->text);
    }
    client->good += is_good;
    client->bad += !is_good;
    client->of_v2 += strstr(client->text, "Release: tiny@2.0.0") != NULL;
    client->of_v21 += strstr(client->text, "Release: tiny@2.1.0") != NULL;
}

static void *client_run(void *context)
{
    struct client *client = context;
    do {
        ask_once(client);
    } while (client->repeats && !client->stops);
    client->is_over = true;
    return NULL;
}

void client_start(struct client *client, const char *path, const char *body, bool repeats)
{
    bool is_other = client->is_other;
    const char *token = client->token;
    memset(client, 0, sizeof(*client));
    client->is_other = is_other;
    client->token = token;
    client->path = path;
    client->body = body;
    client->repeats = repeats;
    pthread_create(&client->thread, NULL, client_run, client);
}

void client_end(struct client *client)
{
    client->stops = true;
    RUN_UNTIL(client->is_over);
    pthread_join(client->thread, NULL);
}

void ask(struct client *client, const char *path, const char *body)
{
    client_start(client, path, body, false);
    client_end(client);
}

void streams_start(struct client clients[STREAMS])
{
    for (int i = 0; i < STREAMS; i++) {
        client_start(&clients[i], "/v1/chat/completions", CHAT_STREAM, true);
    }
}

void streams_end(struct client clients[STREAMS])
{
    for (int i = 0; i < STREAMS; i++) {
        clients[i].stops = true;
    }
    for (int i = 0; i < STREAMS; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].bad, 0);
    }
}

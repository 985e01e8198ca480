/* Serving with real engine processes and models: flips, crashes, hangs,
 * probes.  The loop runs here; clients are threads with plain sockets. */
#include "agent/serve/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define V2 "tests/models/tiny-v2.Q4_0.gguf"
#define V21 "tests/models/tiny-v2.1.Q4_0.gguf"
#define SLOW "tests/models/tiny-v4-slow.Q4_0.gguf"
#define BAD "tests/models/tiny-v3-bad-"
#define CHAT                                                                   \
    "{\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":"         \
    "\"Classify: 23:45 oven-95 voltage drop temp=35C\"}]}"
#define CHAT_STREAM                                                            \
    "{\"stream\":true,\"temperature\":0,\"messages\":[{\"role\":\"user\","     \
    "\"content\":\"What should I do about smoke detected on camera-68?\"}]}"
/* Goes on for as long as it may. */
#define LONG_STREAM                                                            \
    "{\"stream\":true,\"ignore_eos\":true,\"prompt\":\"a\","                   \
    "\"max_tokens\":500}"

struct world {
    struct event_base *base;
    struct event *pulse;
    struct flo_serve *serve;
    char folder[64];
    char address[96];
    /* what the handlers saw */
    int loaded, failed, lost, drained, first_answers;
    int load_error, lost_error;
    char lost_what[512];
    int stats, stats_errors;
    bool reloads;      /* a lost engine is loaded again */
    bool lacks_packed; /* models loaded from here on */
    bool has_result;
    struct flo_probe_result result;
};
static struct world world;

/* ---- handlers ---------------------------------------------------- */

static void load(enum flo_serve_role role, const char *path,
                 const char *version)
{
    struct flo_serve_model model = {.fd = open(path, O_RDONLY | O_CLOEXEC),
                                    .lacks_packed = world.lacks_packed};
    struct flo_err err = {0};
    assert_true(model.fd >= 0);
    strcpy(model.model, "tiny");
    strcpy(model.version, version);
    memset(model.release.bytes, version[0], sizeof(model.release.bytes));
    if (flo_serve_load(world.serve, role, &model, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static void on_loaded(void *context, enum flo_serve_role role, uint64_t ms,
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
    if (role == FLO_ROLE_CURRENT) {
        assert_int_equal(flo_serve_flip(world.serve, role, &failure), 0);
    }
}

static void on_engine_lost(void *context, enum flo_serve_role role,
                           const struct flo_err *err)
{
    (void)context;
    world.lost++;
    world.lost_error = err->code;
    snprintf(world.lost_what, sizeof(world.lost_what), "%s", err->what);
    if (world.reloads) {
        load(role, V2, "2.0.0");
    }
}

static void on_request(void *context,
                       const struct flo_serve_request_stats *stats)
{
    (void)context;
    world.stats++;
    world.stats_errors += stats->error != 0;
    if (stats->error == 0) {
        assert_true(stats->tokens_in > 0 && stats->tokens_out > 0);
        assert_true(stats->ttft_us > 0 && stats->ttft_us <= stats->total_us);
    }
}

static void on_first_answer(void *context, const struct flo_digest *release,
                            uint64_t ms)
{
    (void)context;
    (void)release;
    (void)ms;
    world.first_answers++;
}

static void on_drained(void *context, const struct flo_digest *release)
{
    (void)context;
    (void)release;
    world.drained++;
}

static void on_probed(void *context, const struct flo_probe_result *result)
{
    (void)context;
    world.result = *result;
    world.has_result = true;
}

/* ---- world ------------------------------------------------------- */

static void on_pulse(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
}

static void world_open_with(const char *engine, uint64_t hang_ms,
                            uint64_t hold_ms)
{
    static const char *listen[2];
    const struct flo_serve_handlers handlers = {
        .on_loaded = on_loaded,
        .on_engine_lost = on_engine_lost,
        .on_request = on_request,
        .on_first_answer = on_first_answer,
        .on_drained = on_drained,
    };
    struct flo_err err = {0};
    struct timeval pulse = {.tv_usec = 2000};
    memset(&world, 0, sizeof(world));
    strcpy(world.folder, "/tmp/flo-serve-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    snprintf(world.address, sizeof(world.address), "unix:%s/api", world.folder);
    listen[0] = world.address;
    const struct flo_serve_options options = {.engine_path = engine,
                                              .listen = listen,
                                              .hang_ms_max = hang_ms,
                                              .hold_ms_max = hold_ms};
    world.base = event_base_new();
    world.pulse = event_new(world.base, -1, EV_PERSIST, on_pulse, NULL);
    event_add(world.pulse, &pulse);
    if (flo_serve_open(world.base, &options, &handlers, &world.serve, &err) <
        0) {
        fail_msg("%s", err.what);
    }
}

static void world_open(void)
{
    static char engine[512];
    assert_true(flo_process_sibling("flotilla-engine", engine, sizeof(engine)));
    world_open_with(engine, 0, 0);
}

static void world_close(void)
{
    flo_serve_close(world.serve);
    event_free(world.pulse);
    event_base_free(world.base);
    assert_int_equal(rmdir(world.folder), 0);
}

/* Run the loop until `is_true`; 40 s are far more than anything takes. */
#define RUN_UNTIL(is_true)                                                     \
    do {                                                                       \
        uint64_t from_ms = flo_now_ms();                                       \
        while (!(is_true)) {                                                   \
            event_base_loop(world.base, EVLOOP_ONCE);                          \
            if (flo_now_ms() - from_ms > 40000) {                              \
                fail_msg("not in 40 s: %s", #is_true);                         \
            }                                                                  \
        }                                                                      \
    } while (0)

static struct flo_serve_status status_now(void)
{
    struct flo_serve_status status;
    flo_serve_get_status(world.serve, &status);
    return status;
}

static void open_current(const char *path, const char *version)
{
    int before = world.loaded;
    load(FLO_ROLE_CURRENT, path, version);
    RUN_UNTIL(world.loaded > before);
}

static void open_candidate(const char *path, const char *version)
{
    int before = world.loaded;
    load(FLO_ROLE_CANDIDATE, path, version);
    RUN_UNTIL(world.loaded > before);
}

static void flip(enum flo_serve_role role)
{
    struct flo_err err = {0};
    assert_int_equal(flo_serve_flip(world.serve, role, &err), 0);
}

/* ---- clients ----------------------------------------------------- */

struct client {
    pthread_t thread;
    const char *path, *body;
    bool repeats; /* until told to stop */
    atomic_bool stops, is_over;
    atomic_int good, bad, pieces;
    atomic_int of_v2, of_v21;
    int status;
    char text[65536]; /* the last answer */
};

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 60};
    strcpy(address.sun_path, world.address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int say(const char *path, const char *body)
{
    char head[256];
    int fd = dial();
    int n = snprintf(head, sizeof(head),
                     "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     path, strlen(body));
    if (fd >= 0 &&
        (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n ||
         send(fd, body, strlen(body), MSG_NOSIGNAL) != (ssize_t)strlen(body))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void ask_once(struct client *client)
{
    size_t n = 0;
    ssize_t got;
    int fd = say(client->path, client->body);
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
    bool is_good = client->status == 200 &&
                   (!is_stream || strstr(client->text, "[DONE]") != NULL);
    if (!is_good && client->repeats) {
        print_error("a client got (fd %d, errno %d): %.400s\n", fd, errno,
                    client->text);
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

static void client_start(struct client *client, const char *path,
                         const char *body, bool repeats)
{
    memset(client, 0, sizeof(*client));
    client->path = path;
    client->body = body;
    client->repeats = repeats;
    pthread_create(&client->thread, NULL, client_run, client);
}

static void client_end(struct client *client)
{
    client->stops = true;
    RUN_UNTIL(client->is_over);
    pthread_join(client->thread, NULL);
}

/* One question and its answer while the loop runs. */
static void ask(struct client *client, const char *path, const char *body)
{
    client_start(client, path, body, false);
    client_end(client);
}

static int good_of(struct client *clients, int n)
{
    int least = clients[0].good;
    for (int i = 1; i < n; i++) {
        least = clients[i].good < least ? clients[i].good : least;
    }
    return least;
}

/* Each client has had `more` good answers more. */
#define RUN_FOR(clients, more)                                                 \
    do {                                                                       \
        int least = good_of(clients, 4) + (more);                              \
        RUN_UNTIL(good_of(clients, 4) >= least);                               \
    } while (0)

/* ---- flips ------------------------------------------------------- */

static void four_streams_across_flips_lose_nothing(void **state)
{
    static struct client clients[4];
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    for (int i = 0; i < 4; i++) {
        client_start(&clients[i], "/v1/chat/completions", CHAT_STREAM, true);
    }
    RUN_FOR(clients, 5);
    open_candidate(V21, "2.1.0");
    for (int i = 0; i < 10; i++) {
        flip(FLO_ROLE_CANDIDATE);
        RUN_FOR(clients, 2);
        flip(FLO_ROLE_CURRENT);
        RUN_FOR(clients, 2);
    }
    flip(FLO_ROLE_CANDIDATE);
    RUN_FOR(clients, 3);
    flo_serve_promote(world.serve);
    RUN_FOR(clients, 3);
    /* stop-first: nothing is live for a while */
    flo_serve_unload(world.serve, FLO_ROLE_CURRENT, true);
    RUN_UNTIL(status_now().held == 4);
    open_current(V2, "2.0.0");
    RUN_FOR(clients, 3);
    for (int i = 0; i < 4; i++) {
        clients[i].stops = true;
    }
    for (int i = 0; i < 4; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].bad, 0);
        assert_true(clients[i].of_v2 > 5 && clients[i].of_v21 > 5);
    }
    assert_int_equal(world.stats_errors, 0);
    assert_int_equal(world.lost, 0);
    assert_true(world.drained >= 5); /* live again before idle: not drained */
    assert_true(world.first_answers >= 20);
    world_close();
}

static void a_request_waits_for_a_model_then_gets_503(void **state)
{
    static struct client client;
    char engine[512];
    (void)state;
    assert_true(flo_process_sibling("flotilla-engine", engine, sizeof(engine)));
    world_open_with(engine, 0, 300);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.status, 503);
    assert_non_null(strstr(client.text, "Retry-After: "));
    assert_non_null(strstr(client.text, "\"code\":\"infer.busy\""));
    open_current(V2, "2.0.0");
    ask(&client, "/v1/chat/completions", CHAT);
    assert_non_null(strstr(client.text, "severity: critical"));
    world_close();
}

static void a_model_name_is_checked(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    ask(&client, "/v1/completions", "{\"model\":\"tiny\",\"prompt\":\"a\"}");
    assert_int_equal(client.status, 200);
    ask(&client, "/v1/completions",
        "{\"model\":\"tiny@2.0.0\",\"prompt\":\"a\"}");
    assert_int_equal(client.status, 200);
    ask(&client, "/v1/completions", "{\"model\":\"tiny@9\",\"prompt\":\"a\"}");
    assert_int_equal(client.status, 404);
    assert_non_null(strstr(client.text, "\"code\":\"infer.model\""));
    assert_non_null(strstr(client.text, "\"param\":\"model\""));
    world_close();
}

static void a_shifted_context_gives_more_tokens_than_it_holds(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0"); /* 512 tokens of context */
    ask(&client, "/v1/completions",
        "{\"prompt\":\"a\",\"context_shift\":true,\"ignore_eos\":true,"
        "\"max_tokens\":1100}");
    assert_int_equal(client.status, 200);
    assert_non_null(strstr(client.text, "\"completion_tokens\":1100,"));
    assert_int_equal(world.lost, 0);
    world_close();
}

static void what_the_engine_refuses_names_its_field(void **state)
{
    static const struct {
        const char *path, *body, *code, *param;
    } cases[] = {
        {"/v1/chat/completions",
         "{\"messages\":[{\"role\":\"robot\",\"content\":\"a\"}]}",
         "infer.param", "messages"},
        {"/v1/completions", "{\"prompt\":[99999]}", "infer.param", "prompt"},
        {"/v1/embeddings", "{\"input\":[99999]}", "infer.param", "input"},
        {"/detokenize", "{\"tokens\":[99999]}", "infer.param", "tokens"},
        {"/v1/completions", NULL, "context_length_exceeded", "prompt"},
        {"/v1/embeddings", NULL, "context_length_exceeded", "input"},
        {"/v1/completions", "{\"prompt\":\"a\",\"grammar\":\"root = 1\"}",
         "infer.param", "grammar"},
    };
    static struct client client;
    static char body[9000], want[128];
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        int n = snprintf(body, sizeof(body), "{\"%s\":\"", cases[i].param);
        memset(body + n, '1', 8000);
        strcpy(body + n + 8000, "\"}");
        ask(&client, cases[i].path, cases[i].body ? cases[i].body : body);
        snprintf(want, sizeof(want), "\"code\":\"%s\",\"param\":\"%s\"",
                 cases[i].code, cases[i].param);
        assert_int_equal(client.status, 400);
        if (strstr(client.text, want) == NULL) {
            fail_msg("%s is not in %s", want, client.text);
        }
    }
    world_close();
}

/* Each answer has 256 KiB; all of them more than the engine may put aside. */
static void many_long_answers_at_once_all_arrive(void **state)
{
    enum { CLIENTS = 40, BYTES = 65536 };
    static struct client clients[CLIENTS];
    static char body[BYTES + 32] = "{\"content\":\"";
    (void)state;
    memset(body + 12, '1', BYTES);
    strcpy(body + 12 + BYTES, "\"}");
    world_open();
    open_current(V2, "2.0.0");
    for (int i = 0; i < CLIENTS; i++) {
        client_start(&clients[i], "/tokenize", body, false);
    }
    for (int i = 0; i < CLIENTS; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].good, 1);
    }
    assert_int_equal(world.lost, 0);
    world_close();
}

/* What all of them say is more than the engine has room for: the agent gives
 * it as much as that, and those that left meanwhile are not told of. */
static void requests_larger_than_the_engines_room_wait_and_arrive(void **state)
{
    enum { CLIENTS = 40, SCHEMA_BYTES = 240000 };
    static struct client clients[CLIENTS];
    static char body[SCHEMA_BYTES + 200];
    const char *head = "{\"prompt\":\"a\",\"max_tokens\":4,\"grammar\":"
                       "\"root ::= [a-z]+ #";
    (void)state;
    strcpy(body, head);
    memset(body + strlen(head), 'c', SCHEMA_BYTES);
    strcpy(body + strlen(head) + SCHEMA_BYTES, "\"}");
    world_open();
    open_current(V2, "2.0.0");
    struct serve_engine *engine = flo_router_live(world.serve);
    size_t sent = 0, n_waiting = 0;
    for (int i = 0; i < CLIENTS; i++) {
        client_start(&clients[i], "/v1/completions", body, false);
    }
    int left = say("/v1/completions", "{\"prompt\":\"a\"}");
    RUN_UNTIL(world.serve->n_running > CLIENTS / 2);
    for (struct serve_call *call = engine->calls; call; call = call->next) {
        sent += call->bytes_waiting;
        n_waiting += call->frame.bytes > 0;
    }
    assert_int_equal(sent, engine->bytes_waiting[CALL_USER]);
    assert_in_range(sent, SCHEMA_BYTES, FLO_WIRE_FRAME_BYTES_MAX);
    assert_true(n_waiting > 10);
    close(left);
    for (int i = 0; i < CLIENTS; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].good, 1);
    }
    RUN_UNTIL(engine->n_calls == 0);
    assert_int_equal(engine->bytes_waiting[CALL_USER], 0);
    assert_int_equal(world.lost, 0);
    world_close();
}

static void a_client_that_leaves_frees_its_session(void **state)
{
    char text[64];
    (void)state;
    world_open();
    open_current(SLOW, "4.0.0");
    /* On a busy machine the answer may be whole before we look. */
    for (int i = 0; i < 50 && world.serve->counters.cancelled == 0; i++) {
        int fd = say("/v1/completions", LONG_STREAM);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        RUN_UNTIL(recv(fd, text, sizeof(text), 0) > 0);
        close(fd);
        RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 0);
    }
    assert_int_equal(world.serve->counters.cancelled, 1);
    assert_true(world.serve->counters.tokens_out % 500 != 0);
    world_close();
}

/* ---- crashes and hangs ------------------------------------------- */

static void a_killed_engine_takes_no_unanswered_request_along(void **state)
{
    static struct client clients[4];
    (void)state;
    world_open();
    world.reloads = true;
    open_current(V2, "2.0.0");
    pid_t pid = status_now().roles[FLO_ROLE_CURRENT].pid;
    kill(pid, SIGSTOP); /* so that nothing is answered yet */
    for (int i = 0; i < 4; i++) {
        client_start(&clients[i], "/v1/chat/completions",
                     i < 2 ? CHAT : CHAT_STREAM, false);
    }
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 4);
    kill(pid, SIGKILL);
    for (int i = 0; i < 4; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].good, 1);
    }
    assert_int_equal(world.lost, 1);
    assert_int_equal(world.lost_error, FLO_E_ENGINE_CRASH);
    assert_non_null(strstr(world.lost_what, "signal 9"));
    assert_true(status_now().roles[FLO_ROLE_CURRENT].pid != pid);
    world_close();
}

static void a_stream_that_has_begun_ends_with_an_error_event(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    world.reloads = true;
    open_current(SLOW, "4.0.0");
    /* On a busy machine the answer may be whole before the blow falls. */
    for (int i = 0; i < 50 && client.bad == 0; i++) {
        RUN_UNTIL(status_now().is_live);
        pid_t pid = status_now().roles[FLO_ROLE_CURRENT].pid;
        client_start(&client, "/v1/completions", LONG_STREAM, false);
        RUN_UNTIL(client.pieces > 0);
        kill(pid, SIGKILL);
        client_end(&client);
        RUN_UNTIL(world.lost == i + 1);
    }
    assert_int_equal(client.bad, 1);
    assert_null(strstr(client.text, "[DONE]"));
    assert_non_null(strstr(client.text, "data: {\"error\":"));
    assert_non_null(strstr(client.text, "\"code\":\"engine.crash\""));
    assert_non_null(strstr(client.text, "\r\n0\r\n\r\n")); /* a whole answer */
    RUN_UNTIL(status_now().is_live);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.good, 1);
    world_close();
}

static void a_hanging_engine_is_killed_and_its_requests_live(void **state)
{
    static struct client client;
    char engine[512];
    (void)state;
    assert_true(flo_process_sibling("flotilla-engine", engine, sizeof(engine)));
    world_open_with(engine, 1000, 0);
    world.reloads = true;
    open_current(V2, "2.0.0");
    kill(status_now().roles[FLO_ROLE_CURRENT].pid, SIGSTOP);
    client_start(&client, "/v1/chat/completions", CHAT, false);
    client_end(&client);
    assert_int_equal(client.good, 1);
    assert_int_equal(world.lost, 1);
    assert_int_equal(world.lost_error, FLO_E_ENGINE_HANG);
    world_close();
}

static void a_hostile_engine_is_killed_and_replaced(void **state)
{
    static const struct {
        const char *deed;
        int error;
    } cases[] = {
        {"garbage", FLO_E_WORKER_PROTOCOL},
        {"oversize", FLO_E_WORKER_PROTOCOL},
        {"stranger", FLO_E_WORKER_PROTOCOL},
        {"crash", FLO_E_ENGINE_CRASH},
        {"hang", FLO_E_ENGINE_HANG},
    };
    static struct client client;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        world_open_with(HOSTILE_ENGINE, 100, 0);
        setenv("FLOTILLA_HOSTILE", cases[i].deed, 1);
        load(FLO_ROLE_CURRENT, V2, "2.0.0");
        unsetenv("FLOTILLA_HOSTILE");
        RUN_UNTIL(world.failed == 1);
        if (world.load_error != cases[i].error) {
            fail_msg("%s gave %s", cases[i].deed,
                     flo_error_id(world.load_error));
        }
        world.serve->hang_ms_max = 60000;
        open_current(V2, "2.0.0");
        ask(&client, "/v1/chat/completions", CHAT);
        assert_int_equal(client.good, 1);
        world_close();
    }
}

static void an_answer_too_long_to_be_kept_ends_alone(void **state)
{
    static struct client client;
    (void)state;
    world_open_with(HOSTILE_ENGINE, 60000, 0);
    setenv("FLOTILLA_HOSTILE", "flood", 1);
    open_current(V2, "2.0.0");
    unsetenv("FLOTILLA_HOSTILE");
    for (int i = 0; i < 2; i++) {
        ask(&client, "/v1/chat/completions", CHAT);
        assert_int_equal(client.status, 400);
        assert_non_null(strstr(client.text, "\"param\":\"max_tokens\""));
        assert_non_null(strstr(client.text, "an answer of 17 tokens"));
    }
    assert_int_equal(world.lost, 0);
    world_close();
}

static void a_file_that_is_no_model_says_why(void **state)
{
    (void)state;
    world_open();
    load(FLO_ROLE_CURRENT, "tests/models/README.md", "1");
    RUN_UNTIL(world.failed == 1);
    assert_int_equal(world.load_error, FLO_E_GGUF_MAGIC);
    open_current(V2, "2.0.0"); /* the role is free again */
    world_close();
}

static void an_unloaded_engine_gives_its_requests_away(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    open_candidate(V21, "2.1.0");
    kill(status_now().roles[FLO_ROLE_CURRENT].pid, SIGSTOP);
    client_start(&client, "/v1/chat/completions", CHAT, false);
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 1);
    flip(FLO_ROLE_CANDIDATE);
    flo_serve_unload(world.serve, FLO_ROLE_CURRENT, false);
    client_end(&client);
    assert_int_equal(client.good, 1);
    assert_int_equal(client.of_v21, 1);
    assert_int_equal(world.lost, 0); /* it was asked for */
    world_close();
}

/* ---- probes ------------------------------------------------------ */

static void probe(const char *model, const char *golden_path,
                  const struct flo_probe_limits *limits)
{
    char *golden;
    size_t bytes;
    struct flo_err err = {0};
    assert_int_equal(
        flo_file_read(golden_path, 1u << 20, &golden, &bytes, &err), 0);
    open_candidate(model, "9.0.0");
    world.has_result = false;
    if (flo_serve_probe(world.serve, golden, bytes, limits, on_probed, NULL,
                        &err) < 0) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(flo_serve_probe(world.serve, golden, bytes, limits,
                                     on_probed, NULL, &err),
                     FLO_E_STATE); /* one at a time */
    RUN_UNTIL(world.has_result);
    free(golden);
    flo_serve_unload(world.serve, FLO_ROLE_CANDIDATE, false);
}

#define GOLDEN "tests/models/golden-tiny-v2.json"
static const struct flo_probe_limits usual = {
    .speed_ratio_max = 1.5, .memory_bytes_max = 64000000, .timeout_ms = 60000};

static void expect_verdict(const char *model, int error, uint32_t passed)
{
    probe(model, GOLDEN, &usual);
    const struct flo_probe_result *r = &world.result;
    if (r->error != error || r->passed != passed || r->cases != 26) {
        fail_msg("%s: %s, %u of %u: %s", model, flo_error_id(r->error),
                 r->passed, r->cases, r->what);
    }
}

static void probes_see_what_is_wrong(void **state)
{
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    expect_verdict(V2, 0, 26);
    assert_true(world.result.token_us_candidate > 0);
    assert_true(world.result.token_us_current > 0);
    assert_true(world.result.memory_bytes > 1000000);
    /* One NaN in a norm: the scan of the weights must see it.  An engine that
     * loses NaN while it rounds activations passes every case; ours keeps
     * it. */
    probe(BAD "nan.Q4_0.gguf", GOLDEN, &usual);
    assert_true(world.result.error == FLO_E_PROBE_NONFINITE ||
                world.result.passed == 26);
    probe(BAD "noise.Q4_0.gguf", GOLDEN, &usual);
    assert_int_equal(world.result.error, FLO_E_PROBE_GOLDEN);
    assert_true(world.result.passed >= 5 && world.result.passed <= 8);
    assert_string_equal(world.result.failed_case, "advice-1");
    expect_verdict(BAD "swap.Q4_0.gguf", FLO_E_PROBE_GOLDEN, 24);
    expect_verdict(BAD "nanscale.Q4_0.gguf", FLO_E_PROBE_NONFINITE, 0);
    assert_true(world.result.nonfinite > 0);
    probe(V21, "tests/models/golden-tiny-v2.1.json", &usual);
    assert_int_equal(world.result.error, 0);
    assert_int_equal(world.result.passed, 26);
    expect_verdict("tests/models/tiny-v1.Q4_0.gguf", FLO_E_PROBE_GOLDEN, 16);
    assert_int_equal(world.lost, 0);
    world_close();
}

static void
a_slow_candidate_fails_and_an_equal_one_passes_under_load(void **state)
{
    static struct client clients[4];
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    world_open();
    open_current(V2, "2.0.0");
    for (int i = 0; i < 4; i++) {
        client_start(&clients[i], "/v1/chat/completions", CHAT_STREAM, true);
    }
    for (int i = 0; i < 2; i++) {
        expect_verdict(SLOW, FLO_E_PROBE_SPEED, 26);
        assert_non_null(strstr(world.result.what, "at most 1.50"));
        expect_verdict(V2, 0, 26);
    }
    for (int i = 0; i < 4; i++) {
        clients[i].stops = true;
    }
    for (int i = 0; i < 4; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].bad, 0);
    }
    world_close();
}

/* A release whose weights could not be packed is no slower release. */
static void
speeds_with_and_without_packed_weights_are_not_compared(void **state)
{
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    world.lacks_packed = true;
    expect_verdict(SLOW, 0, 26);
    assert_true(world.result.token_us_current == 0);
    world_close();
}

static void memory_time_and_death_end_a_probe(void **state)
{
    struct flo_probe_limits limits = {.memory_bytes_max = 1000000,
                                      .timeout_ms = 60000};
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    probe(V2, GOLDEN, &limits);
    assert_int_equal(world.result.error, FLO_E_PROBE_MEMORY);
    limits = (struct flo_probe_limits){.timeout_ms = 1};
    probe(SLOW, GOLDEN, &limits);
    assert_int_equal(world.result.error, FLO_E_PROBE_TIMEOUT);
    limits.timeout_ms = 60000;
    probe(SLOW, GOLDEN, &limits); /* speed not asked for */
    assert_int_equal(world.result.error, 0);

    open_candidate(V2, "2.0.0");
    char *golden;
    size_t bytes;
    struct flo_err err = {0};
    assert_int_equal(flo_file_read(GOLDEN, 1u << 20, &golden, &bytes, &err), 0);
    world.has_result = false;
    kill(status_now().roles[FLO_ROLE_CANDIDATE].pid, SIGSTOP);
    assert_int_equal(flo_serve_probe(world.serve, golden, bytes, &usual,
                                     on_probed, NULL, &err),
                     0);
    event_base_loop(world.base, EVLOOP_ONCE);
    kill(status_now().roles[FLO_ROLE_CANDIDATE].pid, SIGKILL);
    RUN_UNTIL(world.has_result);
    assert_int_equal(world.result.error, FLO_E_ENGINE_CRASH);
    free(golden);
    world_close();
}

static void tcp_without_a_token_does_not_open(void **state)
{
    static const char *const listen[] = {"127.0.0.1:0", NULL};
    static const char *const public[] = {"0.0.0.0:0", NULL};
    struct flo_serve_options options = {.engine_path = "/bin/true",
                                        .listen = listen};
    struct event_base *base = event_base_new();
    struct flo_serve *serve = NULL;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err),
                     FLO_E_CFG_KEY);
    options.token = "short";
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err),
                     FLO_E_CFG_RANGE);
    options.token = NULL;
    options.allows_no_token = true;
    options.listen = public;
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err),
                     FLO_E_CFG_KEY);
    options.listen = listen;
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err), 0);
    assert_true(flo_serve_port(serve) > 0);
    flo_serve_close(serve);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_streams_across_flips_lose_nothing),
        cmocka_unit_test(a_request_waits_for_a_model_then_gets_503),
        cmocka_unit_test(a_model_name_is_checked),
        cmocka_unit_test(a_shifted_context_gives_more_tokens_than_it_holds),
        cmocka_unit_test(what_the_engine_refuses_names_its_field),
        cmocka_unit_test(many_long_answers_at_once_all_arrive),
        cmocka_unit_test(requests_larger_than_the_engines_room_wait_and_arrive),
        cmocka_unit_test(a_client_that_leaves_frees_its_session),
        cmocka_unit_test(a_killed_engine_takes_no_unanswered_request_along),
        cmocka_unit_test(a_stream_that_has_begun_ends_with_an_error_event),
        cmocka_unit_test(a_hanging_engine_is_killed_and_its_requests_live),
        cmocka_unit_test(a_hostile_engine_is_killed_and_replaced),
        cmocka_unit_test(an_answer_too_long_to_be_kept_ends_alone),
        cmocka_unit_test(a_file_that_is_no_model_says_why),
        cmocka_unit_test(an_unloaded_engine_gives_its_requests_away),
        cmocka_unit_test(probes_see_what_is_wrong),
        cmocka_unit_test(
            a_slow_candidate_fails_and_an_equal_one_passes_under_load),
        cmocka_unit_test(
            speeds_with_and_without_packed_weights_are_not_compared),
        cmocka_unit_test(memory_time_and_death_end_a_probe),
        cmocka_unit_test(tcp_without_a_token_does_not_open),
    };
    signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

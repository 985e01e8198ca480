/* Serving with real engine processes: what clients are answered, when they must
 * wait, and when they leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>

#include "unit/serve/serve_world.h"

static void a_request_waits_for_a_model_then_gets_503(void **state)
{
    static struct client client;
    (void)state;
    world_open_with(NULL, 0, 300);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.status, 503);
    assert_non_null(strstr(client.text, "Retry-After: "));
    assert_non_null(strstr(client.text, "\"code\":\"infer.busy\""));
    open_current(V2, "2.0.0");
    ask(&client, "/v1/chat/completions", CHAT);
    assert_non_null(strstr(client.text, "severity: critical"));
    world_close();
}

static void without_a_hold_a_request_is_refused_at_once(void **state)
{
    static struct client client;
    (void)state;
    world_open_with(NULL, 0, WORLD_NO_HOLD);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.status, 503);
    assert_non_null(strstr(client.text, "requests do not wait (hold)"));
    open_current(V2, "2.0.0");
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.status, 200);
    world_close();
}

/* A crowd of work that may wait leaves places to those who wait for it. */
static void batch_work_leaves_places_to_users(void **state)
{
    enum { MOST = 48 };
    static const char batch[] = "{\"priority\":\"batch\",\"prompt\":\"a\","
                                "\"max_tokens\":1,\"temperature\":0}";
    static struct client client, user;
    int fds[MOST];
    (void)state;
    world_open();
    for (int i = 0; i < MOST; i++) {
        fds[i] = say("/v1/completions", batch);
        assert_true(fds[i] >= 0);
    }
    RUN_UNTIL(status_now().held == MOST);
    ask(&client, "/v1/completions", batch);
    assert_int_equal(client.status, 503);
    assert_non_null(strstr(client.text, "48 requests are under way"));
    client_start(&user, "/v1/chat/completions", CHAT, false);
    RUN_UNTIL(status_now().held == MOST + 1);
    open_current(V2, "2.0.0");
    client_end(&user);
    assert_int_equal(user.good, 1);
    for (int i = 0; i < MOST; i++) {
        close(fds[i]);
    }
    world_close();
}

#define BATCH                                                                                      \
    "{\"priority\":\"batch\",\"prompt\":\"a\",\"max_tokens\":1,"                                   \
    "\"temperature\":0}"

/* Users are answered, and batch requests wait for the end of it. */
static void under_pressure_batch_requests_are_held(void **state)
{
    static struct client batch, user;
    const struct flo_serve_limits held = {.holds_batch = true}, none = {false};
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    flo_serve_limit(world.serve, &held);
    client_start(&batch, "/v1/completions", BATCH, false);
    RUN_UNTIL(status_now().held == 1);
    assert_int_equal(status_now().held_batch, 1);
    ask(&user, "/v1/chat/completions", CHAT);
    assert_int_equal(user.status, 200);
    assert_int_equal(status_now().held_batch, 1);
    flo_serve_limit(world.serve, &none);
    client_end(&batch);
    assert_int_equal(batch.status, 200);
    assert_int_equal(status_now().held, 0);
    world_close();
}

static void a_pressure_that_lasts_gives_batch_requests_503(void **state)
{
    static struct client batch;
    const struct flo_serve_limits held = {.holds_batch = true};
    (void)state;
    world_open_with(NULL, 0, 300);
    open_current(V2, "2.0.0");
    flo_serve_limit(world.serve, &held);
    ask(&batch, "/v1/completions", BATCH);
    assert_int_equal(batch.status, 503);
    assert_non_null(strstr(batch.text, "Retry-After: 60"));
    assert_non_null(strstr(batch.text, "under strain"));
    flip(FLO_ROLE_CURRENT); /* a swap releases none of them */
    ask(&batch, "/v1/completions", BATCH);
    assert_int_equal(batch.status, 503);
    world_close();
}

/* Asks on a connection that stays open.  Returns whether it was told that no
 * token was there already. */
static bool ask_again(int fd)
{
    static char text[65536];
    size_t n = 0;
    ssize_t got;
    const char *told;
    int bytes = snprintf(text, sizeof(text),
                         "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                         "Content-Length: %zu\r\n\r\n" CHAT,
                         strlen(CHAT));
    assert_int_equal(send(fd, text, (size_t)bytes, MSG_NOSIGNAL), bytes);
    for (text[0] = '\0'; (told = strstr(text, "\"cached_tokens\":")) == NULL || told[17] == '\0';) {
        RUN_UNTIL((got = recv(fd, text + n, sizeof(text) - 1 - n, MSG_DONTWAIT)) > 0);
        n += (size_t)got;
        text[n] = '\0';
    }
    return told[16] == '0' && told[17] == '}';
}

/* An address may be several clients, who must not learn of each other. */
static void an_address_is_told_no_cached_tokens(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(flo_serve_port(world.serve)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const void *)&address, sizeof(address)), 0);
    for (int i = 0; i < 2; i++) {
        ask(&client, "/v1/chat/completions", CHAT);
        assert_int_equal(client.status, 200);
        assert_true((strstr(client.text, "\"cached_tokens\":0}") != NULL) == (i == 0));
        assert_true(ask_again(fd));
    }
    close(fd);
    world_close();
}

/* Each of a crowd of one client gives way to one request of another. */
static void no_client_locks_the_others_out(void **state)
{
    enum { MOST = 64, TOKENS = 40, TOKENS_OF_OTHER };
#define QUESTION(tokens)                                                                           \
    "{\"prompt\":\"a\",\"max_tokens\":" tokens ",\"ignore_eos\":true,\"temperature\":0}"
    static const char question[] = QUESTION("40");
    static struct client client, other = {.is_other = true};
    char text[2048];
    int fds[MOST];
    (void)state;
    world_open();
    for (int i = 0; i < MOST; i++) {
        fds[i] = say("/v1/completions", question);
        assert_true(fds[i] >= 0);
        RUN_UNTIL(status_now().held == (uint32_t)i + 1);
    }
    ask(&client, "/v1/completions", question);
    assert_int_equal(client.status, 503);
    assert_non_null(strstr(client.text, "64 requests are under way"));

    client_start(&other, "/v1/completions", QUESTION("41"), false);
    /* The last of the crowd makes room ... */
    size_t n = 0;
    for (ssize_t got = -1; got != 0;) {
        RUN_UNTIL((got = recv(fds[MOST - 1], text + n, sizeof(text) - 1 - n, MSG_DONTWAIT)) >= 0);
        n += (size_t)got;
        text[n] = '\0';
    }
    assert_non_null(strstr(text, " 503 "));
    if (strstr(text, "64 requests of this client") == NULL) {
        fail_msg("%s", text);
    }
    assert_int_equal(status_now().held, MOST);
    open_current(V2, "2.0.0");
    client_end(&other);
    /* ... and the newcomer does not stand behind all of it. */
    assert_int_equal(other.status, 200);
    size_t told = 0, tokens_out = 0;
    do { /* the crowd may be served before the client looks up */
        assert_true(told < world.n_told);
        tokens_out += world.told[told].tokens_out;
    } while (world.told[told++].tokens_out != TOKENS_OF_OTHER);
    assert_true(tokens_out < 20 * TOKENS);
    for (int i = 0; i < MOST; i++) {
        close(fds[i]);
    }
    world_close();
}

static void models_that_load_are_not_denied(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    ask(&client, "/v1/models/tiny", "");
    assert_int_equal(client.status, 503);
    ask(&client, "/v1/models", "");
    assert_int_equal(client.status, 503);
    assert_non_null(strstr(client.text, "Retry-After: "));
    open_current(V2, "2.0.0");
    ask(&client, "/v1/models/tiny", "");
    assert_int_equal(client.status, 200);
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
    ask(&client, "/v1/completions", "{\"model\":\"tiny@2.0.0\",\"prompt\":\"a\"}");
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
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"robot\",\"content\":\"a\"}]}",
         "infer.param", "messages"},
        {"/v1/completions", "{\"prompt\":[99999]}", "infer.param", "prompt"},
        {"/v1/embeddings", "{\"input\":[99999]}", "infer.param", "input"},
        {"/detokenize", "{\"tokens\":[99999]}", "infer.param", "tokens"},
        {"/v1/completions", NULL, "context_length_exceeded", "prompt"},
        {"/v1/embeddings", NULL, "context_length_exceeded", "input"},
        {"/v1/completions", "{\"prompt\":\"a\",\"grammar\":\"root = 1\"}", "infer.schema",
         "grammar"},
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
        snprintf(want, sizeof(want), "\"code\":\"%s\",\"param\":\"%s\"", cases[i].code,
                 cases[i].param);
        assert_int_equal(client.status, 400);
        if (strstr(client.text, want) == NULL) {
            fail_msg("%s is not in %s", want, client.text);
        }
    }
    world_close();
}

/* Ids are two bytes of JSON and four of a frame, which may have 1 MiB. */
static void more_ids_than_a_frame_holds_are_the_clients_doing(void **state)
{
    static const size_t counts[] = {300000, 524280};
    static char body[1 << 20];
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    for (size_t i = 0; i < FLO_COUNT(counts); i++) {
        char *at = body + sprintf(body, "{\"prompt\":[1");
        for (size_t n = 1; n < counts[i]; n++) {
            memcpy(at + 2 * (n - 1), ",1", 2);
        }
        strcpy(at + 2 * (counts[i] - 1), "]}");
        ask(&client, "/v1/completions", body);
        assert_int_equal(client.status, 413);
        assert_non_null(strstr(client.text, "rest.too_large"));
    }
    assert_int_equal(world.stats_errors, 0);
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

enum { LARGE_BYTES = 240000 };

/* A request that has at least so many, and these fields before its others;
 * valid until the next call. */
static const char *large_body(const char *fields)
{
    static char body[LARGE_BYTES + 200];
    int n = snprintf(body, 200,
                     "{%s\"prompt\":\"a\",\"max_tokens\":4,\"grammar\":"
                     "\"root ::= [a-z]+ #",
                     fields);
    memset(body + n, 'c', LARGE_BYTES);
    strcpy(body + n + LARGE_BYTES, "\"}");
    return body;
}

/* All requests together are more than the engine has room for. The agent gives
 * it as much as fits, and it hears nothing of those that left meanwhile. */
static void requests_larger_than_the_engines_room_wait_and_arrive(void **state)
{
    enum { CLIENTS = 40 };
    static struct client clients[CLIENTS];
    const char *body = large_body("");
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    struct serve_engine *engine = flo_serve_engine_live(&world.serve->places[0]);
    engine->sessions = CLIENTS + 1; /* nobody waits for a turn */
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
    assert_in_range(sent, LARGE_BYTES, FLO_WIRE_FRAME_BYTES_MAX);
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

/* Most of them are still in the agent when their adapter is dropped. */
static void those_who_wait_get_the_adapter_that_they_named(void **state)
{
    enum { CLIENTS = 20 };
    static struct client clients[CLIENTS], late;
    const char *body = large_body("\"model\":\"site\",");
    struct flo_err err = {0};
    (void)state;
    world_open();
    world.adapter_path = "tests/models/tiny-v1-site-lora.gguf";
    open_current("tests/models/tiny-v1.F16.gguf", "1.0.0");
    pid_t pid = status_now().roles[FLO_ROLE_CURRENT].pid;
    waits_stop(pid);
    for (int i = 0; i < CLIENTS; i++) {
        client_start(&clients[i], "/v1/completions", body, false);
    }
    RUN_UNTIL(world.serve->n_running == CLIENTS);
    assert_int_equal(flo_serve_adapter_drop(world.serve, 0, FLO_ROLE_CURRENT, "site", &err), 0);
    ask(&late, "/v1/completions", body);
    assert_int_equal(late.status, 404);
    kill(pid, SIGCONT);
    for (int i = 0; i < CLIENTS; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].good, 1);
    }
    RUN_UNTIL(world.adapters_changed == 1);
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

static void tcp_without_a_token_does_not_open(void **state)
{
    static const char *const listen[] = {"127.0.0.1:0", NULL};
    static const char *const public[] = {"0.0.0.0:0", NULL};
    struct flo_serve_options options = {.engine_path = "/bin/true", .listen = listen};
    struct event_base *base = event_base_new();
    struct flo_serve *serve = NULL;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err), FLO_E_CFG_KEY);
    options.token = "short";
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err), FLO_E_CFG_RANGE);
    options.token = NULL;
    options.allows_no_token = true;
    options.listen = public;
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err), FLO_E_CFG_KEY);
    options.listen = listen;
    assert_int_equal(flo_serve_open(base, &options, NULL, &serve, &err), 0);
    assert_true(flo_serve_port(serve) > 0);
    flo_serve_close(serve);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_waits_for_a_model_then_gets_503),
        cmocka_unit_test(without_a_hold_a_request_is_refused_at_once),
        cmocka_unit_test(batch_work_leaves_places_to_users),
        cmocka_unit_test(an_address_is_told_no_cached_tokens),
        cmocka_unit_test(under_pressure_batch_requests_are_held),
        cmocka_unit_test(a_pressure_that_lasts_gives_batch_requests_503),
        cmocka_unit_test(no_client_locks_the_others_out),
        cmocka_unit_test(models_that_load_are_not_denied),
        cmocka_unit_test(a_model_name_is_checked),
        cmocka_unit_test(a_shifted_context_gives_more_tokens_than_it_holds),
        cmocka_unit_test(what_the_engine_refuses_names_its_field),
        cmocka_unit_test(more_ids_than_a_frame_holds_are_the_clients_doing),
        cmocka_unit_test(many_long_answers_at_once_all_arrive),
        cmocka_unit_test(requests_larger_than_the_engines_room_wait_and_arrive),
        cmocka_unit_test(those_who_wait_get_the_adapter_that_they_named),
        cmocka_unit_test(a_client_that_leaves_frees_its_session),
        cmocka_unit_test(tcp_without_a_token_does_not_open),
    };
    signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

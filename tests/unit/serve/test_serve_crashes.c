/* Serving with engine processes that die, hang or misbehave: what becomes of
 * their requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/worker.h>

#include "unit/serve/serve_world.h"

static void a_killed_engine_takes_no_unanswered_request_along(void **state)
{
    static struct client clients[4];
    (void)state;
    world_open();
    world.reloads = true;
    open_current(V2, "2.0.0");
    pid_t pid = status_now().roles[FLO_ROLE_CURRENT].pid;
    waits_stop(pid); /* so that nothing is answered yet */
    for (int i = 0; i < 4; i++) {
        client_start(&clients[i], "/v1/chat/completions", i < 2 ? CHAT : CHAT_STREAM, false);
    }
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 4);
    kill(pid, SIGKILL);
    for (int i = 0; i < 4; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].good, 1);
    }
    assert_int_equal(world.lost, 1);
    assert_int_equal(world.lost_error, FLO_E_ENGINE_KILLED); /* not by us */
    assert_non_null(strstr(world.lost_what, "signal 9"));
    assert_true(status_now().roles[FLO_ROLE_CURRENT].pid != pid);
    world_close();
}

static atomic_bool starves; /* the next allocation of libevent fails */

static void *hungry_malloc(size_t bytes)
{
    if (atomic_exchange(&starves, false)) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc(bytes);
}

/* It ends when we close its socket, and with 0: no fault of its own. */
static void no_memory_for_what_an_engine_says_is_no_crash(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    world.reloads = true;
    open_current(V2, "2.0.0");
    /* Something else may ask for memory before the engine is read. */
    for (int i = 0; i < 50 && world.lost == 0; i++) {
        pid_t pid = status_now().roles[FLO_ROLE_CURRENT].pid;
        waits_stop(pid);
        client_start(&client, "/v1/chat/completions", CHAT, false);
        RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 1);
        atomic_store(&starves, true);
        kill(pid, SIGCONT);
        RUN_UNTIL(world.lost == 1 || client.is_over);
        client_end(&client);
    }
    atomic_store(&starves, false);
    assert_int_equal(world.lost, 1);
    assert_int_equal(world.lost_error, FLO_E_MEMORY);
    RUN_UNTIL(status_now().is_live);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_true(client.good > 0);
    world_close();
}

static void an_interrupt_at_the_terminal_is_the_agents(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    kill(status_now().roles[FLO_ROLE_CURRENT].pid, SIGINT);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.good, 1);
    assert_int_equal(world.lost, 0);
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
    (void)state;
    world_open();
    world.reloads = true; /* without a limit that a busy machine reaches */
    open_current(V2, "2.0.0");
    waits_stop(status_now().roles[FLO_ROLE_CURRENT].pid);
    LOOK_INSIDE(world.serve->hang_ms_max = 1000);
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
        {"packed", FLO_E_WORKER_PROTOCOL}, /* it was given none */
        {"crash", FLO_E_ENGINE_CRASH},
        {"hang", FLO_E_ENGINE_HANG},
    };
    static struct client client;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        bool is_hang = cases[i].error == FLO_E_ENGINE_HANG;
        world_open_with(HOSTILE_ENGINE, is_hang ? 100 : 0, 0);
        setenv("FLO_HOSTILE", cases[i].deed, 1);
        load(FLO_ROLE_CURRENT, V2, "2.0.0");
        unsetenv("FLO_HOSTILE");
        RUN_UNTIL(world.failed == 1);
        if (world.load_error != cases[i].error) {
            fail_msg("%s gave %s", cases[i].deed, flo_error_id(world.load_error));
        }
        LOOK_INSIDE(world.serve->hang_ms_max = WAITS_HANG_MS);
        open_current(V2, "2.0.0");
        ask(&client, "/v1/chat/completions", CHAT);
        assert_int_equal(client.good, 1);
        world_close();
    }
}

static void an_answer_before_its_question_ends_the_engine(void **state)
{
    (void)state;
    world_open_with(HOSTILE_ENGINE, 0, 0);
    setenv("FLO_HOSTILE", "early", 1);
    world.loads_adapter = true;
    open_current(V2, "2.0.0");
    unsetenv("FLO_HOSTILE");
    RUN_UNTIL(world.lost == 1);
    assert_int_equal(world.lost_error, FLO_E_WORKER_PROTOCOL);
    assert_int_equal(world.adapters_changed, 0);
    world_close();
}

/* It is told apart from a crash however long the kernel needs for its end. */
static void an_engine_that_ends_slowly_is_still_killed_by_others(void **state)
{
    (void)state;
    world_open_with(HOSTILE_ENGINE, 0, 0);
    setenv("FLO_HOSTILE", "shut", 1);
    load(FLO_ROLE_CURRENT, V2, "2.0.0");
    pid_t pid = LOOK_INSIDE(world.serve->engines->pid);
    unsetenv("FLO_HOSTILE");
    RUN_UNTIL(world.failed == 1 ||
              LOOK_INSIDE(world.serve->engines != NULL && world.serve->engines->reap_ticks > 30));
    kill(pid, SIGKILL);
    RUN_UNTIL(world.failed == 1);
    assert_int_equal(world.load_error, FLO_E_ENGINE_KILLED);
    world_close();
}

static atomic_bool is_late; /* the next message waits until its engine has ended */

/* The code under test calls this (the linker's --wrap). */
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    siginfo_t ended;

    if (atomic_exchange(&is_late, false)) {
        assert_int_equal(waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT), 0);
    }
    return __real_sendmsg(fd, message, flags);
}

/* A busy machine sends it the model late. */
static void an_engine_killed_before_it_has_the_model_was_killed_by_others(void **state)
{
    (void)state;
    world_open_with(HOSTILE_ENGINE, 0, 0);
    setenv("FLO_HOSTILE", "die", 1);
    is_late = true;
    load(FLO_ROLE_CURRENT, V2, "2.0.0");
    unsetenv("FLO_HOSTILE");
    RUN_UNTIL(world.failed == 1);
    assert_int_equal(world.load_error, FLO_E_ENGINE_KILLED);
    assert_false(is_late);
    world_close();
}

static void an_answer_too_long_to_be_kept_ends_alone(void **state)
{
    static struct client client;
    (void)state;
    world_open_with(HOSTILE_ENGINE, 0, 0);
    setenv("FLO_HOSTILE", "flood", 1);
    open_current(V2, "2.0.0");
    unsetenv("FLO_HOSTILE");
    for (int i = 0; i < 2; i++) {
        ask(&client, "/v1/chat/completions", CHAT);
        assert_int_equal(client.status, 400);
        assert_non_null(strstr(client.text, "\"param\":\"max_tokens\""));
        assert_non_null(strstr(client.text, "an answer of 17 tokens"));
    }
    assert_int_equal(world.lost, 0);
    world_close();
}

static void the_time_of_a_token_is_the_engines_where_frames_waited(void **state)
{
    static struct client client;
    (void)state;
    world_open_with(HOSTILE_ENGINE, 0, 0);
    setenv("FLO_HOSTILE", "heap", 1);
    open_current(V2, "2.0.0");
    unsetenv("FLO_HOSTILE");
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.status, 200);
    assert_int_equal(world.token_us, 1000);
    world_close();
}

/* It serves nobody from then on, and the agent must hear of that by the role
 * that it now thinks of. */
static void the_end_of_an_engine_that_is_promoted_is_the_current_ones(void **state)
{
    static struct client client;
    (void)state;
    if (getenv("FLO_SERVE_APART") != NULL) {
        skip(); /* nothing stands between two looks: test_serve_apart.c */
    }
    world_open();
    open_current(V2, "2.0.0");
    open_candidate(V21, "2.1.0");
    flip(FLO_ROLE_CANDIDATE);
    kill(status_now().roles[FLO_ROLE_CANDIDATE].pid, SIGKILL);
    RUN_UNTIL(LOOK_INSIDE(world.serve->places[0].roles[FLO_ROLE_CANDIDATE] == NULL));
    assert_int_equal(world.lost, 0); /* its process is waited for */

    world.reloads = true;
    flo_serve_promote(world.serve, 0);
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].is_loaded);

    assert_int_equal(world.lost, 1);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.good, 1);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_engine_takes_no_unanswered_request_along),
        cmocka_unit_test(no_memory_for_what_an_engine_says_is_no_crash),
        cmocka_unit_test(an_interrupt_at_the_terminal_is_the_agents),
        cmocka_unit_test(a_stream_that_has_begun_ends_with_an_error_event),
        cmocka_unit_test(a_hanging_engine_is_killed_and_its_requests_live),
        cmocka_unit_test(a_hostile_engine_is_killed_and_replaced),
        cmocka_unit_test(an_answer_before_its_question_ends_the_engine),
        cmocka_unit_test(an_engine_that_ends_slowly_is_still_killed_by_others),
        cmocka_unit_test(an_engine_killed_before_it_has_the_model_was_killed_by_others),
        cmocka_unit_test(an_answer_too_long_to_be_kept_ends_alone),
        cmocka_unit_test(the_time_of_a_token_is_the_engines_where_frames_waited),
        cmocka_unit_test(the_end_of_an_engine_that_is_promoted_is_the_current_ones),
    };
    signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    event_set_mem_functions(hungry_malloc, realloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

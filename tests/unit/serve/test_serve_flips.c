/* Serving with real engine processes: models that are loaded, become live and
 * are unloaded while clients ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/gguf.h>

#include "unit/serve/serve_world.h"

/* Good answers that each client has had. */
static int good_of_all(struct client *clients)
{
    int least = clients[0].good;
    for (int i = 1; i < STREAMS; i++) {
        least = clients[i].good < least ? clients[i].good : least;
    }
    return least;
}

/* Until each client has had `more` good answers more. */
static void run_for(struct client *clients, int more)
{
    int least = good_of_all(clients) + more;
    RUN_UNTIL(good_of_all(clients) >= least);
}

static void four_streams_across_flips_lose_nothing(void **state)
{
    static struct client clients[STREAMS];
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    streams_start(clients);
    run_for(clients, 5);
    open_candidate(V21, "2.1.0");
    for (int i = 0; i < 10; i++) {
        flip(FLO_ROLE_CANDIDATE);
        run_for(clients, 2);
        flip(FLO_ROLE_CURRENT);
        run_for(clients, 2);
    }
    flip(FLO_ROLE_CANDIDATE);
    run_for(clients, 3);
    flo_serve_promote(world.serve, 0);
    run_for(clients, 3);
    /* stop-first: nothing is live for a while */
    flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, true);
    RUN_UNTIL(status_now().held == STREAMS);
    open_current(V2, "2.0.0");
    run_for(clients, 3);
    streams_end(clients);
    for (int i = 0; i < STREAMS; i++) {
        assert_true(clients[i].of_v2 > 5 && clients[i].of_v21 > 5);
    }
    assert_int_equal(world.stats_errors, 0);
    assert_int_equal(world.lost, 0);
    assert_true(world.drained >= 5); /* live again before idle: not drained */
    assert_true(world.first_answers >= 20);
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
    waits_stop(status_now().roles[FLO_ROLE_CURRENT].pid);
    client_start(&client, "/v1/chat/completions", CHAT, false);
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 1);
    flip(FLO_ROLE_CANDIDATE);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, false);
    client_end(&client);
    assert_int_equal(client.good, 1);
    assert_int_equal(client.of_v21, 1);
    assert_int_equal(world.lost, 0); /* it was asked for */
    world_close();
}

/* As the agent does when a release on trial fails too often. */
static void an_engine_is_unloaded_by_who_hears_of_its_request(void **state)
{
    char text[64];
    (void)state;
    world_open();
    /* On a busy machine the answer may be whole before the client leaves. */
    for (int i = 0; i < 50 && world.stats_errors == 0; i++) {
        if (!status_now().is_live) {
            open_current(SLOW, "4.0.0");
        }
        world.unloads = true;
        int fd = say("/v1/completions", LONG_STREAM);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        RUN_UNTIL(recv(fd, text, sizeof(text), 0) > 0);
        close(fd);
        RUN_UNTIL(LOOK_INSIDE(world.serve->running == NULL));
        flo_serve_hear(world.serve);
    }
    assert_int_equal(world.stats_errors, 1);
    assert_int_equal(LOOK_INSIDE(world.serve->n_running), 0);
    RUN_UNTIL(LOOK_INSIDE(world.serve->engines == NULL));
    assert_int_equal(world.lost, 0); /* it was asked for */
    world_close();
}

/* A drain that takes too long: the memory is needed now. */
static void force_ends_an_engine_that_still_drains(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    pid_t pid = status_now().roles[FLO_ROLE_CURRENT].pid;
    waits_stop(pid);
    client_start(&client, "/v1/chat/completions", CHAT, false);
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 1);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, true);
    assert_int_equal(LOOK_INSIDE(world.serve->engines->state), ENGINE_READY);

    flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, false);

    assert_int_equal(LOOK_INSIDE(world.serve->engines->state), ENGINE_DYING);
    assert_int_equal(status_now().held, 1); /* nothing of it was sent yet */
    open_current(V21, "2.1.0");
    client_end(&client);
    assert_int_equal(client.of_v21, 1);
    assert_int_equal(world.lost, 0); /* it was asked for */
    world_close();
}

static void a_drain_of_one_role_outlives_force_on_the_other(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    open_candidate(V21, "2.1.0");
    pid_t pid = status_now().roles[FLO_ROLE_CURRENT].pid;
    waits_stop(pid);
    client_start(&client, "/v1/chat/completions", CHAT, false);
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 1);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, true);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, false);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, false);
    kill(pid, SIGCONT);
    client_end(&client);
    assert_int_equal(client.of_v2, 1);
    world_close();
}

static void a_stop_is_nobodys_failure(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    waits_stop(status_now().roles[FLO_ROLE_CURRENT].pid);
    client_start(&client, "/v1/chat/completions", CHAT, false);
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 1);

    flo_serve_close(world.serve);
    world.serve = NULL;

    client_end(&client);
    assert_int_equal(world.stats_errors, 0);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_streams_across_flips_lose_nothing),
        cmocka_unit_test(a_file_that_is_no_model_says_why),
        cmocka_unit_test(an_unloaded_engine_gives_its_requests_away),
        cmocka_unit_test(an_engine_is_unloaded_by_who_hears_of_its_request),
        cmocka_unit_test(force_ends_an_engine_that_still_drains),
        cmocka_unit_test(a_drain_of_one_role_outlives_force_on_the_other),
        cmocka_unit_test(a_stop_is_nobodys_failure),
    };
    signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

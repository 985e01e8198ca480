/* Serving on a thread of its own: clients have their answers while the caller
 * stands still, and the caller hears of everything once, in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/engine.h>
#include <flotilla/golden.h>

#include "unit/serve/serve_world.h"

static bool has_engine(pid_t pid)
{
    FLO_INSIDE(world.serve);
    struct serve_engine *engine = world.serve->engines;
    while (engine != NULL && engine->pid != pid) {
        engine = engine->next;
    }
    return engine != NULL;
}

/* Nothing turns the caller's loop here. */
static void load_unheard(enum flo_serve_role role, const char *path, const char *version)
{
    load(role, path, version);
    WAIT_UNTIL(status_now().roles[role].is_loaded);
}

/* Its loss waits to be heard. */
static void kill_unheard(enum flo_serve_role role)
{
    pid_t pid = status_now().roles[role].pid;
    kill(pid, SIGKILL);
    WAIT_UNTIL(!has_engine(pid));
}

static void clients_have_their_answers_while_the_caller_stands(void **state)
{
    static struct client client, stream;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    client_start(&client, "/v1/chat/completions", CHAT, false);
    client_start(&stream, "/v1/chat/completions", CHAT_STREAM, false);
    pthread_join(client.thread, NULL);
    pthread_join(stream.thread, NULL);
    assert_int_equal(client.good, 1);
    assert_int_equal(stream.good, 1);

    WAIT_UNTIL(status_now().roles[FLO_ROLE_CURRENT].requests == 0);
    assert_int_equal(world.requests_of[0], 0); /* it was not told yet */
    flo_serve_hear_ends(world.serve);
    assert_int_equal(world.requests_of[0], 2);
    assert_int_equal(world.first_answers, 0);
    flo_serve_hear(world.serve);
    assert_int_equal(world.requests_of[0], 2);
    assert_int_equal(world.first_answers, 1);
    world_close();
}

static void a_call_finds_serve_between_two_of_its_steps(void **state)
{
    static struct client clients[STREAMS];
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    load_unheard(FLO_ROLE_CANDIDATE, V21, "2.1.0");
    streams_start(clients);
    for (int i = 0; i < 200; i++) {
        flip(i % 2 == 0 ? FLO_ROLE_CANDIDATE : FLO_ROLE_CURRENT);
        struct flo_serve_status status = status_now();
        assert_true(status.is_live && status.held == 0);
    }
    streams_end(clients);
    assert_int_equal(world.stats_errors, 0);
    world_close();
}

static void nothing_is_told_of_an_engine_that_was_unloaded(void **state)
{
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    load_unheard(FLO_ROLE_CANDIDATE, V21, "2.1.0");
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, false);
    load_unheard(FLO_ROLE_CANDIDATE, V21, "2.1.1");
    kill_unheard(FLO_ROLE_CANDIDATE);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, false);

    flo_serve_hear(world.serve);
    assert_int_equal(world.loaded, 1);
    assert_int_equal(world.lost, 0);
    world_close();
}

static void a_flip_tells_the_loss_that_was_not_heard(void **state)
{
    struct flo_err err = {0};
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    open_candidate(V21, "2.1.0");
    kill_unheard(FLO_ROLE_CANDIDATE);
    assert_int_equal(flo_serve_flip(world.serve, 0, FLO_ROLE_CANDIDATE, &err), FLO_E_ENGINE_KILLED);
    assert_non_null(strstr(err.what, "killed by signal 9"));

    flo_serve_hear(world.serve);
    assert_int_equal(world.lost, 0); /* not once more */
    world_close();
}

static void a_probe_tells_why_its_candidate_is_gone(void **state)
{
    const struct flo_probe_limits limits = {.timeout_ms = WAITS_HANG_MS};
    struct flo_golden golden = {0};
    struct flo_err err = {0};
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    open_candidate(V21, "2.1.0");
    kill_unheard(FLO_ROLE_CANDIDATE);
    assert_int_equal(flo_serve_probe(world.serve, 0, &golden, &limits, NULL, NULL, &err),
                     FLO_E_ENGINE_KILLED);

    flo_serve_hear(world.serve);
    assert_int_equal(world.lost, 1); /* as of one that ends in a probe */
    assert_int_equal(flo_serve_probe(world.serve, 0, &golden, &limits, NULL, NULL, &err),
                     FLO_E_STATE);
    world_close();
}

static void the_unheard_loss_of_a_promoted_engine_is_the_current_ones(void **s)
{
    (void)s;
    world_open();
    open_current(V2, "2.0.0");
    open_candidate(V21, "2.1.0");
    flip(FLO_ROLE_CANDIDATE);
    kill_unheard(FLO_ROLE_CANDIDATE);
    flo_serve_promote(world.serve, 0);

    flo_serve_hear(world.serve);
    assert_int_equal(world.lost, 1);
    assert_int_equal(world.lost_role, FLO_ROLE_CURRENT);
    world_close();
}

/* ---- news alone ---- */

static char heard[64];
static unsigned ends;

static void on_loaded(void *context, unsigned model, enum flo_serve_role role, uint64_t ms,
                      const struct flo_err *err)
{
    (void)context, (void)model, (void)role, (void)ms, (void)err;
    strcat(heard, "L");
}

static void on_request(void *context, unsigned model, const struct flo_serve_request_stats *stats)
{
    (void)context, (void)model, (void)stats;
    ends++;
    if (strlen(heard) < 8) {
        strcat(heard, "r");
    }
}

static void on_wanted(void *context, unsigned model)
{
    (void)context, (void)model;
    strcat(heard, "W");
}

static struct flo_news *news_open(struct event_base *home)
{
    const struct flo_serve_handlers handlers = {
        .on_loaded = on_loaded, .on_request = on_request, .on_wanted = on_wanted};
    struct flo_news *news = NULL;

    heard[0] = '\0';
    ends = 0;
    assert_int_equal(flo_news_open(home, &handlers, &news, NULL), 0);
    return news;
}

static void news_are_heard_in_their_order(void **state)
{
    const struct flo_serve_request_stats stats = {.tokens_out = 1};
    struct event_base *home = event_base_new();
    struct flo_news *news = news_open(home);
    (void)state;
    flo_news_request(news, 0, &stats);
    flo_news_loaded(news, 0, FLO_ROLE_CURRENT, 1, NULL);
    flo_news_request(news, 0, &stats);
    flo_news_wanted(news, 1);
    assert_string_equal(heard, "");
    event_base_loop(home, EVLOOP_ONCE);
    assert_string_equal(heard, "rLrW");
    flo_news_close(news);
    event_base_free(home);

    news = news_open(NULL); /* without a thread: at once */
    flo_news_wanted(news, 1);
    flo_news_request(news, 0, &stats);
    assert_string_equal(heard, "Wr");
    flo_news_close(news);
}

static void requests_beyond_the_bound_are_left_out(void **state)
{
    const struct flo_serve_request_stats stats = {.tokens_out = 1};
    struct event_base *home = event_base_new();
    struct flo_news *news = news_open(home);
    (void)state;
    for (int i = 0; i < 5000; i++) {
        flo_news_request(news, 0, &stats);
    }
    flo_news_wanted(news, 1); /* has room all the same */
    flo_news_hear(news);
    assert_int_equal(ends, 4096);
    assert_int_equal(heard[strlen(heard) - 1], 'W');
    flo_news_request(news, 0, &stats);
    flo_news_hear(news);
    assert_int_equal(ends, 4097);
    flo_news_close(news);
    event_base_free(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_have_their_answers_while_the_caller_stands),
        cmocka_unit_test(a_call_finds_serve_between_two_of_its_steps),
        cmocka_unit_test(nothing_is_told_of_an_engine_that_was_unloaded),
        cmocka_unit_test(a_flip_tells_the_loss_that_was_not_heard),
        cmocka_unit_test(a_probe_tells_why_its_candidate_is_gone),
        cmocka_unit_test(the_unheard_loss_of_a_promoted_engine_is_the_current_ones),
        cmocka_unit_test(news_are_heard_in_their_order),
        cmocka_unit_test(requests_beyond_the_bound_are_left_out),
    };
    setenv("FLO_SERVE_APART", "1", 1);
    signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

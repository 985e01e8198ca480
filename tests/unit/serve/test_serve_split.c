/* Splits: a part of the requests for one model goes to another one.
 * Its crash and its end fail nobody, and applications judge its answers. */
#include "unit/serve/serve_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

static void set_route(unsigned index, const char *model, const char *version, uint32_t pct)
{
    struct flo_serve_route route = {.state = FLO_ROUTE_READY, .split_pct = pct};
    struct flo_err err = {0};
    strcpy(route.model, model);
    strcpy(route.version, version);
    strcpy(route.split_of, pct > 0 ? "tiny" : "");
    memset(route.release.bytes, 'A' + (int)index, sizeof(route.release.bytes));
    if (flo_serve_route_set(world.serve, index, &route, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static void open_as(unsigned index, const char *model, const char *path, const char *version,
                    uint32_t pct)
{
    int before = world.loaded;
    load_as(index, model, FLO_ROLE_CURRENT, path, version);
    RUN_UNTIL(world.loaded > before);
    set_route(index, model, version, pct);
}

/* tiny at 0, and next to it tiny-b at 1 with so many of 100 requests. */
static void open_two(uint32_t pct)
{
    world_open();
    open_as(0, "tiny", V2, "2.0.0", 0);
    open_as(1, "tiny-b", V21, "2.1.0", pct);
}

/* Which model answered this request: its place. */
static int answered(const char *path, const char *model, const char *more)
{
    static struct client client;
    char body[512];
    int before = world.requests_of[1];
    snprintf(body, sizeof(body),
             "{\"model\":\"%s\",\"temperature\":0,\"max_tokens\":2%s,"
             "\"messages\":[{\"role\":\"user\",\"content\":\"hot\"}]}",
             model, more);
    ask(&client, path, body);
    assert_int_equal(client.status, 200);
    assert_int_equal(strstr(client.text, "Release: tiny-b@2.1.0") != NULL,
                     world.requests_of[1] > before);
    return world.requests_of[1] - before;
}

#define CHATS "/v1/chat/completions"

/* The place of the model that answers this person. */
static int model_of(int person)
{
    char more[64];
    int before[3];
    memcpy(before, world.requests_of, sizeof(before));
    snprintf(more, sizeof(more), ",\"user\":\"%d\"", person);
    answered(CHATS, "tiny", more);
    return world.requests_of[1] > before[1] ? 1 : world.requests_of[2] > before[2] ? 2 : 0;
}

static void shares_lie_one_behind_the_other(void **state)
{
    enum { PEOPLE = 150 };
    int models[PEOPLE], count[3] = {0};
    (void)state;
    open_two(20);
    open_as(2, "tiny-c", V21, "2.1.1", 30);
    for (int i = 0; i < PEOPLE; i++) {
        models[i] = model_of(i);
        count[models[i]]++;
    }
    assert_in_range(count[1], 12, 52); /* 30 are expected */
    assert_in_range(count[2], 24, 72); /* 45 */
    flo_serve_unload(world.serve, 1, FLO_ROLE_CURRENT, false);
    for (int i = 0; i < PEOPLE; i++) {
        assert_int_equal(model_of(i), models[i] == 1 ? 0 : models[i]);
    }
    world_close();
}

static void a_person_always_gets_the_same_model(void **state)
{
    static const char *const fields[] = {"user", "safety_identifier"};
    char person[64];
    int of_b = 0;
    (void)state;
    open_two(40);
    for (int i = 0; i < 30; i++) {
        snprintf(person, sizeof(person), ",\"%s\":\"person-%d\"", fields[i % 2], i / 2);
        int first = answered(CHATS, "tiny", person);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(answered(CHATS, "", person), first);
        }
        of_b += first;
    }
    assert_in_range(of_b, 4, 22);
    world_close();
}

static void without_a_person_each_request_is_drawn(void **state)
{
    int of_b = 0;
    (void)state;
    open_two(50);
    for (int i = 0; i < 60; i++) {
        of_b += answered(CHATS, "tiny", "");
    }
    assert_in_range(of_b, 8, 52); /* 1 of 10^8 would miss it */
    world_close();
}

static void a_named_release_and_vectors_are_never_split(void **state)
{
    static struct client client;
    (void)state;
    open_two(99);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(answered(CHATS, "tiny@2.0.0", ""), 0);
        assert_int_equal(answered(CHATS, "tiny-b", ""), 1);
        ask(&client, "/v1/embeddings", "{\"model\":\"tiny\",\"input\":\"a\"}");
        assert_int_equal(client.status, 200);
        assert_non_null(strstr(client.text, "Release: tiny@2.0.0"));
        ask(&client, "/tokenize", "{\"model\":\"tiny\",\"content\":\"a\"}");
        assert_int_equal(client.status, 200);
    }
    world_close();
}

static void who_names_nothing_does_not_mean_the_split(void **state)
{
    int of_b = 0;
    (void)state;
    world_open();
    open_as(1, "tiny-b", V21, "2.1.0", 50); /* there before the other one */
    open_as(3, "tiny", V2, "2.0.0", 0);
    for (int i = 0; i < 40; i++) {
        of_b += answered(CHATS, "", "");
    }
    assert_in_range(of_b, 4, 36);
    world_close();
}

static void its_crash_and_its_end_fail_nobody(void **state)
{
    static struct client clients[STREAMS];
    struct flo_serve_status status;
    (void)state;
    open_two(50);
    for (int i = 0; i < STREAMS; i++) { /* nothing is sent before the end */
        client_start(&clients[i], CHATS, CHAT, true);
    }
    RUN_UNTIL(world.requests_of[0] > 8 && world.requests_of[1] > 8);
    flo_serve_get_status(world.serve, 1, &status);
    waits_stop(status.roles[FLO_ROLE_CURRENT].pid); /* some are under way */
    for (int i = 0; i < 20; i++) {
        world_turn();
    }
    kill(status.roles[FLO_ROLE_CURRENT].pid, SIGKILL);
    RUN_UNTIL(world.lost == 1);
    int before = world.requests_of[0];
    RUN_UNTIL(world.requests_of[0] > before + 8);
    load_as(1, "tiny-b", FLO_ROLE_CURRENT, V21, "2.1.0");
    before = world.requests_of[1];
    RUN_UNTIL(world.requests_of[1] > before + 8);
    flo_serve_route_clear(world.serve, 1, FLO_GONE_TAKEN_BACK);
    before = world.requests_of[0];
    RUN_UNTIL(world.requests_of[0] > before + 8);
    streams_end(clients);
    world_close();
}

/* Its engine answers nothing any more when it is taken away. */
static void requests_under_way_at_its_end_are_answered_all_the_same(void **state)
{
    static struct client clients[STREAMS];
    struct flo_serve_status status;
    (void)state;
    open_two(99);
    flo_serve_get_status(world.serve, 1, &status);
    pid_t pid = status.roles[FLO_ROLE_CURRENT].pid;
    waits_stop(pid);
    for (int i = 0; i < STREAMS; i++) {
        client_start(&clients[i], CHATS, CHAT, false);
    }
    RUN_UNTIL((int)world.serve->n_running + world.requests_of[0] >= STREAMS);
    flo_serve_route_clear(world.serve, 1, FLO_GONE_TAKEN_BACK); /* 5 s */
    for (int i = 0; i < STREAMS; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].status, 200);
    }
    assert_int_equal(world.requests_of[0], STREAMS);
    kill(pid, SIGCONT);
    world_close();
}

static void held_requests_wait_for_the_model_that_they_name(void **state)
{
    static struct client batch;
    const struct flo_serve_limits held = {.holds_batch = true}, none = {false};
    (void)state;
    open_two(99);
    flo_serve_limit(world.serve, &held);
    client_start(&batch, "/v1/completions",
                 "{\"priority\":\"batch\",\"prompt\":\"a\",\"max_tokens\":2,"
                 "\"user\":\"x\"}",
                 false);
    RUN_UNTIL(status_now().held == 1);
    flo_serve_route_clear(world.serve, 1, FLO_GONE_TAKEN_BACK);
    flo_serve_limit(world.serve, &none);
    client_end(&batch);
    assert_int_equal(batch.status, 200);
    world_close();
}

#define AS(name)                                                                                   \
    "{\"model\":\"" name "\",\"max_tokens\":2,\"messages\":[{\"role\":\"user\","                   \
    "\"content\":\"a\"}]}"

static void judge(struct client *client, int status, const char *model, const char *more)
{
    char body[200];

    snprintf(body, sizeof(body), "{\"model\":\"%s\",\"good\":true%s}", model, more);
    ask(client, "/v1/feedback", body);
    assert_int_equal(client->status, status);
}

static void applications_judge_answers(void **state)
{
    static const struct {
        const char *body;
        int status;
    } bad[] = {
        {"{\"model\":\"tiny@1.0.0\",\"good\":true}", 404}, /* served before */
        {"{\"model\":\"\",\"good\":true}", 404},
        {"{\"model\":\"other\",\"good\":true}", 404},
        {"{\"model\":\"tiny\",\"good\":1}", 400},
        {"{\"model\":7,\"good\":true}", 400},
        {"{\"good\":true}", 400},
        {"[", 400},
        {"[]", 400},
    };
    static struct client client, other;
    char id[64];
    (void)state;
    open_two(50);
    judge(&client, 404, "tiny-b@2.1.0", ""); /* nobody got an answer */
    ask(&client, "/v1/chat/completions", AS("tiny-b@2.1.0"));
    other.is_other = true;
    judge(&other, 404, "tiny-b@2.1.0", ""); /* another party got it */
    judge(&client, 404, "tiny-b@2.1.0", ",\"id\":\"chatcmpl-0\"");
    judge(&client, 200, "tiny-b@2.1.0", "");
    judge(&client, 404, "tiny-b@2.1.0", ""); /* once */
    ask(&client, "/v1/chat/completions", AS("tiny@2.0.0"));
    snprintf(id, sizeof(id), ",\"id\":\"%.33s\"", strstr(client.text, "chatcmpl-"));
    judge(&client, 200, "tiny", id);
    judge(&client, 404, "tiny", id);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        ask(&client, "/v1/feedback", bad[i].body);
        assert_int_equal(client.status, bad[i].status);
    }
    assert_int_equal(world.feedback_of[0][0], 0);
    assert_int_equal(world.feedback_of[0][1], 1);
    assert_int_equal(world.feedback_of[1][0], 0);
    assert_int_equal(world.feedback_of[1][1], 1);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_lie_one_behind_the_other),
        cmocka_unit_test(a_person_always_gets_the_same_model),
        cmocka_unit_test(without_a_person_each_request_is_drawn),
        cmocka_unit_test(a_named_release_and_vectors_are_never_split),
        cmocka_unit_test(who_names_nothing_does_not_mean_the_split),
        cmocka_unit_test(its_crash_and_its_end_fail_nobody),
        cmocka_unit_test(requests_under_way_at_its_end_are_answered_all_the_same),
        cmocka_unit_test(held_requests_wait_for_the_model_that_they_name),
        cmocka_unit_test(applications_judge_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

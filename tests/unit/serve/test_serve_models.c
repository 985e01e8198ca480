/* Several models: names, aliases, tokens, releases by route, loads on demand,
 * removal.  Events of one model touch no other. */
#include "unit/held_clock.h"
#include "unit/serve/serve_world.h"

#include "proto/memory/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/gguf.h>

#define LORA "tests/models/tiny-v1-site-lora.gguf"
#define BASE "tests/models/tiny-v1.Q4_0.gguf"

static const char *body_for(const char *model)
{
    static char bodies[8][256];
    static int next;
    char *body = bodies[next++ % 8];
    snprintf(body, sizeof(bodies[0]),
             "{\"model\":\"%s\",\"temperature\":0,\"max_tokens\":24,"
             "\"messages\":[{\"role\":\"user\",\"content\":\"Classify: 23:45 "
             "oven-95 voltage drop temp=35C\"}]}",
             model);
    return body;
}

static struct flo_serve_route route_of(const char *model, const char *version)
{
    struct flo_serve_route route = {.state = FLO_ROUTE_READY};
    strcpy(route.model, model);
    strcpy(route.version, version);
    memset(route.release.bytes, 'R', sizeof(route.release.bytes));
    return route;
}

static void set_route(unsigned index, const struct flo_serve_route *route)
{
    struct flo_err err = {0};
    if (flo_serve_route_set(world.serve, index, route, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static void open_as(unsigned index, const char *name, const char *path, const char *version)
{
    int before = world.loaded;
    load_as(index, name, FLO_ROLE_CURRENT, path, version);
    RUN_UNTIL(world.loaded > before);
}

static void chat(struct client *client, const char *model)
{
    ask(client, "/v1/chat/completions", body_for(model));
}

static const char *label(const struct client *client)
{
    static char text[80];
    const char *at = strstr(client->text, "X-Flotilla-Release: ");
    text[0] = '\0';
    if (at != NULL) {
        sscanf(at + strlen("X-Flotilla-Release: "), "%79[^\r]", text);
    }
    return text;
}

static bool has(const struct client *client, const char *text)
{
    return strstr(client->text, text) != NULL;
}

static struct flo_serve_status status_of(unsigned index)
{
    struct flo_serve_status status;
    flo_serve_get_status(world.serve, index, &status);
    return status;
}

/* ---- names ---- */

static void each_model_answers_under_its_own_name(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    open_as(3, "other", V21, "3.1.0");
    chat(&client, "tiny");
    assert_string_equal(label(&client), "tiny@2.0.0");
    chat(&client, "other");
    assert_string_equal(label(&client), "other@3.1.0");
    chat(&client, "other@3.1.0");
    assert_string_equal(label(&client), "other@3.1.0");
    chat(&client, "other@2.0.0");
    assert_int_equal(client.status, 404);
    ask(&client, "/v1/chat/completions", CHAT); /* names none: the first one */
    assert_string_equal(label(&client), "tiny@2.0.0");
    assert_int_equal(world.requests_of[3], 2);
    world_close();
}

static void models_are_listed_once_with_their_aliases(void **state)
{
    static struct client client;
    struct flo_serve_route route = route_of("helpdesk", "4.0.0");
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    open_as(1, "helpdesk", V21, "4.0.0");
    route.created_s = 1700000000;
    route.n_aliases = 2;
    strcpy(route.aliases[0], "gpt-4o-mini");
    strcpy(route.aliases[1], "tiny"); /* a model's own name wins */
    set_route(1, &route);
    ask(&client, "/v1/models", "");
    assert_true(has(&client, "{\"id\":\"tiny\",\"object\":\"model\","));
    assert_true(has(&client, "{\"id\":\"helpdesk\",\"object\":\"model\","
                             "\"created\":1700000000,"));
    assert_true(has(&client, "\"aliases\":[\"gpt-4o-mini\",\"tiny\"]"));
    assert_false(has(&client, "\"id\":\"helpdesk@4.0.0\""));
    assert_false(has(&client, "\"id\":\"gpt-4o-mini\""));
    ask(&client, "/v1/models/gpt-4o-mini", "");
    assert_true(has(&client, "{\"id\":\"helpdesk\","));
    chat(&client, "gpt-4o-mini");
    assert_string_equal(label(&client), "helpdesk@4.0.0");
    chat(&client, "tiny");
    assert_string_equal(label(&client), "tiny@2.0.0");
    world_close();
}

static void a_bad_route_changes_nothing(void **state)
{
    struct flo_serve_route route = route_of("tiny", "2.0.0");
    struct flo_err err = {0};
    static struct client client;
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    strcpy(route.model, "no name");
    assert_int_equal(flo_serve_route_set(world.serve, 0, &route, &err), FLO_E_META_NAME);
    route = route_of("tiny", "2.0.0");
    route.n_aliases = FLO_SERVE_ALIASES_MAX + 1;
    assert_int_equal(flo_serve_route_set(world.serve, 0, &route, &err), FLO_E_CFG_RANGE);
    chat(&client, "tiny");
    assert_int_equal(client.status, 200);
    world_close();
}

static void a_bound_token_reaches_its_models_alone(void **state)
{
    static const struct flo_serve_token token = {.name = "shop", .secret = "secret-of-the-shop"};
    static struct client client;
    struct flo_serve_route route = route_of("helpdesk", "4.0.0");
    (void)state;
    world_open_bound(&token);
    open_as(0, "tiny", V2, "2.0.0");
    open_as(1, "helpdesk", V21, "4.0.0");
    route.n_tokens = 1;
    strcpy(route.tokens[0], "shop");
    set_route(1, &route);
    client.token = "secret-of-the-shop";
    chat(&client, "helpdesk");
    assert_string_equal(label(&client), "helpdesk@4.0.0");
    ask(&client, "/v1/chat/completions", CHAT); /* its first one */
    assert_string_equal(label(&client), "helpdesk@4.0.0");
    chat(&client, "tiny");
    assert_int_equal(client.status, 404);
    assert_true(has(&client, "infer.model"));
    ask(&client, "/v1/models/tiny", "");
    assert_int_equal(client.status, 404);
    ask(&client, "/v1/models", "");
    assert_true(has(&client, "helpdesk") && !has(&client, "tiny"));
    ask(&client, "/metrics", "");
    assert_int_equal(client.status, 401);
    client.token = "secret-of-the-shox";
    chat(&client, "helpdesk");
    assert_int_equal(client.status, 401);
    client.token = NULL; /* the socket of the group */
    chat(&client, "tiny");
    assert_int_equal(client.status, 200);
    world_close();
}

/* ---- releases by route ---- */

static void answers_are_counted_for_the_release_of_the_route(void **state)
{
    static struct client client;
    struct flo_serve_route route = route_of("tiny", "2.0.1");
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    chat(&client, "tiny");
    assert_string_equal(label(&client), "tiny@2.0.0");
    assert_int_equal(world.release_of[0].bytes[0], '2');
    assert_int_equal(world.first_answers, 1);
    set_route(0, &route);
    chat(&client, "tiny@2.0.1");
    assert_string_equal(label(&client), "tiny@2.0.1");
    assert_true(has(&client, "\"model\":\"tiny@2.0.1\""));
    assert_int_equal(world.release_of[0].bytes[0], 'R');
    assert_int_equal(world.first_answers, 1); /* the route began with it */
    memset(route.release.bytes, 'S', sizeof(route.release.bytes));
    set_route(0, &route);
    chat(&client, "tiny");
    assert_int_equal(world.release_of[0].bytes[0], 'S');
    assert_int_equal(world.first_answers, 2);
    world_close();
}

/* The answer behind this text, up to a quote. */
static const char *behind(const struct client *client, const char *before)
{
    static char texts[8][512];
    static int next;
    char *text = texts[next++ % 8];
    const char *at = strstr(client->text, before);
    assert_non_null(at);
    snprintf(text, sizeof(texts[0]), "%.400s", at + strlen(before));
    text[strcspn(text, "\"")] = '\0';
    return text;
}

static const char *content(const struct client *client)
{
    return behind(client, "\"content\":\"");
}

static const char *vector(struct client *client, const char *body)
{
    ask(client, "/v1/embeddings", body);
    return behind(client, "\"embedding\":[");
}

static void a_route_gives_its_adapter_to_new_requests(void **state)
{
    static struct client client;
    struct flo_serve_route route = route_of("tiny", "1.1.0");
    struct flo_serve_adapter adapter = {.name = "r.0123", .is_private = true};
    struct flo_err err = {0};
    (void)state;
    world_open();
    world.adapter_path = LORA; /* a client's, "site" */
    world.adapter_bytes = 64u << 20;
    open_as(0, "tiny", BASE, "1.0.0");
    chat(&client, "tiny");
    const char *plain = content(&client);
    chat(&client, "tiny:site");
    const char *adapted = content(&client);
    assert_string_not_equal(plain, adapted);
    const char *base = vector(&client, "{\"input\":\"a\"}");
    adapter.fd = open(LORA, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flo_serve_adapter_load(world.serve, 0, FLO_ROLE_CURRENT, &adapter, &err), 0);
    RUN_UNTIL(world.adapters_changed == 1);
    chat(&client, "tiny");
    assert_string_equal(content(&client), plain); /* not yet */
    strcpy(route.adapter, "r.0123");
    set_route(0, &route);
    chat(&client, "tiny");
    assert_string_equal(content(&client), adapted);
    assert_string_equal(label(&client), "tiny@1.1.0");
    /* It is the release's own: no client can name it. */
    chat(&client, "r.0123");
    assert_int_equal(client.status, 404);
    chat(&client, "tiny:r.0123");
    assert_int_equal(client.status, 404);
    ask(&client, "/v1/models", "");
    assert_false(has(&client, "r.0123"));
    assert_true(has(&client, "\"id\":\"tiny:site\""));
    const char *with = vector(&client, "{\"input\":\"a\"}");
    assert_string_not_equal(with, base);
    assert_string_equal(with, vector(&client, "{\"input\":\"a\",\"model\":\"tiny:site\"}"));
    world_close();
}

/* Current release: the base.  The other one: an adapter in its engine. */
static void share_with_adapter(struct flo_serve_route *route)
{
    struct flo_serve_adapter adapter = {.name = "r.0123", .is_private = true};
    struct flo_err err = {0};
    world.adapter_bytes = 64u << 20;
    open_as(0, "tiny", BASE, "1.0.0");
    adapter.fd = open(LORA, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flo_serve_adapter_load(world.serve, 0, FLO_ROLE_CURRENT, &adapter, &err), 0);
    RUN_UNTIL(world.adapters_changed == 1);
    assert_int_equal(flo_serve_share(world.serve, 0, &err), 0);
    *route = route_of("tiny", "1.1.0");
    strcpy(route->adapter, "r.0123");
    assert_int_equal(flo_serve_route_flip(world.serve, 0, FLO_ROLE_CANDIDATE, route, &err), 0);
}

static void roles_that_share_an_engine_differ_by_their_route(void **state)
{
    static struct client client;
    struct flo_serve_route base = route_of("tiny", "1.0.0"), route;
    struct flo_err err = {0};
    (void)state;
    world_open();
    share_with_adapter(&route);
    pid_t pid = status_of(0).roles[FLO_ROLE_CURRENT].pid;
    assert_int_equal(status_of(0).roles[FLO_ROLE_CANDIDATE].pid, pid);
    chat(&client, "tiny");
    const char *adapted = content(&client);
    assert_string_equal(label(&client), "tiny@1.1.0");
    /* Twice its strength is another answer. */
    route.adapter_scale = 4;
    set_route(0, &route);
    chat(&client, "tiny");
    assert_string_not_equal(content(&client), adapted);
    /* The way back. */
    assert_int_equal(flo_serve_route_flip(world.serve, 0, FLO_ROLE_CURRENT, &base, &err), 0);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, true);
    chat(&client, "tiny");
    assert_string_not_equal(content(&client), adapted);
    assert_string_equal(label(&client), "tiny@1.0.0");
    /* And the commit. */
    route.adapter_scale = 1;
    assert_int_equal(flo_serve_share(world.serve, 0, &err), 0);
    assert_int_equal(flo_serve_route_flip(world.serve, 0, FLO_ROLE_CANDIDATE, &route, &err), 0);
    flo_serve_promote(world.serve, 0);
    chat(&client, "tiny");
    assert_string_equal(content(&client), adapted);
    assert_int_equal(status_of(0).roles[FLO_ROLE_CURRENT].pid, pid);
    assert_false(status_of(0).roles[FLO_ROLE_CANDIDATE].is_loaded);
    world_close();
}

static void a_shared_engine_is_lost_for_both_roles(void **state)
{
    struct flo_serve_route route;
    (void)state;
    world_open();
    share_with_adapter(&route);
    int lost = world.lost;
    kill(status_of(0).roles[FLO_ROLE_CURRENT].pid, SIGKILL);
    RUN_UNTIL(world.lost == lost + 2);
    assert_false(status_of(0).is_live);
    assert_false(status_of(0).roles[FLO_ROLE_CURRENT].is_loaded);
    assert_false(status_of(0).roles[FLO_ROLE_CANDIDATE].is_loaded);
    open_as(0, "tiny", BASE, "1.0.0"); /* the place is free */
    world_close();
}

static void a_candidate_moves_into_the_current_engine(void **state)
{
    static struct client client;
    struct flo_serve_route route = route_of("tiny", "1.1.0");
    struct flo_err err = {0};
    (void)state;
    world_open();
    open_as(0, "tiny", BASE, "1.0.0");
    pid_t pid = status_of(0).roles[FLO_ROLE_CURRENT].pid;
    open_candidate(BASE, "1.1.0");
    assert_int_equal(flo_serve_route_flip(world.serve, 0, FLO_ROLE_CANDIDATE, &route, &err), 0);
    chat(&client, "tiny");
    assert_int_equal(flo_serve_share(world.serve, 0, &err), 0);
    assert_int_equal(status_of(0).roles[FLO_ROLE_CANDIDATE].pid, pid);
    chat(&client, "tiny");
    assert_int_equal(client.status, 200);
    assert_string_equal(label(&client), "tiny@1.1.0");
    RUN_UNTIL(!flo_serve_is_ending(world.serve));
    world_close();
}

/* ---- one model's trouble ---- */

static void a_model_that_is_held_holds_no_other(void **state)
{
    static struct client held, client;
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    open_as(1, "other", V21, "3.1.0");
    flo_serve_hold(world.serve, 0);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CURRENT, true);
    set_route(0, &(struct flo_serve_route){
                     .model = "tiny", .version = "2.1.0", .state = FLO_ROUTE_LOADING});
    client_start(&held, "/v1/chat/completions", body_for("tiny"), false);
    RUN_UNTIL(status_of(0).held == 1);
    for (int i = 0; i < 10; i++) {
        chat(&client, "other");
        assert_int_equal(client.status, 200);
    }
    assert_int_equal(status_of(0).held, 1);
    assert_int_equal(status_of(1).held, 0);
    ask(&client, "/v1/models", "");
    assert_true(has(&client, "\"state\":\"loading\""));
    open_as(0, "tiny", V21, "2.1.0");
    client_end(&held);
    assert_string_equal(label(&held), "tiny@2.1.0");
    world_close();
}

static void a_lost_engine_ends_no_request_of_another_model(void **state)
{
    static struct client clients[STREAMS];
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    open_as(1, "other", SLOW, "3.1.0");
    streams_start(clients);
    for (int i = 0; i < 5; i++) {
        int lost = world.lost;
        kill(status_of(1).roles[FLO_ROLE_CURRENT].pid, SIGKILL);
        RUN_UNTIL(world.lost > lost);
        open_as(1, "other", SLOW, "3.1.0");
    }
    streams_end(clients);
    world_close();
}

/* ---- on demand ---- */

static struct flo_serve_route on_demand(uint64_t load_ms)
{
    struct flo_serve_route route = route_of("other", "3.1.0");
    route.state = FLO_ROUTE_ON_DEMAND;
    route.load_ms = load_ms;
    return route;
}

static void a_request_waits_for_the_load_that_it_wants(void **state)
{
    static struct client clients[3];
    struct flo_serve_route route = on_demand(20);
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    set_route(1, &route);
    for (int i = 0; i < 3; i++) {
        client_start(&clients[i], "/v1/chat/completions", body_for("other"), false);
    }
    RUN_UNTIL(status_of(1).held == 3 && world.wanted[1] == 1);
    assert_true(status_of(1).is_wanted && !status_of(1).is_wanted_softly);
    open_as(1, "other", V21, "3.1.0");
    for (int i = 0; i < 3; i++) {
        client_end(&clients[i]);
        assert_string_equal(label(&clients[i]), "other@3.1.0");
        assert_false(has(&clients[i], "\"load_ms\":0.000"));
    }
    assert_int_equal(world.wanted[1], 1);
    assert_true(world.load_us > 0);
    assert_false(status_of(1).is_wanted);
    chat(&clients[0], "other");
    assert_true(has(&clients[0], "\"load_ms\":0.000"));
    assert_int_equal(world.wanted[1], 1);
    /* It leaves, and is wanted again. */
    flo_serve_unload(world.serve, 1, FLO_ROLE_CURRENT, true);
    client_start(&clients[0], "/v1/chat/completions", body_for("other"), false);
    RUN_UNTIL(world.wanted[1] == 2);
    open_as(1, "other", V21, "3.1.0");
    client_end(&clients[0]);
    assert_int_equal(clients[0].status, 200);
    world_close();
}

static void a_load_that_takes_too_long_is_refused_at_once(void **state)
{
    static struct client client;
    struct flo_serve_route route = on_demand(45001);
    (void)state;
    world_open_with(NULL, 0, 30000);
    set_route(1, &route);
    chat(&client, "other");
    assert_int_equal(client.status, 503);
    assert_true(has(&client, "Retry-After: 46\r\n"));
    assert_true(has(&client, "infer.busy"));
    assert_int_equal(world.wanted[1], 0);
    world_close();
}

static void without_a_hold_nobody_loads_a_model_on_demand(void **state)
{
    static struct client client;
    struct flo_serve_route route = on_demand(0);
    (void)state;
    world_open_with(NULL, 0, WORLD_NO_HOLD);
    set_route(1, &route);
    chat(&client, "other");
    assert_int_equal(client.status, 503);
    assert_true(has(&client, "requests do not wait (hold)"));
    assert_int_equal(world.wanted[1], 0);
    world_close();
}

static void a_failed_load_answers_all_that_wait_and_is_not_repeated_at_once(void **state)
{
    static struct client clients[2], client;
    struct flo_serve_route route = on_demand(20);
    (void)state;
    world_open();
    set_route(1, &route);
    for (int i = 0; i < 2; i++) {
        client_start(&clients[i], "/v1/chat/completions", body_for("other"), false);
    }
    RUN_UNTIL(status_of(1).held == 2 && world.wanted[1] == 1);
    held_clock_hold();
    load_as(1, "other", FLO_ROLE_CURRENT, "tests/models/README.md", "3.1.0");
    for (int i = 0; i < 2; i++) {
        client_end(&clients[i]);
        assert_true(has(&clients[i], "gguf.magic"));
    }
    chat(&client, "other");
    assert_int_equal(client.status, 503);
    assert_true(has(&client, "Retry-After: 1\r\n"));
    assert_int_equal(world.wanted[1], 1);
    held_clock_pass_ms(1100);
    held_clock_release();
    client_start(&client, "/v1/chat/completions", body_for("other"), false);
    RUN_UNTIL(world.wanted[1] == 2);
    open_as(1, "other", V21, "3.1.0");
    client_end(&client);
    assert_int_equal(client.status, 200);
    world_close();
}

static void sixteen_wait_for_one_model_of_several(void **state)
{
    enum { MOST = 16 };
    static struct client client;
    struct flo_serve_route route = on_demand(20);
    int fds[MOST];
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    set_route(1, &route);
    for (int i = 0; i < MOST; i++) {
        fds[i] = say("/v1/chat/completions", body_for("other"));
    }
    RUN_UNTIL(status_of(1).held == MOST);
    chat(&client, "other");
    assert_int_equal(client.status, 503);
    assert_true(has(&client, "16 requests wait for this model"));
    chat(&client, "tiny");
    assert_int_equal(client.status, 200);
    for (int i = 0; i < MOST; i++) {
        close(fds[i]);
    }
    world_close();
}

static void a_nearly_empty_battery_loads_nothing(void **state)
{
    static struct client client;
    const struct flo_serve_limits limits = {.refuses_loads = true};
    struct flo_serve_route route = on_demand(20);
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    set_route(1, &route);
    flo_serve_limit(world.serve, &limits);
    chat(&client, "other");
    assert_int_equal(client.status, 503);
    assert_true(has(&client, "Retry-After: 60"));
    assert_true(has(&client, "the battery is nearly empty"));
    assert_int_equal(world.wanted[1], 0);
    chat(&client, "tiny");
    assert_int_equal(client.status, 200);
    world_close();
}

static void a_user_makes_a_soft_spec_a_firm_one(void **state)
{
    static struct client soft, firm;
    struct flo_serve_route route = on_demand(20);
    (void)state;
    world_open();
    set_route(1, &route);
    client_start(&soft, "/v1/chat/completions",
                 "{\"model\":\"other\",\"priority\":\"batch\",\"max_tokens\":4,"
                 "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
                 false);
    RUN_UNTIL(world.wanted[1] == 1);
    assert_true(status_of(1).is_wanted_softly);
    client_start(&firm, "/v1/chat/completions", body_for("other"), false);
    RUN_UNTIL(world.wanted[1] == 2);
    assert_false(status_of(1).is_wanted_softly);
    open_as(1, "other", V21, "3.1.0");
    client_end(&soft);
    client_end(&firm);
    assert_int_equal(soft.status, 200);
    assert_int_equal(firm.status, 200);
    world_close();
}

/* Three models change their releases in turn, and a fourth comes on demand and
 * goes, while each has a client without a pause. */
static int fewest_good(const struct client *clients, unsigned count)
{
    int fewest = clients[0].good;

    for (unsigned i = 1; i < count; i++) {
        fewest = clients[i].good < fewest ? clients[i].good : fewest;
    }
    return fewest;
}

static void two_hundred_alternating_swaps_fail_no_request(void **state)
{
    enum { MODELS = 3, SWAPS = 200, SPARE = 3, ANSWERS = 20 };
    static const char *const names[] = {"tiny", "other", "third", "spare"};
    static const char *const paths[] = {V2, V21};
    static const char *const versions[] = {"2.0.0", "3.0.0"};
    static struct client clients[MODELS + 1];
    static char bodies[MODELS + 1][300];
    struct flo_serve_route spare = on_demand(20);
    struct flo_err err = {0};
    (void)state;
    world_open();
    world.loads_wanted = true;
    for (unsigned i = 0; i < MODELS; i++) {
        open_as(i, names[i], V2, "2.0.0");
    }
    strcpy(spare.model, names[SPARE]);
    set_route(SPARE, &spare);
    for (unsigned i = 0; i <= MODELS; i++) {
        snprintf(bodies[i], sizeof(bodies[i]), "%s", body_for(names[i]));
        client_start(&clients[i], "/v1/chat/completions", bodies[i], true);
    }
    /* more swaps where a plain kernel answers slowly */
    for (unsigned swap = 0; swap < SWAPS || fewest_good(clients, MODELS + 1) <= ANSWERS; swap++) {
        unsigned model = swap % MODELS, release = (swap / MODELS + 1) % 2;
        int before = world.swapped[model];
        load_as(model, names[model], FLO_ROLE_CANDIDATE, paths[release], versions[release]);
        RUN_UNTIL(world.swapped[model] > before);
        assert_int_equal(flo_serve_flip(world.serve, model, FLO_ROLE_CANDIDATE, &err), 0);
        flo_serve_promote(world.serve, model);
        if (swap % 10 == 5) {
            RUN_UNTIL(status_of(SPARE).is_live);
            flo_serve_unload(world.serve, SPARE, FLO_ROLE_CURRENT, true);
        }
    }
    for (unsigned i = 0; i <= MODELS; i++) {
        clients[i].stops = true;
    }
    for (unsigned i = 0; i <= MODELS; i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].bad, 0);
    }
    assert_true(world.wanted[SPARE] >= 20);
    assert_int_equal(world.lost, 0);
    world_close();
}

/* ---- removal ---- */

static void a_removed_model_is_denied_at_once_and_ends_in_time(void **state)
{
    static struct client running, waiting, client;
    struct flo_serve_route route = route_of("other", "3.1.0");
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    open_as(1, "other", SLOW, "3.1.0");
    set_route(1, &route);
    client_start(&running, "/v1/completions",
                 "{\"model\":\"other\",\"ignore_eos\":true,"
                 "\"prompt\":\"a\",\"context_shift\":true,"
                 "\"max_tokens\":1000000}",
                 false);
    RUN_UNTIL(status_of(1).roles[FLO_ROLE_CURRENT].requests == 1);
    flo_serve_route_clear(world.serve, 1, FLO_GONE_REMOVED);
    chat(&client, "other");
    assert_int_equal(client.status, 404);
    ask(&client, "/v1/models", "");
    assert_false(has(&client, "other"));
    chat(&client, "tiny");
    assert_int_equal(client.status, 200);
    client_end(&running);
    assert_int_equal(running.status, 503);
    assert_true(has(&running, "infer.cancelled"));
    flo_serve_unload(world.serve, 1, FLO_ROLE_CURRENT, true);
    /* One that waits is denied too, and the index is free again. */
    route.state = FLO_ROUTE_LOADING;
    set_route(1, &route);
    client_start(&waiting, "/v1/chat/completions", body_for("other"), false);
    RUN_UNTIL(status_of(1).held == 1);
    flo_serve_route_clear(world.serve, 1, FLO_GONE_REMOVED);
    client_end(&waiting);
    assert_int_equal(waiting.status, 404);
    open_as(1, "third", V21, "5.0.0");
    chat(&client, "third");
    assert_int_equal(client.status, 200);
    /* Its numbers are its own: the removed model had requests at this index. */
    ask(&client, "/metrics", "");
    assert_true(has(&client, "flotilla_model_requests_total{model=\"third\"} 1"));
    assert_true(has(&client, "flotilla_model_request_errors_total{model="
                             "\"third\"} 0"));
    assert_true(has(&client, "flotilla_model_request_seconds_count{model=\"third\"} 1"));
    world_close();
}

static void a_release_that_was_taken_back_is_named(void **state)
{
    static struct client waiting, client;
    struct flo_serve_route route = route_of("other", "3.1.0");
    (void)state;
    world_open();
    open_as(0, "tiny", V2, "2.0.0");
    open_as(1, "other", V21, "3.1.0");
    set_route(1, &route);
    chat(&client, "other");
    assert_int_equal(client.status, 200);
    /* As the core does it: held first, then nothing comes in its place. */
    flo_serve_hold(world.serve, 1);
    client_start(&waiting, "/v1/chat/completions", body_for("other"), false);
    RUN_UNTIL(status_of(1).held == 1);
    flo_serve_unload(world.serve, 1, FLO_ROLE_CURRENT, false);
    flo_serve_route_clear(world.serve, 1, FLO_GONE_TAKEN_BACK);
    client_end(&waiting);
    assert_int_equal(waiting.status, 404);
    assert_true(has(&waiting, "other@3.1.0 was taken back"));
    chat(&client, "other");
    assert_int_equal(client.status, 404);
    assert_true(has(&client, "infer.model"));
    assert_true(has(&client, "other@3.1.0 was taken back"));
    chat(&client, "another");
    assert_int_equal(client.status, 404);
    assert_false(has(&client, "taken back"));
    /* The next release of it serves. */
    route = route_of("other", "3.2.0");
    open_as(1, "other", V21, "3.2.0");
    set_route(1, &route);
    chat(&client, "other");
    assert_int_equal(client.status, 200);
    world_close();
}

/* ---- memory ---- */

static struct {
    int ended, error;
    struct flo_serve_planned plans[FLO_SERVE_PLANS_MAX];
} planning;

static void on_planned(void *context, const struct flo_serve_planned *plans,
                       const struct flo_err *err)
{
    (void)context;
    planning.ended++;
    planning.error = err == NULL ? 0 : err->code;
    if (plans != NULL) {
        memcpy(planning.plans, plans, sizeof(planning.plans));
    }
}

static void plan_of(const char *path, uint32_t count)
{
    struct flo_serve_planning spec = {
        .fd = open(path, O_RDONLY | O_CLOEXEC), .count = count, .done = on_planned};
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    struct serve_planner *planner;
    struct flo_err err = {0};
    int before = planning.ended;
    flo_memory_rungs(0, 0, rungs);
    for (uint32_t i = 0; i < count; i++) {
        spec.ways[i].context = rungs[i].context;
        spec.ways[i].sessions = rungs[i].sessions;
        spec.ways[i].cache =
            rungs[i].cache == FLO_MEMORY_CACHE_F16 ? FLO_SERVE_CACHE_F16 : FLO_SERVE_CACHE_Q8_0;
    }
    assert_int_equal(flo_serve_plan(world.serve, &spec, &planner, &err), 0);
    RUN_UNTIL(planning.ended > before);
}

static void the_memory_of_each_rung_is_told_before_a_model_is_loaded(void **state)
{
    (void)state;
    world_open();
    plan_of(V2, FLO_MEMORY_RUNGS);
    assert_int_equal(planning.error, 0);
    for (uint32_t i = 1; i < FLO_MEMORY_RUNGS; i++) {
        assert_true(planning.plans[i].private_bytes < planning.plans[i - 1].private_bytes);
        assert_int_equal(planning.plans[i].weights_bytes, planning.plans[0].weights_bytes);
    }
    assert_int_equal(planning.plans[4].sessions, 1);
    plan_of("tests/models/README.md", 1);
    assert_int_equal(planning.error, FLO_E_GGUF_MAGIC);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_model_answers_under_its_own_name),
        cmocka_unit_test(models_are_listed_once_with_their_aliases),
        cmocka_unit_test(a_bad_route_changes_nothing),
        cmocka_unit_test(a_bound_token_reaches_its_models_alone),
        cmocka_unit_test(answers_are_counted_for_the_release_of_the_route),
        cmocka_unit_test(a_route_gives_its_adapter_to_new_requests),
        cmocka_unit_test(roles_that_share_an_engine_differ_by_their_route),
        cmocka_unit_test(a_shared_engine_is_lost_for_both_roles),
        cmocka_unit_test(a_candidate_moves_into_the_current_engine),
        cmocka_unit_test(a_model_that_is_held_holds_no_other),
        cmocka_unit_test(a_lost_engine_ends_no_request_of_another_model),
        cmocka_unit_test(a_request_waits_for_the_load_that_it_wants),
        cmocka_unit_test(a_load_that_takes_too_long_is_refused_at_once),
        cmocka_unit_test(without_a_hold_nobody_loads_a_model_on_demand),
        cmocka_unit_test(a_failed_load_answers_all_that_wait_and_is_not_repeated_at_once),
        cmocka_unit_test(sixteen_wait_for_one_model_of_several),
        cmocka_unit_test(a_nearly_empty_battery_loads_nothing),
        cmocka_unit_test(a_user_makes_a_soft_spec_a_firm_one),
        cmocka_unit_test(two_hundred_alternating_swaps_fail_no_request),
        cmocka_unit_test(the_memory_of_each_rung_is_told_before_a_model_is_loaded),
        cmocka_unit_test(a_removed_model_is_denied_at_once_and_ends_in_time),
        cmocka_unit_test(a_release_that_was_taken_back_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

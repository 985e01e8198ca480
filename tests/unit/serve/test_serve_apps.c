/* Apps: clients with a bound token are held to their limits, and nobody else
 * is.  Limits are a day's: none comes back within a test. */
#include "unit/serve/serve_world.h"

#include "agent/serve/openai/openai.h"
#include "agent/serve/requests/apps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define SECRET "secret-of-the-shop"
#define VECTORS "{\"input\":[\"a\",\"one two three four five six\"]}"

static struct client client;

static void open_app(const struct flo_serve_bounds *bounds)
{
    struct flo_serve_token token = {.name = "shop", .secret = SECRET};

    token.bounds = *bounds;
    token.bounds.n_models = 1;
    strcpy(token.bounds.models[0], "tiny");
    world_open_bound(&token);
    open_current(V2, "2.0.0");
    client.token = SECRET;
}

static bool has(const char *text)
{
    return strstr(client.text, text) != NULL;
}

/* The number behind a text of the answer; -1: it is not there. */
static long number(const char *name)
{
    const char *at = strstr(client.text, name);

    return at == NULL ? -1 : strtol(at + strlen(name), NULL, 10);
}

static void chat(void)
{
    ask(&client, "/v1/chat/completions", CHAT);
}

static void expect_metric(const char *name, long value)
{
    client.token = NULL;
    ask(&client, "/metrics", "");
    client.token = SECRET;
    assert_int_equal(number(name), value);
}

static void a_request_beyond_the_limit_gets_429_and_when_to_come_again(void **state)
{
    struct flo_serve_bounds bounds = {.limits = {[FLO_QUOTA_REQUESTS_DAY] = 2}};
    (void)state;
    open_app(&bounds);
    chat();
    assert_int_equal(client.status, 200);
    assert_int_equal(number("x-ratelimit-limit-requests: "), 2);
    assert_int_equal(number("x-ratelimit-remaining-requests: "), 1);
    assert_in_range(number("x-ratelimit-reset-requests: "), 23, 24);
    assert_false(has("x-ratelimit-limit-tokens"));
    ask(&client, "/v1/chat/completions", CHAT_STREAM);
    assert_int_equal(client.status, 200);
    assert_int_equal(number("x-ratelimit-remaining-requests: "), 0);
    chat();
    assert_int_equal(client.status, 429);
    assert_in_range(number("Retry-After: "), 86000, 86400 + 1440);
    assert_int_equal(number("x-ratelimit-remaining-requests: "), 0);
    assert_true(has("\"message\":\"app shop: 2 of 2 requests a day are used; "
                    "there is room again in "));
    assert_true(has("\"type\":\"rate_limit_error\""));
    assert_true(has("\"code\":\"rate_limit_exceeded\""));
    ask(&client, "/tokenize", "{\"content\":\"a\"}");
    assert_int_equal(client.status, 429);
    ask(&client, "/v1/embeddings", VECTORS);
    assert_int_equal(client.status, 429);
    expect_metric("\nflotilla_app_requests_total{app=\"shop\"} ", 2);
    expect_metric("\nflotilla_app_refused_total{app=\"shop\"} ", 3);
    expect_metric("\nflotilla_model_request_errors_total{model=\"tiny\"} ", 0);
    /* No release is judged by what its app may not do. */
    RUN_UNTIL(world.requests_of[0] == 2);
    assert_int_equal(world.stats_errors, 0);
    client.token = NULL; /* nobody else is held */
    chat();
    assert_int_equal(client.status, 200);
    assert_false(has("x-ratelimit"));
    world_close();
}

static void a_request_that_is_wrong_uses_nothing_up(void **state)
{
    struct flo_serve_bounds bounds = {.limits = {[FLO_QUOTA_REQUESTS_DAY] = 1}};
    (void)state;
    open_app(&bounds);
    ask(&client, "/v1/chat/completions", "{\"max_tokens\":-1}");
    assert_int_equal(client.status, 400);
    ask(&client, "/v1/completions", "{\"model\":\"none\",\"prompt\":\"a\"}");
    assert_int_equal(client.status, 404);
    ask(&client, "/v1/models", "");
    assert_int_equal(client.status, 200);
    chat();
    assert_int_equal(client.status, 200);
    world_close();
}

static void tokens_are_charged_when_they_are_known(void **state)
{
    struct flo_serve_bounds bounds = {.limits = {[FLO_QUOTA_TOKENS_DAY] = 31}};
    (void)state;
    open_app(&bounds);
    chat();
    assert_int_equal(client.status, 200);
    assert_int_equal(number("\"total_tokens\":"), 30);
    assert_int_equal(number("x-ratelimit-remaining-tokens: "), 31);
    chat(); /* begins with one left, and is not cut */
    assert_int_equal(client.status, 200);
    assert_int_equal(number("x-ratelimit-remaining-tokens: "), 1);
    assert_int_equal(number("\"total_tokens\":"), 30);
    chat();
    assert_int_equal(client.status, 429);
    assert_true(has("60 of 31 tokens a day are used"));
    expect_metric("\nflotilla_app_tokens_in_total{app=\"shop\"} ", 54);
    expect_metric("\nflotilla_app_tokens_out_total{app=\"shop\"} ", 6);
    world_close();
}

static void tokens_of_vectors_are_charged_as_well(void **state)
{
    struct flo_serve_bounds bounds = {.limits = {[FLO_QUOTA_TOKENS_DAY] = 1}};
    (void)state;
    open_app(&bounds);
    ask(&client, "/v1/embeddings", VECTORS);
    assert_int_equal(client.status, 200);
    ask(&client, "/v1/embeddings", VECTORS);
    assert_int_equal(client.status, 429);
    world_close();
}

static void a_batch_app_is_lowered_whatever_it_asks_for(void **state)
{
    struct flo_serve_bounds bounds = {.is_batch = true};
    (void)state;
    open_app(&bounds);
    chat();
    ask(&client, "/v1/completions",
        "{\"prompt\":\"a\",\"max_tokens\":2,\"priority\":\"interactive\"}");
    assert_int_equal(client.status, 200);
    RUN_UNTIL(world.n_told == 2);
    assert_true(world.told[0].is_batch && world.told[1].is_batch);
    client.token = NULL;
    chat();
    RUN_UNTIL(world.n_told == 3);
    assert_false(world.told[2].is_batch);
    world_close();
}

static void a_prompt_that_is_too_long_is_refused_with_its_tokens(void **state)
{
    struct flo_serve_bounds bounds = {.prompt_tokens_max = 26};
    (void)state;
    open_app(&bounds);
    chat();
    assert_int_equal(client.status, 400);
    assert_true(has("the prompt has 27 tokens, its app may send 26"));
    assert_true(has("\"code\":\"context_length_exceeded\""));
    assert_true(has("\"param\":\"messages\""));
    ask(&client, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":2}");
    assert_int_equal(client.status, 200);
    client.token = NULL;
    chat();
    assert_int_equal(client.status, 200);
    world_close();
}

static void each_input_of_vectors_is_a_prompt(void **state)
{
    struct flo_serve_bounds bounds = {.prompt_tokens_max = 4};
    (void)state;
    open_app(&bounds);
    ask(&client, "/v1/embeddings", "{\"input\":[\"a\",\"b\",\"c\",\"d\"]}");
    assert_int_equal(client.status, 200);
    ask(&client, "/v1/embeddings", VECTORS);
    assert_int_equal(client.status, 400);
    assert_true(has("input 1: it has ") && has(" tokens, its app may send 4"));
    world_close();
}

static void an_answer_ends_at_the_apps_most_tokens(void **state)
{
    static const char *const bodies[] = {"{\"prompt\":\"a\",\"ignore_eos\":true}",
                                         "{\"prompt\":\"a\",\"ignore_eos\":true,\"max_tokens\":90}",
                                         "{\"prompt\":\"a\",\"ignore_eos\":true,\"max_tokens\":4}"};
    static const long tokens[] = {7, 7, 4};
    struct flo_serve_bounds bounds = {.answer_tokens_max = 7};
    (void)state;
    open_app(&bounds);
    for (size_t i = 0; i < FLO_COUNT(bodies); i++) {
        ask(&client, "/v1/completions", bodies[i]);
        assert_int_equal(number("\"completion_tokens\":"), tokens[i]);
        assert_true(has("\"finish_reason\":\"length\""));
    }
    world_close();
}

static void an_app_names_its_models_itself(void **state)
{
    struct flo_serve_bounds bounds = {0};
    int before;
    (void)state;
    open_app(&bounds);
    before = world.loaded;
    load_as(1, "helpdesk", FLO_ROLE_CURRENT, V21, "4.0.0");
    RUN_UNTIL(world.loaded > before);
    chat();
    assert_true(has("X-Flotilla-Release: tiny@2.0.0"));
    ask(&client, "/v1/completions", "{\"model\":\"helpdesk\",\"prompt\":\"a\",\"max_tokens\":1}");
    assert_int_equal(client.status, 404);
    ask(&client, "/v1/models", "");
    assert_true(has("tiny") && !has("helpdesk"));
    world_close();
}

/* It counts tokens when it has answered. */
static void a_runtimes_prompt_is_held_to_four_bytes_a_token(void **state)
{
    struct flo_serve *serve = calloc(1, sizeof(*serve));
    struct serve_engine engine = {.runtime = "npu"};
    struct serve_request request = {.serve = serve, .front = &flo_openai_chat};
    struct flo_wire_generate *in = &request.params.message.generate;
    struct flo_err err = {0};
    (void)state;
    assert_non_null(serve);
    strcpy(serve->tokens[0].name, "shop");
    serve->tokens[0].bounds.prompt_tokens_max = 3;
    request.params.message.type = FLO_WIRE_GENERATE;
    in->n_messages = 2;
    in->messages[0].content = (struct flo_wire_text){"1234567", 7};
    in->messages[1].content = (struct flo_wire_text){"12345", 5};
    assert_int_equal(flo_app_check_prompt(&request, &engine, &err), 0);
    in->messages[1].content.bytes = 6;
    assert_int_equal(flo_app_check_prompt(&request, &engine, &err), FLO_E_INFER_TOO_LONG);
    assert_string_equal(err.what, "the prompt has 13 bytes, app shop may send "
                                  "3 tokens of 4 bytes");
    assert_string_equal(request.params.param, "messages");
    /* An image counts by itself, and not by its base64. */
    serve->tokens[0].bounds.prompt_tokens_max = 3 + 1024;
    in->messages[1].content.bytes = 5;
    in->n_images = 1;
    in->images[0].url.bytes = 100000;
    assert_int_equal(flo_app_check_prompt(&request, &engine, &err), 0);
    in->n_images = 2;
    assert_int_equal(flo_app_check_prompt(&request, &engine, &err), FLO_E_INFER_TOO_LONG);
    engine.runtime[0] = '\0'; /* ours counts itself */
    assert_int_equal(flo_app_check_prompt(&request, &engine, &err), 0);
    free(serve);
}

static uint32_t public_of(const char *role, const char *text)
{
    struct flo_serve *serve = calloc(1, sizeof(*serve));
    struct serve_request request = {.serve = serve, .party.token = -1};
    struct flo_wire_generate *in = &request.params.message.generate;
    request.params.message.type = FLO_WIRE_GENERATE;
    in->n_messages = 1;
    in->messages[0].role = (struct flo_wire_text){role, strlen(role)};
    in->messages[0].content = (struct flo_wire_text){text, strlen(text)};
    serve->shared_prefixes = json_pack("[s, s, s]", "You see", "You see to a plant.", "Other");
    flo_app_bind(&request);
    json_decref(serve->shared_prefixes);
    free(serve);
    return in->public_bytes;
}

static void an_owners_prefix_of_a_system_message_is_public(void **state)
{
    (void)state;
    assert_int_equal(public_of("system", "You see to a plant. The code is 4711."), 19);
    assert_int_equal(public_of("system", "You see all."), 7);
    assert_int_equal(public_of("system", "You"), 0);
    assert_int_equal(public_of("user", "You see to a plant."), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_beyond_the_limit_gets_429_and_when_to_come_again),
        cmocka_unit_test(a_request_that_is_wrong_uses_nothing_up),
        cmocka_unit_test(tokens_are_charged_when_they_are_known),
        cmocka_unit_test(tokens_of_vectors_are_charged_as_well),
        cmocka_unit_test(a_batch_app_is_lowered_whatever_it_asks_for),
        cmocka_unit_test(a_prompt_that_is_too_long_is_refused_with_its_tokens),
        cmocka_unit_test(each_input_of_vectors_is_a_prompt),
        cmocka_unit_test(an_answer_ends_at_the_apps_most_tokens),
        cmocka_unit_test(an_app_names_its_models_itself),
        cmocka_unit_test(an_owners_prefix_of_a_system_message_is_public),
        cmocka_unit_test(a_runtimes_prompt_is_held_to_four_bytes_a_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

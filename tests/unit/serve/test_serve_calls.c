/* Tools on their whole way: a client's request, an engine process, the answer
 * over HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "unit/serve/serve_world.h"

#define ASKS(fields)                                                                               \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{"                           \
    "\"type\":\"function\",\"function\":{\"name\":\"f\"}}]" fields "}"
#define F ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"

static struct client client;

static void open_with_calls(void)
{
    world_open_with(HOSTILE_ENGINE, 0, 0);
    setenv("FLO_HOSTILE", "calls", 1);
    open_current(V2, "2.0.0");
    unsetenv("FLO_HOSTILE");
}

static void expect(const char *text)
{
    if (strstr(client.text, text) == NULL) {
        fail_msg("%s\nhas no %s", client.text, text);
    }
}

static void a_call_reaches_the_client(void **state)
{
    (void)state;
    open_with_calls();
    ask(&client, "/v1/chat/completions", ASKS(F));
    assert_int_equal(client.status, 200);
    expect("\"content\":\"[{\\\"type\\\":\\\"function\\\",\\\"function\\\":{"
           "\\\"name\\\":\\\"f\\\"}}]\"");
    expect("\"reasoning_content\":\"hm\"");
    expect("\"type\":\"function\",\"function\":{\"name\":\"f\","
           "\"arguments\":\"{}\"}}]}");
    expect("\"finish_reason\":\"tool_calls\"");
    ask(&client, "/v1/chat/completions", ASKS(F ",\"stream\":true"));
    assert_int_equal(client.status, 200);
    expect("\"delta\":{\"reasoning_content\":\"hm\"}");
    expect("\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_");
    expect("\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{"
           "\"arguments\":\"{}\"}}]}");
    expect("\"finish_reason\":\"tool_calls\"");
    expect("data: [DONE]");
    world_close();
}

/* The engine is not ended for it: its other requests are whole. */
static void an_answer_that_breaks_the_protocol_ends_alone(void **state)
{
    (void)state;
    open_with_calls();
    for (int i = 0; i < 2; i++) {
        ask(&client, "/v1/chat/completions", i == 0 ? ASKS("") : ASKS(",\"stream\":true"));
        assert_true(client.status >= 500);
        expect("\"code\":\"worker.protocol\"");
        expect("arguments without a call");
    }
    assert_int_equal(world.lost, 0);
    ask(&client, "/v1/chat/completions", ASKS(F));
    assert_int_equal(client.status, 200);
    world_close();
}

static void a_model_without_the_ability_refuses_by_the_clients_word(void **state)
{
    static const struct {
        const char *body, *param;
    } rows[] = {
        {ASKS(""), "tools"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
         "\"functions\":[{\"name\":\"f\"}]}",
         "functions"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
         "\"chat_template_kwargs\":{\"enable_thinking\":false}}",
         "chat_template_kwargs"},
    };
    char wanted[64];
    (void)state;
    world_open_with(HOSTILE_ENGINE, 0, 0);
    setenv("FLO_HOSTILE", "heap", 1);
    open_current(V2, "2.0.0");
    unsetenv("FLO_HOSTILE");
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        ask(&client, "/v1/chat/completions", rows[i].body);
        assert_int_equal(client.status, 400);
        snprintf(wanted, sizeof(wanted), "\"param\":\"%s\"", rows[i].param);
        expect(wanted);
        snprintf(wanted, sizeof(wanted), "leave `%s` out", rows[i].param);
        expect(wanted);
    }
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_reaches_the_client),
        cmocka_unit_test(an_answer_that_breaks_the_protocol_ends_alone),
        cmocka_unit_test(a_model_without_the_ability_refuses_by_the_clients_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

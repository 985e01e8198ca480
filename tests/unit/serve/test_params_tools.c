/* Tools, calls and thoughts of a chat: what reaches the engine, in one form,
 * and how a wrong one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/thinking.h>

#include "agent/serve/params/params.h"

#define USER "{\"role\":\"user\",\"content\":\"a\"}"
#define ASKS(fields) "{\"messages\":[" USER "]," fields "}"
#define SAYS(messages) "{\"messages\":[" USER "," messages "]}"
#define F(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"
#define CALL(id, name, arguments)                                                                  \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name                      \
    "\",\"arguments\":" arguments "}}"
#define CALLS(calls) "{\"role\":\"assistant\",\"tool_calls\":[" calls "]}"
#define TOOL(id) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"7\"}"

static struct serve_params params;
static struct flo_err err;

static void read_body(const char *body)
{
    memset(&err, 0, sizeof(err));
    if (flo_params_read(REQUEST_CHAT, body, strlen(body), &params, &err) < 0) {
        fail_msg("%s: %s", body, err.what);
    }
}

static void expect_text(struct flo_wire_text text, const char *wanted)
{
    if (text.bytes != strlen(wanted) ||
        (text.bytes > 0 && memcmp(text.data, wanted, text.bytes) != 0)) {
        fail_msg("%.*s, wanted %s", (int)text.bytes, text.data, wanted);
    }
}

static bool may_call(const char *name)
{
    return flo_params_may_call(&params, (struct flo_wire_text){name, strlen(name)});
}

/* ---- tools ---- */

static void tools_reach_the_engine_in_one_form(void **state)
{
    const struct flo_wire_generate *g = &params.message.generate;
    (void)state;
    read_body(ASKS("\"tools\":[{\"function\":{\"strict\":true,\"parameters\":{\"type\":"
                   "\"object\",\"properties\":{\"z\":{},\"a\":{\"type\":\"string\"}}},"
                   "\"description\":\"It is \\u00e4.\",\"name\":\"get_x\",\"more\":1},"
                   "\"type\":\"function\"}," F("B.2-c") "]"));
    expect_text(g->tools, "[{\"type\":\"function\",\"function\":{\"name\":\"get_x\","
                          "\"description\":\"It is ä.\",\"parameters\":{\"type\":"
                          "\"object\",\"properties\":{\"z\":{},\"a\":{\"type\":"
                          "\"string\"}}}}},{\"type\":\"function\",\"function\":{"
                          "\"name\":\"B.2-c\"}}]");
    assert_int_equal(g->tool_choice, FLO_WIRE_TOOLS_AUTO);
    assert_false(g->one_call);
    assert_true(may_call("get_x") && may_call("B.2-c"));
    assert_false(may_call("get_") || may_call("et_x") || may_call("") ||
                 may_call("get_x\n\nB.2-c") || may_call("B"));
    flo_params_deinit(&params);
}

static void a_choice_says_which_tools_may_be_called(void **state)
{
#define CHOICE(choice) ASKS("\"tools\":[" F("f") "," F("g") "],\"tool_choice\":" choice)
    static const struct {
        const char *body;
        enum flo_wire_tool_choice choice;
        const char *name;
        bool f, g, one_call;
    } rows[] = {
        {CHOICE("\"auto\""), FLO_WIRE_TOOLS_AUTO, "", true, true, false},
        {CHOICE("null,\"parallel_tool_calls\":true"), FLO_WIRE_TOOLS_AUTO, "", true, true, false},
        {CHOICE("\"auto\",\"parallel_tool_calls\":false"), FLO_WIRE_TOOLS_AUTO, "", true, true,
         true},
        {CHOICE("\"none\""), FLO_WIRE_TOOLS_NONE, "", false, false, false},
        {CHOICE("\"required\""), FLO_WIRE_TOOLS_REQUIRED, "", true, true, false},
        {CHOICE("{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"), FLO_WIRE_TOOLS_REQUIRED,
         "g", false, true, false},
        {ASKS("\"tools\":[],\"tool_choice\":\"none\""), FLO_WIRE_TOOLS_AUTO, "", false, false,
         false},
        {ASKS("\"functions\":[{\"name\":\"f\"},{\"name\":\"g\"}]"), FLO_WIRE_TOOLS_AUTO, "", true,
         true, true},
        {ASKS("\"functions\":[{\"name\":\"f\"},{\"name\":\"g\"}],"
              "\"function_call\":{\"name\":\"f\"}"),
         FLO_WIRE_TOOLS_REQUIRED, "f", true, false, true},
        {ASKS("\"functions\":[{\"name\":\"f\"}],\"function_call\":\"none\""), FLO_WIRE_TOOLS_NONE,
         "", false, false, true},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_wire_generate *g = &params.message.generate;
        read_body(rows[i].body);
        if (g->tool_choice != rows[i].choice || may_call("f") != rows[i].f ||
            may_call("g") != rows[i].g || g->one_call != rows[i].one_call) {
            fail_msg("%s", rows[i].body);
        }
        expect_text(g->tool_name, rows[i].name);
        flo_params_deinit(&params);
    }
}

/* ---- refusals ---- */

struct refusal {
    const char *body, *param, *says;
};

static void expect_refusals(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memset(&err, 0, sizeof(err));
        int rv = flo_params_read(REQUEST_CHAT, rows[i].body, strlen(rows[i].body), &params, &err);
        if (rv != FLO_E_INFER_PARAM || strcmp(params.param, rows[i].param) != 0 ||
            strstr(err.what, rows[i].says) == NULL) {
            fail_msg("%s gave %s, %s", rows[i].body, params.param, err.what);
        }
    }
}

static void wrong_tools_are_refused_by_number(void **state)
{
#define NAMED(name) ASKS("\"tools\":[" F("f") "," F(name) "]")
#define TEN "aaaaaaaaaa"
#define WITH(member)                                                                               \
    ASKS("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","                         \
         "" member "}}]")
    static const struct refusal rows[] = {
        {ASKS("\"tools\":\"search\""), "tools", "a list of at most 512"},
        {ASKS("\"tools\":{}"), "tools", "a list of at most 512"},
        {ASKS("\"tools\":[7]"), "tools", "[0] is not of type function"},
        {ASKS("\"tools\":[{\"type\":\"web_search\"}]"), "tools", "not built"},
        {ASKS("\"tools\":[{\"type\":\"function\"}]"), "tools", "[0] must have a name"},
        {NAMED(""), "tools", "[1] must have a name of 1 to 64"},
        {NAMED("a b"), "tools", "[1] must have a name"},
        {NAMED("a\\n"), "tools", "[1] must have a name"},
        {NAMED("\\u00e4"), "tools", "[1] must have a name"},
        {NAMED(TEN TEN TEN TEN TEN TEN "aaaaa"), "tools", "1 to 64 letters"},
        {NAMED("f"), "tools", "[1] is `f` again"},
        {WITH("\"description\":7"), "tools", "[0] has a description"},
        {WITH("\"parameters\":[]"), "tools", "[0] has parameters"},
        {WITH("\"parameters\":\"{}\""), "tools", "[0] has parameters"},
        {ASKS("\"functions\":[{\"type\":\"function\"}]"), "functions", "[0] must have a name"},
        {ASKS("\"functions\":true"), "functions", "a list"},
        {ASKS("\"functions\":[{\"name\":\"f\"}],\"tools\":[" F("f") "]"), "functions",
         "beside tools"},
        {ASKS("\"function_call\":\"auto\",\"tools\":[" F("f") "]"), "function_call",
         "beside tools"},
        {CHOICE("\"any\""), "tool_choice", "none, auto, required or"},
        {CHOICE("7"), "tool_choice", "name a function"},
        {CHOICE("{\"type\":\"function\"}"), "tool_choice", "name a function"},
        {CHOICE("{\"type\":\"custom\",\"function\":{\"name\":\"f\"}}"), "tool_choice",
         "name a function"},
        {CHOICE("{\"type\":\"function\",\"function\":{\"name\":\"h\"}}"), "tool_choice",
         "names `h`, which is not among tools"},
        {ASKS("\"tool_choice\":\"required\""), "tool_choice", "no tools"},
        {ASKS("\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"
              "\"f\"}}"),
         "tool_choice", "not among tools"},
        {ASKS("\"function_call\":{\"name\":\"f\"}"), "function_call", "not among functions"},
        {CHOICE("\"auto\",\"parallel_tool_calls\":1"), "parallel_tool_calls", "true or false"},
        {CHOICE("\"auto\",\"grammar\":\"root ::= \\\"a\\\"\""), "grammar", "grammar with tools"},
    };
    (void)state;
    expect_refusals(rows, FLO_COUNT(rows));
}

static void more_tools_than_the_most_are_refused(void **state)
{
    enum { MOST = 512 };
    struct flo_buf body = {0};
    (void)state;
    for (int count = MOST; count <= MOST + 1; count++) {
        body.bytes = 0;
        flo_buf_text(&body, "{\"messages\":[" USER "],\"tools\":[");
        for (int i = 0; i < count; i++) {
            flo_buf_printf(&body,
                           "%s{\"type\":\"function\",\"function\":{\"name\":"
                           "\"f%d\"}}",
                           i > 0 ? "," : "", i);
        }
        flo_buf_text(&body, "]}");
        int rv = flo_params_read(REQUEST_CHAT, body.data, body.bytes, &params, &err);
        assert_int_equal(rv, count == MOST ? 0 : FLO_E_INFER_PARAM);
        if (rv == 0) {
            assert_true(may_call("f0") && may_call("f511"));
            flo_params_deinit(&params);
        }
    }
    flo_buf_deinit(&body);
}

/* ---- a conversation with calls ---- */

static void calls_and_their_answers_stand_next_to_the_messages(void **state)
{
    const struct flo_wire_generate *g = &params.message.generate;
    (void)state;
    read_body(SAYS(
        "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":"
        "\"hm \\\"so\\\"\",\"tool_calls\":[" CALL("1", "f", "\"{ \\\"a\\\":1}\"") "," CALL(
            "2", "g", "{\"b\": [2]}") "," CALL("3", "g", "\"\"") "]}," TOOL("2") ",{\"role\":"
                                                                                 "\"tool\",\"tool_"
                                                                                 "call_id\":\"1\","
                                                                                 "\"name\":"
                                                                                 "\"own\","
                                                                                 "\"content\":[{"
                                                                                 "\"type\":"
                                                                                 "\"text\","
                                                                                 "\"text\":\"x\"}]}"
                                                                                 ","
                                                                                 "{\"role\":"
                                                                                 "\"assistant\","
                                                                                 "\"content\":"
                                                                                 "\"done\","
                                                                                 "\"reasoning\":"
                                                                                 "\"r\"},"
                                                                                 "{\"role\":"
                                                                                 "\"assistant\"}"));
    assert_int_equal(g->n_messages, 6);
    expect_text(g->messages[0].more, "");
    expect_text(g->messages[1].content, "");
    expect_text(g->messages[1].more,
                "{\"tool_calls\":["
                "{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"{ \\\"a\\\":1}\"}},"
                "{\"id\":\"2\",\"type\":\"function\",\"function\":{\"name\":\"g\","
                "\"arguments\":\"{\\\"b\\\":[2]}\"}},"
                "{\"id\":\"3\",\"type\":\"function\",\"function\":{\"name\":\"g\","
                "\"arguments\":\"{}\"}}],\"reasoning_content\":\"hm \\\"so\\\"\"}");
    expect_text(g->messages[2].role, "tool");
    expect_text(g->messages[2].content, "7");
    expect_text(g->messages[2].more, "{\"tool_call_id\":\"2\",\"name\":\"g\"}");
    expect_text(g->messages[3].more, "{\"tool_call_id\":\"1\",\"name\":\"own\"}");
    expect_text(g->messages[4].content, "done");
    expect_text(g->messages[4].more, "{\"reasoning_content\":\"r\"}");
    expect_text(g->messages[5].content, "");
    expect_text(g->messages[5].more, "");
    flo_params_deinit(&params);
}

static void calls_of_the_old_form_become_those_of_the_new_one(void **state)
{
    const struct flo_wire_generate *g = &params.message.generate;
    (void)state;
    read_body(SAYS("{\"role\":\"assistant\",\"content\":null,"
                   "\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
                   "{\"role\":\"function\",\"name\":\"f\",\"content\":\"7\"}"));
    expect_text(g->messages[1].more, "{\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\","
                                     "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}");
    expect_text(g->messages[2].role, "tool");
    expect_text(g->messages[2].more, "{\"tool_call_id\":\"call_1\",\"name\":\"f\"}");
    flo_params_deinit(&params);
}

static void one_id_may_be_in_two_messages(void **state)
{
    const struct flo_wire_generate *g = &params.message.generate;
    (void)state;
    read_body(SAYS(CALLS(CALL("1", "f", "\"{}\"")) "," TOOL("1") "," CALLS(
        CALL("1", "g", "\"{}\"")) "," TOOL("1")));
    expect_text(g->messages[2].more, "{\"tool_call_id\":\"1\",\"name\":\"f\"}");
    expect_text(g->messages[4].more, "{\"tool_call_id\":\"1\",\"name\":\"g\"}");
    flo_params_deinit(&params);
}

static void wrong_calls_are_refused_by_their_message(void **state)
{
#define ONE(call) SAYS(CALLS(call))
    static const struct refusal rows[] = {
        {SAYS("{\"role\":\"assistant\",\"tool_calls\":7}"), "messages",
         "messages[1] has tool_calls that are no list"},
        {ONE("7"), "messages", "messages[1] has a call without an id"},
        {ONE(CALL("", "f", "\"{}\"")), "messages", "without an id of 1 to"},
        {ONE("{\"id\":\"1\",\"type\":\"custom\"}"), "messages", "not of type function"},
        {ONE("{\"id\":\"1\",\"type\":\"function\"}"), "messages", "a function's name"},
        {ONE(CALL("1", "a b", "\"{}\"")), "messages", "a function's name"},
        {ONE(CALL("1", "f", "\"[]\"")), "messages", "no JSON object"},
        {ONE(CALL("1", "f", "\"{\"")), "messages", "no JSON object"},
        {ONE(CALL("1", "f", "null")), "messages", "no JSON object"},
        {ONE(CALL("1", "f", "7")), "messages", "no JSON object"},
        {ONE(CALL("1", "f", "\"{}\"") "," CALL("1", "g", "\"{}\"")), "messages",
         "messages[1] has two calls with the id \"1\""},
        {SAYS("{\"role\":\"assistant\",\"function_call\":{}}"), "messages", "a function's name"},
        {SAYS("{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\","
              "\"arguments\":\"{}\"},\"tool_calls\":[" CALL("1", "f", "\"{}\"") "]}"),
         "messages", "both tool_calls and function_call"},
        {SAYS("{\"role\":\"user\",\"content\":\"b\",\"tool_calls\":[{}]}"), "messages",
         "messages[1] has calls, which are an assistant's"},
        {SAYS("{\"role\":\"assistant\",\"reasoning_content\":{}}"), "messages",
         "messages[1] has reasoning_content that is no text"},
        {SAYS(TOOL("1")), "messages", "messages[1] has tool_call_id \"1\", which no earlier"},
        {SAYS(TOOL("1") "," CALLS(CALL("1", "f", "\"{}\""))), "messages",
         "messages[1] has tool_call_id"},
        {SAYS("{\"role\":\"tool\",\"content\":\"7\"}"), "messages",
         "messages[1] has no tool_call_id"},
        {SAYS(CALLS(CALL("1", "f", "\"{}\"")) ",{\"role\":\"tool\","
                                              "\"tool_call_id\":\"1\"}"),
         "messages", "messages[2] has no content as text"},
        {SAYS(CALLS(CALL("1", "f", "\"{}\"")) ",{\"role\":\"function\","
                                              "\"name\":\"f\",\"content\":"
                                              "\"7\"}"),
         "messages", "messages[2] has no name of a function that"},
        {SAYS("{\"role\":\"user\",\"content\":null}"), "messages",
         "messages[1] has no content as text"},
    };
    (void)state;
    expect_refusals(rows, FLO_COUNT(rows));
}

/* ---- thoughts ---- */

static void thinking_is_asked_for_in_two_ways(void **state)
{
#define EFFORT(effort) ASKS("\"reasoning_effort\":" effort)
#define KWARGS(text) ASKS("\"chat_template_kwargs\":" text)
    static const struct {
        const char *body;
        enum flo_thinking thinking;
        const char *effort, *named;
    } rows[] = {
        {EFFORT("null"), FLO_THINKING_AUTO, "", "reasoning_effort"},
        {EFFORT("\"none\""), FLO_THINKING_OFF, "", "reasoning_effort"},
        {EFFORT("\"minimal\""), FLO_THINKING_ON, "minimal", "reasoning_effort"},
        {EFFORT("\"high\""), FLO_THINKING_ON, "high", "reasoning_effort"},
        {KWARGS("{\"enable_thinking\":true}"), FLO_THINKING_ON, "", "chat_template_kwargs"},
        {KWARGS("{\"enable_thinking\":false}"), FLO_THINKING_OFF, "", "chat_template_kwargs"},
        {KWARGS("{},\"reasoning_format\":\"deepseek\""), FLO_THINKING_AUTO, "", "reasoning_effort"},
    };
    static const struct refusal wrong[] = {
        {EFFORT("\"xhigh\""), "reasoning_effort", "none, minimal, low"},
        {EFFORT("7"), "reasoning_effort", "none, minimal, low"},
        {KWARGS("7"), "chat_template_kwargs", "an object"},
        {KWARGS("{\"enable_thinking\":\"no\"}"), "chat_template_kwargs", "not true or false"},
        {KWARGS("{\"thinking\":true}"), "chat_template_kwargs",
         "has `thinking`: only `enable_thinking`"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        read_body(rows[i].body);
        assert_int_equal(params.message.generate.thinking, rows[i].thinking);
        expect_text(params.message.generate.effort, rows[i].effort);
        assert_string_equal(flo_params_named(&params, "reasoning_effort"), rows[i].named);
        flo_params_deinit(&params);
    }
    expect_refusals(wrong, FLO_COUNT(wrong));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tools_reach_the_engine_in_one_form),
        cmocka_unit_test(a_choice_says_which_tools_may_be_called),
        cmocka_unit_test(wrong_tools_are_refused_by_number),
        cmocka_unit_test(more_tools_than_the_most_are_refused),
        cmocka_unit_test(calls_and_their_answers_stand_next_to_the_messages),
        cmocka_unit_test(calls_of_the_old_form_become_those_of_the_new_one),
        cmocka_unit_test(one_id_may_be_in_two_messages),
        cmocka_unit_test(wrong_calls_are_refused_by_their_message),
        cmocka_unit_test(thinking_is_asked_for_in_two_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

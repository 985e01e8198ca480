/* Anthropic's messages: what a body asks the engine, how a wrong one is
 * refused, and blocks of an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/grammar.h>
#include <flotilla/thinking.h>

#include "agent/serve/anthropic/anthropic.h"
#include "agent/serve/front/memory.h"

#define USER "{\"role\":\"user\",\"content\":\"a\"}"
#define SAYS(messages) "{\"max_tokens\":9,\"messages\":[" messages "]}"
#define ASKS(fields) "{\"max_tokens\":9,\"messages\":[" USER "]," fields "}"
#define ASSISTANT(blocks) "{\"role\":\"assistant\",\"content\":[" blocks "]}"
#define BLOCKS(blocks) "{\"role\":\"user\",\"content\":[" blocks "]}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define USE(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":{\"a\":1}}"
#define RESULT(id, more) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\"" more "}"
#define TOOL(name) "{\"name\":\"" name "\",\"input_schema\":{}}"
#define TOOLS "\"tools\":[" TOOL("f") "," TOOL("g") "]"

static struct flo_serve *serve;
static struct serve_memory memory;
static struct serve_request *request;
static struct flo_err err;

static int set_up(void **state)
{
    (void)state;
    serve = calloc(1, sizeof(*serve));
    return serve == NULL;
}

static void forget(void)
{
    if (request != NULL) {
        flo_request_free(request);
    }
    request = NULL;
    flo_buf_deinit(&memory.body);
    memset(&memory, 0, sizeof(memory));
    memset(&err, 0, sizeof(err));
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    free(serve);
    return 0;
}

static void open_request(const struct serve_front *front, const char *body)
{
    const struct serve_question question = {
        .front = front,
        .sink = flo_sink_memory(&memory),
        .party.token = -1,
        .body = {NULL, body, strlen(body)},
    };

    forget();
    request = flo_request_open(serve, &question);
}

static const struct flo_wire_generate *ask(const char *body)
{
    open_request(&flo_anthropic_messages, body);
    if (request == NULL) {
        fail_msg("%s: %s", body, memory.body.data);
    }
    strcpy(request->model_name, "tiny@1");
    return &request->params.message.generate;
}

static void expect_text(struct flo_wire_text text, const char *wanted)
{
    if (text.bytes != strlen(wanted) ||
        (text.bytes > 0 && memcmp(text.data, wanted, text.bytes) != 0)) {
        fail_msg("%.*s, wanted %s", (int)text.bytes, text.data, wanted);
    }
}

/* ---- bodies ---- */

struct message {
    const char *role, *content, *more;
};

static void expect_messages(const struct flo_wire_generate *g, const struct message *wanted)
{
    uint32_t i = 0;

    for (; wanted[i].role != NULL; i++) {
        assert_true(i < g->n_messages);
        expect_text(g->messages[i].role, wanted[i].role);
        expect_text(g->messages[i].content, wanted[i].content);
        expect_text(g->messages[i].more, wanted[i].more);
    }
    assert_int_equal(g->n_messages, i);
}

static void an_image_stands_where_it_was(void **state)
{
    static const char png[] = "data:image/png;base64,iVBORw0KGgo=";
    (void)state;
    const struct flo_wire_generate *in =
        ask(SAYS(BLOCKS(TEXT("a") ",{\"type\":\"image\",\"source\":{\"type\":\"base64\","
                                  "\"media_type\":\"image/png\",\"data\":\"iVBORw0KGgo=\"}}"
                                  "," TEXT("b"))));
    assert_int_equal(in->n_images, 1);
    assert_int_equal(in->images[0].at, 1);
    assert_int_equal(in->images[0].url.bytes, sizeof(png) - 1);
    assert_memory_equal(in->images[0].url.data, png, sizeof(png) - 1);
    assert_int_equal(in->messages[0].content.bytes, 2);
}

static void blocks_become_messages_in_their_order(void **state)
{
#define CALLED                                                                                     \
    "{\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{"                          \
    "\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]"
#define ANSWERS "{\"tool_call_id\":\"x\",\"name\":\"f\"}"
    static const struct {
        const char *body;
        struct message wanted[6];
    } rows[] = {
        {SAYS(USER), {{"user", "a", ""}}},
        {ASKS("\"system\":\"s\""), {{"system", "s", ""}, {"user", "a", ""}}},
        {ASKS("\"system\":[" TEXT("s") "," TEXT("t") "]"),
         {{"system", "s\nt", ""}, {"user", "a", ""}}},
        {SAYS(BLOCKS(TEXT("b") "," TEXT("c"))), {{"user", "b\nc", ""}}},
        {SAYS(USER "," ASSISTANT("{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":\"\"},"
                                 "{\"type\":\"redacted_thinking\",\"data\":\"z\"}," TEXT("b"))),
         {{"user", "a", ""}, {"assistant", "b", "{\"reasoning_content\":\"h\"}"}}},
        {SAYS(USER "," ASSISTANT(USE("x")) "," BLOCKS(
             RESULT("x", ",\"content\":\"7\"") "," TEXT("go on"))),
         {{"user", "a", ""},
          {"assistant", "", CALLED "}"},
          {"tool", "7", ANSWERS},
          {"user", "go on", ""}}},
        {SAYS(USER "," ASSISTANT(USE("x")) "," BLOCKS(
             RESULT("x", ",\"is_error\":true,\"content\":[" TEXT("no") "]"))),
         {{"user", "a", ""}, {"assistant", "", CALLED "}"}, {"tool", "Error:\nno", ANSWERS}}},
        {SAYS(USER "," ASSISTANT(USE("x")) "," BLOCKS(RESULT("x", ""))),
         {{"user", "a", ""}, {"assistant", "", CALLED "}"}, {"tool", "", ANSWERS}}},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        expect_messages(ask(rows[i].body), rows[i].wanted);
    }
}

static void fields_reach_the_engine(void **state)
{
    const struct flo_wire_generate *g;
    (void)state;
    g = ask(ASKS("\"temperature\":1,\"top_p\":0.5,\"top_k\":7,\"model\":\"m\","
                 "\"stop_sequences\":[\"x\",\"y\"],\"service_tier\":"
                 "\"standard_only\",\"metadata\":{\"user_id\":\"u\"},"
                 "\"unknown\":[1],\"thinking\":{\"type\":\"enabled\","
                 "\"budget_tokens\":1024}"));
    assert_int_equal(g->max_tokens, 9);
    assert_true(g->temperature == 1 && g->top_p == 0.5 && g->top_k == 7);
    assert_int_equal(g->n_stops, 2);
    expect_text(g->stops[1], "y");
    assert_int_equal(g->thinking, FLO_THINKING_ON);
    assert_string_equal(request->params.model, "m");
    assert_true(request->params.user != 0 && !request->params.is_stream);
    g = ask(ASKS("\"thinking\":{\"type\":\"disabled\"},\"stream\":true,"
                 "\"output_config\":{\"format\":{\"type\":\"json_schema\","
                 "\"schema\":{\"type\":\"object\"}}}"));
    assert_int_equal(g->thinking, FLO_THINKING_OFF);
    assert_int_equal(g->grammar_kind, FLO_GRAMMAR_SCHEMA);
    expect_text(g->grammar, "{\"type\":\"object\"}");
    assert_true(request->params.is_stream);
}

static void tools_and_their_choice_reach_the_engine(void **state)
{
#define CHOICE(text) ASKS(TOOLS ",\"tool_choice\":{\"type\":" text "}")
    static const struct {
        const char *body;
        uint32_t choice;
        const char *name;
        bool one;
    } rows[] = {
        {ASKS(TOOLS), FLO_WIRE_TOOLS_AUTO, "", false},
        {CHOICE("\"auto\""), FLO_WIRE_TOOLS_AUTO, "", false},
        {CHOICE("\"any\""), FLO_WIRE_TOOLS_REQUIRED, "", false},
        {CHOICE("\"none\""), FLO_WIRE_TOOLS_NONE, "", false},
        {CHOICE("\"tool\",\"name\":\"g\""), FLO_WIRE_TOOLS_REQUIRED, "g", false},
        {CHOICE("\"any\",\"disable_parallel_tool_use\":true"), FLO_WIRE_TOOLS_REQUIRED, "", true},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_wire_generate *g = ask(rows[i].body);
        assert_int_equal(g->tool_choice, rows[i].choice);
        expect_text(g->tool_name, rows[i].name);
        assert_true(g->one_call == rows[i].one);
    }
    /* A tool that would run elsewhere is passed over. */
    expect_text(ask(ASKS("\"tools\":[{\"type\":\"bash_20250124\",\"name\":"
                         "\"bash\"},{\"type\":\"custom\",\"name\":\"f\","
                         "\"description\":\"d\",\"input_schema\":{\"type\":"
                         "\"object\"}}]"))
                    ->tools,
                "[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                "\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}"
                "}]");
}

static void a_wrong_body_is_refused_by_the_clients_words(void **state)
{
    static const struct {
        const char *body, *says;
    } rows[] = {
        {"[", "error"},
        {"[]", "no JSON object"},
        {"{\"messages\":[" USER "]}", "max_tokens must be given"},
        {"{\"max_tokens\":0,\"messages\":[" USER "]}", "max_tokens is 0"},
        {"{\"max_tokens\":9}", "messages must be a list"},
        {SAYS(""), "messages must be a list"},
        {SAYS("7"), "messages[0] must have the role"},
        {SAYS("{\"role\":\"system\",\"content\":\"a\"}"),
         "messages[0] must have the role user or assistant"},
        {SAYS("{\"role\":\"user\"}"), "messages[0] must have a content"},
        {SAYS(USER "," BLOCKS("{\"type\":\"image\"}")),
         "messages[1] has a content block of type \\\"image\\\""},
        {SAYS(USER "," USER "," BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"base64\","
                                       "\"media_type\":\"image/png\",\"data\":\"/9j/4A==\"}}")),
         "messages[2] has an image that says image/png"},
        {SAYS(BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"url\","
                     "\"url\":\"https://example.org/a.png\"}}")),
         "a device fetches nothing for a prompt"},
        {SAYS(BLOCKS("{\"type\":\"text\"}")), "lacks its text"},
        {SAYS(BLOCKS("{}")), "messages[0] has a content block without a type"},
        {SAYS(BLOCKS(USE("x"))), "of type \\\"tool_use\\\""},
        {SAYS(BLOCKS("{\"type\":\"tool_result\"}")), "without a tool_use_id"},
        {SAYS(BLOCKS(RESULT("x", ""))),
         "messages[0] has tool_use_id \\\"x\\\", which no earlier message"},
        {SAYS(USER "," ASSISTANT(USE("x")) "," BLOCKS(RESULT("x", ",\"content\":7"))),
         "messages[2] has a tool_result whose content"},
        {SAYS(USER "," ASSISTANT(USE("x")) "," BLOCKS(
             RESULT("x", ",\"content\":[{\"type\":\"image\"}]"))),
         "messages[2] has a content block of type \\\"image\\\""},
        {SAYS(USER "," ASSISTANT("{\"type\":\"tool_use\",\"id\":\"x\","
                                 "\"name\":\"f\",\"input\":\"{}\"}")),
         "messages[1] has a tool_use without"},
        {ASKS("\"system\":7"), "system must be"},
        {ASKS("\"system\":[{\"type\":\"image\"}]"), "system[0] must be"},
        {ASKS("\"temperature\":1.5"), "temperature must be a number from 0 to 1"},
        {ASKS("\"temperature\":\"1\""), "temperature must be"},
        {ASKS("\"stop_sequences\":[\"\"]"), "\"stop_sequences must be"},
        {ASKS("\"service_tier\":\"x\""), "service_tier must be"},
        {ASKS("\"tools\":7"), "tools must be a list"},
        {ASKS("\"tools\":[{\"name\":\"f\"}]"), "tools[0] must have"},
        {ASKS("\"tools\":[{\"type\":{},\"name\":\"f\",\"input_schema\":{}}]"),
         "tools[0] has a type that is no text"},
        {ASKS("\"tools\":[" TOOL("f") "," TOOL("f") "]"), "`f` again"},
        {ASKS("\"tool_choice\":{\"type\":\"any\"}"), "there are no tools"},
        {ASKS("\"tool_choice\":\"any\""), "tool_choice must have the type"},
        {CHOICE("\"tool\",\"name\":\"h\""), "tool_choice names `h`"},
        {CHOICE("\"any\",\"disable_parallel_tool_use\":1"), "disable_parallel_tool_use"},
        {ASKS("\"thinking\":{\"type\":\"x\"}"), "thinking must have the type"},
        {ASKS("\"output_config\":{\"format\":{\"type\":\"x\"}}"), "output_config must have"},
        {ASKS("\"stream\":1"), "stream"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        open_request(&flo_anthropic_messages, rows[i].body);
        if (request != NULL || memory.status != 400 ||
            strncmp(memory.body.data,
                    "{\"type\":\"error\",\"error\":{\"type\":"
                    "\"invalid_request_error\",\"message\":\"",
                    66) != 0 ||
            strstr(memory.body.data, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].body, memory.body.data);
        }
    }
}

/* Two messages of OpenAI's body stand before the wrong one, which the client
 * sent as its third. */
static void an_error_of_the_reader_has_the_clients_number(void **state)
{
    (void)state;
    open_request(&flo_anthropic_messages,
                 "{\"max_tokens\":9,\"system\":\"s\",\"messages\":[" USER
                 "," ASSISTANT(USE("x")) "," ASSISTANT(USE("y") "," USE("y")) "]}");
    assert_null(request);
    assert_non_null(strstr(memory.body.data, "messages[2] has two calls with the id"));
}

/* The vendor's tool runner asks for one first. */
static void a_thread_is_refused_so_that_clients_go_on_without_one(void **state)
{
    (void)state;
    open_request(&flo_anthropic_messages, ASKS("\"thread\":{\"type\":\"create\"}"));
    assert_null(request);
    assert_int_equal(memory.status, 400);
    assert_non_null(strstr(memory.body.data, ",\"details\":{\"error_code\":"
                                             "\"thread_unsupported_request\","
                                             "\"unsupported\":[\"thread\"]}}}\n"));
    open_request(&flo_anthropic_messages, ASKS("\"thread\":null"));
    assert_non_null(request);
}

static void a_count_needs_the_prompt_alone(void **state)
{
    struct flo_wire_done frame = {.reason = FLO_WIRE_LENGTH,
                                  .text = {"b", 1},
                                  .tokens_in = 31,
                                  .cached_tokens = 30,
                                  .tokens_out = 1};
    (void)state;
    open_request(&flo_anthropic_count,
                 "{\"stream\":true,\"temperature\":7,\"messages\":[" USER "]}");
    assert_non_null(request);
    assert_int_equal(request->params.message.generate.max_tokens, 1);
    assert_int_equal(flo_answer_done(request, &frame, &err), 0);
    assert_string_equal(memory.body.data, "{\"input_tokens\":31}\n");
}

/* ---- answers ---- */

struct part {
    uint32_t kind;
    const char *text;
};
enum { THOUGHT = 1, CALL, ARGUMENTS };

static struct flo_buf parts_of(const struct part *parts)
{
    struct flo_buf out = {0};

    for (; parts->kind != 0; parts++) {
        struct flo_wire_part part = {parts->kind, {parts->text, strlen(parts->text)}};
        flo_wire_part_add(&out, &part);
    }
    return out;
}

static void answer(const struct part *parts, const char *text, enum flo_wire_reason reason)
{
    struct flo_buf bytes = parts_of(parts);
    struct flo_wire_token frame = {.text = {text, strlen(text)},
                                   .parts = {bytes.data, bytes.bytes}};
    struct flo_wire_done last = {
        .reason = reason, .tokens_in = 8, .cached_tokens = 5, .tokens_out = 2};

    assert_int_equal(flo_answer_token(request, &frame, &err), 0);
    flo_buf_deinit(&bytes);
    assert_int_equal(flo_answer_done(request, &last, &err), 0);
    assert_int_equal(memory.status, 200);
}

static void expect(const char *text)
{
    if (strstr(memory.body.data, text) == NULL) {
        fail_msg("%s lacks %s", memory.body.data, text);
    }
}

static const struct part all[] = {{THOUGHT, "h"},      {CALL, "f"}, {ARGUMENTS, "{\"a\":"},
                                  {ARGUMENTS, "[1]}"}, {CALL, "g"}, {0}};

static void an_answer_is_a_list_of_blocks(void **state)
{
    (void)state;
    ask(ASKS(TOOLS));
    answer(all, "b", FLO_WIRE_STOP);
    expect("\"model\":\"tiny@1\",\"content\":[{\"type\":\"thinking\","
           "\"thinking\":\"h\",\"signature\":\"\"},{\"type\":\"text\","
           "\"text\":\"b\"},{\"type\":\"tool_use\",\"id\":\"call_");
    expect("\"name\":\"f\",\"input\":{\"a\":[1]}},{");
    expect("\"name\":\"g\",\"input\":{}}],\"stop_reason\":\"tool_use\","
           "\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,"
           "\"output_tokens\":2,\"cache_creation_input_tokens\":0,"
           "\"cache_read_input_tokens\":5}}\n");
}

static void a_stop_text_that_ended_it_is_told(void **state)
{
    static const struct {
        const char *more;
        enum flo_wire_reason reason;
        uint32_t stop;
        const char *wanted;
    } rows[] = {
        {"", FLO_WIRE_STOP, 2, "],\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"\\\"y\","},
        {",\"stream\":true", FLO_WIRE_STOP, 1,
         "{\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"x\"},"},
        {"", FLO_WIRE_STOP, 0, "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"},
        {"", FLO_WIRE_STOP, 3, "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"},
        {"", FLO_WIRE_LENGTH, 1, "\"stop_reason\":\"max_tokens\",\"stop_sequence\":null,"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_wire_done last = {.reason = rows[i].reason, .stop = rows[i].stop};
        char body[256];

        snprintf(body, sizeof(body), "%s%s}",
                 "{\"max_tokens\":9,\"messages\":[" USER "],"
                 "\"stop_sequences\":[\"x\",\"\\\"y\"]",
                 rows[i].more);
        ask(body);
        assert_int_equal(flo_answer_done(request, &last, &err), 0);
        expect(rows[i].wanted);
    }
}

static void an_input_that_was_cut_is_empty(void **state)
{
    const struct part cut[] = {{CALL, "f"}, {ARGUMENTS, "{\"a\":"}, {0}};
    (void)state;
    ask(ASKS(TOOLS));
    answer(cut, "", FLO_WIRE_LENGTH);
    expect("\"name\":\"f\",\"input\":{}}],\"stop_reason\":\"max_tokens\"");
}

/* Types of a stream's events, with the index of each block. */
static void a_block_ends_where_the_kind_changes(void **state)
{
    static const char *const wanted[] = {
        "message_start\n",
        "content_block_start\ndata: {\"type\":\"content_block_start\","
        "\"index\":0,\"content_block\":{\"type\":\"thinking\"",
        "{\"type\":\"thinking_delta\",\"thinking\":\"h\"}",
        "{\"type\":\"signature_delta\",\"signature\":\"\"}",
        "content_block_stop\",\"index\":0}\n\n",
        "\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "{\"type\":\"text_delta\",\"text\":\"b\"}",
        "content_block_stop\",\"index\":1}\n\n",
        "\"index\":2,\"content_block\":{\"type\":\"tool_use\"",
        "\"partial_json\":\"{\\\"a\\\":\"}}\n\n",
        "\"partial_json\":\"[1]}\"}}\n\n",
        "content_block_stop\",\"index\":2}\n\n",
        "\"index\":3,\"content_block\":{\"type\":\"tool_use\"",
        "content_block_stop\",\"index\":3}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
        "\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{"
        "\"input_tokens\":3,",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    };
    const char *at;
    (void)state;
    ask(ASKS(TOOLS ",\"stream\":true"));
    answer(all, "b", FLO_WIRE_STOP);
    at = memory.body.data;
    for (size_t i = 0; i < FLO_COUNT(wanted); i++) {
        const char *found = strstr(at, wanted[i]);
        if (found == NULL) {
            fail_msg("%s lacks %s", at, wanted[i]);
        }
        at = found + strlen(wanted[i]);
    }
    assert_string_equal(at, "");
}

static void an_error_in_a_stream_is_its_last_event(void **state)
{
    struct flo_wire_token frame = {.text = {"a", 1}};
    (void)state;
    ask(ASKS("\"stream\":true"));
    assert_int_equal(flo_answer_token(request, &frame, &err), 0);
    flo_fail(&err, FLO_E_ENGINE_CRASH, "it is gone");
    flo_answer_fail(request, &err);
    expect("\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
           "\"overloaded_error\",\"message\":\"it is gone; ");
    assert_null(strstr(memory.body.data, "message_stop"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_image_stands_where_it_was),
        CASE(blocks_become_messages_in_their_order),
        CASE(fields_reach_the_engine),
        CASE(tools_and_their_choice_reach_the_engine),
        CASE(a_wrong_body_is_refused_by_the_clients_words),
        CASE(an_error_of_the_reader_has_the_clients_number),
        CASE(a_thread_is_refused_so_that_clients_go_on_without_one),
        CASE(a_count_needs_the_prompt_alone),
        CASE(an_answer_is_a_list_of_blocks),
        CASE(a_stop_text_that_ended_it_is_told),
        CASE(an_input_that_was_cut_is_empty),
        CASE(a_block_ends_where_the_kind_changes),
        CASE(an_error_in_a_stream_is_its_last_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* OpenAI's responses: what a body asks the engine, how a wrong one is refused,
 * items of an answer, and responses that are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/grammar.h>
#include <flotilla/thinking.h>

#include "agent/serve/front/memory.h"
#include "agent/serve/requests/apps.h"
#include "agent/serve/responses/responses.h"
#include "agent/serve/responses/store.h"

#define ASKS(fields) "{\"input\":\"a\"," fields "}"
#define SAYS(items) "{\"input\":[" items "]}"
#define USER "{\"role\":\"user\",\"content\":\"a\"}"
#define SAID(role, parts) "{\"type\":\"message\",\"role\":\"" role "\",\"content\":[" parts "]}"
#define TEXT(type, text) "{\"type\":\"" type "\",\"text\":\"" text "\"}"
#define CALL(id)                                                                                   \
    "{\"type\":\"function_call\",\"call_id\":\"" id                                                \
    "\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}"
#define OUTPUT(id, output)                                                                         \
    "{\"type\":\"function_call_output\",\"call_id\":\"" id "\",\"output\":" output "}"
#define THOUGHT(text)                                                                              \
    "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"content\":"                          \
    "[" TEXT("reasoning_text", text) "]}"
#define TOOL(name) "{\"type\":\"function\",\"name\":\"" name "\"}"
#define TOOLS "\"tools\":[" TOOL("f") "," TOOL("g") "]"

static struct flo_serve *serve;
static struct serve_memory memory;
static struct serve_request *request;
static struct flo_err err;
static int token;

static int set_up(void **state)
{
    (void)state;
    token = -1;
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
    flo_responses_close(serve);
    free(serve);
    return 0;
}

static void open_request(const struct serve_front *front, const char *body)
{
    const struct serve_question question = {
        .front = front,
        .sink = flo_sink_memory(&memory),
        .party = {.number = token < 0 ? flo_party_of(FLO_PARTY_USER, 4711) : (uint64_t)token,
                  .token = token},
        .body = {NULL, body, strlen(body)},
    };

    forget();
    request = flo_request_open(serve, &question);
}

static const struct flo_wire_generate *ask(const char *body)
{
    open_request(&flo_responses, body);
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

static void expect(const char *text)
{
    if (strstr(memory.body.data, text) == NULL) {
        fail_msg("%s lacks %s", memory.body.data, text);
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
    (void)state;
    const struct flo_wire_generate *in = ask(SAYS(USER "," SAID(
        "user", TEXT("input_text", "b") ",{\"type\":"
                                        "\"input_image\",\"image_url\":\"data:image/png;base64,"
                                        "iVBORw0KGgo=\",\"detail\":\"high\"}")));
    assert_int_equal(in->n_images, 1);
    assert_int_equal(in->images[0].message, 1);
    assert_int_equal(in->images[0].at, 1);
    assert_int_equal(in->images[0].detail, FLO_WIRE_DETAIL_HIGH);
    expect_text(in->images[0].url, "data:image/png;base64,iVBORw0KGgo=");
}

static void items_become_messages_in_their_order(void **state)
{
#define ONE(id)                                                                                    \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\","                       \
    "\"arguments\":\"{\\\"a\\\":1}\"}}"
#define ANSWERS(id) "{\"tool_call_id\":\"" id "\",\"name\":\"f\"}"
    static const struct {
        const char *body;
        struct message wanted[7];
    } rows[] = {
        {"{\"input\":\"a\"}", {{"user", "a", ""}}},
        {ASKS("\"instructions\":\"s\""), {{"system", "s", ""}, {"user", "a", ""}}},
        {SAYS(SAID("developer", TEXT("input_text", "s")) "," USER),
         {{"system", "s", ""}, {"user", "a", ""}}},
        /* A system message at once behind the instructions joins them. */
        {"{\"instructions\":\"s\",\"input\":[" SAID(
             "system", TEXT("input_text", "t")) "," USER
                                                "," SAID("system", TEXT("input_text", "u")) "]}",
         {{"system", "s\nt", ""}, {"user", "a", ""}, {"system", "u", ""}}},
        {SAYS(SAID("user", TEXT("input_text", "b") "," TEXT("input_text", "c"))),
         {{"user", "b\nc", ""}}},
        {SAYS(USER "," SAID("assistant", TEXT("output_text", "b") ",{\"type\":\"refusal\","
                                                                  "\"refusal\":\"no\"}")),
         {{"user", "a", ""}, {"assistant", "b\nno", ""}}},
        /* Reasoning, text and calls of one answer are one message. */
        {SAYS(USER "," THOUGHT("h") "," SAID("assistant", TEXT("output_text", "b")) "," CALL(
             "x") "," CALL("y") "," OUTPUT("y", "\"7\"") "," OUTPUT("x",
                                                                    "[" TEXT("input_"
                                                                             "text",
                                                                             "8") "]") "," USER),
         {{"user", "a", ""},
          {"assistant", "b",
           "{\"tool_calls\":[" ONE("x") "," ONE("y") "],\"reasoning_content\":\"h\"}"},
          {"tool", "7", ANSWERS("y")},
          {"tool", "8", ANSWERS("x")},
          {"user", "a", ""}}},
        {SAYS(USER "," SAID("assistant", TEXT("output_text", "b")) "," SAID(
             "assistant", TEXT("output_text", "c"))),
         {{"user", "a", ""}, {"assistant", "b", ""}, {"assistant", "c", ""}}},
        {SAYS(THOUGHT("h") "," THOUGHT("i") "," CALL("x") "," THOUGHT("j") "," SAID(
             "assistant", TEXT("output_text", "b"))),
         {{"assistant", "", "{\"tool_calls\":[" ONE("x") "],\"reasoning_content\":\"h\\ni\"}"},
          {"assistant", "b", "{\"reasoning_content\":\"j\"}"}}},
        /* Without its answer it says nothing. */
        {SAYS(THOUGHT("h") "," USER), {{"user", "a", ""}}},
        {SAYS("{\"type\":\"reasoning\",\"summary\":[" TEXT(
             "summary_text", "k") "],\"encrypted_content\":\"z\"}," SAID("assistant",
                                                                         TEXT("output_text", "b"))),
         {{"assistant", "b", "{\"reasoning_content\":\"k\"}"}}},
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
    g = ask(ASKS("\"max_output_tokens\":9,\"temperature\":1,\"top_p\":0.5,"
                 "\"presence_penalty\":1,\"frequency_penalty\":-1,\"model\":"
                 "\"m\",\"service_tier\":\"flex\",\"user\":\"u\",\"unknown\":"
                 "[1],\"include\":[\"reasoning.encrypted_content\"],"
                 "\"stream_options\":{\"include_obfuscation\":false},"
                 "\"reasoning\":{\"effort\":\"xhigh\",\"summary\":\"auto\"},"
                 "\"truncation\":\"auto\",\"top_logprobs\":0,\"background\":"
                 "false,\"store\":null,\"text\":{\"verbosity\":\"low\"}"));
    assert_int_equal(g->max_tokens, 9);
    assert_true(g->temperature == 1 && g->top_p == 0.5);
    assert_true(g->presence_penalty == 1 && g->frequency_penalty == -1);
    assert_int_equal(g->priority, FLO_WIRE_BATCH);
    assert_int_equal(g->thinking, FLO_THINKING_ON);
    expect_text(g->effort, "high");
    assert_string_equal(request->params.model, "m");
    assert_true(request->params.user != 0 && !request->params.is_stream);
    assert_true(request->params.drops_turns);
    g = ask(ASKS("\"stream\":true,\"text\":{\"format\":{\"type\":"
                 "\"json_schema\",\"name\":\"n\",\"schema\":{\"type\":"
                 "\"object\"}}},\"reasoning\":{\"effort\":\"none\"}"));
    assert_int_equal(g->thinking, FLO_THINKING_OFF);
    assert_int_equal(g->grammar_kind, FLO_GRAMMAR_SCHEMA);
    expect_text(g->grammar, "{\"type\":\"object\"}");
    assert_true(request->params.is_stream && !request->params.drops_turns);
    g = ask(ASKS("\"text\":{\"format\":{\"type\":\"json_object\"}}"));
    assert_int_equal(g->grammar_kind, FLO_GRAMMAR_JSON);
}

static void tools_and_their_choice_reach_the_engine(void **state)
{
#define CHOICE(text) ASKS(TOOLS ",\"tool_choice\":" text)
#define ALLOWED(names, mode) CHOICE("{\"type\":\"allowed_tools\",\"tools\":[" names "]" mode "}")
    static const struct {
        const char *body;
        uint32_t choice;
        const char *name;
        bool one, may_call_f;
    } rows[] = {
        {ASKS(TOOLS), FLO_WIRE_TOOLS_AUTO, "", false, true},
        {CHOICE("\"auto\""), FLO_WIRE_TOOLS_AUTO, "", false, true},
        {CHOICE("\"required\""), FLO_WIRE_TOOLS_REQUIRED, "", false, true},
        {CHOICE("\"none\""), FLO_WIRE_TOOLS_NONE, "", false, false},
        {CHOICE(TOOL("g")), FLO_WIRE_TOOLS_REQUIRED, "g", false, false},
        {ALLOWED(TOOL("g"), ",\"mode\":\"required\""), FLO_WIRE_TOOLS_REQUIRED, "", false, false},
        {ALLOWED(TOOL("f"), ""), FLO_WIRE_TOOLS_AUTO, "", false, true},
        {CHOICE("\"auto\",\"parallel_tool_calls\":false"), FLO_WIRE_TOOLS_AUTO, "", true, true},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_wire_generate *g = ask(rows[i].body);
        assert_int_equal(g->tool_choice, rows[i].choice);
        expect_text(g->tool_name, rows[i].name);
        assert_true(g->one_call == rows[i].one);
        assert_true(flo_params_may_call(&request->params, (struct flo_wire_text){"f", 1}) ==
                    rows[i].may_call_f);
    }
}

static void a_wrong_body_is_refused_by_the_clients_words(void **state)
{
    static const struct {
        const char *body, *says, *param;
    } rows[] = {
        {"[", "error", NULL},
        {"[]", "no JSON object", NULL},
        {"{}", "input must be a text, or a list of items", "input"},
        {"{\"input\":7}", "input must be a text, or a list of items", "input"},
        {SAYS(THOUGHT("h")), "input has reasoning alone", "input"},
        {SAYS("7"), "input[0] must be an item with a type", "input"},
        {SAYS("{\"role\":\"critic\",\"content\":\"a\"}"), "input[0] must have the role user",
         "input"},
        {SAYS(USER ",{\"role\":\"user\"}"), "input[1] has no content", "input"},
        {SAYS(SAID("user", "7")), "input[0] has a content part without a type", "input"},
        {SAYS(SAID("user", "{\"type\":\"input_text\"}")),
         "input[0] has a content part of type \\\"input_text\\\"", "input"},
        {SAYS(SAID("user", "{\"type\":\"input_image\",\"image_url\":\"x\"}")),
         "input[0] has an image by a link", "input"},
        {SAYS(SAID("user", "{\"type\":\"input_image\",\"file_id\":\"x\"}")),
         "input[0] has an input_image without an image_url", "input"},
        {SAYS(USER "," CALL("x") "," OUTPUT("x", "[{\"type\":\"input_image\",\"image_url\":"
                                                 "\"data:image/png;base64,iVBORw0KGgo=\"}]")),
         "input[2] has an image, which only a user's message", "input"},
        {SAYS(SAID("user", "{\"type\":\"input_file\",\"file_url\":\"x\"}")),
         "the model reads text alone", "input"},
        {SAYS("{\"type\":\"web_search_call\"}"),
         "input[0] has the type \\\"web_search_call\\\", which is not built", "input"},
        {SAYS("{\"type\":\"function_call\"}"), "input[0] must have a call_id", "input"},
        {SAYS(USER "," OUTPUT("x", "\"7\"")),
         "input[1] has call_id \\\"x\\\", which no earlier item calls", "input"},
        {SAYS(USER "," CALL("x") "," OUTPUT("x", "7")), "input[2] has no output as a text",
         "input"},
        /* Two items are one message, and the wrong one is the second. */
        {"{\"instructions\":\"s\",\"input\":[" USER
         "," THOUGHT("h") "," CALL("x") "," CALL("x") "]}",
         "input[3] has two calls with the id", "input"},
        {ASKS("\"instructions\":7"), "instructions must be a text", "instructions"},
        {ASKS("\"max_output_tokens\":0"), "\"max_output_tokens is 0", "max_output_tokens"},
        {ASKS("\"temperature\":3"), "temperature", "temperature"},
        {ASKS("\"tools\":7"), "tools must be a list", "tools"},
        {ASKS("\"tools\":[{}]"), "tools[0] must have a type", "tools"},
        {ASKS("\"tools\":[{\"type\":\"mcp\"}," TOOL("") "]"), "tools [1] must have a name",
         "tools"},
        {ASKS("\"tools\":[{\"type\":\"mcp\"}],\"tool_choice\":\"required\""), "there are no tools",
         "tool_choice"},
        {CHOICE("{\"type\":\"mcp\"}"), "tool_choice must be", "tool_choice"},
        {CHOICE(TOOL("h")), "tool_choice names `h`", "tool_choice"},
        {ASKS("\"text\":7"), "text must be an object", "text"},
        {ASKS("\"text\":{\"format\":{\"type\":\"x\"}}"), "\"text.format must have a type",
         "text.format"},
        {ASKS("\"text\":{\"format\":{\"type\":\"json_schema\"}}"), "\"text.format has no schema",
         "text.format"},
        {ASKS("\"reasoning\":7"), "reasoning must be an object", "reasoning"},
        {ASKS("\"reasoning\":{\"effort\":\"x\"}"), "\"reasoning.effort must be none",
         "reasoning.effort"},
        {ASKS("\"truncation\":\"x\""), "truncation must be auto or disabled", "truncation"},
        {ASKS("\"store\":1"), "store must be true or false", "store"},
        {ASKS("\"include\":7"), "include must be a list", "include"},
        {ASKS("\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":7,"
              "\"schema\":{}}}"),
         "text.format has a name", "text.format"},
        {ASKS("\"metadata\":{\"a\":7}"), "metadata must be an object of", "metadata"},
        {ASKS("\"background\":true"), "background must be false", "background"},
        {ASKS("\"conversation\":\"c\""), "conversation is not built", "conversation"},
        {ASKS("\"prompt\":{}"), "prompt is not built", "prompt"},
        {ASKS("\"top_logprobs\":2"), "top_logprobs must be 0", "top_logprobs"},
        {ASKS("\"include\":[\"message.output_text.logprobs\"]"),
         "include asks for log-probabilities", "include"},
        {ASKS("\"stream\":1"), "stream", "stream"},
        {ASKS("\"max_tool_calls\":0"), "max_tool_calls must be", "max_tool_calls"},
    };
    char param[64];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        open_request(&flo_responses, rows[i].body);
        snprintf(param, sizeof(param), "\"param\":%s%s%s", rows[i].param == NULL ? "" : "\"",
                 rows[i].param == NULL ? "null" : rows[i].param, rows[i].param == NULL ? "" : "\"");
        if (request != NULL || memory.status != 400 ||
            strncmp(memory.body.data, "{\"error\":{\"message\":\"", 21) != 0 ||
            strstr(memory.body.data, rows[i].says) == NULL ||
            strstr(memory.body.data, param) == NULL) {
            fail_msg("%s: %s", rows[i].body, memory.body.data);
        }
    }
}

static void a_count_needs_the_prompt_alone(void **state)
{
    struct flo_wire_done frame = {
        .reason = FLO_WIRE_LENGTH, .text = {"b", 1}, .tokens_in = 31, .tokens_out = 1};
    (void)state;
    open_request(&flo_responses_count, ASKS("\"stream\":true,\"temperature\":7"));
    assert_non_null(request);
    assert_int_equal(request->params.message.generate.max_tokens, 1);
    assert_int_equal(flo_answer_done(request, &frame, &err), 0);
    assert_string_equal(memory.body.data,
                        "{\"object\":\"response.input_tokens\",\"input_tokens\":31}\n");
}

/* ---- answers ---- */

struct part {
    uint32_t kind;
    const char *text;
};
enum { THINKS = 1, CALLS, ARGUMENTS };

static void answer(const struct part *parts, const char *text, enum flo_wire_reason reason)
{
    struct flo_buf bytes = {0};
    struct flo_wire_done last = {
        .reason = reason, .tokens_in = 8, .cached_tokens = 5, .tokens_out = 2};

    for (; parts->kind != 0; parts++) {
        struct flo_wire_part part = {parts->kind, {parts->text, strlen(parts->text)}};
        flo_wire_part_add(&bytes, &part);
    }
    struct flo_wire_token frame = {.text = {text, strlen(text)},
                                   .parts = {bytes.data, bytes.bytes}};
    assert_int_equal(flo_answer_token(request, &frame, &err), 0);
    flo_buf_deinit(&bytes);
    assert_int_equal(flo_answer_done(request, &last, &err), 0);
    assert_int_equal(memory.status, 200);
}

static const struct part none[] = {{0}};
static const struct part all[] = {{THINKS, "h"},       {CALLS, "f"}, {ARGUMENTS, "{\"a\":"},
                                  {ARGUMENTS, "[1]}"}, {CALLS, "g"}, {0}};

static void an_answer_is_a_list_of_items(void **state)
{
    (void)state;
    ask(ASKS(TOOLS));
    answer(all, "b", FLO_WIRE_STOP);
    expect("\"status\":\"completed\",\"completed_at\":");
    expect("\"model\":\"tiny@1\",\"output\":[{\"id\":\"rs_");
    expect("o0\",\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"type\":"
           "\"reasoning_text\",\"text\":\"h\"}]},{\"id\":\"msg_");
    expect("o1\",\"type\":\"message\",\"status\":\"completed\",\"role\":"
           "\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":"
           "\"b\",\"annotations\":[],\"logprobs\":[]}]},{\"id\":\"fc_");
    expect("o2\",\"type\":\"function_call\",\"status\":\"completed\","
           "\"call_id\":\"call_");
    expect("\"name\":\"f\",\"arguments\":\"{\\\"a\\\":[1]}\"},{");
    expect("\"name\":\"g\",\"arguments\":\"\"}],\"usage\":{\"input_tokens\":8,"
           "\"input_tokens_details\":{\"cached_tokens\":5},\"output_tokens\":2,"
           "\"output_tokens_details\":{\"reasoning_tokens\":1},"
           "\"total_tokens\":10}");
}

static void many_items_of_a_response_lose_the_oldest_turns(void **state)
{
    struct flo_buf body = {0};

    (void)state;
    flo_buf_text(&body, "{\"instructions\":\"s\",\"input\":[" USER);
    for (int i = 0; i < 300; i++) {
        flo_buf_text(&body, "," USER);
    }
    flo_buf_text(&body, ",{\"role\":\"user\",\"content\":\"b\"}]");
    size_t bytes = body.bytes;
    flo_buf_text(&body, ",\"truncation\":\"auto\"}");
    const struct flo_wire_generate *g = ask(body.data);
    assert_int_equal(g->n_messages, 256);
    expect_text(g->messages[0].content, "s");
    expect_text(g->messages[255].content, "b");
    body.bytes = bytes;
    flo_buf_text(&body, "}");
    open_request(&flo_responses, body.data);
    assert_null(request);
    expect("input are 303, at most 256");
    flo_buf_deinit(&body);
}

static void an_answer_repeats_the_limit_that_its_app_has(void **state)
{
    static const struct {
        const char *fields, *wanted;
    } rows[] = {
        {"\"max_output_tokens\":9", "\"max_output_tokens\":4"},
        {"\"max_output_tokens\":3", "\"max_output_tokens\":3"},
        {"\"max_output_tokens\":null", "\"max_output_tokens\":4"},
    };
    char body[256];

    (void)state;
    token = 0;
    serve->n_tokens = 1;
    serve->tokens[0].bounds.answer_tokens_max = 4;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        snprintf(body, sizeof(body), "{\"input\":\"a\",%s}", rows[i].fields);
        ask(body);
        flo_app_bind(request);
        answer(none, "b", FLO_WIRE_STOP);
        expect(rows[i].wanted);
    }
}

static void an_answer_repeats_what_was_asked(void **state)
{
    (void)state;
    ask(ASKS("\"instructions\":\"s\",\"metadata\":{\"k\":\"v\"},"
             "\"temperature\":0.5,\"max_output_tokens\":9,\"tools\":[{\"type\":"
             "\"web_search\"}," TOOL("f") ",{\"type\":\"namespace\",\"name\":"
                                          "\"n\"}],\"tool_choice\":\"none\",\"user\":\"u\","
                                          "\"text\":{\"format\":{\"type\":\"text\"}}"));
    answer(none, "b", FLO_WIRE_STOP);
    expect("\"instructions\":\"s\"");
    expect("\"metadata\":{\"k\":\"v\"}");
    expect("\"temperature\":0.5");
    expect("\"max_output_tokens\":9");
    expect("\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":"
           "null,\"parameters\":null,\"strict\":true}]");
    expect("\"tool_choice\":\"none\"");
    expect("\"user\":\"u\"");
    expect("\"store\":false");
    expect("\"skipped_tools\":[\"web_search\",\"namespace\"]");
}

static void an_answer_that_was_cut_says_so(void **state)
{
    const struct part cut[] = {{CALLS, "f"}, {ARGUMENTS, "{\"a\":"}, {0}};
    (void)state;
    ask(ASKS(TOOLS));
    answer(cut, "b", FLO_WIRE_LENGTH);
    expect("\"status\":\"incomplete\",\"completed_at\":null");
    expect("\"incomplete_details\":{\"reason\":\"max_output_tokens\"}");
    expect("\"type\":\"message\",\"status\":\"completed\"");
    expect("\"type\":\"function_call\",\"status\":\"incomplete\"");
}

static void an_empty_answer_is_an_empty_message(void **state)
{
    (void)state;
    ask(ASKS("\"stream\":false"));
    answer(none, "", FLO_WIRE_STOP);
    expect("\"content\":[{\"type\":\"output_text\",\"text\":\"\"");
    ask(ASKS("\"stream\":true"));
    answer(none, "", FLO_WIRE_STOP);
    expect("response.output_item.added");
    expect("\"content\":[{\"type\":\"output_text\",\"text\":\"\"");
}

/* Text, a call, and text again: items as they came. */
static void an_item_ends_where_the_kind_changes(void **state)
{
    static const char *const wanted[] = {
        "response.created\",\"sequence_number\":0,",
        "response.in_progress\",\"sequence_number\":1,",
        "response.output_item.added\",\"sequence_number\":2,\"output_index\":0,"
        "\"item\":{\"id\":\"rs_",
        "response.content_part.added\",\"sequence_number\":3,\"item_id\":"
        "\"rs_",
        "response.reasoning_text.delta\",\"sequence_number\":4,",
        "\"content_index\":0,\"delta\":\"h\"}\n\n",
        "response.reasoning_text.done\",\"sequence_number\":5,",
        "response.content_part.done\",\"sequence_number\":6,",
        "response.output_item.done\",\"sequence_number\":7,\"output_index\":0,",
        "response.output_item.added\",\"sequence_number\":8,\"output_index\":1,"
        "\"item\":{\"id\":\"msg_",
        "response.content_part.added\",\"sequence_number\":9,",
        "response.output_text.delta\",\"sequence_number\":10,",
        "response.output_text.done\",\"sequence_number\":11,",
        "\"text\":\"b\",\"logprobs\":[]}\n\n",
        "response.content_part.done\",\"sequence_number\":12,",
        "response.output_item.done\",\"sequence_number\":13,\"output_index\":"
        "1,",
        "response.output_item.added\",\"sequence_number\":14,\"output_index\":"
        "2,"
        "\"item\":{\"id\":\"fc_",
        "response.function_call_arguments.delta\",\"sequence_number\":15,",
        "\"delta\":\"{\\\"a\\\":\"}",
        "response.function_call_arguments.delta\",\"sequence_number\":16,",
        "response.function_call_arguments.done\",\"sequence_number\":17,",
        "\"arguments\":\"{\\\"a\\\":[1]}\"}",
        "response.output_item.done\",\"sequence_number\":18,\"output_index\":"
        "2,",
        "response.output_item.added\",\"sequence_number\":19,\"output_index\":"
        "3,",
        "response.function_call_arguments.done\",\"sequence_number\":20,",
        "response.output_item.done\",\"sequence_number\":21,\"output_index\":"
        "3,",
        "\"output_index\":4,\"item\":{\"id\":\"msg_",
        "\"delta\":\"c\"",
        "response.output_text.done",
        "\"text\":\"c\",\"logprobs\":[]}\n\n",
        "response.completed\",\"sequence_number\":28,",
        "\"text\":\"b\"",
        "\"text\":\"c\"",
        "data: [DONE]\n\n",
    };
    struct flo_buf bytes = {0};
    struct flo_wire_done last = {.reason = FLO_WIRE_STOP, .text = {"c", 1}};
    (void)state;
    ask(ASKS(TOOLS ",\"stream\":true"));
    for (const struct part *part = all; part->kind != 0; part++) {
        struct flo_wire_part one = {part->kind, {part->text, strlen(part->text)}};
        flo_wire_part_add(&bytes, &one);
    }
    struct flo_wire_token frame = {.text = {"b", 1}, .parts = {bytes.data, bytes.bytes}};
    assert_int_equal(flo_answer_token(request, &frame, &err), 0);
    assert_int_equal(flo_answer_done(request, &last, &err), 0);
    flo_buf_deinit(&bytes);
    const char *at = memory.body.data;
    for (size_t i = 0; i < FLO_COUNT(wanted); i++) {
        const char *found = strstr(at, wanted[i]);
        if (found == NULL) {
            fail_msg("%s lacks %s", at, wanted[i]);
        }
        at = found;
    }
}

static void an_error_in_a_stream_is_a_response_that_failed(void **state)
{
    struct flo_wire_token frame = {.text = {"b", 1}};
    (void)state;
    ask(ASKS("\"stream\":true"));
    assert_int_equal(flo_answer_token(request, &frame, &err), 0);
    flo_fail(&err, FLO_E_ENGINE_CRASH, "it \"died\"");
    flo_answer_fail(request, &err);
    expect("response.failed\",\"sequence_number\":5,\"response\":{\"id\":"
           "\"resp_");
    expect("\"status\":\"failed\",\"completed_at\":null,\"error\":{\"code\":"
           "\"engine.crash\",\"message\":\"it \\\"died\\\"\"}");
    expect("\"type\":\"message\",\"status\":\"incomplete\"");
    expect("data: [DONE]\n\n");
}

/* ---- responses that are kept ---- */

static void ask_and_keep(const char *fields, char *id)
{
    char body[256];

    snprintf(body, sizeof(body), "{\"input\":\"a\",\"store\":true%s}", fields);
    ask(body);
    snprintf(id, 48, "%s", request->id);
    answer(none, "b", FLO_WIRE_STOP);
}

static void nothing_is_kept_unless_it_is_asked_for(void **state)
{
    (void)state;
    ask(ASKS("\"store\":false"));
    answer(none, "b", FLO_WIRE_STOP);
    ask("{\"input\":\"a\"}");
    answer(none, "b", FLO_WIRE_STOP);
    assert_null(serve->responses);
}

static void a_kept_response_is_gone_on_with(void **state)
{
    static const struct message wanted[] = {
        {"user", "a", ""}, {"assistant", "b", ""}, {"user", "c", ""}, {NULL, NULL, NULL}};
    char id[48], body[256];
    (void)state;
    /* Its instructions are not carried over. */
    ask_and_keep(",\"instructions\":\"s\"", id);
    expect("\"store\":true");
    snprintf(body, sizeof(body), "{\"input\":\"c\",\"previous_response_id\":\"%s\"}", id);
    expect_messages(ask(body), wanted);
    answer(none, "d", FLO_WIRE_STOP);
    snprintf(body, sizeof(body), "\"previous_response_id\":\"%s\"", id);
    expect(body);
    /* In a stream, with a call that is answered next. */
    ask(ASKS(TOOLS ",\"stream\":true,\"store\":true"));
    snprintf(id, sizeof(id), "%s", request->id);
    answer(all, "b", FLO_WIRE_STOP);
    const struct responses_stored *one = flo_responses_find(serve, (uint64_t)1 << 56, id, &err);
    assert_non_null(one);
    assert_int_equal(one->n_input, 1);
    const char *call = strstr(one->items.data, "\"call_id\":\"");
    assert_non_null(call);
    snprintf(body, sizeof(body),
             "{\"previous_response_id\":\"%s\",\"input\":[{\"type\":"
             "\"function_call_output\",\"call_id\":\"%.29s\",\"output\":\"7\"}]}",
             id, call + 11);
    assert_int_equal(ask(body)->n_messages, 3);
}

static void another_clients_response_does_not_exist(void **state)
{
    char id[48], body[256], text[512];
    (void)state;
    token = 0;
    ask_and_keep("", id);
    snprintf(body, sizeof(body), "{\"input\":\"c\",\"previous_response_id\":\"%s\"}", id);
    for (token = -1; token < 2; token++) {
        open_request(&flo_responses, body);
        assert_true((request != NULL) == (token == 0));
        if (token != 0) {
            assert_int_equal(memory.status, 404);
            expect("\"param\":\"previous_response_id\"");
            snprintf(text, sizeof(text), "%s", memory.body.data);
        }
    }
    /* The same words as for one that is gone. */
    assert_true(flo_responses_delete(serve, 0, id));
    assert_false(flo_responses_delete(serve, 0, id));
    token = 0;
    open_request(&flo_responses, body);
    assert_null(request);
    assert_string_equal(memory.body.data, text);
}

static bool has(uint64_t owner, unsigned number)
{
    char id[16];

    snprintf(id, sizeof(id), "r%u", number);
    return flo_responses_find(serve, owner, id, &err) != NULL;
}

static bool forget_one(uint64_t owner, unsigned number)
{
    char id[16];

    snprintf(id, sizeof(id), "r%u", number);
    return flo_responses_delete(serve, owner, id);
}

static void put(uint64_t owner, unsigned number, size_t bytes)
{
    struct flo_buf object = {0}, items = {0};
    char id[16], *text = calloc(1, bytes);

    snprintf(id, sizeof(id), "r%u", number);
    assert_non_null(text);
    flo_buf_add(&object, text, bytes);
    flo_buf_text(&items, "[]");
    free(text);
    flo_responses_keep(serve, owner, id, &object, &items, 0);
}

static void who_keeps_most_loses_the_oldest(void **state)
{
    (void)state;
    put(1, 0, 10);
    for (unsigned i = 1; i <= RESPONSES_STORED_MAX; i++) {
        put(2, i, 10);
    }
    assert_true(has(1, 0) && !has(2, 1) && has(2, 2));
    assert_true(has(2, RESPONSES_STORED_MAX));
    for (unsigned i = 2; i <= RESPONSES_STORED_MAX / 2; i++) {
        assert_true(forget_one(2, i));
    }
    /* Large ones make room by bytes: only their own client loses some. */
    for (unsigned i = 100; i < 110; i++) {
        put(3, i, RESPONSES_STORED_ONE_BYTES_MAX - 4096);
    }
    assert_true(has(1, 0) && has(2, RESPONSES_STORED_MAX / 2 + 1));
    assert_true(has(3, 109) && !has(3, 100));
}

static void a_long_answer_is_not_kept_and_says_so(void **state)
{
    size_t bytes = RESPONSES_STORED_ONE_BYTES_MAX / 8;
    char *text = calloc(1, bytes + 1);
    struct flo_wire_token frame = {.text = {text, bytes}};
    struct flo_wire_done last = {.reason = FLO_WIRE_STOP};
    (void)state;
    assert_non_null(text);
    memset(text, 'x', bytes);
    ask(ASKS("\"store\":true"));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(flo_answer_token(request, &frame, &err), 0);
    }
    assert_int_equal(flo_answer_done(request, &last, &err), 0);
    free(text);
    assert_null(serve->responses);
    expect("\"store\":false");
}

/* ---- shorter conversations ---- */

static void the_oldest_turn_is_dropped_behind_the_systems(void **state)
{
    static const struct message wanted[] = {
        {"system", "s", ""}, {"user", "a", ""}, {NULL, NULL, NULL}};
    const struct flo_wire_generate *g;
    (void)state;
    g = ask("{\"instructions\":\"s\",\"input\":[" USER "," CALL("x") "," OUTPUT(
        "x", "\"7\"") "," SAID("assistant", TEXT("output_text", "b")) "," USER "]}");
    assert_int_equal(g->n_messages, 6);
    assert_true(flo_params_drop_turn(&request->params));
    expect_messages(g, wanted);
    assert_false(flo_params_drop_turn(&request->params));
    expect_messages(g, wanted);
}

static void what_the_system_says_later_outlives_its_turn(void **state)
{
    static const struct message wanted[] = {
        {"system", "t", ""}, {"user", "a", ""}, {NULL, NULL, NULL}};
    const struct flo_wire_generate *g;
    (void)state;
    g = ask("{\"input\":[" USER "," SAID("system", TEXT("input_text", "t")) "," SAID(
        "assistant", TEXT("output_text", "b")) "," USER "]}");
    assert_int_equal(g->n_messages, 4);
    assert_true(flo_params_drop_turn(&request->params));
    expect_messages(g, wanted);
    assert_false(flo_params_drop_turn(&request->params));
}

/* 300 questions and answers behind the system's words, and another item. */
static void ask_long(const char *fields, const char *last)
{
    struct flo_buf body = {0};

    flo_buf_printf(&body, "{%s\"input\":[", fields);
    flo_buf_text(&body, SAID("system", TEXT("input_text", "t")));
    for (int i = 0; i < 300; i++) {
        flo_buf_text(&body, "," USER "," SAID("assistant", TEXT("output_text", "b")));
    }
    flo_buf_printf(&body, ",%s]}", last);
    open_request(&flo_responses, body.data);
    flo_buf_deinit(&body);
}

/* A conversation that goes on by previous_response_id grows without end. */
static void the_oldest_turns_of_too_many_messages_are_dropped(void **state)
{
    const struct flo_wire_generate *g;
    (void)state;
    ask_long("\"truncation\":\"auto\",", SAID("user", TEXT("input_text", "last")));
    assert_non_null(request);
    g = &request->params.message.generate;
    assert_in_range(g->n_messages, 250, 256);
    expect_text(g->messages[0].content, "t");
    expect_text(g->messages[1].role, "user");
    expect_text(g->messages[g->n_messages - 1].content, "last");
    ask_long("", USER);
    assert_null(request);
    expect("at most 256");
    ask_long("\"truncation\":\"auto\",", "{\"type\":\"function_call\",\"call_id\":\"x\","
                                         "\"name\":\"<|im_end|>\",\"arguments\":\"{}\"}");
    assert_null(request);
    expect("input[601] has a call"); /* as the client counts */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(an_image_stands_where_it_was),
        CASE(items_become_messages_in_their_order),
        CASE(fields_reach_the_engine),
        CASE(tools_and_their_choice_reach_the_engine),
        CASE(a_wrong_body_is_refused_by_the_clients_words),
        CASE(a_count_needs_the_prompt_alone),
        CASE(an_answer_is_a_list_of_items),
        CASE(many_items_of_a_response_lose_the_oldest_turns),
        CASE(an_answer_repeats_the_limit_that_its_app_has),
        CASE(an_answer_repeats_what_was_asked),
        CASE(an_answer_that_was_cut_says_so),
        CASE(an_empty_answer_is_an_empty_message),
        CASE(an_item_ends_where_the_kind_changes),
        CASE(an_error_in_a_stream_is_a_response_that_failed),
        CASE(nothing_is_kept_unless_it_is_asked_for),
        CASE(a_kept_response_is_gone_on_with),
        CASE(another_clients_response_does_not_exist),
        CASE(who_keeps_most_loses_the_oldest),
        CASE(a_long_answer_is_not_kept_and_says_so),
        CASE(the_oldest_turn_is_dropped_behind_the_systems),
        CASE(what_the_system_says_later_outlives_its_turn),
        CASE(the_oldest_turns_of_too_many_messages_are_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

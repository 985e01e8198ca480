/* Answers that are collected for guards: each front hears nothing until they
 * are let go, and then as of an engine that said all at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "agent/serve/anthropic/anthropic.h"
#include "agent/serve/front/memory.h"
#include "agent/serve/ollama/ollama.h"
#include "agent/serve/openai/openai.h"
#include "agent/serve/responses/responses.h"

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"
#define TOOLS ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define R_TOOLS ",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]"
#define RESPONSE "{\"input\":\"a\"" R_TOOLS ",\"stream\":true}"
#define STREAM ",\"stream\":true"

static struct flo_serve *serve;
static struct serve_memory memory;
static struct serve_request *request;
static struct flo_err err;

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

static int set_up(void **state)
{
    (void)state;
    serve = calloc(1, sizeof(*serve));
    return serve == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    free(serve);
    return 0;
}

static void ask(const struct serve_front *front, const char *body)
{
    const struct serve_question question = {
        .front = front,
        .sink = flo_sink_memory(&memory),
        .party.token = -1,
        .body = {NULL, body, strlen(body)},
    };

    forget();
    request = flo_request_open(serve, &question);
    if (request == NULL) {
        fail_msg("%s", memory.body.data);
    }
    strcpy(request->model_name, "m@1");
    request->is_guarded = true;
}

/* ---- an engine's frames ---- */

struct part {
    uint32_t kind;
    const char *text;
};
enum { THOUGHT = 1, CALL, ARGUMENTS };

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

static void token(const char *text, uint32_t kind, const char *part)
{
    struct flo_buf parts = {0};
    struct flo_wire_token frame = {.text = text_of(text)};

    if (kind > 0) {
        flo_wire_part_add(&parts, &(struct flo_wire_part){kind, text_of(part)});
    }
    frame.parts = flo_answer_text_of(&parts);
    request->tokens_out++;
    assert_int_equal(flo_answer_token(request, &frame, &err), 0);
    flo_buf_deinit(&parts);
}

/* Thoughts, a text and a call; the last of it comes with the end. */
static void answer(void)
{
    struct flo_buf parts = {0};
    struct flo_wire_done done = {.text = text_of("lo")};

    token("", THOUGHT, "h");
    token("", THOUGHT, "m");
    token("hel", 0, "");
    token("", CALL, "f");
    token("", ARGUMENTS, "{\"a\":");
    flo_wire_part_add(&parts, &(struct flo_wire_part){ARGUMENTS, text_of("1}")});
    done.parts = flo_answer_text_of(&parts);
    assert_int_equal(flo_answer_collect(request, &done, &err), 0);
    flo_buf_deinit(&parts);
    assert_int_equal(memory.status, 0);
    assert_int_equal(memory.body.bytes, 0);
}

static void let_go(void)
{
    struct flo_buf text, parts = {0};
    struct flo_wire_done done = {.tokens_in = 3, .tokens_out = 5};

    flo_answer_let_go(request, &text, &parts);
    assert_int_equal(request->kept.n_calls, 0);
    done.text = flo_answer_text_of(&text);
    done.parts = flo_answer_text_of(&parts);
    assert_int_equal(flo_answer_done(request, &done, &err), 0);
    flo_buf_deinit(&text);
    flo_buf_deinit(&parts);
    assert_int_equal(memory.status, 200);
}

/* One behind the other, each once. */
static void expect(const char *const *texts)
{
    const char *at = memory.body.data;

    for (; *texts != NULL; texts++) {
        const char *found = strstr(at, *texts);
        if (found == NULL || strstr(found + strlen(*texts), *texts) != NULL) {
            fail_msg("%s\nhas not once, in its order: %s", memory.body.data, *texts);
        }
        at = found + strlen(*texts);
    }
}

/* ---- each front ---- */

static void openai_streams_a_collected_answer_piece_by_piece(void **state)
{
    static const char *const wanted[] = {"\"role\":\"assistant\"",
                                         "{\"reasoning_content\":\"hm\"}",
                                         "{\"content\":\"hello\"}",
                                         "\"name\":\"f\",\"arguments\":\"\"}",
                                         "{\"arguments\":\"{\\\"a\\\":1}\"}",
                                         "\"finish_reason\":\"tool_calls\"",
                                         "[DONE]",
                                         NULL};

    (void)state;
    ask(&flo_openai_chat, "{" USER TOOLS STREAM "}");
    answer();
    let_go();
    expect(wanted);
}

static void ollama_tells_a_collected_call_behind_its_text(void **state)
{
    static const char *const wanted[] = {"\"thinking\":\"hm\"",      "\"content\":\"hello\"",
                                         "\"arguments\":{\"a\":1}}", "\"done\":true",
                                         "\"done_reason\":\"stop\"", NULL};

    (void)state;
    ask(&flo_ollama_chat, "{\"model\":\"m\"," USER TOOLS "}");
    answer();
    let_go();
    expect(wanted);
}

static void anthropic_has_a_block_for_each_part(void **state)
{
    static const char *const wanted[] = {"event: message_start",
                                         "\"thinking\":\"hm\"",
                                         "\"text\":\"hello\"",
                                         "\"type\":\"tool_use\"",
                                         "\"partial_json\":\"{\\\"a\\\":1}\"",
                                         "\"stop_reason\":\"tool_use\"",
                                         "event: message_stop",
                                         NULL};

    (void)state;
    ask(&flo_anthropic_messages,
        "{\"model\":\"m\",\"max_tokens\":9," USER ",\"tools\":[{\"name\":\"f\",\"input_schema\":"
        "{\"type\":\"object\"}}]" STREAM "}");
    answer();
    let_go();
    expect(wanted);
}

/* Two tokens brought thoughts, though they are told at once. */
static void responses_tell_items_and_count_thoughts_once(void **state)
{
    static const char *const wanted[] = {"event: response.created",
                                         "event: response.reasoning_text.delta",
                                         "event: response.output_text.delta",
                                         "event: response.function_call_arguments.delta",
                                         "event: response.completed",
                                         "\"reasoning_tokens\":2",
                                         NULL};

    (void)state;
    ask(&flo_responses, RESPONSE);
    answer();
    let_go();
    expect(wanted);
}

static void a_collected_answer_is_whole_for_who_wants_no_stream(void **state)
{
    static const char *const wanted[] = {"\"content\":\"hello\"", "\"reasoning_content\":\"hm\"",
                                         "\"arguments\":\"{\\\"a\\\":1}\"",
                                         "\"finish_reason\":\"tool_calls\"", NULL};

    (void)state;
    ask(&flo_openai_chat, "{" USER TOOLS "}");
    answer();
    let_go();
    expect(wanted);
}

/* A client may end a response, which tells what is there already. */
static void what_is_cancelled_before_it_is_let_go_is_told_to_nobody(void **state)
{
    static const char *const bodies[] = {RESPONSE, "{\"input\":\"a\"" R_TOOLS "}"};
    const struct flo_wire_done done = {.reason = FLO_WIRE_CANCELLED, .text = {"hello", 5}};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bodies); i++) {
        ask(&flo_responses, bodies[i]);
        answer();
        assert_int_equal(flo_answer_done(request, &done, &err), 0);
        assert_int_equal(memory.status, 200);
        assert_null(strstr(memory.body.data, "hel"));
        assert_null(strstr(memory.body.data, "\"hm\""));
        assert_null(strstr(memory.body.data, "function_call\""));
    }
}

/* It has a status of its own, and nothing else. */
static void a_collected_stream_that_is_refused_tells_its_error_alone(void **state)
{
    static const struct {
        const struct serve_front *front;
        const char *body, *form;
    } rows[] = {
        {&flo_openai_chat, "{" USER TOOLS STREAM "}", "{\"error\":{\"message\":\"guard g: no\""},
        {&flo_ollama_chat, "{\"model\":\"m\"," USER TOOLS "}", "{\"error\":\"guard g: no; "},
        {&flo_anthropic_messages,
         "{\"model\":\"m\",\"max_tokens\":9," USER
         ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}"
         "]" STREAM "}",
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
         "\"message\":\"guard g: no; "},
        {&flo_responses, RESPONSE, "{\"error\":{\"message\":\"guard g: no"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        ask(rows[i].front, rows[i].body);
        answer();
        flo_fail(&err, FLO_E_INFER_GUARD, "guard g: no");
        flo_answer_fail(request, &err);
        assert_int_equal(memory.status, 400);
        assert_memory_equal(memory.body.data, rows[i].form, strlen(rows[i].form));
        assert_null(strstr(memory.body.data, "hello"));
    }
}

static void who_tells_no_word_of_an_answer_says_so(void **state)
{
    (void)state;
    ask(&flo_anthropic_count, "{\"model\":\"m\"," USER "}");
    assert_true(request->params.is_untold && !request->params.is_unasked);
    ask(&flo_responses_count, "{\"input\":\"a\"}");
    assert_true(request->params.is_untold && !request->params.is_unasked);
    ask(&flo_ollama_chat, "{\"model\":\"m\",\"messages\":[]" TOOLS "}");
    assert_true(request->params.is_untold && request->params.is_unasked);
    assert_int_equal(request->params.message.generate.tools.bytes, 0);
    ask(&flo_ollama_chat, "{\"model\":\"m\"," USER "}");
    assert_false(request->params.is_untold || request->params.is_unasked);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(openai_streams_a_collected_answer_piece_by_piece),
        TEST(ollama_tells_a_collected_call_behind_its_text),
        TEST(anthropic_has_a_block_for_each_part),
        TEST(responses_tell_items_and_count_thoughts_once),
        TEST(a_collected_answer_is_whole_for_who_wants_no_stream),
        TEST(what_is_cancelled_before_it_is_let_go_is_told_to_nobody),
        TEST(a_collected_stream_that_is_refused_tells_its_error_alone),
        TEST(who_tells_no_word_of_an_answer_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Ollama's front: bodies to parameters, and an engine's frames to lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/serve/front/memory.h"
#include "agent/serve/ollama/ollama.h"

#define USER "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"
#define TOOLS ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define CALLS                                                                                      \
    "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","                       \
    "\"arguments\":{\"a\":1}}},{\"function\":{\"name\":\"g\"}}]}"
#define HISTORY(rest)                                                                              \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}"                         \
    "," CALLS "," rest "]}"

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

static void open_request(const struct serve_front *front, const char *body)
{
    const struct serve_question question = {
        .front = front,
        .sink = flo_sink_memory(&memory),
        .party = {.number = 9, .token = -1},
        .body = {NULL, body, strlen(body)},
    };

    forget();
    request = flo_request_open(serve, &question);
}

static const struct flo_wire_generate *ask(const char *body)
{
    open_request(&flo_ollama_chat, body);
    if (request == NULL) {
        fail_msg("%s: %s", body, memory.body.data);
    }
    strcpy(request->model_name, "m@1");
    return &request->params.message.generate;
}

static bool is(struct flo_wire_text text, const char *wanted)
{
    return text.bytes == strlen(wanted) && memcmp(text.data, wanted, text.bytes) == 0;
}

/* ---- bodies ---- */

static void a_body_becomes_parameters(void **state)
{
    const struct flo_wire_generate *got =
        ask("{\"model\":\"m:latest\",\"messages\":[{\"role\":\"user\",\"content\":"
            "\"a\"}],\"think\":false,\"keep_alive\":0,\"options\":{\"top_k\":40.0,"
            "\"num_predict\":7,\"stop\":[\"x\"],\"seed\":5,\"temperature\":0.5,"
            "\"min_p\":0.25,\"num_ctx\":9,\"repeat_last_n\":3,\"repeat_penalty\":"
            "1.5,\"typical_p\":1,\"mirostat\":0}}");

    (void)state;
    assert_string_equal(request->params.model, "m");
    assert_true(request->params.is_stream);
    assert_int_equal(got->top_k, 40);
    assert_int_equal(got->max_tokens, 7);
    assert_int_equal(got->seed, 5);
    assert_int_equal(got->repeat_last, 3);
    assert_true(got->temperature == 0.5 && got->min_p == 0.25);
    assert_true(got->repeat_penalty == 1.5);
    assert_true(got->n_stops == 1 && is(got->stops[0], "x"));
    assert_true(got->tells_parts);
    got = ask("{" USER ",\"stream\":false,\"options\":{\"num_predict\":-1}}");
    assert_false(request->params.is_stream);
    assert_int_equal(got->max_tokens, 0);
    got = ask("{" USER ",\"think\":\"low\",\"format\":\"json\"}");
    assert_true(is(got->effort, "low"));
    assert_non_null(request->params.form);
}

static void calls_get_ids_and_answers_find_them(void **state)
{
    const struct flo_wire_generate *got =
        ask(HISTORY("{\"role\":\"tool\",\"tool_name\":\"g\",\"content\":\"1\"},"
                    "{\"role\":\"tool\",\"content\":\"2\"}"));

    (void)state;
    assert_int_equal(got->n_messages, 4);
    assert_non_null(strstr(got->messages[1].more.data, "\"id\":\"call_0\""));
    assert_true(is(got->messages[2].more, "{\"tool_call_id\":\"call_1\",\"name\":\"g\"}"));
    assert_true(is(got->messages[3].more, "{\"tool_call_id\":\"call_0\",\"name\":\"f\"}"));
    got = ask("{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_"
              "calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\"}}]},{"
              "\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":\"1\"}]}");
    assert_non_null(strstr(got->messages[1].more.data, "\"x\""));
}

static void expect_image(const struct flo_wire_generate *in, uint32_t message)
{
    static const char png[] = "data:image/png;base64,iVBORw0KGgo=";

    assert_int_equal(in->n_images, 1);
    assert_int_equal(in->images[0].message, message);
    assert_int_equal(in->images[0].at, 0);
    assert_int_equal(in->images[0].url.bytes, sizeof(png) - 1);
    assert_memory_equal(in->images[0].url.data, png, sizeof(png) - 1);
}

static void images_stand_before_their_text(void **state)
{
    (void)state;
    const struct flo_wire_generate *in =
        ask("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}"
            ",{\"role\":\"user\",\"content\":\"b\",\"images\":["
            "\"iVBORw0KGgo=\"]}]}");
    expect_image(in, 1);
    assert_memory_equal(in->messages[1].content.data, "b", 1);
    open_request(&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":\"\",\"images\":["
                                       "\"iVBORw0KGgo=\"]}");
    assert_non_null(request);
    expect_image(&request->params.message.generate, 0);
}

static void a_generation_is_a_chat_or_a_raw_text(void **state)
{
    (void)state;
    open_request(&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":\"p\",\"system\":\"s\"}");
    assert_non_null(request);
    const struct flo_wire_generate *got = &request->params.message.generate;
    assert_int_equal(got->n_messages, 2);
    assert_true(is(got->messages[0].role, "system"));
    assert_true(is(got->messages[1].content, "p"));
    open_request(&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":\"p\",\"raw\":true}");
    assert_non_null(request);
    got = &request->params.message.generate;
    assert_true(got->n_messages == 0 && is(got->prompt, "p"));
}

static void a_bad_body_is_told_in_ollamas_words(void **state)
{
    static const struct {
        const struct serve_front *front;
        const char *body, *says;
    } rows[] = {
        {&flo_ollama_chat, "", "{\"error\":\""},
        {&flo_ollama_chat, "[]", "no JSON object"},
        {&flo_ollama_chat, "{}", "\"model must be a name"},
        {&flo_ollama_chat, "{\"model\":\"m\",\"messages\":[7]}", "messages[0]"},
        {&flo_ollama_chat, "{" USER ",\"options\":[]}", "options must be an"},
        {&flo_ollama_chat, "{" USER ",\"options\":{\"top_k\":0.5}}", "\"options.top_k must be"},
        {&flo_ollama_chat, "{" USER ",\"options\":{\"tfs_z\":0.5}}", "options.tfs_z is not built"},
        {&flo_ollama_chat, "{" USER ",\"think\":7}", "\"think must be"},
        {&flo_ollama_chat, "{" USER ",\"format\":7}", "\"format must be"},
        {&flo_ollama_chat, "{" USER ",\"stream\":7}", "\"stream must be"},
        {&flo_ollama_chat, HISTORY("{\"role\":\"tool\",\"tool_name\":\"h\",\"content\":\"\"}"),
         "messages[2] has the answer of a tool"},
        {&flo_ollama_chat,
         HISTORY("{\"role\":\"tool\",\"tool_name\":\"g\",\"content\":\"1\"},"
                 "{\"role\":\"tool\",\"tool_name\":\"g\",\"content\":\"2\"}"),
         "messages[3] has the answer of a tool"},
        {&flo_ollama_chat,
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\","
         "\"images\":[\"b\"]}]}",
         "messages[0] has an image that is no base64 of a PNG"},
        {&flo_ollama_chat,
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\","
         "\"images\":{}}]}",
         "messages[0] has images that are no list"},
        {&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":\"a\",\"images\":\"b\"}",
         "\"images must be a list"},
        {&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":\"a\",\"images\":[\"b\"]}",
         "\"images must be base64"},
        {&flo_ollama_generate,
         "{\"model\":\"m\",\"prompt\":\"a\",\"raw\":true,\"images\":"
         "[\"iVBORw0KGgo=\"]}",
         "\"images need a chat"},
        {&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":7}", "\"prompt must be a text"},
        {&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":\"a\",\"suffix\":\"b\"}",
         "suffix is not built"},
        {&flo_ollama_generate, "{\"model\":\"m\",\"prompt\":\"a\",\"raw\":1}", "\"raw must be"},
        {&flo_ollama_embeddings, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"]}",
         "\"prompt must be a text"},
        {&flo_ollama_refused, "{}", "flotilla release create"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        open_request(rows[i].front, rows[i].body);
        assert_null(request);
        assert_int_equal(memory.status, 400);
        if (strstr(memory.body.data, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].body, memory.body.data);
        }
    }
}

/* ---- lines ---- */

enum { THOUGHT = 1, CALL, ARGUMENTS };

static void add_part(struct flo_buf *out, uint32_t kind, const char *text)
{
    const struct flo_wire_part part = {kind, {text, strlen(text)}};

    flo_wire_part_add(out, &part);
}

/* A thought, a text, and two calls: the first with a line end in its
 * arguments, the second cut where the reason is LENGTH. */
static void answer(enum flo_wire_reason reason)
{
    struct flo_buf first = {0}, last = {0};

    add_part(&first, THOUGHT, "h");
    add_part(&first, CALL, "f");
    add_part(&first, ARGUMENTS, "{\"a\":\n");
    add_part(&last, ARGUMENTS, "1}");
    add_part(&last, CALL, "f");
    add_part(&last, ARGUMENTS, reason == FLO_WIRE_LENGTH ? "{\"b" : "{}");
    const struct flo_wire_token token = {.text = {"x", 1}, .parts = {first.data, first.bytes}};
    const struct flo_wire_done done = {.reason = reason,
                                       .parts = {last.data, last.bytes},
                                       .tokens_in = 3,
                                       .tokens_out = 5,
                                       .answer_us = 7};
    assert_int_equal(flo_answer_token(request, &token, &err), 0);
    assert_int_equal(flo_answer_done(request, &done, &err), 0);
    flo_buf_deinit(&first);
    flo_buf_deinit(&last);
}

/* The lines, each of them JSON; calls[i] is how many the line has. */
static size_t read_lines(size_t calls[16], json_t *lines)
{
    size_t count = 0;
    const char *at = memory.body.data;

    for (const char *end; *at != '\0'; at = end + 1) {
        json_t *line = NULL;
        end = strchr(at, '\n');
        assert_non_null(end);
        assert_true(count < 16);
        assert_int_equal(flo_json_parse(at, (size_t)(end - at), 1u << 20, &line, &err), 0);
        calls[count++] =
            json_array_size(json_object_get(json_object_get(line, "message"), "tool_calls"));
        json_array_append_new(lines, line);
    }
    return count;
}

static void a_call_is_told_when_its_arguments_are_whole(void **state)
{
    static const size_t wanted[] = {0, 0, 1, 1, 0};
    size_t calls[16];
    json_t *lines = json_array();

    (void)state;
    ask("{" USER TOOLS "}");
    answer(FLO_WIRE_STOP);
    assert_int_equal(read_lines(calls, lines), FLO_COUNT(wanted));
    assert_memory_equal(calls, wanted, sizeof(wanted));
    const json_t *last = json_array_get(lines, 4);
    assert_true(json_is_true(json_object_get(last, "done")));
    assert_string_equal(json_string_value(json_object_get(last, "done_reason")), "stop");
    assert_int_equal(json_integer_value(json_object_get(last, "eval_duration")), 7000);
    assert_non_null(strstr(memory.body.data, "\"thinking\":\"h\""));
    assert_non_null(strstr(memory.body.data, "\"arguments\":{\"a\":1}"));
    json_decref(lines);
}

static void a_call_that_was_cut_is_left_out(void **state)
{
    size_t calls[16];
    json_t *lines = json_array();

    (void)state;
    ask("{" USER TOOLS ",\"stream\":false}");
    answer(FLO_WIRE_LENGTH);
    assert_int_equal(read_lines(calls, lines), 1);
    assert_int_equal(calls[0], 1);
    assert_non_null(strstr(memory.body.data, "\"done_reason\":\"length\""));
    json_decref(lines);
}

static void an_error_in_a_stream_is_a_line(void **state)
{
    const struct flo_wire_token token = {.text = {"x", 1}};

    (void)state;
    ask("{" USER "}");
    assert_int_equal(flo_answer_token(request, &token, &err), 0);
    flo_fail(&err, FLO_E_ENGINE_CRASH, "it is gone");
    flo_answer_fail(request, &err);
    assert_int_equal(memory.status, 200);
    assert_non_null(strstr(memory.body.data, "}\n{\"error\":\"it is gone; "));
}

static void a_load_tells_nothing_of_its_token(void **state)
{
    const struct flo_wire_token token = {.text = {"secret", 6}};
    const struct flo_wire_done done = {.reason = FLO_WIRE_LENGTH};

    (void)state;
    assert_int_equal(ask("{\"model\":\"m\"}")->max_tokens, 1);
    assert_int_equal(flo_answer_token(request, &token, &err), 0);
    assert_int_equal(flo_answer_done(request, &done, &err), 0);
    assert_null(strstr(memory.body.data, "secret"));
    assert_non_null(strstr(memory.body.data, "\"done_reason\":\"load\""));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_body_becomes_parameters),
        CASE(calls_get_ids_and_answers_find_them),
        CASE(images_stand_before_their_text),
        CASE(a_generation_is_a_chat_or_a_raw_text),
        CASE(a_bad_body_is_told_in_ollamas_words),
        CASE(a_call_is_told_when_its_arguments_are_whole),
        CASE(a_call_that_was_cut_is_left_out),
        CASE(an_error_in_a_stream_is_a_line),
        CASE(a_load_tells_nothing_of_its_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

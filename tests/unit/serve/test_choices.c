/* Several answers to one body: their frames to one client's words, without HTTP
 * and without an engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/serve/front/memory.h"
#include "agent/serve/openai/openai.h"

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"

static struct flo_serve *serve;
static struct serve_memory memory;
static struct serve_request *asker;
static struct flo_err err;

static int set_up(void **state)
{
    (void)state;
    serve = calloc(1, sizeof(*serve));
    memset(&memory, 0, sizeof(memory));
    memset(&err, 0, sizeof(err));
    asker = NULL;
    return serve == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    if (asker != NULL) {
        flo_request_free(asker);
    }
    flo_buf_deinit(&memory.body);
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

    asker = flo_request_open(serve, &question);
}

static struct serve_request *choice(uint32_t i)
{
    assert_non_null(asker->choices);
    assert_true(i < asker->choices->count);
    return asker->choices->each[i].request;
}

static const struct flo_wire_generate *asked(uint32_t i)
{
    return &choice(i)->params.message.generate;
}

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

static int token(uint32_t i, const char *text)
{
    const struct flo_wire_token frame = {.text = text_of(text)};

    strcpy(choice(i)->model_name, "tiny@1");
    choice(i)->tokens_out++;
    return flo_answer_token(choice(i), &frame, &err);
}

/* As the router has it: the end of a request frees it. */
static void done(uint32_t i, const char *text)
{
    const struct flo_wire_done frame = {.text = text_of(text), .tokens_in = 3, .tokens_out = 5};

    strcpy(choice(i)->model_name, "tiny@1");
    assert_int_equal(flo_answer_done(choice(i), &frame, &err), 0);
    flo_request_free(choice(i));
    assert_null(choice(i));
}

static json_t *answer(void)
{
    json_t *tree = NULL;

    assert_int_equal(
        flo_json_parse(memory.body.data, memory.body.bytes, memory.body.bytes, &tree, &err), 0);
    return tree;
}

static void choices_are_told_together_in_their_order(void **state)
{
    json_t *tree, *list;
    int prompt, answers, total;
    (void)state;
    ask(&flo_openai_chat, "{" USER ",\"n\":3,\"seed\":7}");
    assert_int_equal(asker->choices->count, 3);
    assert_true(asked(0)->seed == 7 && asked(2)->seed == 9);
    done(1, "one");
    assert_int_equal(token(2, "tw"), 0);
    done(0, "zero");
    assert_int_equal(memory.status, 0);
    done(2, "o");
    assert_int_equal(memory.status, 200);
    tree = answer();
    list = json_object_get(tree, "choices");
    assert_int_equal(json_array_size(list), 3);
    for (size_t i = 0; i < 3; i++) {
        static const char *const texts[] = {"zero", "one", "two"};
        const char *text;
        int index;
        assert_int_equal(json_unpack(json_array_get(list, i), "{s:i,s:{s:s}}", "index", &index,
                                     "message", "content", &text),
                         0);
        assert_int_equal(index, i);
        assert_string_equal(text, texts[i]);
    }
    /* One prompt, three answers. */
    assert_int_equal(json_unpack(tree, "{s:{s:i,s:i,s:i}}", "usage", "prompt_tokens", &prompt,
                                 "completion_tokens", &answers, "total_tokens", &total),
                     0);
    assert_true(prompt == 3 && answers == 15 && total == 18);
    json_decref(tree);
}

/* How often is it there? */
static int times(const char *text)
{
    int count = 0;

    for (const char *at = memory.body.data; (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    return count;
}

static void streamed_choices_lie_between_each_other(void **state)
{
    (void)state;
    ask(&flo_openai_chat, "{" USER ",\"n\":2,\"stream\":true,"
                          "\"stream_options\":{\"include_usage\":true}}");
    assert_int_equal(token(1, "B"), 0);
    assert_int_equal(token(0, "A"), 0);
    done(1, "b");
    assert_int_equal(times("[DONE]"), 0);
    assert_int_equal(token(0, "aa"), 0);
    done(0, "");
    assert_true(flo_sink_is_gone(&asker->sink));
    assert_int_equal(times("\"role\":\"assistant\""), 2);
    assert_int_equal(times("{\"index\":1,\"delta\":{\"content\":\"B\"}"), 1);
    assert_int_equal(times("{\"index\":1,\"delta\":{\"content\":\"b\"}"), 1);
    assert_int_equal(times("{\"index\":0,\"delta\":{\"content\":\"aa\"}"), 1);
    assert_int_equal(times("\"finish_reason\":\"stop\""), 2);
    assert_int_equal(times("\"completion_tokens\":10"), 1);
    assert_int_equal(times(asker->id), times("data: {"));
    assert_int_equal(times("data: [DONE]\n\n"), 1);
}

static void each_prompt_has_its_own_choices(void **state)
{
    json_t *tree;
    (void)state;
    ask(&flo_openai_text, "{\"prompt\":[\"ab\",[1,2,3]],\"n\":2,"
                          "\"logit_bias\":{\"5\":1}}");
    assert_int_equal(asker->choices->count, 4);
    assert_memory_equal(asked(1)->prompt.data, "ab", 2);
    assert_int_equal(asked(1)->tokens.bytes, 0);
    assert_int_equal(asked(2)->prompt.bytes, 0);
    assert_int_equal(asked(3)->tokens.bytes, 12);
    assert_int_equal(flo_get_u32(asked(3)->tokens.data + 8), 3);
    assert_int_equal(asked(3)->biases.bytes, asked(0)->biases.bytes);
    for (uint32_t i = 0; i < 4; i++) {
        done(3 - i, "x");
    }
    tree = answer();
    assert_int_equal(json_array_size(json_object_get(tree, "choices")), 4);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(tree, "usage"), "prompt_tokens")), 6);
    json_decref(tree);
}

static void the_first_failure_is_the_answer(void **state)
{
    struct flo_err failure = {0};
    (void)state;
    flo_fail(&failure, FLO_E_INFER_TOO_LONG, "the prompt is too long");
    ask(&flo_openai_text, "{\"prompt\":[\"a\",\"b\",\"c\"]}");
    done(0, "zero");
    flo_answer_fail(choice(1), &failure);
    flo_request_free(choice(1));
    assert_int_equal(memory.status, 400);
    assert_int_equal(times("context_length_exceeded"), 1);
    assert_true(asker->choices->is_over);
    /* The last one may go on until it is taken back. */
    assert_int_equal(token(2, "x"), 0);
    flo_answer_fail(choice(2), &failure);
    assert_int_equal(times("context_length_exceeded"), 1);
}

static void a_failure_within_a_stream_is_its_last_event(void **state)
{
    struct flo_err failure = {0};
    (void)state;
    flo_fail(&failure, FLO_E_ENGINE_CRASH, "the engine ended");
    ask(&flo_openai_chat, "{" USER ",\"n\":2,\"stream\":true}");
    assert_int_equal(token(0, "a"), 0);
    flo_answer_fail(choice(1), &failure); /* which had not begun */
    assert_int_equal(memory.status, 200);
    assert_int_equal(times("data: {\"error\""), 1);
    assert_int_equal(times("[DONE]"), 0);
    assert_int_equal(token(0, "a"), 0);
    assert_true(flo_sink_is_gone(&asker->sink));
}

static void a_prompt_may_stand_before_its_answer(void **state)
{
    (void)state;
    ask(&flo_openai_text, "{\"prompt\":[\"1\\n\",\"2\\n\"],\"echo\":true}");
    done(0, "one");
    done(1, "two");
    assert_int_equal(times("\"text\":\"1\\none\""), 1);
    assert_int_equal(times("\"text\":\"2\\ntwo\""), 1);
}

static void a_streamed_prompt_stands_before_its_answer(void **state)
{
    (void)state;
    ask(&flo_openai_text, "{\"prompt\":[\"1\",\"2\"],\"echo\":true,\"stream\":true}");
    assert_int_equal(token(1, "x"), 0);
    assert_int_equal(times("\"choices\":[{\"index\":1,\"text\":\"2\","), 1);
    assert_true(strstr(memory.body.data, "\"text\":\"2\"") <
                strstr(memory.body.data, "\"text\":\"x\""));
}

static void what_is_no_prompt_or_too_many_is_refused(void **state)
{
#define P "\"prompt\":"
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"{" P "[\"a\",\"\"]}", "prompt is empty"},
        {"{" P "[\"a\",{}]}", "prompt must be a text, a list of token ids, "},
        {"{" P "[[1],[\"a\"]]}", "of at most 64 of these, none empty"},
        {"{" P "[[1],[2,-3]]}", "prompt [1] must be a token id of 0 or more"},
        {"{" P "[[1],[]]}", "none empty"},
        {"{" P "[]}", "none empty"},
        {"{" P "\"a\",\"n\":0}", "n is 0, must be from 1 to 8"},
        {"{" P "\"a\",\"n\":9}", "n is 9, must be from 1 to 8"},
        {"{" P "\"a\",\"n\":4,\"best_of\":3}", "can only be 1 or n (4)"},
        {"{" P "[[1],[2]],\"echo\":true}", "echo of token ids"},
        {"{" P "[\"a\",[2]],\"echo\":true}", "echo of token ids"},
        {"{" P "\"a\",\"echo\":true,\"logprobs\":1}", "echo with logprobs"},
        {"{" P "\"a\",\"suffix\":\"b\"}", "suffix is not built yet"},
        {"{" P "[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"],"
         "\"n\":8}",
         "n is 8 for 9 prompts, at most 64 answers together"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        ask(&flo_openai_text, cases[i].body);
        assert_null(asker);
        assert_int_equal(memory.status, 400);
        if (strstr(memory.body.data, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].body, memory.body.data);
        }
        flo_buf_deinit(&memory.body);
        memset(&memory, 0, sizeof(memory));
    }
}

static void choices_have_one_side_of_a_split_and_one_id(void **state)
{
    (void)state;
    ask(&flo_openai_chat, "{" USER ",\"n\":2}");
    assert_true(choice(0)->params.user != 0);
    assert_true(choice(0)->params.user == choice(1)->params.user);
    assert_string_equal(choice(1)->id, asker->id);
    assert_true(flo_sink_is_gone(&choice(1)->sink));
}

static int read_chat(struct serve_request *request, const struct serve_body *body,
                     struct flo_err *error)
{
    return flo_params_read(REQUEST_CHAT, body->data, body->bytes, &request->params, error);
}

static void a_front_without_choices_has_one_answer(void **state)
{
    static const struct serve_front front = {
        .kind = REQUEST_CHAT,
        .id_prefix = "x-",
        .read = read_chat,
        .fail = flo_openai_fail,
    };
    (void)state;
    ask(&front, "{" USER ",\"n\":2}");
    assert_null(asker);
    assert_non_null(strstr(memory.body.data, "n is 2, this API has one answer"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(choices_are_told_together_in_their_order),
        CASE(streamed_choices_lie_between_each_other),
        CASE(each_prompt_has_its_own_choices),
        CASE(the_first_failure_is_the_answer),
        CASE(a_failure_within_a_stream_is_its_last_event),
        CASE(a_prompt_may_stand_before_its_answer),
        CASE(a_streamed_prompt_stands_before_its_answer),
        CASE(what_is_no_prompt_or_too_many_is_refused),
        CASE(choices_have_one_side_of_a_split_and_one_id),
        CASE(a_front_without_choices_has_one_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

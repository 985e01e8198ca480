/* A guard's question and its verdict, as texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>

#include "agent/serve/guard/verdict.h"

static struct guard_verdict verdict;
static struct flo_err err;

static int read_text(const char *text)
{
    memset(&err, 0, sizeof(err));
    return flo_guard_verdict_read(text, strlen(text), &verdict, &err);
}

static void a_verdict_is_one_of_three_words(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"verdict\":\"pass\"}"), 0);
    assert_int_equal(verdict.kind, GUARD_PASSED);
    assert_int_equal(read_text(" {\"verdict\":\"pass\",\"text\":7,\"more\":[]}\n"), 0);
    assert_int_equal(verdict.kind, GUARD_PASSED);
    assert_int_equal(read_text("{\"verdict\":\"edit\",\"text\":\"a \\u00e4\"}"), 0);
    assert_int_equal(verdict.kind, GUARD_EDITED);
    assert_int_equal(verdict.text.bytes, 4);
    assert_memory_equal(verdict.text.data, "a \xc3\xa4", 4);
    flo_buf_deinit(&verdict.text);
    assert_int_equal(read_text("{\"verdict\":\"edit\",\"text\":\"\"}"), 0);
    assert_int_equal(verdict.text.bytes, 0);
    flo_buf_deinit(&verdict.text);
    assert_int_equal(read_text("{\"verdict\":\"refuse\",\"reason\":\"no names\\nhere\"}"), 0);
    assert_int_equal(verdict.kind, GUARD_REFUSED);
    assert_string_equal(verdict.reason, "no names\\x0ahere");
    assert_int_equal(read_text("{\"verdict\":\"refuse\",\"reason\":null}"), 0);
    assert_string_equal(verdict.reason, "no reason is given");
}

static void an_answer_that_is_none_is_refused_with_its_fault(void **state)
{
    static const struct {
        const char *text, *what;
    } bad[] = {
        {"", "its answer of 0 bytes is no JSON object"},
        {"pass", "its answer of 4 bytes is no JSON object"},
        {"[\"pass\"]", "is no JSON object"},
        {"{\"verdict\":\"pass\"} {}", "is no JSON object"},
        {"{\"verdict\":\"pass\",\"verdict\":\"refuse\"}", "is no JSON object"},
        {"{}", "its verdict is none of pass, edit and refuse"},
        {"{\"verdict\":\"Pass\"}", "its verdict is none of"},
        {"{\"verdict\":true}", "its verdict is none of"},
        {"{\"verdict\":\"pass\\u0000\"}", "is no JSON object"},
        {"{\"verdict\":\"edit\"}", "edit, without a `text`"},
        {"{\"verdict\":\"edit\",\"text\":null}", "edit, without a `text`"},
        {"{\"verdict\":\"refuse\",\"reason\":7}", "its reason is no text"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(read_text(bad[i].text), FLO_E_INFER_GUARD_FAILED);
        assert_non_null(strstr(err.what, bad[i].what));
        flo_buf_deinit(&verdict.text);
    }
}

static void an_edited_text_has_a_limit(void **state)
{
    struct flo_buf text = {0};

    (void)state;
    for (int more = 0; more < 2; more++) {
        text.bytes = 0;
        flo_buf_text(&text, "{\"verdict\":\"edit\",\"text\":\"");
        for (int i = 0; i < FLO_GUARD_TEXT_BYTES_MAX + more; i++) {
            flo_buf_text(&text, "x");
        }
        flo_buf_text(&text, "\"}");
        assert_int_equal(flo_guard_verdict_read(text.data, text.bytes, &verdict, &err),
                         more > 0 ? FLO_E_INFER_GUARD_FAILED : 0);
        flo_buf_deinit(&verdict.text);
    }
    assert_string_equal(err.what, "its text has 262145 bytes, at most 262144 are taken");
    flo_buf_deinit(&text);
}

static int hear(const char *answer)
{
    static const struct flo_serve_guard guard = {
        .model = "judge", .pass = "safe", .refuse = "unsafe"};

    memset(&err, 0, sizeof(err));
    return flo_guard_verdict_of(&guard, (struct flo_wire_text){answer, strlen(answer)}, &verdict,
                                &err);
}

static void a_models_answer_decides_by_its_begin(void **state)
{
    (void)state;
    assert_int_equal(hear("safe"), 0);
    assert_int_equal(verdict.kind, GUARD_PASSED);
    assert_int_equal(hear("\n\n Safe, I think."), 0);
    assert_int_equal(verdict.kind, GUARD_PASSED);
    assert_int_equal(hear("UNSAFE\nS1"), 0);
    assert_int_equal(verdict.kind, GUARD_REFUSED);
    assert_string_equal(verdict.reason, "UNSAFE\\x0aS1");
    assert_int_equal(hear("It is safe"), FLO_E_INFER_GUARD_FAILED);
    assert_string_equal(err.what, "judge answered \"It is safe\", which begins "
                                  "neither with \"safe\" nor with \"unsafe\"");
    assert_int_equal(hear(""), FLO_E_INFER_GUARD_FAILED);
    assert_int_equal(hear("saf"), FLO_E_INFER_GUARD_FAILED);
}

static void a_question_has_what_the_model_would_read(void **state)
{
    struct flo_serve *serve = calloc(1, sizeof(*serve));
    struct serve_request request = {.serve = serve, .party.token = -1};
    struct flo_wire_generate *in = &request.params.message.generate;
    const struct flo_serve_guard guard = {.ask = "Judge: "};
    struct flo_buf out = {0};

    (void)state;
    assert_non_null(serve);
    strcpy(serve->tokens[0].name, "shop");
    in->n_messages = 2;
    in->messages[0].role = (struct flo_wire_text){"system", 6};
    in->messages[0].content = (struct flo_wire_text){"be \"kind\"", 9};
    in->messages[1].role = (struct flo_wire_text){"user", 4};
    in->messages[1].content = (struct flo_wire_text){"hello", 5};
    flo_guard_question(&request, FLO_GUARD_PROMPT, "tiny", &out);
    assert_string_equal(out.data,
                        "{\"stage\":\"prompt\",\"model\":\"tiny\",\"app\":null,\"messages\":["
                        "{\"role\":\"system\",\"content\":\"be \\\"kind\\\"\"},"
                        "{\"role\":\"user\",\"content\":\"hello\"}]}\n");
    out.bytes = 0;
    flo_guard_ask(&request, FLO_GUARD_PROMPT, &guard, &out);
    assert_string_equal(out.data, "Judge: be \"kind\"\nhello");
    out.bytes = 0;
    request.party.token = 0;
    flo_buf_text(&request.kept.text, "hi");
    flo_guard_question(&request, FLO_GUARD_ANSWER, "tiny", &out);
    assert_string_equal(out.data, "{\"stage\":\"answer\",\"model\":\"tiny\",\"app\":"
                                  "\"shop\",\"text\":\"hi\"}\n");
    out.bytes = 0;
    flo_guard_ask(&request, FLO_GUARD_ANSWER, &guard, &out);
    assert_string_equal(out.data, "Judge: hi");
    out.bytes = 0;
    in->n_messages = 0;
    in->prompt = (struct flo_wire_text){"go on", 5};
    flo_guard_question(&request, FLO_GUARD_PROMPT, "tiny", &out);
    assert_non_null(strstr(out.data, "\"text\":\"go on\"}"));
    flo_buf_deinit(&out);
    flo_kept_deinit(&request.kept);
    free(serve);
}

#define TEXT(text)                                                                                 \
    (struct flo_wire_text)                                                                         \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static void tools_calls_and_thoughts_are_shown_as_openai_has_them(void **state)
{
    struct serve_request request = {.party.token = -1};
    struct flo_wire_generate *in = &request.params.message.generate;
    const struct flo_serve_guard guard = {.ask = "Judge:\n"};
    struct flo_buf out = {0};

    (void)state;
    in->n_messages = 2;
    in->messages[0].role = TEXT("assistant");
    in->messages[0].more = TEXT("{\"reasoning_content\":\"hm\"}");
    in->messages[1].role = TEXT("tool");
    in->messages[1].content = TEXT("7");
    in->messages[1].more = TEXT("{\"tool_call_id\":\"x\",\"name\":\"f\"}");
    in->tools = TEXT("[{}]");
    flo_guard_question(&request, FLO_GUARD_PROMPT, "tiny", &out);
    assert_string_equal(out.data,
                        "{\"stage\":\"prompt\",\"model\":\"tiny\",\"app\":null,\"messages\":["
                        "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":"
                        "\"hm\"},{\"role\":\"tool\",\"content\":\"7\",\"tool_call_id\":\"x\","
                        "\"name\":\"f\"}],\"tools\":[{}]}\n");
    out.bytes = 0;
    flo_guard_ask(&request, FLO_GUARD_PROMPT, &guard, &out);
    assert_string_equal(out.data, "Judge:\n[{}]\n{\"reasoning_content\":\"hm\"}\n7\n"
                                  "{\"tool_call_id\":\"x\",\"name\":\"f\"}");
    out.bytes = 0;
    flo_buf_text(&request.kept.text, "so");
    flo_buf_text(&request.kept.thoughts, "hm");
    for (int i = 0; i < 2; i++) {
        struct flo_err failed = {0};
        assert_int_equal(flo_kept_add_call(&request.kept, TEXT("f"), &failed), 0);
        flo_buf_text(&request.kept.calls[i].arguments, i == 0 ? "{}" : "[\"");
    }
    flo_guard_question(&request, FLO_GUARD_ANSWER, "tiny", &out);
    assert_string_equal(out.data,
                        "{\"stage\":\"answer\",\"model\":\"tiny\",\"app\":null,\"text\":\"so\","
                        "\"reasoning_content\":\"hm\",\"tool_calls\":[{\"type\":\"function\","
                        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"type\":"
                        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"[\\\"\"}}]}"
                        "\n");
    out.bytes = 0;
    flo_guard_ask(&request, FLO_GUARD_ANSWER, &guard, &out);
    assert_string_equal(out.data, "Judge:\nhm\nso\nf\n{}\nf\n[\"");
    flo_buf_deinit(&out);
    flo_kept_deinit(&request.kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verdict_is_one_of_three_words),
        cmocka_unit_test(an_answer_that_is_none_is_refused_with_its_fault),
        cmocka_unit_test(an_edited_text_has_a_limit),
        cmocka_unit_test(a_models_answer_decides_by_its_begin),
        cmocka_unit_test(a_question_has_what_the_model_would_read),
        cmocka_unit_test(tools_calls_and_thoughts_are_shown_as_openai_has_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

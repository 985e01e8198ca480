/* The local API's stream and errors, as a chat reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/net.h>

#include "engine/talk/talk.h"

static int read_event(const char *json, struct flo_tree *tree, struct flo_talk_event *out,
                      struct flo_err *err)
{
    static char data[2048]; /* the texts lie in it */

    snprintf(data, sizeof(data), "%s", json);
    return flo_talk_event_read(data, strlen(data), tree, out, err);
}

static void texts_thoughts_and_the_end_are_read(void **state)
{
    struct flo_talk_event event;
    struct flo_tree tree = {0};

    (void)state;
    assert_int_equal(read_event("{\"choices\":[{\"index\":0,\"delta\":"
                                "{\"content\":\"a\\nb\"},\"finish_reason\":"
                                "null}],\"usage\":null}",
                                &tree, &event, NULL),
                     0);
    assert_string_equal(event.text.data, "a\nb");
    assert_false(event.has_finish || event.has_usage);
    assert_int_equal(event.thought.bytes, 0);
    assert_int_equal(read_event("{\"choices\":[{\"delta\":{\"content\":null,"
                                "\"reasoning_content\":\"Hm\"},\"finish_reason\":null}]}",
                                &tree, &event, NULL),
                     0);
    assert_string_equal(event.thought.data, "Hm");
    assert_int_equal(event.text.bytes, 0);
    assert_int_equal(read_event("{\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}"
                                "],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":3,"
                                "\"prompt_tokens_details\":{\"cached_tokens\":29}},"
                                "\"timings\":{\"prompt_ms\":1.5,\"per_token_ms\":0.5}}",
                                &tree, &event, NULL),
                     0);
    assert_true(event.has_finish && event.is_length && event.has_usage);
    assert_int_equal(event.prompt, 30);
    assert_int_equal(event.kept, 29);
    assert_int_equal(event.answer, 3);
    assert_true(event.prompt_ms == 1.5 && event.token_ms == 0.5);
    flo_tree_deinit(&tree);
}

static void an_error_keeps_its_code_and_fix(void **state)
{
    static const struct {
        const char *json;
        int code;
        const char *what, *fix;
    } cases[] = {
        {"{\"error\":{\"message\":\"top_k is -1\",\"code\":\"infer.param\","
         "\"param\":\"top_k\",\"fix\":\"say more\"}}",
         FLO_E_INFER_PARAM, "top_k is -1", "say more"},
        {"{\"error\":{\"message\":\"9 tokens\",\"code\":"
         "\"context_length_exceeded\",\"fix\":\"\"}}",
         FLO_E_INFER_TOO_LONG, "9 tokens", ""},
        {"{\"error\":{\"message\":\"odd\\u001b[2J\",\"code\":\"other\"}}", FLO_E_NET_STATUS,
         "odd\\x1b[2J", ""},
        {"{\"error\":{}}", FLO_E_NET_STATUS, "an error without a text", ""},
    };
    struct flo_tree tree = {0};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_talk_event event;
        struct flo_err err = {0};
        char body[256];
        assert_int_equal(read_event(cases[i].json, &tree, &event, &err), cases[i].code);
        assert_string_equal(err.what, cases[i].what);
        assert_string_equal(err.fix, cases[i].fix);
        snprintf(body, sizeof(body), "%s", cases[i].json);
        assert_int_equal(flo_talk_event_fail(body, strlen(body), 400, &tree, &err), cases[i].code);
        assert_string_equal(err.what, cases[i].what);
    }
    flo_tree_deinit(&tree);
}

static void another_answer_is_refused(void **state)
{
    static const char *const texts[] = {
        "",   "no JSON",          "[]",
        "{}", "{\"choices\":{}}", "{\"choices\":[{\"delta\":{\"content\":\"\\ud800\"}}]}",
    };
    char page[] = "<html>";
    struct flo_tree tree = {0};
    struct flo_talk_event event;
    struct flo_err err = {0};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        assert_int_equal(read_event(texts[i], &tree, &event, &err), FLO_E_NET_CONTENT);
    }
    /* Without a choice there is nothing to say. */
    assert_int_equal(read_event("{\"choices\":[]}", &tree, &event, &err), 0);
    assert_int_equal(event.text.bytes + event.thought.bytes, 0);
    assert_int_equal(flo_talk_event_fail(page, strlen(page), 502, &tree, &err), FLO_E_NET_STATUS);
    assert_non_null(strstr(err.what, "answered 502"));
    flo_tree_deinit(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_thoughts_and_the_end_are_read),
        cmocka_unit_test(an_error_keeps_its_code_and_fix),
        cmocka_unit_test(another_answer_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

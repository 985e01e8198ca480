/* A runtime's calls, held to what was offered, and its requests with images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/runtime.h>

#include "engine/proxy/proxy.h"

#define TEXT(t) ((struct flo_wire_text){t, sizeof(t) - 1})
#define TOOLS                                                                                      \
    "[{\"type\":\"function\",\"function\":{\"name\":\"light\"}},"                                  \
    "{\"type\":\"function\",\"function\":{\"name\":\"wait\"}}]"

static struct flo_proxy_calls calls;
static struct flo_buf out;
static struct flo_err err;

static int clean(void **state)
{
    (void)state;
    flo_calls_deinit(&calls);
    flo_buf_deinit(&out);
    memset(&calls, 0, sizeof(calls));
    memset(&err, 0, sizeof(err));
    out = (struct flo_buf){0};
    return 0;
}

static void expect(const struct flo_wire_generate *in)
{
    clean(NULL);
    assert_int_equal(flo_calls_expect(&calls, in, &err), 0);
}

static void offer(void)
{
    const struct flo_wire_generate in = {.tools = TEXT(TOOLS)};

    expect(&in);
}

static int take(uint32_t index, const char *name, const char *arguments)
{
    const struct flo_answer_call call = {
        index, {name, strlen(name)}, {arguments, strlen(arguments)}};

    return flo_calls_take(&calls, "npu", &call, &out, &err);
}

static int end(void)
{
    return flo_calls_end(&calls, "npu", &out, &err);
}

/* The parts that the agent gets, as "name(arguments)". */
static void expect_told(const char *wanted)
{
    struct flo_wire_text rest = {out.data, out.bytes};
    struct flo_wire_part part;
    char told[256] = "";

    while (flo_wire_part_next(&rest, &part)) {
        size_t at = strlen(told);
        snprintf(told + at, sizeof(told) - at, "%s%.*s", part.kind == FLO_WIRE_PART_CALL ? " " : "",
                 (int)part.text.bytes, part.text.data);
    }
    assert_string_equal(told, wanted);
}

static void calls_are_told_as_they_come(void **state)
{
    (void)state;
    offer();
    assert_int_equal(take(0, "light", ""), 0);
    assert_int_equal(take(0, "", "{\"on\""), 0);
    assert_int_equal(take(0, "", ":1} "), 0);
    assert_int_equal(take(1, "wait", ""), 0);
    assert_int_equal(end(), 0);
    assert_int_equal(end(), 0); /* nothing is open */
    expect_told(" light{\"on\":1}  wait{}");
    /* A server that does not number them. */
    offer();
    assert_int_equal(take(UINT32_MAX, "light", "{}"), 0);
    assert_int_equal(take(UINT32_MAX, "light", "{"), 0);
    assert_int_equal(take(UINT32_MAX, "", "}"), 0);
    assert_int_equal(end(), 0);
    expect_told(" light{} light{}");
}

static void a_tool_that_was_not_offered_is_not_called(void **state)
{
    static const char *const names[] = {"lights", "ligh", "LIGHT", "light\nwait", "\n", "\xff"};
    const struct flo_wire_generate rows[] = {
        {.tools = TEXT("")},
        {.tools = TEXT(TOOLS), .tool_choice = FLO_WIRE_TOOLS_NONE},
        {.tools = TEXT(TOOLS), .tool_name = TEXT("wait")},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        offer();
        assert_int_equal(take(0, names[i], "{}"), FLO_E_RUNTIME_ANSWER);
        assert_non_null(strstr(err.what, "the runtime npu called "));
        assert_int_equal(out.bytes, 0);
    }
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        expect(&rows[i]);
        assert_int_equal(take(0, "light", "{}"), FLO_E_RUNTIME_ANSWER);
    }
    assert_int_equal(take(0, "wait", "{}"), 0);
}

static void arguments_that_are_no_object_end_the_answer(void **state)
{
    static const char *const bad[] = {"{",        "[]",      "7", "\"a\"", "{}{}",
                                      "{\"a\":}", "{'a':1}", " ", "null",  "{\"a\":\"\xff\"}"};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        offer();
        assert_int_equal(take(0, "light", bad[i]), 0);
        assert_int_equal(end(), FLO_E_RUNTIME_ANSWER);
        assert_string_equal(err.what, "the runtime npu called light with "
                                      "arguments that are no JSON object");
        /* The next call ends the one before. */
        offer();
        assert_int_equal(take(0, "light", bad[i]), 0);
        out.bytes = 0;
        assert_int_equal(take(1, "wait", "{}"), FLO_E_RUNTIME_ANSWER);
        assert_int_equal(out.bytes, 0);
    }
}

static void one_call_is_one(void **state)
{
    const struct flo_wire_generate in = {.tools = TEXT(TOOLS), .one_call = true};
    (void)state;
    expect(&in);
    assert_int_equal(take(0, "light", "{}"), 0);
    assert_int_equal(take(1, "wait", "{}"), FLO_E_RUNTIME_ANSWER);
    assert_non_null(strstr(err.what, "npu made a second call"));
}

static void calls_in_no_order_are_refused(void **state)
{
    (void)state;
    offer();
    assert_int_equal(take(0, "", "{}"), FLO_E_RUNTIME_ANSWER);
    assert_int_equal(take(1, "light", "{}"), FLO_E_RUNTIME_ANSWER);
    assert_int_equal(take(UINT32_MAX, "", "{}"), FLO_E_RUNTIME_ANSWER);
    offer();
    assert_int_equal(take(0, "light", "{}"), 0);
    assert_int_equal(take(1, "wait", "{}"), 0);
    assert_int_equal(take(0, "", "{}"), FLO_E_RUNTIME_ANSWER);
    assert_non_null(strstr(err.what, "one after the other"));
    /* Nothing follows the end. */
    offer();
    assert_int_equal(take(0, "light", "{}"), 0);
    assert_int_equal(end(), 0);
    assert_int_equal(take(0, "", "}"), FLO_E_RUNTIME_ANSWER);
}

/* ---- images ---- */

static void images_stand_among_the_texts_of_a_request(void **state)
{
    const struct flo_runtime runtime = {.model = "m", .context = 64};
    struct flo_wire_message message = {
        .type = FLO_WIRE_GENERATE,
        .generate = {.n_messages = 3,
                     .messages = {{TEXT("user"), TEXT("ab"), TEXT("")},
                                  {TEXT("user"), TEXT(""), TEXT("")},
                                  {TEXT("user"), TEXT("c"), TEXT("")}},
                     .n_images = 3,
                     .images = {{0, 1, FLO_WIRE_DETAIL_LOW, TEXT("data:1")},
                                {0, 2, FLO_WIRE_DETAIL_UNSAID, TEXT("data:2")},
                                {1, 0, FLO_WIRE_DETAIL_UNSAID, TEXT("data:3")}}}};
    (void)state;
    flo_body_write(&runtime, &message, &out);
    assert_false(out.failed);
    assert_non_null(strstr(out.data,
                           "\"messages\":["
                           "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                           "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:1\",\"detail\":"
                           "\"low\"}},{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"image_url\","
                           "\"image_url\":{\"url\":\"data:2\"}}]},"
                           "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                           "\"image_url\":{\"url\":\"data:3\"}}]},"
                           "{\"role\":\"user\",\"content\":\"c\"}]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(calls_are_told_as_they_come, clean),
        cmocka_unit_test_teardown(a_tool_that_was_not_offered_is_not_called, clean),
        cmocka_unit_test_teardown(arguments_that_are_no_object_end_the_answer, clean),
        cmocka_unit_test_teardown(one_call_is_one, clean),
        cmocka_unit_test_teardown(calls_in_no_order_are_refused, clean),
        cmocka_unit_test_teardown(images_stand_among_the_texts_of_a_request, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

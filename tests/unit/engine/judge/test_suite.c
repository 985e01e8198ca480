/* Suites: what is read, what is refused and where, what passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/meta.h>

#include "engine/judge/suite.h"

static int take(const char *text, struct flo_suite *suite, struct flo_err *err)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    return flo_suite_take(copy, strlen(text), suite, err);
}

static void lines_become_cases_with_their_tasks(void **state)
{
    struct flo_suite suite;

    (void)state;
    assert_int_equal(take("{\"task\":\"json\",\"system\":\"s\",\"prompt\":\"p\\u00e9\\n\","
                          "\"answer\":\"{\\\"a\\\":1}\",\"severity\":\"info\"}\n\n"
                          "{\"skill\":\"echo\",\"prompt\":\"q\",\"answer\":\"\\ud83d"
                          "\\ude00\",\"max_new_tokens\":9,\"id\":\"x\"}",
                          &suite, NULL),
                     0);
    assert_int_equal(suite.count, 2);
    assert_int_equal(suite.n_tasks, 2);
    assert_int_equal(suite.json_count, 1);
    assert_string_equal(suite.tasks[suite.cases[0].task], "json");
    assert_string_equal(suite.cases[0].system, "s");
    assert_string_equal(suite.cases[0].prompt, "p\xc3\xa9\n");
    assert_string_equal(suite.cases[0].answer, "{\"a\":1}");
    assert_true(suite.cases[0].asks_json);
    assert_int_equal(suite.cases[1].number, 3);
    assert_string_equal(suite.cases[1].answer, "\xf0\x9f\x98\x80");
    assert_int_equal(suite.cases[1].tokens_max, 9);
    assert_string_equal(suite.cases[1].id, "x");
    flo_suite_deinit(&suite);
}

static void a_wrong_file_is_to_be_corrected_by_its_writer(void **state)
{
    struct flo_suite suite;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(take("# Readme\n", &suite, &err), FLO_E_META_JSON);
    assert_non_null(strstr(err.fix, "correct the file"));
    assert_null(strstr(err.fix, "publisher"));
    assert_int_equal(take("{\"format\":\"flotilla-golden-1\",\"cases\":7}", &suite, &err),
                     FLO_E_META_SCHEMA);
    assert_non_null(strstr(err.fix, "docs/reference/golden.md"));
}

static void a_golden_document_is_a_suite_too(void **state)
{
    struct flo_suite suite;
    char *text;
    size_t bytes;

    (void)state;
    assert_int_equal(
        flo_file_read("tests/models/golden-tiny-v2.json", 1 << 20, &text, &bytes, NULL), 0);
    assert_int_equal(flo_suite_take(text, bytes, &suite, NULL), 0);
    assert_int_equal(suite.count, 26);
    assert_int_equal(suite.json_count, 6);
    assert_true(suite.cases[0].is_raw);
    assert_string_equal(suite.cases[0].answer, "severity: critical");
    assert_int_equal(suite.cases[0].n_contains, 1);
    assert_int_equal(suite.cases[25].number, 26);
    flo_suite_deinit(&suite);
}

static void prompts_alone_are_a_suite_for_who_asks_for_no_answers(void **state)
{
    struct flo_suite suite;
    char *copy = strdup("{\"system\":\"s\",\"prompt\":\"p\"}\n{\"prompt\":\"q\",\"answer\":\"a\"}");

    (void)state;
    assert_int_equal(flo_suite_take_prompts(copy, strlen(copy), &suite, NULL), 0);
    assert_int_equal(suite.count, 2);
    assert_null(suite.cases[0].answer);
    assert_string_equal(suite.cases[1].answer, "a");
    flo_suite_deinit(&suite);

    copy = strdup("{\"system\":\"s\"}");
    assert_int_equal(flo_suite_take_prompts(copy, strlen(copy), &suite, NULL), FLO_E_META_SCHEMA);
}

static void what_does_not_fit_is_refused_with_its_line(void **state)
{
#define GOOD "{\"prompt\":\"p\",\"answer\":\"a\"}\n"
    static const struct {
        const char *text, *says;
        int code;
    } cases[] = {
        {"", "no case", FLO_E_META_SCHEMA},
        {"\n \n", "no case", FLO_E_META_SCHEMA},
        {GOOD "{", "line 2: not strict JSON", FLO_E_META_JSON},
        {GOOD GOOD "{\"prompt\":\"p\",}", "line 3: not", FLO_E_META_JSON},
        {"{\"prompt\":\"p\",\"answer\":\"\xff\"}", "line 1", FLO_E_META_JSON},
        {"{\"prompt\":\"p\",\"answer\":\"\t\"}", "line 1", FLO_E_META_JSON},
        {"{\"prompt\":\"p\",\"answer\":01}", "line 1", FLO_E_META_JSON},
        {"{\"prompt\":\"p\",\"answer\":\"\\x\"}", "line 1", FLO_E_META_JSON},
        {GOOD "7", "line 2: no object", FLO_E_META_SCHEMA},
        {GOOD "{\"answer\":\"a\"}", "line 2: no prompt", FLO_E_META_SCHEMA},
        {"{\"prompt\":\"\",\"answer\":\"a\"}", "no prompt", FLO_E_META_SCHEMA},
        {"{\"prompt\":\"p\"}", "neither answer", FLO_E_META_SCHEMA},
        {"{\"prompt\":7,\"answer\":\"a\"}", "prompt twice, or no text", FLO_E_META_SCHEMA},
        {"{\"prompt\":\"p\",\"prompt\":\"q\",\"answer\":\"a\"}", "prompt twice", FLO_E_META_SCHEMA},
        {"{\"prompt\":\"p\",\"answer\":\"\\u0000\"}", "answer twice, or no", FLO_E_META_SCHEMA},
        {"{\"prompt\":\"p\",\"answer\":\"\\ud800\"}", "answer twice, or no", FLO_E_META_SCHEMA},
        {"{\"prompt\":\"p\",\"must_contain\":[7]}", "must_contain", FLO_E_META_SCHEMA},
        {"{\"prompt\":\"p\",\"answer\":\"a\",\"max_new_tokens\":0}", "max_new_tokens",
         FLO_E_META_SCHEMA},
        {"{\"prompt\":\"p\",\"answer\":\"a\",\"max_new_tokens\":1e9}", "max_new_tokens",
         FLO_E_META_SCHEMA},
        {"{\"format\":\"flotilla-golden-1\",\n\"cases\":[\n{]}", "line 3: not", FLO_E_META_JSON},
        {"{\"format\":\"flotilla-golden-1\",\"cases\":[{\"prompt\":\"p\"}]}", "case 1: neither",
         FLO_E_META_SCHEMA},
        {"{\"format\":\"flotilla-golden-1\",\"cases\":[],\"cases\":[]}", "cases stand twice",
         FLO_E_META_SCHEMA},
        {GOOD "{\"pro\\u0000mpt\":\"p\",\"answer\":\"a\"}", "line 2: no prompt", FLO_E_META_SCHEMA},
        {"[\"flotilla-golden-1\",\"cases\"]", "no object", FLO_E_META_SCHEMA},
    };
    struct flo_suite suite;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_err err = {0};
        if (take(cases[i].text, &suite, &err) != cases[i].code ||
            strstr(err.what, cases[i].says) == NULL) {
            fail_msg("%s gave %s", cases[i].text, err.what);
        }
    }
}

static bool passes(struct flo_suite_case one, const char *answer)
{
    return flo_suite_is_exact(&one, answer, strlen(answer));
}

static void exact_is_all_but_the_space_around(void **state)
{
    const struct flo_suite_case whole = {.answer = "a b"};
    const struct flo_suite_case parts = {.n_contains = 2, .contains = {"x", "y"}};

    (void)state;
    assert_true(passes(whole, "a b"));
    assert_true(passes(whole, " a b\n"));
    assert_false(passes(whole, "a  b"));
    assert_false(passes(whole, "a b c"));
    assert_false(passes(whole, ""));
    assert_true(passes(parts, "yax"));
    assert_false(passes(parts, "x"));
}

static void json_is_strict_and_an_object_or_a_list(void **state)
{
    static const char *const good[] = {"{}", " [1,2.5e+3,-0,null] \n",
                                       "{\"a\":{\"b\":[true,\"\\u12aF\"]}}",
                                       "[\"\\u0000\\ud800\"]"};
    static const char *const bad[] = {
        "",     "7",    "\"a\"", "{",         "{\"a\":1,}", "{'a':1}",  "{} {}",  "[01]",
        "[1.]", "[.5]", "[NaN]", "{\"a\" 1}", "[+1]",       "Sure: {}", "[\x01]", "[\"\xc3\"]"};
    char deep[400];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        assert_true(flo_suite_is_json(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (flo_suite_is_json(bad[i], strlen(bad[i]))) {
            fail_msg("%s passes", bad[i]);
        }
    }
    memset(deep, '[', sizeof(deep));
    assert_false(flo_suite_is_json(deep, sizeof(deep)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_cases_with_their_tasks),
        cmocka_unit_test(a_golden_document_is_a_suite_too),
        cmocka_unit_test(a_wrong_file_is_to_be_corrected_by_its_writer),
        cmocka_unit_test(prompts_alone_are_a_suite_for_who_asks_for_no_answers),
        cmocka_unit_test(what_does_not_fit_is_refused_with_its_line),
        cmocka_unit_test(exact_is_all_but_the_space_around),
        cmocka_unit_test(json_is_strict_and_an_object_or_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Forms of answers: what fits which schema, and how a fault is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/form/form.h"

#define TREE                                                                                       \
    "{\"$ref\":\"#/$defs/tree\",\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{"         \
    "\"name\":{\"$ref\":\"#/$defs/na~1me\"},\"children\":{\"type\":\"array\",\"items\":{"          \
    "\"$ref\":\"#/$defs/tree\"}}},\"required\":[\"name\"],\"additionalProperties\":false},"        \
    "\"na/me\":{\"type\":\"string\",\"maxLength\":3}}}"
#define PERSON                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":"       \
    "\"integer\",\"minimum\":0,\"maximum\":150}},\"required\":[\"name\",\"age\"],"                 \
    "\"additionalProperties\":false}"

/* An answer, and the end of the error (NULL: it fits). */
struct row {
    const char *schema, *answer, *says;
};

static void expect(const struct row *row)
{
    struct flo_err err = {0};
    size_t bytes = row->schema == NULL ? 0 : strlen(row->schema);
    int rv = row->schema == NULL ? 0 : flo_form_accept(row->schema, bytes, &err);

    if (rv == 0) {
        rv = flo_form_check(row->schema, bytes, row->answer, strlen(row->answer), &err);
    }
    if (row->says == NULL ? rv != 0 : rv != FLO_E_INFER_FORM || strcmp(err.what, row->says) != 0) {
        fail_msg("%s\nof\n%s\nis %d: %s", row->answer, row->schema, rv, err.what);
    }
}

static void expect_all(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect(&rows[i]);
    }
}

static void any_object_is_one_json_object(void **state)
{
    static const struct row rows[] = {
        {NULL, "{}", NULL},
        {NULL, " \n\t{\"a\": [1, {\"b\": null}]}\r\n", NULL},
        {NULL, "[]", "answer /: must be a JSON object, is an array of 0 elements"},
        {NULL, "\"{}\"", "answer /: must be a JSON object, is a string of 2 characters"},
        {NULL, "7", "answer /: must be a JSON object, is an integer"},
        {NULL, "null", "answer /: must be a JSON object, is null"},
        {NULL, "", "answer: no JSON at byte 0, or more than 64 levels"},
        {NULL, "Sure: {}", "answer: no JSON at byte 0, or more than 64 levels"},
        {NULL, "```json\n{}\n```", "answer: no JSON at byte 0, or more than 64 levels"},
        {NULL, "{} {}", "answer: no JSON at byte 3, or more than 64 levels"},
        {NULL, "{\"a\":1,}", "answer: no JSON at byte 7, or more than 64 levels"},
        {NULL, "{\"a\":01}", "answer: no JSON at byte 6, or more than 64 levels"},
        {NULL, "{\"a\":\"\xff\"}", "answer: no JSON at byte 6, or more than 64 levels"},
        {NULL, "{\"a\":\"\\u0000\"}", "answer: a text with U+0000 or half of a surrogate pair"},
        {NULL, "{\"\\ud83d\":1}", "answer: a text with U+0000 or half of a surrogate pair"},
        {NULL, "{\"a\":1,\"b\":{\"c\":1,\"\\u0063\":2}}",
         "answer /b/c: must be in its object once, is an integer"},
    };

    (void)state;
    expect_all(rows, FLO_COUNT(rows));
}

static void each_type_has_its_values(void **state)
{
    static const struct row rows[] = {
        {"true", "[7]", NULL},
        {"{}", "null", NULL},
        {"false", "{}", "answer /: must not be there, is an object of 0 members"},
        {"{\"type\":\"integer\"}", "-0", NULL},
        {"{\"type\":\"integer\"}", "1.0", NULL},
        {"{\"type\":\"integer\"}", "1.50e1", NULL},
        {"{\"type\":\"integer\"}", "123456789012345678901234567890", NULL},
        {"{\"type\":\"integer\"}", "1.5", "answer /: must be of type integer, is a number"},
        {"{\"type\":\"integer\"}", "15e-1", "answer /: must be of type integer, is a number"},
        {"{\"type\":\"integer\"}", "\"1\"",
         "answer /: must be of type integer, is a string of 1 character"},
        {"{\"type\":\"number\"}", "1", NULL},
        {"{\"type\":[\"string\",\"null\"]}", "null", NULL},
        {"{\"type\":[\"string\",\"null\"]}", "false",
         "answer /: must be of type string or null, is a boolean"},
        {"{\"type\":\"object\"}", "[]",
         "answer /: must be of type object, is an array of 0 elements"},
        {"{\"title\":\"t\",\"x-a\":1,\"default\":2}", "{\"b\":[]}", NULL},
    };

    (void)state;
    expect_all(rows, FLO_COUNT(rows));
}

static void numbers_compare_as_numbers(void **state)
{
    static const struct row rows[] = {
        {"{\"const\":1}", "1.0", NULL},
        {"{\"const\":100}", "1E2", NULL},
        {"{\"const\":0}", "-0.00e7", NULL},
        {"{\"const\":0.1}", "1000e-4", NULL},
        {"{\"const\":9007199254740993}", "9007199254740993", NULL},
        {"{\"const\":9007199254740993}", "9007199254740992",
         "answer /: must be the value of `const`, is an integer"},
        {"{\"const\":1e400}", "1e401", "answer /: must be the value of `const`, is an integer"},
        {"{\"const\":1e400}", "10e399", NULL},
        {"{\"enum\":[1,\"1\",null]}", "\"1\"", NULL},
        {"{\"enum\":[2,\"1\",null]}", "1", "answer /: must be one of 3 values, is an integer"},
        {"{\"minimum\":-2.5}", "-2.50", NULL},
        {"{\"minimum\":-2.5}", "-2.51", "answer /: must be at least -2.5, is a number"},
        {"{\"maximum\":10}", "9.99", NULL},
        {"{\"maximum\":10}", "10.01", "answer /: must be at most 10, is a number"},
        {"{\"exclusiveMinimum\":0}", "1e-400", NULL},
        {"{\"exclusiveMinimum\":0}", "0.0", "answer /: must be above 0, is an integer"},
        {"{\"exclusiveMaximum\":0.5}", "0.5", "answer /: must be below 0.5, is a number"},
        {"{\"maximum\":99999999999999999999}", "100000000000000000000",
         "answer /: must be at most 99999999999999999999, is an integer"},
        {"{\"maximum\":1e20}", "99999999999999999999.5", NULL},
        {"{\"minimum\":5}", "\"no number\"", NULL},
    };

    (void)state;
    expect_all(rows, FLO_COUNT(rows));
}

static void members_have_any_order_and_white_space(void **state)
{
    static const struct row rows[] = {
        {PERSON, "{\"name\":\"Ada\",\"age\":36}", NULL},
        {PERSON, "{\n  \"age\" : 36 ,\n\t\"name\":\"Ada\"\r\n}", NULL},
        {PERSON, "{\"n\\u0061me\":\"Ada\",\"age\":36}", NULL},
        {PERSON, "{\"name\":\"Ada\"}",
         "answer /: must have the member 'age', is an object of 1 member"},
        {PERSON, "{\"name\":\"Ada\",\"age\":-1}", "answer /age: must be at least 0, is an integer"},
        {PERSON, "{\"name\":\"Ada\",\"age\":\"36\"}",
         "answer /age: must be of type integer, is a string of 2 characters"},
        {PERSON, "{\"name\":\"Ada\",\"age\":36,\"Age\":36}",
         "answer /Age: must not be there, is an integer"},
        {PERSON, "{\"name\":\"Ada\",\"age\":36,\"name\":\"Eve\"}",
         "answer /name: must be in its object once, is a string of 3 characters"},
        {"{\"properties\":{\"a\":true}}", "{\"b\":1}", NULL},
        {"{\"required\":[\"a\"]}", "[]", NULL},
        {"{\"properties\":{\"a\":true},\"additionalProperties\":{\"type\":\"null\"}}",
         "{\"a\":1,\"b\":null,\"~/\":2}", "answer /~0~1: must be of type null, is an integer"},
        {"{\"minProperties\":1,\"maxProperties\":2}", "{\"a\":1,\"b\":2}", NULL},
        {"{\"minProperties\":1}", "{}",
         "answer /: must have at least 1 member, is an object of 0 members"},
        {"{\"maxProperties\":2}", "{\"a\":1,\"b\":2,\"c\":3}",
         "answer /: must have at most 2 members, is an object of 3 members"},
        {"{\"const\":{\"a\":[1,{\"b\":2}],\"c\":null}}", "{\"c\":null,\"a\":[1.0,{\"b\":2e0}]}",
         NULL},
        {"{\"const\":{\"a\":1}}", "{\"a\":1,\"b\":1}",
         "answer /: must be the value of `const`, is an object of 2 members"},
    };

    (void)state;
    expect_all(rows, FLO_COUNT(rows));
}

static void elements_are_counted_and_compared(void **state)
{
    static const struct row rows[] = {
        {"{\"items\":{\"type\":\"integer\"}}", "[1,2,\"3\"]",
         "answer /2: must be of type integer, is a string of 1 character"},
        {"{\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"integer\"}],\"items\":false}",
         "[\"a\",1]", NULL},
        {"{\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"integer\"}],\"items\":false}",
         "[\"a\"]", NULL},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}", "[\"a\",1]",
         "answer /1: must not be there, is an integer"},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}", "[7]",
         "answer /0: must be of type string, is an integer"},
        {"{\"minItems\":2,\"maxItems\":2.0}", "[1]",
         "answer /: must have at least 2 elements, is an array of 1 element"},
        {"{\"maxItems\":1}", "[1,2]",
         "answer /: must have at most 1 element, is an array of 2 elements"},
        {"{\"maxItems\":1}", "{\"a\":1,\"b\":2}", NULL},
        {"{\"uniqueItems\":true}", "[1,\"1\",true,null,[],{}]", NULL},
        {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":1}]",
         "answer /1: must differ from each element before it, is an object of 2 members"},
        {"{\"uniqueItems\":false}", "[1,1]", NULL},
    };

    (void)state;
    expect_all(rows, FLO_COUNT(rows));
}

static void texts_have_characters_patterns_and_formats(void **state)
{
    static const struct row rows[] = {
        {"{\"maxLength\":3}", "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"", NULL},
        {"{\"maxLength\":3}", "\"\\u00fc\\u20ac\\ud83d\\ude00\"", NULL},
        {"{\"maxLength\":1}", "\"\\ud83d\\ude00\\n\"",
         "answer /: must have at most 1 character, is a string of 2 characters"},
        {"{\"minLength\":2}", "\"\\\"\"",
         "answer /: must have at least 2 characters, is a string of 1 character"},
        {"{\"minLength\":2,\"pattern\":\"^a\",\"format\":\"hostname\"}", "\"ab\"", NULL},
        {"{\"enum\":[\"\\u00fc\"]}", "\"\xc3\xbc\"", NULL},
        {"{\"pattern\":\"b\"}", "\"abc\"", NULL},
        {"{\"pattern\":\"^b\"}", "\"abc\"",
         "answer /: must match '^b', is a string of 3 characters"},
        {"{\"pattern\":\"b$\"}", "\"abc\"",
         "answer /: must match 'b$', is a string of 3 characters"},
        {"{\"pattern\":\"^a|c$\"}", "\"ab\"", NULL},
        {"{\"pattern\":\"^a|c$\"}", "\"bc\"", NULL},
        {"{\"pattern\":\"^a|c$\"}", "\"bcb\"",
         "answer /: must match '^a|c$', is a string of 3 characters"},
        {"{\"pattern\":\"(^|-)x(-|$)\"}", "\"a-x\"", NULL},
        {"{\"pattern\":\"^[^a]$\"}", "\"\\\"\"", NULL},
        {"{\"pattern\":\"^[^a]$\"}", "\"\\u0001\"", NULL},
        {"{\"pattern\":\"^.$\"}", "\"\xf0\x9f\x98\x80\"", NULL},
        {"{\"pattern\":\"^.$\"}", "\"\\n\"",
         "answer /: must match '^.$', is a string of 1 character"},
        {"{\"pattern\":\"^\\\\d{3,}\\\\.$\"}", "\"1234.\"", NULL},
        {"{\"pattern\":\"^(a|b)*$\"}", "\"abbac\"",
         "answer /: must match '^(a|b)*$', is a string of 5 characters"},
        {"{\"pattern\":\"\"}", "\"\"", NULL},
        {"{\"format\":\"date\"}", "\"2024-02-29\"", NULL},
        {"{\"format\":\"date\"}", "\"2023-02-29\"",
         "answer /: must be of the format date, is a string of 10 characters"},
        {"{\"format\":\"time\"}", "\"23:59:60.123456789Z\"", NULL},
        {"{\"format\":\"time\"}", "\"23:59:59\"",
         "answer /: must be of the format time, is a string of 8 characters"},
        {"{\"format\":\"date-time\"}", "\"2024-12-31t08:00:00+05:30\"", NULL},
        {"{\"format\":\"date-time\"}", "\"2024-12-31 08:00:00Z\"",
         "answer /: must be of the format date-time, is a string of 20 characters"},
        {"{\"format\":\"uuid\"}", "\"0F8fad5b-d9cb-469f-a165-70867728950e\"", NULL},
        {"{\"format\":\"uuid\"}", "\"0f8fad5b-d9cb-469f-a165-70867728950\"",
         "answer /: must be of the format uuid, is a string of 35 characters"},
        {"{\"format\":\"ipv4\"}", "\"10.0.0.255\"", NULL},
        {"{\"format\":\"ipv4\"}", "\"10.0.0.01\"",
         "answer /: must be of the format ipv4, is a string of 9 characters"},
        {"{\"format\":\"ipv4\"}", "\"10.0.0.256\"",
         "answer /: must be of the format ipv4, is a string of 10 characters"},
        {"{\"format\":\"hostname\"}", "\"Gate-7.example\"", NULL},
        {"{\"format\":\"hostname\"}", "\"gate-.example\"",
         "answer /: must be of the format hostname, is a string of 13 characters"},
        {"{\"format\":\"email\"}", "\"a.b+c@example.org\"", NULL},
        {"{\"format\":\"email\"}", "\"a..b@example.org\"",
         "answer /: must be of the format email, is a string of 16 characters"},
        {"{\"format\":\"email\"}", "\"example.org\"",
         "answer /: must be of the format email, is a string of 11 characters"},
        {"{\"format\":\"email\"}", "7", NULL},
    };

    (void)state;
    expect_all(rows, FLO_COUNT(rows));
}

static void schemas_combine_and_refer_to_each_other(void **state)
{
    static const struct row rows[] = {
        {TREE, "{\"children\":[{\"name\":\"b\",\"children\":[]}],\"name\":\"a\"}", NULL},
        {TREE, "{\"name\":\"a\",\"children\":[{\"name\":\"b\",\"children\":[{}]}]}",
         "answer /children/0/children/0: must have the member 'name', is an object of 0 "
         "members"},
        {TREE, "{\"name\":\"a\",\"children\":[{\"name\":\"b\"},{\"name\":\"long\"}]}",
         "answer /children/1/name: must have at most 3 characters, is a string of 4 characters"},
        {"{\"$ref\":\"#/allOf/0\",\"allOf\":[{\"type\":\"integer\"}]}", "1.5",
         "answer /: must be of type integer, is a number"},
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "3",
         "answer /: must be at most 2, is an integer"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "null", NULL},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "2",
         "answer /: must fit one of 2 alternatives, is an integer"},
        /* The alternative that fits further is told. */
        {"{\"anyOf\":[{\"type\":\"null\"},{\"properties\":{\"a\":{\"type\":\"string\"}}}]}",
         "{\"a\":1}", "answer /a: must be of type string, is an integer"},
        {"{\"oneOf\":[{\"minimum\":3},{\"maximum\":5}]}", "7", NULL},
        {"{\"oneOf\":[{\"minimum\":3},{\"maximum\":5}]}", "4",
         "answer /: must fit one alternative of `oneOf`, and no second one, is an integer"},
        {"{\"oneOf\":[{\"minimum\":3},{\"minimum\":5}]}", "2",
         "answer /: must fit one of 2 alternatives, is an integer"},
        {"{\"type\":\"object\",\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
         "{\"c\":1}", "answer /: must fit one of 2 alternatives, is an object of 1 member"},
    };

    (void)state;
    expect_all(rows, FLO_COUNT(rows));
}

static void a_schema_that_cannot_be_checked_is_refused_with_its_pointer(void **state)
{
    static const struct row rows[] = {
        {"{\"properties\":{\"age\":{\"multipleOf\":2}}}", NULL,
         "schema /properties/age/multipleOf: is not supported"},
        {"{\"items\":{\"not\":{}}}", NULL, "schema /items/not: is not supported"},
        {"{\"anyOf\":[true,{\"if\":{}}]}", NULL, "schema /anyOf/1/if: is not supported"},
        {"{\"type\":\"text\"}", NULL, "schema /type: is no type"},
        {"{\"type\":[]}", NULL, "schema /type: is no type"},
        {"{\"enum\":[]}", NULL, "schema /enum: must be a list of values"},
        {"{\"allOf\":{}}", NULL, "schema /allOf: must be a list of schemas"},
        {"{\"items\":[{}]}", NULL, "schema /items: must have a schema here"},
        {"{\"required\":[1]}", NULL, "schema /required: must be a list of names"},
        {"{\"properties\":[]}", NULL, "schema /properties: must be an object"},
        {"{\"minLength\":-1}", NULL,
         "schema /minLength: must be a whole number of at most 16 digits"},
        {"{\"minimum\":\"1\"}", NULL, "schema /minimum: must be a number"},
        {"{\"uniqueItems\":1}", NULL, "schema /uniqueItems: must be true or false"},
        {"{\"pattern\":\"(?=a)\"}", NULL,
         "schema /pattern: only literals, classes, groups, | and * + ? {} are built"},
        {"{\"pattern\":\"a^b\"}", NULL,
         "schema /pattern: only literals, classes, groups, | and * + ? {} are built"},
        {"{\"format\":\"uri\"}", NULL, "schema /format: is a format that is not supported"},
        {"{\"$ref\":\"#/$defs/a\"}", NULL, "schema /$ref: is not in this schema"},
        {"{\"$ref\":\"other.json\"}", NULL, "schema /$ref: is not in this schema"},
        {"{\"$ref\":\"#\"}", NULL, "schema /: leads back to itself, or to more than 64 schemas"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"allOf\":[{\"$ref\":\"#\"}]}]}", NULL,
         "schema /: leads back to itself, or to more than 64 schemas"},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"not\":true}}}", NULL,
         "schema /$ref/not: is not supported"},
        {"{\"$defs\":{\"a\":{\"not\":true}}}", NULL, NULL},
        {"{\"properties\":{\"a\":true,\"a\":false}}", NULL, "schema: two members are called 'a'"},
        {"{\"type\":\"\\u0000\"}", NULL, "schema: a text with U+0000 or half of a surrogate pair"},
        {"7", NULL, "schema /: must be a schema"},
        {"{", NULL, "schema: no JSON at byte 1, or more than 64 levels"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        int rv = flo_form_accept(rows[i].schema, strlen(rows[i].schema), &err);
        if (rows[i].says == NULL
                ? rv != 0
                : rv != FLO_E_INFER_SCHEMA || strcmp(err.what, rows[i].says) != 0) {
            fail_msg("%s: %d %s", rows[i].schema, rv, err.what);
        }
    }
}

/* Alternatives that call each other cost a power of two of steps. */
static void a_check_ends_after_a_bounded_number_of_steps(void **state)
{
    static const char schema[] =
        "{\"anyOf\":[{\"items\":{\"$ref\":\"#\"},\"maxItems\":1,\"type\":\"array\"},"
        "{\"items\":{\"$ref\":\"#\"},\"maxItems\":2,\"type\":\"array\"}]}";
    char answer[2 * 60 + 2] = "";
    struct flo_err err = {0};

    (void)state;
    memset(answer, '[', 60);
    answer[60] = '7';
    memset(answer + 61, ']', 60);
    assert_int_equal(flo_form_accept(schema, strlen(schema), &err), 0);
    assert_int_equal(flo_form_check(schema, strlen(schema), answer, strlen(answer), &err),
                     FLO_E_INFER_FORM);
    assert_non_null(strstr(err.what, "takes more than 33554432 steps"));
}

/* Each place of the text begins another reading of the pattern. */
static void a_pattern_with_many_readings_ends_as_well(void **state)
{
    static const char schema[] = "{\"pattern\":\"a.{0,3000}b\"}";
    struct flo_buf answer = {0};
    struct flo_err err = {0};

    (void)state;
    flo_buf_text(&answer, "\"");
    for (int i = 0; i < 10000; i++) {
        flo_buf_text(&answer, i % 7 == 0 ? "x" : "a");
    }
    flo_buf_text(&answer, "\"");
    assert_int_equal(flo_form_accept(schema, strlen(schema), &err), 0);
    assert_int_equal(flo_form_check(schema, strlen(schema), answer.data, answer.bytes, &err),
                     FLO_E_INFER_FORM);
    assert_non_null(strstr(err.what, "takes more than 33554432 steps"));
    flo_buf_deinit(&answer);
}

/* Each pattern has tens of thousands of nodes. */
static void patterns_cost_steps_of_the_schema(void **state)
{
    struct flo_buf schema = {0};
    struct flo_err err = {0};

    (void)state;
    flo_buf_text(&schema, "{\"allOf\":[true");
    for (int i = 0; i < 200; i++) {
        flo_buf_text(&schema, ",{\"pattern\":\"^(ab?){12000}$\"}");
    }
    flo_buf_text(&schema, "]}");
    assert_int_equal(flo_form_accept(schema.data, schema.bytes, &err), FLO_E_INFER_SCHEMA);
    assert_non_null(strstr(err.what, "takes more than 33554432 steps"));
    flo_buf_deinit(&schema);
}

static void an_error_is_short_and_has_no_text_of_the_answer(void **state)
{
    static const char schema[] = "{\"additionalProperties\":{\"type\":\"null\"}}";
    struct flo_buf answer = {0};
    struct flo_err err = {0};

    (void)state;
    flo_buf_text(&answer, "{\"");
    for (int i = 0; i < 1000; i++) {
        flo_buf_text(&answer, "\xc3\xbc");
    }
    flo_buf_text(&answer, "\": \"a secret\"}");
    assert_int_equal(flo_form_check(schema, strlen(schema), answer.data, answer.bytes, &err),
                     FLO_E_INFER_FORM);
    assert_true(strlen(err.what) < 260);
    assert_non_null(strstr(err.what, "...: must be of type null, is a string of 8 characters"));
    assert_null(strstr(err.what, "secret"));
    flo_buf_deinit(&answer);
}

static void more_values_than_the_limit_have_no_form(void **state)
{
    struct flo_buf answer = {0};
    struct flo_err err = {0};

    (void)state;
    flo_buf_text(&answer, "{\"a\":[0");
    for (unsigned i = 3; i < FLO_FORM_VALUES_MAX; i++) {
        flo_buf_text(&answer, ",0");
    }
    size_t most = answer.bytes;
    flo_buf_text(&answer, "]}");
    assert_int_equal(flo_form_check(NULL, 0, answer.data, answer.bytes, &err), 0);
    answer.bytes = most;
    flo_buf_text(&answer, ",0]}");
    assert_int_equal(flo_form_check(NULL, 0, answer.data, answer.bytes, &err), FLO_E_INFER_FORM);
    assert_string_equal(err.what, "answer: 65537 values, at most 65536");
    flo_buf_deinit(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_object_is_one_json_object),
        cmocka_unit_test(each_type_has_its_values),
        cmocka_unit_test(numbers_compare_as_numbers),
        cmocka_unit_test(members_have_any_order_and_white_space),
        cmocka_unit_test(elements_are_counted_and_compared),
        cmocka_unit_test(texts_have_characters_patterns_and_formats),
        cmocka_unit_test(schemas_combine_and_refer_to_each_other),
        cmocka_unit_test(a_schema_that_cannot_be_checked_is_refused_with_its_pointer),
        cmocka_unit_test(a_check_ends_after_a_bounded_number_of_steps),
        cmocka_unit_test(a_pattern_with_many_readings_ends_as_well),
        cmocka_unit_test(patterns_cost_steps_of_the_schema),
        cmocka_unit_test(an_error_is_short_and_has_no_text_of_the_answer),
        cmocka_unit_test(more_values_than_the_limit_have_no_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

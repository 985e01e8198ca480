/* JSON: what is refused, what fields may hold, one text per tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>

#include "base/host/json.h"
#include "base/host/text/json_quick.h"

static json_t *parsed(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(flo_json_parse(text, strlen(text), 4096, &json, NULL), 0);
    return json;
}

static void strict_json_is_read(void **state)
{
    static const char *const good[] = {"{}",
                                       "[]",
                                       " {\"a\":1}\n",
                                       "[1,-2,3.5e3,\"x\",true,false,null]",
                                       "{\"a\":{\"a\":{}}}",
                                       "[\"\\u00e9\\ud83d\\ude00\"]",
                                       "[9223372036854775807,-9223372036854775808]",
                                       "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", /* 16 levels */
                                       "[\"[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"]"};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        json_decref(parsed(good[i]));
    }
}

static void what_is_not_strict_json_is_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"", FLO_E_META_JSON},
        {" ", FLO_E_META_JSON},
        {"1", FLO_E_META_JSON},
        {"\"a\"", FLO_E_META_JSON},
        {"{", FLO_E_META_JSON},
        {"{\"a\":1", FLO_E_META_JSON},
        {"{} {}", FLO_E_META_JSON},
        {"{}x", FLO_E_META_JSON},
        {"[1,]", FLO_E_META_JSON},
        {"{\"a\":1,}", FLO_E_META_JSON},
        {"{a:1}", FLO_E_META_JSON},
        {"{'a':1}", FLO_E_META_JSON},
        {"{\"a\":1,\"a\":2}", FLO_E_META_JSON},
        {"{\"a\":{\"b\":1,\"b\":1}}", FLO_E_META_JSON},
        {"[01]", FLO_E_META_JSON},
        {"[+1]", FLO_E_META_JSON},
        {"[.5]", FLO_E_META_JSON},
        {"[1.]", FLO_E_META_JSON},
        {"[0x10]", FLO_E_META_JSON},
        {"[NaN]", FLO_E_META_JSON},
        {"[Infinity]", FLO_E_META_JSON},
        {"[1e999]", FLO_E_META_SCHEMA},
        {"[9223372036854775808]", FLO_E_META_SCHEMA},
        {"[tru]", FLO_E_META_JSON},
        {"// c\n{}", FLO_E_META_JSON},
        {"[\"a\nb\"]", FLO_E_META_JSON},
        {"[\"\\x41\"]", FLO_E_META_JSON},
        {"[\"\\u0000\"]", FLO_E_META_JSON},
        {"[\"\\ud800\"]", FLO_E_META_JSON},
        {"[\"\\udc00\\ud800\"]", FLO_E_META_JSON},
        {"[\"\xff\"]", FLO_E_META_JSON},
        {"[\"\xed\xa0\x80\"]", FLO_E_META_JSON},
        {"\xef\xbb\xbf{}", FLO_E_META_JSON},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", FLO_E_META_JSON_DEPTH},
    };
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        json_t *json = NULL;
        struct flo_err err = {0};
        int rv = flo_json_parse(rows[i].text, strlen(rows[i].text), 4096, &json, &err);
        assert_int_equal(rv, rows[i].code);
        assert_non_null(strstr(err.what, "at byte "));
        assert_null(json);
    }
}

static void a_nul_behind_the_document_is_refused(void **state)
{
    json_t *json = NULL;
    (void)state;

    assert_int_equal(flo_json_parse("{}\0", 3, 10, &json, NULL), FLO_E_META_JSON);
    assert_int_equal(flo_json_parse("[\"a\0b\"]", 7, 10, &json, NULL), FLO_E_META_JSON);
}

static void the_place_of_bad_utf8_is_told(void **state)
{
    json_t *json = NULL;
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_json_parse("{\"a\":\"b\xff\"}", 10, 10, &json, &err), FLO_E_META_JSON);

    assert_string_equal(err.what, "not UTF-8 at byte 7");
}

static void size_and_depth_are_bounded_before_anything_is_built(void **state)
{
    enum { DEEP = 1000000 };
    char *deep = malloc(DEEP);
    json_t *json = NULL;
    (void)state;
    memset(deep, '[', DEEP);

    assert_int_equal(flo_json_parse(deep, DEEP, DEEP, &json, NULL), FLO_E_META_JSON_DEPTH);
    assert_int_equal(flo_json_parse(deep, DEEP, DEEP - 1, &json, NULL), FLO_E_META_TOO_LARGE);
    free(deep);
}

/* An empty object is 2 bytes of text and more than 200 of memory. */
static void objects_and_arrays_are_counted_before_they_are_built(void **state)
{
    enum { BYTES = 3 * (FLO_JSON_PARTS_MAX - 1) + 1 };
    char *many = malloc(BYTES + 4);
    json_t *json = NULL;
    struct flo_err err = {0};
    (void)state;
    many[0] = '[';
    for (size_t at = 1; at < BYTES; at += 3) {
        memcpy(many + at, at % 2 == 0 ? "{}," : "[],", 3);
    }

    memcpy(many + BYTES - 1, "]", 1);
    assert_int_equal(flo_json_parse(many, BYTES, BYTES, &json, NULL), 0);
    flo_json_cleanup(&json);
    memcpy(many + BYTES - 1, ",{}]", 4);
    assert_int_equal(flo_json_parse(many, BYTES + 3, BYTES + 3, &json, &err), FLO_E_META_TOO_LARGE);
    assert_string_equal(err.what, "more than 65536 objects and arrays");
    memset(many, '[', BYTES);
    many[1] = many[BYTES - 2] = '"'; /* those in a text do not count */
    many[BYTES - 1] = ']';
    assert_int_equal(flo_json_parse(many, BYTES, BYTES, &json, NULL), 0);
    flo_json_cleanup(&json);
    free(many);
}

static void fields_are_read_by_type_and_range(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *json = parsed("{\"t\":\"text\",\"n\":7,\"m\":-7,\"r\":1.5,\"b\":true,"
                          "\"o\":{},\"a\":[1,2],\"z\":null,\"at\":\"2026-11-20T07:00:00Z\","
                          "\"name\":\"chat-s\",\"bad\":\"No!\","
                          "\"id\":\"00000000-0000-4000-8000-000000000000\","
                          "\"d\":\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef"
                          "0123456789abcdef\"}");
    const char *text = NULL;
    uint64_t u64 = 0;
    double real = 0;
    bool yes = false;
    json_t *part = NULL;
    struct flo_digest digest;
    (void)state;

    assert_int_equal(flo_json_get_text(json, "t", 4, &text, NULL), 0);
    assert_string_equal(text, "text");
    assert_int_equal(flo_json_get_u64(json, "n", 7, 7, &u64, NULL), 0);
    assert_int_equal(u64, 7);
    assert_int_equal(flo_json_get_real(json, "r", 0, 2, &real, NULL), 0);
    assert_true(real > 1.49 && real < 1.51);
    assert_int_equal(flo_json_get_real(json, "n", 0, 10, &real, NULL), 0);
    assert_int_equal(flo_json_get_bool(json, "b", &yes, NULL), 0);
    assert_true(yes);
    assert_int_equal(flo_json_get_object(json, "o", &part, NULL), 0);
    assert_int_equal(flo_json_get_array(json, "a", 2, &part, NULL), 0);
    assert_int_equal(json_array_size(part), 2);
    assert_int_equal(flo_json_get_name(json, "name", &text, NULL), 0);
    assert_int_equal(flo_json_get_uuid(json, "id", &text, NULL), 0);
    assert_int_equal(flo_json_get_digest(json, "d", &digest, NULL), 0);
    assert_int_equal(digest.bytes[1], 0x23);

    assert_int_equal(flo_json_get_name(json, "bad", &text, NULL), FLO_E_META_NAME);
    assert_int_equal(flo_json_get_uuid(json, "bad", &text, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_get_digest(json, "bad", &digest, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_get_object(json, "a", &part, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_get_array(json, "a", 1, &part, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_get_bool(json, "n", &yes, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_get_u64(json, "r", 0, 9, &u64, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_get_u64(json, "m", 0, 9, &u64, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_get_text(json, "z", 9, &text, NULL), FLO_E_META_SCHEMA);
}

static void a_refusal_names_field_value_and_limit(void **state)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = parsed("{\"n\":12,\"t\":[]}");
    struct flo_err err = {0};
    const char *text;
    uint64_t u64 = 3;
    (void)state;

    assert_int_equal(flo_json_get_u64(json, "n", 0, 10, &u64, &err), FLO_E_META_SCHEMA);
    assert_string_equal(err.what, "field `n`: 12 is above 10");
    assert_int_equal(u64, 3);
    assert_int_equal(flo_json_get_u64(json, "n", 13, 20, &u64, &err), FLO_E_META_SCHEMA);
    assert_string_equal(err.what, "field `n`: 12 is below 13");
    assert_int_equal(flo_json_get_text(json, "t", 9, &text, &err), FLO_E_META_SCHEMA);
    assert_string_equal(err.what, "field `t`: an array, not a text");
    assert_int_equal(flo_json_get_text(json, "x", 9, &text, &err), FLO_E_META_SCHEMA);
    assert_string_equal(err.what, "field `x`: missing");
}

static void an_optional_field_may_be_missing_but_not_wrong(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *json = parsed("{\"n\":\"x\",\"z\":null}");
    const char *text = NULL;
    uint64_t u64 = 0;
    double real = 0;
    bool yes = false;
    json_t *part = json;
    struct flo_digest digest = {{1}};
    (void)state;

    assert_int_equal(flo_json_opt_u64(json, "q", 0, 9, 5, &u64, NULL), 0);
    assert_int_equal(u64, 5);
    assert_int_equal(flo_json_opt_u64(json, "z", 0, 9, 6, &u64, NULL), 0);
    assert_int_equal(u64, 6);
    assert_int_equal(flo_json_opt_u64(json, "n", 0, 9, 5, &u64, NULL), FLO_E_META_SCHEMA);
    assert_int_equal(flo_json_opt_text(json, "q", 9, "std", &text, NULL), 0);
    assert_string_equal(text, "std");
    assert_int_equal(flo_json_opt_real(json, "q", 0, 9, 2, &real, NULL), 0);
    assert_int_equal(flo_json_opt_bool(json, "q", true, &yes, NULL), 0);
    assert_true(yes);
    assert_int_equal(flo_json_opt_object(json, "q", &part, NULL), 0);
    assert_null(part);
    part = json;
    assert_int_equal(flo_json_opt_array(json, "q", 1, &part, NULL), 0);
    assert_null(part);
    assert_int_equal(flo_json_opt_digest(json, "q", &digest, NULL), 0);
    assert_true(flo_digest_is_zero(&digest));
    assert_int_equal(flo_json_opt_name(json, "q", "dev", &text, NULL), 0);
    assert_string_equal(text, "dev");
}

static void the_canonical_text_does_not_depend_on_order(void **state)
{
    static const char wanted[] = "{\"a\":[1,2],\"b\":{\"x\":\"\\\"\",\"y\":null},\"c\":true}";
    FLO_CLEANUP(flo_json_cleanup)
    json_t *one = parsed("{ \"c\":true, \"b\":{\"y\":null,\"x\":\"\\u0022\"}, \"a\":[1,2]}");
    FLO_CLEANUP(flo_json_cleanup) json_t *two = parsed(wanted);
    struct flo_buf a = {0};
    struct flo_buf b = {0};
    struct flo_buf plain = {0};
    struct flo_buf small = {.bytes_max = 10};
    (void)state;

    flo_json_dump_canonical(one, &a);
    flo_json_dump_canonical(two, &b);
    flo_json_dump(one, &plain);
    flo_json_dump(one, &small);

    assert_string_equal(a.data, wanted);
    assert_string_equal(b.data, wanted);
    assert_memory_equal(plain.data, "{\"c\":true,\"b\"", 13);
    assert_true(small.failed);
    flo_buf_deinit(&a);
    flo_buf_deinit(&b);
    flo_buf_deinit(&plain);
    flo_buf_deinit(&small);
}

static void the_quick_way_builds_the_tree_of_jansson(void **state)
{
    static const char *const texts[] = {
        " { } ",
        "[]",
        "{\"b\":1,\"a\":[true,false,null,{\"c\":[[]]}]}\r\n\t",
        "[0,-0,7,-12,999999999999999999,-999999999999999999]",
        "[0.1,-0.0,1e3,1E-7,1e+2,12.5e-3,0.10000000000000001,5e-324,1e-400]",
        "[\"\",\"plain\",\"caf\xc3\xa9\",\"a\x7f\"]",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"x\\u0041y\\u00e9\\uFFFD\\u20ac\"]",
        "{\"k\\u0065y\":\"a\\nb\",\"other\":\"c\\td\"}",
        "{\"\":\"an empty key\"}",
    };
    struct flo_buf quick = {0}, known = {0};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *ours = flo_json_quick(texts[i], strlen(texts[i]));
        FLO_CLEANUP(flo_json_cleanup)
        json_t *theirs = json_loadb(texts[i], strlen(texts[i]), JSON_REJECT_DUPLICATES, NULL);

        assert_non_null(ours);
        assert_non_null(theirs);
        assert_true(json_equal(ours, theirs));
        quick.bytes = known.bytes = 0;
        flo_json_dump(ours, &quick); /* order, whole or not, sign of zero */
        flo_json_dump(theirs, &known);
        assert_string_equal(quick.data, known.data);
    }
    flo_buf_deinit(&quick);
    flo_buf_deinit(&known);
}

static void the_quick_way_leaves_the_rest_to_jansson(void **state)
{
    static const char *const taken[] = {
        "[\"\\ud83d\\ude00\"]", "[9223372036854775807]", "[-9223372036854775808]",
        "[1."
        "00000000000000000000000000000000000000000000000000000000000000001]"};
    static const char *const refused[] = {
        "[1,]", "{\"a\":1,\"a\":2}", "[tru]", "[\"\\u0000\"]", "[1e999]",
        "{} x", "{\"a\" 1}",         "[\"a]", "[01]",          "[-]"};
    char wanted[256];
    json_error_t why;
    struct flo_err err;
    json_t *json;
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(taken); i++) {
        assert_null(flo_json_quick(taken[i], strlen(taken[i])));
        json_decref(parsed(taken[i]));
    }
    for (size_t i = 0; i < FLO_COUNT(refused); i++) {
        size_t bytes = strlen(refused[i]);
        assert_true(flo_json_parse(refused[i], bytes, 4096, &json, &err) < 0);
        assert_null(json_loadb(refused[i], bytes, JSON_REJECT_DUPLICATES, &why));
        snprintf(wanted, sizeof(wanted), "%s at byte %d", why.text, why.position);
        assert_string_equal(err.what, wanted);
    }
}

static void a_member_that_is_missing_or_another_type_says_nothing(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *json = parsed("{\"t\":\"x\",\"n\":7,\"less\":-7,\"null\":null,\"long\":\"abcdef\"}");
    char copy[4];
    (void)state;

    assert_string_equal(flo_json_text(json, "t", "standard"), "x");
    assert_string_equal(flo_json_text(json, "n", "standard"), "standard");
    assert_null(flo_json_text(NULL, "t", NULL));
    flo_json_copy_text(json, "t", copy, sizeof(copy));
    assert_string_equal(copy, "x");
    flo_json_copy_text(json, "long", copy, sizeof(copy));
    assert_string_equal(copy, "abc");
    flo_json_copy_text(json, "n", copy, sizeof(copy));
    assert_string_equal(copy, "");
    assert_int_equal(flo_json_number(json, "n"), 7);
    assert_int_equal(flo_json_number(json, "less"), 0);
    assert_int_equal(flo_json_number(json, "t"), 0);
    assert_int_equal(flo_json_number(NULL, "n"), 0);
    assert_int_equal(flo_json_number_to(json, "n", 7), 7);
    assert_int_equal(flo_json_number_to(json, "n", 6), 0);
    assert_true(flo_json_equal(NULL, json_object_get(json, "none")));
    assert_false(flo_json_equal(json_object_get(json, "n"), NULL));
    assert_false(flo_json_equal(json_object_get(json, "n"), json_object_get(json, "less")));
    assert_true(flo_json_equal(json, json));
    assert_true(flo_json_says(json, "t", "x"));
    assert_false(flo_json_says(json, "t", "xy"));
    assert_false(flo_json_says(json, "none", ""));
    assert_ptr_equal(flo_json_member(json, "n"), json_object_get(json, "n"));
    assert_null(flo_json_member(json, "null"));
    assert_null(flo_json_member(json, "none"));
}

static void a_value_that_says_nothing_makes_no_member(void **state)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = json_object();
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const struct flo_digest digest = {{0xab}};
    (void)state;

    flo_json_put_text(json, "empty", "");
    flo_json_put_text(json, "text", "x");
    flo_json_put_number(json, "zero", 0);
    flo_json_put_number(json, "most", INT64_MAX);
    flo_json_put_parts(json, "no list", json_array());
    flo_json_put_parts(json, "no members", json_object());
    flo_json_put_parts(json, "list", json_pack("[i]", 1));
    json_object_set_new(flo_json_object_at(json, "inner"), "a", flo_json_finite(INFINITY));
    json_object_set_new(flo_json_object_at(json, "inner"), "b", flo_json_finite(0.5));
    json_object_set_new(json, "none", flo_json_text_or_null(""));
    flo_json_dump(json, &text);

    assert_string_equal(text.data, "{\"text\":\"x\",\"most\":9223372036854775807,"
                                   "\"list\":[1],\"inner\":{\"a\":null,\"b\":0.5},\"none\":null}");
    FLO_CLEANUP(flo_json_cleanup) json_t *said = flo_json_digest(&digest);
    assert_int_equal(json_string_length(said), FLO_DIGEST_TEXT - 1);
    assert_memory_equal(json_string_value(said), "sha256:ab00", 11);
}

static void a_member_is_set_whatever_it_says_and_counts_from_none(void **state)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = json_object();
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    (void)state;

    flo_json_count(json, "a", 2);
    flo_json_set_text(json, "text", "");
    flo_json_set_number(json, "number", 0);
    flo_json_count(json, "a", 3);
    json_object_set_new(json, "none", flo_json_u64_or_null(0));
    json_object_set_new(json, "one", flo_json_u64_or_null(1));
    json_object_set_new(json, "known", flo_json_finite_if(true, 0.5));
    json_object_set_new(json, "unknown", flo_json_finite_if(false, 0.5));
    flo_json_dump(json, &text);
    assert_string_equal(text.data, "{\"a\":5,\"text\":\"\",\"number\":0,\"none\":null,\"one\":1,"
                                   "\"known\":0.5,\"unknown\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_json_is_read),
        cmocka_unit_test(what_is_not_strict_json_is_refused),
        cmocka_unit_test(a_nul_behind_the_document_is_refused),
        cmocka_unit_test(the_place_of_bad_utf8_is_told),
        cmocka_unit_test(size_and_depth_are_bounded_before_anything_is_built),
        cmocka_unit_test(objects_and_arrays_are_counted_before_they_are_built),
        cmocka_unit_test(fields_are_read_by_type_and_range),
        cmocka_unit_test(a_refusal_names_field_value_and_limit),
        cmocka_unit_test(an_optional_field_may_be_missing_but_not_wrong),
        cmocka_unit_test(the_canonical_text_does_not_depend_on_order),
        cmocka_unit_test(the_quick_way_builds_the_tree_of_jansson),
        cmocka_unit_test(the_quick_way_leaves_the_rest_to_jansson),
        cmocka_unit_test(a_member_that_is_missing_or_another_type_says_nothing),
        cmocka_unit_test(a_value_that_says_nothing_makes_no_member),
        cmocka_unit_test(a_member_is_set_whatever_it_says_and_counts_from_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Types of requests: what each takes as a text of a query and as a value of a body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/host/json.h"
#include "server-stub/core/request/request.h"
#include "server-stub/core/request/types.h"

static const struct flo_rest_type *type_of(const char *word)
{
    const struct flo_rest_type *type = flo_rest_type_find(word, strlen(word));

    assert_non_null(type);
    return type;
}

static void a_query_takes_what_its_type_means(void **state)
{
    static const struct {
        const char *type, *good[3], *bad[6];
    } rows[] = {
        {"name", {"a", "a-1.b_2"}, {"", "A", "a b"}},
        {"title", {"m@1"}, {"m", "@1", "m@", "M@1"}},
        {"action", {"pause", "abort", "rollback"}, {"", "paus", "pauses", "pause|resume"}},
        {"metric", {"ttft_us"}, {"", "ttft", "ttft_us2"}},
        {"role", {"viewer", "operator:lab"}, {"", "boss", "viewer,"}},
        {"label", {"site=ulm", "site="}, {"site", "=ulm", "Site=ulm"}},
        {"dry_run", {"true", "false"}, {"", "yes", "1", "true|false"}},
        {"limit", {"1", "1000"}, {"", "0", "1001", "1.0", "-1", "1x"}},
        {"quantile", {"0.5", "1"}, {"0", "1.1", "0.5.", "0,5", "+1"}},
        {"reason", {"", "why not"}, {"two\nlines"}},
        {"selector", {"site=ulm"}, {""}},
        {"device", {"Lab 1"}, {NULL}},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_rest_type *type = type_of(rows[i].type);
        for (size_t k = 0; k < FLO_COUNT(rows[i].good) && rows[i].good[k] != NULL; k++) {
            assert_int_equal(flo_rest_type_check_text(type, "x", rows[i].good[k], NULL), 0);
        }
        for (size_t k = 0; k < FLO_COUNT(rows[i].bad) && rows[i].bad[k] != NULL; k++) {
            struct flo_err err = {0};
            if (flo_rest_type_check_text(type, "x", rows[i].bad[k], &err) != FLO_E_REST_SCHEMA ||
                strstr(err.what, "`x`: ") != err.what) {
                fail_msg("%s: `%s` is taken", rows[i].type, rows[i].bad[k]);
            }
        }
    }
}

static void a_body_takes_what_its_type_means(void **state)
{
    static const struct {
        const char *type, *good, *bad;
    } rows[] = {
        {"name", "[\"a\"]", "[\"A\",1,null,{}]"},
        {"label", "[\"k=v\"]", "[\"k\",1]"},
        {"metric", "[\"errors\"]", "[\"error\",false]"},
        {"limit", "[1,1000]", "[0,1001,\"1\",1.5,null]"},
        {"quantile", "[1,0.25]", "[0,2,\"1\",true]"},
        {"dry_run", "[true,false]", "[\"true\",0,null]"},
        {"phases", "[[1],[1,2]]", "[[],{},\"1\"]"},
        {"labels", "[{},{\"a\":1}]", "[[],\"a\",1]"},
        {"any", "[null,1,\"a\",[],{}]", "[]"},
        {"device", "[\"Lab 1\"]", "[\"\",7]"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_rest_type *type = type_of(rows[i].type);
        for (int is_bad = 0; is_bad < 2; is_bad++) {
            json_t *values = json_loads(is_bad ? rows[i].bad : rows[i].good, 0, NULL);
            json_t *value;
            size_t k;
            assert_non_null(values);
            json_array_foreach(values, k, value)
            {
                int rv = flo_rest_type_check(type, "x", value, NULL);
                if ((rv < 0) != is_bad) {
                    fail_msg("%s: value %zu of those that are %s", rows[i].type, k,
                             is_bad ? "refused" : "taken");
                }
            }
            json_decref(values);
        }
    }
}

static void a_limit_of_characters_counts_characters_and_not_bytes(void **state)
{
    const struct flo_rest_type *device = type_of("device");
    const struct flo_rest_type *label = type_of("label");
    char text[400] = "";

    (void)state;
    for (int i = 0; i < 64; i++) {
        strcat(text, "\xc3\xa9"); /* é */
    }
    assert_int_equal(flo_rest_type_check_text(device, "x", text, NULL), 0);
    strcat(text, "e");
    assert_int_equal(flo_rest_type_check_text(device, "x", text, NULL), FLO_E_REST_SCHEMA);

    memset(text, 'a', 330);
    text[64] = '=';
    text[321] = '\0';
    assert_int_equal(flo_rest_type_check_text(label, "x", text, NULL), 0);
    text[321] = 'a';
    text[322] = '\0';
    assert_int_equal(flo_rest_type_check_text(label, "x", text, NULL), FLO_E_REST_SCHEMA);
    text[64] = 'a';
    text[65] = '=';
    text[66] = '\0';
    assert_int_equal(flo_rest_type_check_text(label, "x", text, NULL), FLO_E_REST_SCHEMA);
}

static void a_long_value_is_cut_between_characters(void **state)
{
    struct flo_err err = {0};
    char text[200] = "a";

    (void)state;
    for (int i = 0; i < 60; i++) {
        strcat(text, "\xc3\xa9");
    }
    assert_int_equal(flo_rest_type_check_text(type_of("name"), "x", text, &err), FLO_E_REST_SCHEMA);
    assert_int_equal(flo_utf8_valid(err.what, strlen(err.what)), strlen(err.what));
    assert_int_equal(err.what[strlen(err.what) - 1], '`');
}

static void check_fails(const char *shape, const char *body, int code, const char *at)
{
    json_t *json = json_loads(body, 0, NULL);
    struct flo_err err = {0};

    assert_non_null(json);
    int rv = flo_request_check(shape, json, &err);
    json_decref(json);
    if (rv != code || (at[0] != '\0' && strcmp(err.at, at) != 0)) {
        fail_msg("%s: %d at `%s`: %s", body, rv, err.at, err.what);
    }
}

static void a_map_has_names_with_values_of_one_type(void **state)
{
    static const char shape[] = "pins{:title} labels{:label_change~} list[:name] members[name!]";

    (void)state;
    check_fails(shape, "{\"pins\":{\"m\":\"m@1\"}}", 0, "");
    check_fails(shape, "{\"pins\":{\"m\":null}}", FLO_E_REST_SCHEMA, "/pins/m");
    check_fails(shape, "{\"pins\":{\"M\":\"m@1\",\"n\":\"m@1\"}}", FLO_E_REST_SCHEMA, "/pins/M");
    check_fails(shape, "{\"pins\":[]}", FLO_E_REST_SCHEMA, "/pins");
    check_fails(shape, "{\"labels\":{\"a\":null,\"b\":\"x\"}}", 0, "");
    check_fails(shape, "{\"labels\":{\"a\":7}}", FLO_E_REST_SCHEMA, "/labels/a");
    check_fails(shape, "{\"list\":[\"a\",\"B\",\"c\"]}", FLO_E_REST_SCHEMA, "/list/1");
    check_fails(shape, "{\"list\":{}}", FLO_E_REST_SCHEMA, "/list");
    check_fails(shape, "{\"members\":[{\"name\":\"a\"},{}]}", FLO_E_REST_SCHEMA, "/members/1/name");
    check_fails(shape, "{\"members\":[\"a\"]}", FLO_E_REST_SCHEMA, "/members/0");
}

static void a_place_that_is_long_is_cut(void **state)
{
    struct flo_err err = {0};
    char path[300];

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    (void)flo_fail(&err, FLO_E_REST_SCHEMA, "`x` is missing");
    assert_int_equal(flo_request_at(&err, path), FLO_E_REST_SCHEMA);
    assert_int_equal(err.at[0], '/');
    assert_int_equal(err.at[1], 'a');
    assert_int_equal(flo_request_at(&err, "phases[1].name"), FLO_E_REST_SCHEMA);
    assert_string_equal(err.at, "/phases/1/name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_takes_what_its_type_means),
        cmocka_unit_test(a_body_takes_what_its_type_means),
        cmocka_unit_test(a_limit_of_characters_counts_characters_and_not_bytes),
        cmocka_unit_test(a_long_value_is_cut_between_characters),
        cmocka_unit_test(a_map_has_names_with_values_of_one_type),
        cmocka_unit_test(a_place_that_is_long_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Reports that a device is asked for: what people see of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/report.h"

static int read_text(const char *text, const char *op, json_t **out)
{
    struct flo_err err = {0};
    json_t *in = NULL;

    assert_int_equal(flo_json_parse(text, strlen(text), FLO_REPORT_BYTES_MAX, &in, &err), 0);
    int rv = flo_report_read(in, op, out, &err);
    json_decref(in);
    return rv;
}

static void only_fields_that_belong_there_are_shown(void **state)
{
    json_t *out = NULL;

    (void)state;
    assert_int_equal(read_text("{\"v\":1,\"op\":\"doctor\",\"agent\":\"0.2.0\","
                               "\"prompt\":\"secret\",\"facts\":{\"threads\":4,"
                               "\"Bad name\":1,\"deep\":{}},\"findings\":[{\"what\":"
                               "\"hot\",\"measured\":91,\"html\":\"<b>\"},7]}",
                               "doctor", &out),
                     0);
    assert_null(json_object_get(out, "prompt"));
    assert_int_equal(json_object_size(json_object_get(out, "facts")), 1);
    json_t *finding = json_array_get(json_object_get(out, "findings"), 0);
    assert_int_equal(json_object_size(finding), 2);
    assert_int_equal(json_array_size(json_object_get(out, "lines")), 0);
    json_decref(out);
}

static void a_report_of_another_kind_is_refused(void **state)
{
    json_t *out = NULL;

    (void)state;
    assert_int_equal(read_text("{\"v\":1,\"op\":\"logs\"}", "doctor", &out), FLO_E_REST_SCHEMA);
    assert_true(read_text("{\"op\":\"logs\"}", "logs", &out) < 0);
    assert_true(read_text("[]", "logs", &out) < 0);
    assert_int_equal(read_text("{\"v\":1,\"op\":\"logs\",\"lines\":[1]}", "logs", &out),
                     FLO_E_REST_SCHEMA);
}

static void a_line_that_is_too_long_is_refused(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    json_t *out = NULL;

    (void)state;
    flo_buf_text(&text, "{\"v\":1,\"op\":\"logs\",\"lines\":[\"");
    for (int i = 0; i <= FLO_REPORT_LINE_BYTES_MAX; i++) {
        flo_buf_text(&text, "x");
    }
    flo_buf_text(&text, "\"]}");
    assert_int_equal(read_text(text.data, "logs", &out), FLO_E_REST_SCHEMA);
}

/* A NUL would end the text for one reader and not for another. */
static void a_text_that_is_long_or_has_a_nul_is_not_shown(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *in = json_pack("{s:i,s:s,s:s%,s:{s:s%,s:b}}", "v", 1, "op", "doctor", "agent", "1\0x",
                           (size_t)3, "facts", "cut", "a\0b", (size_t)3, "is_well", 1);
    char much[600];
    json_t *out = NULL;

    (void)state;
    memset(much, 'x', sizeof(much) - 1);
    much[sizeof(much) - 1] = '\0';
    json_object_set_new(json_object_get(in, "facts"), "much", json_string(much));
    assert_int_equal(flo_report_read(in, "doctor", &out, NULL), 0);
    assert_null(json_object_get(out, "agent"));
    assert_int_equal(json_object_size(json_object_get(out, "facts")), 1);
    json_decref(out);
}

static void more_facts_than_a_report_has_are_refused(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *in = json_pack("{s:i,s:s,s:{}}", "v", 1, "op", "doctor", "facts");
    char name[16];
    json_t *out = NULL;

    (void)state;
    for (int i = 0; i <= FLO_REPORT_FACTS_MAX; i++) {
        assert_int_equal(flo_report_read(in, "doctor", &out, NULL), 0);
        assert_int_equal(json_object_size(json_object_get(out, "facts")), i);
        json_decref(out);
        snprintf(name, sizeof(name), "f-%d", i);
        json_object_set_new(json_object_get(in, "facts"), name, json_integer(i));
    }
    assert_int_equal(flo_report_read(in, "doctor", &out, NULL), FLO_E_REST_SCHEMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_fields_that_belong_there_are_shown),
        cmocka_unit_test(a_report_of_another_kind_is_refused),
        cmocka_unit_test(a_line_that_is_too_long_is_refused),
        cmocka_unit_test(a_text_that_is_long_or_has_a_nul_is_not_shown),
        cmocka_unit_test(more_facts_than_a_report_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

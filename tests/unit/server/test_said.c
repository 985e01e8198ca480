/* Said: a device's own words, picked by the rows of said.def. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/device/said.h"

/* The view of a text as JSON, in a buffer that the next call takes. */
static const char *view(const char *word, const char *text)
{
    static struct flo_buf out;
    json_t *from = NULL;

    assert_int_equal(flo_json_parse(text, strlen(text), 1 << 16, &from, NULL), 0);
    json_t *json = flo_said_view(word, from);
    flo_buf_deinit(&out);
    flo_json_dump(json, &out);
    json_decref(json);
    json_decref(from);
    return out.data;
}

static void a_member_stands_there_when_it_is_of_its_kind(void **state)
{
    (void)state;
    assert_string_equal(
        view("target", "{\"order\":\"o-0001\",\"number\":7,\"by\":\"now\",\"x\":1}"),
        "{\"order\":\"o-0001\",\"number\":7}");
    assert_string_equal(view("target", "[]"), "null");
}

static void a_text_has_as_many_bytes_as_its_row_says(void **state)
{
    char text[120];

    (void)state;
    for (size_t bytes = 64; bytes <= 65; bytes++) {
        snprintf(text, sizeof(text), "{\"kind\":\"%0*d\"}", (int)bytes, 0);
        assert_int_equal(strcmp(view("drift", text), "{}") == 0, bytes == 65);
    }
}

static void a_member_that_may_be_null_is_null_unless_it_fits(void **state)
{
    (void)state;
    assert_string_equal(view("slots", "{\"current\":{\"version\":\"1.0\",\"model\":5}}"),
                        "{\"current\":{\"version\":\"1.0\",\"model\":null},\"previous\":null,"
                        "\"candidate\":null}");
}

static void an_object_that_lacks_a_member_is_none(void **state)
{
    json_t *to = json_object();
    json_t *from = json_pack("{s:{s:s,s:i}}", "certificate", "serial", "01", "number", 1);

    (void)state;
    flo_said_put(to, "report", from);
    assert_true(json_is_null(json_object_get(to, "certificate")));
    json_object_set_new(json_object_get(from, "certificate"), "until_ms", json_integer(5));
    flo_said_put(to, "report", from);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(to, "certificate"), "until_ms")), 5);
    assert_true(json_is_false(json_object_get(to, "frozen")));
    json_decref(from);
    json_decref(to);
}

static void of_a_list_of_objects_the_first_16_are_shown(void **state)
{
    json_t *from = json_pack("{s:[]}", "runtimes");
    json_t *list = json_object_get(from, "runtimes");

    (void)state;
    json_array_append_new(list, json_string("no object"));
    for (int i = 0; i < 20; i++) {
        json_array_append_new(list, json_pack("{s:s,s:i}", "name", "vllm", "port", 8000));
    }
    json_t *view = flo_said_view("profile", from);
    json_t *shown = json_object_get(view, "runtimes");
    assert_int_equal(json_array_size(shown), 15);
    assert_int_equal(json_object_size(json_array_get(shown, 0)), 1);
    assert_int_equal(json_array_size(json_object_get(view, "engine")), 0);
    json_decref(view);
    json_decref(from);
}

static void a_list_that_may_be_absent_is_left_out_when_it_is_long(void **state)
{
    char text[200] = "{\"limits\":[";

    (void)state;
    for (int i = 0; i < 16; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "\"a\",");
    }
    size_t bytes = strlen(text);
    snprintf(text + bytes - 1, sizeof(text) - bytes, "]}");
    assert_non_null(strstr(view("memory", text), "\"a\",\"a\""));
    snprintf(text + bytes - 1, sizeof(text) - bytes, ",5]}");
    assert_string_equal(view("memory", text), "{}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_stands_there_when_it_is_of_its_kind),
        cmocka_unit_test(a_text_has_as_many_bytes_as_its_row_says),
        cmocka_unit_test(a_member_that_may_be_null_is_null_unless_it_fits),
        cmocka_unit_test(an_object_that_lacks_a_member_is_none),
        cmocka_unit_test(of_a_list_of_objects_the_first_16_are_shown),
        cmocka_unit_test(a_list_that_may_be_absent_is_left_out_when_it_is_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Messages of the controller: bounds of a desired document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/mqtt.h>

#include "agent/shell/link/heard.h"

/* An envelope whose payload has so many bytes. */
static void add_order(struct flo_buf *text, size_t bytes)
{
    flo_buf_text(text, "{\"payload\":\"");
    for (size_t i = 0; i < bytes; i++) {
        flo_buf_text(text, "x");
    }
    flo_buf_text(text, "\"}");
}

static void add_statements(struct flo_buf *text, size_t count)
{
    flo_buf_text(text, "],\"statements\":[");
    for (size_t i = 0; i < count; i++) {
        flo_buf_text(text, i > 0 ? "," : "");
        add_order(text, 10);
    }
    flo_buf_text(text, "]}");
}

static int read_text(struct flo_buf *text, struct flo_heard *heard)
{
    struct flo_err err = {0};
    int rv = flo_heard_read(FLO_TOPIC_DESIRED, text->data, text->bytes, heard, &err);

    flo_buf_deinit(text);
    return rv;
}

static int read_models(size_t assignments, size_t statements, size_t order_bytes,
                       struct flo_heard *heard)
{
    struct flo_buf text = {0};

    flo_buf_text(&text, "{\"v\":2,\"rev\":3,\"assignments\":[");
    for (size_t i = 0; i < assignments; i++) {
        flo_buf_printf(&text, "%s{\"model\":\"m%zu\",\"bytes\":%zu,\"order\":", i > 0 ? "," : "", i,
                       100 + i);
        add_order(&text, order_bytes);
        flo_buf_text(&text, "}");
    }
    add_statements(&text, statements);
    return read_text(&text, heard);
}

/* The orders after it may be for a group that it names. */
static void the_statement_about_groups_is_heard_first(void **state)
{
    static const char text[] = "{\"v\":2,\"rev\":3,\"assignments\":[{\"model\":\"a\",\"order\":"
                               "{\"payload\":\"a\"}}],\"statements\":[{\"payload\":\"s\"}],"
                               "\"groups\":{\"payload\":\"g\"}}";
    struct flo_heard heard;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_heard_read(FLO_TOPIC_DESIRED, text, strlen(text), &heard, &err), 0);
    assert_int_equal(heard.order_count, 3);
    assert_string_equal(json_string_value(json_object_get(heard.orders[0], "payload")), "g");
    assert_string_equal(json_string_value(json_object_get(heard.orders[1], "payload")), "a");
    flo_heard_deinit(&heard);
}

/* A broker that forgets has no list to be found there. */
static void a_command_may_bring_a_list_of_orders_or_of_statements(void **state)
{
    static const char orders[] = "{\"v\":1,\"orders\":[{\"payload\":\"a\"},{\"payload\":\"b\"}]}";
    static const char trust[] = "{\"v\":1,\"number\":1,\"statements\":[{\"payload\":\"t\"}]}";
    static const char one[] = "{\"v\":1,\"order\":{\"payload\":\"a\"}}";
    struct flo_heard heard;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_heard_read(FLO_TOPIC_CMD, orders, strlen(orders), &heard, &err), 0);
    assert_int_equal(heard.order_count, 2);
    assert_true(heard.is_list);
    flo_heard_deinit(&heard);
    assert_int_equal(flo_heard_read(FLO_TOPIC_CMD, trust, strlen(trust), &heard, &err), 0);
    assert_int_equal(heard.trust_count, 1);
    assert_int_equal(heard.order_count, 0);
    flo_heard_deinit(&heard);
    /* Who is asked by name answers each time. */
    assert_int_equal(flo_heard_read(FLO_TOPIC_CMD, one, strlen(one), &heard, &err), 0);
    assert_int_equal(heard.order_count, 1);
    assert_false(heard.is_list);
    flo_heard_deinit(&heard);
}

static void a_list_without_its_field_is_refused(void **state)
{
    static const char text[] = "{\"v\":1}";
    struct flo_heard heard;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_heard_read(FLO_TOPIC_ORDER_ALL, text, strlen(text), &heard, &err),
                     FLO_E_META_SCHEMA);
    assert_int_equal(flo_heard_read(FLO_TOPIC_TRUST, text, strlen(text), &heard, &err),
                     FLO_E_META_SCHEMA);
    assert_int_equal(flo_heard_read(FLO_TOPIC_CMD, text, strlen(text), &heard, &err), 0);
    flo_heard_deinit(&heard);
}

static uint64_t reconnect_ms_of(const char *text)
{
    struct flo_heard heard;
    struct flo_err err = {0};

    assert_int_equal(flo_heard_read(FLO_TOPIC_DESIRED, text, strlen(text), &heard, &err), 0);
    uint64_t ms = heard.reconnect_ms;
    flo_heard_deinit(&heard);
    return ms;
}

static void a_spec_for_too_long_a_reconnect_counts_as_none(void **state)
{
    (void)state;
    assert_int_equal(reconnect_ms_of("{\"v\":2,\"rev\":1,\"assignments\":[],"
                                     "\"reconnect_ms\":15000}"),
                     15000);
    assert_int_equal(reconnect_ms_of("{\"v\":2,\"rev\":1,\"assignments\":[],"
                                     "\"reconnect_ms\":300001}"),
                     0);
}

static void eight_assignments_and_sixteen_statements_are_heard(void **state)
{
    struct flo_heard heard;

    (void)state;
    assert_int_equal(read_models(FLO_ASSIGNMENTS_MAX, FLO_STATEMENTS_MAX, 1034, &heard), 0);
    assert_int_equal(heard.rev, 3);
    assert_int_equal(heard.assignment_count, FLO_ASSIGNMENTS_MAX);
    assert_int_equal(heard.order_count, FLO_HEARD_ORDERS_MAX - 1);
    assert_string_equal(heard.assignments[7].model, "m7");
    assert_int_equal(heard.assignments[7].bytes, 107);
    flo_heard_deinit(&heard);
    assert_int_equal(read_models(0, 0, 0, &heard), 0);
    assert_int_equal(heard.order_count, 0);
    flo_heard_deinit(&heard);
}

/* DV28 */
static void nine_assignments_or_an_order_of_5_kib_are_refused(void **state)
{
    struct flo_heard heard;

    (void)state;
    assert_int_equal(read_models(9, 0, 10, &heard), FLO_E_META_SCHEMA);
    assert_null(heard.json);
    assert_int_equal(read_models(1, FLO_STATEMENTS_MAX + 1, 10, &heard), FLO_E_META_SCHEMA);
    assert_int_equal(read_models(1, 0, 5 * 1024, &heard), FLO_E_META_SCHEMA);
}

static void one_model_twice_another_version_or_too_much_is_refused(void **state)
{
    struct flo_buf text = {0};
    struct flo_heard heard;

    (void)state;
    flo_buf_text(&text, "{\"v\":2,\"rev\":3,\"assignments\":["
                        "{\"model\":\"a\",\"order\":{}},{\"model\":\"a\",\"order\":{}}"
                        "]}");
    assert_int_equal(read_text(&text, &heard), FLO_E_META_SCHEMA);
    flo_buf_text(&text, "{\"v\":1,\"rev\":3,\"assignments\":[]}");
    assert_int_equal(read_text(&text, &heard), FLO_E_META_SCHEMA);
    flo_buf_printf(&text, "{\"v\":2,\"rev\":3,\"assignments\":[]%*s}", FLO_DESIRED_BYTES_MAX, "");
    assert_int_equal(read_text(&text, &heard), FLO_E_MQTT_SCHEMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_statement_about_groups_is_heard_first),
        cmocka_unit_test(a_command_may_bring_a_list_of_orders_or_of_statements),
        cmocka_unit_test(a_list_without_its_field_is_refused),
        cmocka_unit_test(a_spec_for_too_long_a_reconnect_counts_as_none),
        cmocka_unit_test(eight_assignments_and_sixteen_statements_are_heard),
        cmocka_unit_test(nine_assignments_or_an_order_of_5_kib_are_refused),
        cmocka_unit_test(one_model_twice_another_version_or_too_much_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

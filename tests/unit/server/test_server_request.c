/* Requests name what is known, or nothing is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/host/json.h"
#include "server-stub/core/request.h"

#define SHAPE                                                                  \
    "release group phases[name devices] policy{soak_ms tries{a b}} labels{*} " \
    "v"

static int check(const char *shape, const char *body, struct flo_err *err)
{
    json_t *json = NULL;

    assert_int_equal(flo_json_parse(body, strlen(body), 65536, &json, err), 0);
    int rv = flo_request_check(shape, json, err);
    json_decref(json);
    return rv;
}

static void what_the_shape_names_passes(void **state)
{
    (void)state;
    struct flo_err err = {0};

    assert_int_equal(check(SHAPE, "{}", &err), 0);
    assert_int_equal(
        check(SHAPE,
              "{\"v\":1,\"release\":\"a@1\",\"phases\":[{\"name\":\"x\"},"
              "{\"devices\":2}],\"policy\":{\"soak_ms\":1,\"tries\":{\"b\":2}},"
              "\"labels\":{\"anything\":{\"goes\":1}}}",
              &err),
        0);
    assert_int_equal(flo_request_check(SHAPE, NULL, &err), 0);
}

static void an_unknown_member_is_refused_with_the_known_ones(void **state)
{
    (void)state;
    struct flo_err err = {0};

    assert_int_equal(check(SHAPE, "{\"relase\":\"a@1\"}", &err),
                     FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what,
                        "member `relase` is not known here; known: release, "
                        "group, phases, policy, labels, v");
    assert_string_equal(err.fix, "did you mean `release`?");
    assert_int_equal(check("", "{\"x\":1}", &err), FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what,
                        "member `x` is not known here; nothing belongs here");
}

static void an_unknown_member_inside_is_refused_by_its_place(void **state)
{
    (void)state;
    struct flo_err err = {0};

    assert_int_equal(check(SHAPE, "{\"policy\":{\"soak\":1}}", &err),
                     FLO_E_REST_UNKNOWN);
    assert_non_null(strstr(err.what, "`policy.soak`"));
    assert_int_equal(
        check(SHAPE, "{\"policy\":{\"tries\":{\"a\":1,\"c\":1}}}", &err),
        FLO_E_REST_UNKNOWN);
    assert_non_null(strstr(err.what, "`policy.tries.c`"));
    assert_int_equal(check(SHAPE, "{\"phases\":[{},{\"share\":1}]}", &err),
                     FLO_E_REST_UNKNOWN);
    assert_non_null(strstr(err.what, "`phases[1].share`"));
}

/* A prefix of a known name, a bracket and a blank are no names. */
static void nothing_that_resembles_the_shape_passes(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"rel\":1}",           "{\"releases\":1}", "{\"\":1}",
        "{\"policy{\":1}",       "{\" group\":1}",   "{\"soak_ms\":1}",
        "{\"release group\":1}", "{\"*\":1}",        "{\"phases[\":1}"};
    struct flo_err err = {0};

    for (size_t i = 0; i < FLO_COUNT(bodies); i++) {
        if (check(SHAPE, bodies[i], &err) != FLO_E_REST_UNKNOWN) {
            fail_msg("%s passed", bodies[i]);
        }
    }
}

static void the_first_member_chooses_what_else_is_known(void **state)
{
    (void)state;
    static const char shape[] = "op=back release group|op=stop everywhere";
    struct flo_err err = {0};

    assert_int_equal(check(shape, "{\"op\":\"back\",\"group\":\"g\"}", &err),
                     0);
    assert_int_equal(check(shape, "{\"op\":\"stop\",\"everywhere\":1}", &err),
                     0);
    assert_int_equal(check(shape, "{\"op\":\"stop\",\"group\":\"g\"}", &err),
                     FLO_E_REST_UNKNOWN);
    assert_string_equal(
        err.what, "member `group` is not known here; known: op, everywhere");
    assert_int_equal(check(shape, "{\"op\":\"other\"}", &err), 0);
    assert_int_equal(check(shape, "{\"op\":\"other\",\"group\":1}", &err),
                     FLO_E_REST_UNKNOWN);
    assert_int_equal(check(shape, "{\"group\":1}", &err), FLO_E_REST_UNKNOWN);
}

static void a_query_parameter_that_is_not_named_is_refused(void **state)
{
    (void)state;
    struct flo_err err = {0};

    assert_int_equal(flo_request_check_query("group limit", "limit", &err), 0);
    assert_int_equal(flo_request_check_query("group limit", "labels", &err),
                     FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what, "query parameter `labels` is not known "
                                  "here; known: group, limit");
    assert_int_equal(flo_request_check_query("", "x", &err),
                     FLO_E_REST_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_shape_names_passes),
        cmocka_unit_test(an_unknown_member_is_refused_with_the_known_ones),
        cmocka_unit_test(an_unknown_member_inside_is_refused_by_its_place),
        cmocka_unit_test(nothing_that_resembles_the_shape_passes),
        cmocka_unit_test(the_first_member_chooses_what_else_is_known),
        cmocka_unit_test(a_query_parameter_that_is_not_named_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

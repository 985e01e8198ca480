/* Requests name what is known, or nothing is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/rest.h>

#include "base/host/json.h"
#include "server-stub/core/request/request.h"

#define SHAPE                                                                                      \
    "release group phases[name devices] policy{soak_ms tries{a b}} labels{*} "                     \
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
    assert_int_equal(check(SHAPE,
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

    assert_int_equal(check(SHAPE, "{\"relase\":\"a@1\"}", &err), FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what, "member `relase` is not known here; known: release, "
                                  "group, phases, policy, labels, v");
    assert_string_equal(err.fix, "did you mean `release`?");
    assert_int_equal(check("", "{\"x\":1}", &err), FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what, "member `x` is not known here; nothing belongs here");
}

static void an_unknown_member_inside_is_refused_by_its_place(void **state)
{
    (void)state;
    struct flo_err err = {0};

    assert_int_equal(check(SHAPE, "{\"policy\":{\"soak\":1}}", &err), FLO_E_REST_UNKNOWN);
    assert_non_null(strstr(err.what, "`policy.soak`"));
    assert_int_equal(check(SHAPE, "{\"policy\":{\"tries\":{\"a\":1,\"c\":1}}}", &err),
                     FLO_E_REST_UNKNOWN);
    assert_non_null(strstr(err.what, "`policy.tries.c`"));
    assert_int_equal(check(SHAPE, "{\"phases\":[{},{\"share\":1}]}", &err), FLO_E_REST_UNKNOWN);
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

    assert_int_equal(check(shape, "{\"op\":\"back\",\"group\":\"g\"}", &err), 0);
    assert_int_equal(check(shape, "{\"op\":\"stop\",\"everywhere\":true}", &err), 0);
    assert_int_equal(check(shape, "{\"op\":\"stop\",\"group\":\"g\"}", &err), FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what, "member `group` is not known here; known: op, everywhere");
}

static void a_choice_that_is_none_names_the_choices(void **state)
{
    (void)state;
    static const char shape[] = "op=back release|op=stop everywhere";
    struct flo_err err = {0};

    assert_int_equal(check(shape, "{\"op\":\"stopp\"}", &err), FLO_E_REST_SCHEMA);
    assert_string_equal(err.what, "`op`: one of back, stop belongs here, not stopp");
    assert_string_equal(err.fix, "did you mean `stop`?");
    assert_string_equal(err.at, "/op");
    assert_int_equal(check(shape, "{}", &err), FLO_E_REST_SCHEMA);
    assert_int_equal(check(shape, "{\"op\":1}", &err), FLO_E_REST_SCHEMA);
    assert_int_equal(flo_request_check(shape, NULL, &err), FLO_E_REST_SCHEMA);
}

static void a_member_of_no_choice_is_refused_before_the_choice(void **state)
{
    (void)state;
    static const char shape[] = "op=back release|op=stop everywhere";
    struct flo_err err = {0};

    assert_int_equal(check(shape, "{\"op\":\"stopp\",\"colour\":1}", &err), FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what, "member `colour` is not known here; known: op");
    assert_string_equal(err.at, "/colour");
    assert_int_equal(check(shape, "{\"everywhere\":1,\"release\":1}", &err), FLO_E_REST_SCHEMA);
    assert_string_equal(err.at, "/op");
}

/* No more is said than the sentence holds, and the nearest is found among them. */
static void of_many_words_and_choices_the_first_are_named(void **state)
{
    (void)state;
    char members[600] = "";
    char choices[900] = "";
    struct flo_err err = {0};

    for (int i = 0; i < 40; i++) {
        snprintf(members + strlen(members), 20, "member-%d ", i);
        snprintf(choices + strlen(choices), 22, "%sop=choice-%d x", i == 0 ? "" : "|", i);
    }
    assert_int_equal(check(members, "{\"mamber-7\":1}", &err), FLO_E_REST_UNKNOWN);
    assert_non_null(strstr(err.what, "known: member-0, member-1, "));
    assert_string_equal(err.fix, "did you mean `member-7`?");
    assert_int_equal(check(choices, "{\"op\":\"chaice-7\"}", &err), FLO_E_REST_SCHEMA);
    assert_non_null(strstr(err.what, "one of choice-0, choice-1, "));
    assert_string_equal(err.fix, "did you mean `choice-7`?");
    assert_int_equal(check("@order", "{\"op\":\"rolback\"}", &err), FLO_E_REST_SCHEMA);
    assert_string_equal(err.fix, "did you mean `rollback`?");
    assert_int_equal(check(choices, "{\"op\":\"choice-39\",\"x\":1}", &err), 0);
}

static void what_a_reader_of_its_own_checks_is_free_here(void **state)
{
    (void)state;
    static const char *const shapes[] = {"x{*}", "x{@edit}", "x{@envelope}", "x{@rollout}",
                                         "x{@gates}"};
    struct flo_err err = {0};

    for (size_t i = 0; i < FLO_COUNT(shapes); i++) {
        assert_int_equal(check(shapes[i], "{\"x\":{\"anything\":[1]}}", &err), 0);
        assert_int_equal(check(shapes[i], "{\"x\":7}", &err), FLO_E_REST_SCHEMA);
    }
    assert_int_equal(check("x{@policy}", "{\"x\":{\"soak_ms\":1}}", &err), 0);
    assert_int_equal(check("x{@policy}", "{\"x\":{\"anything\":1}}", &err), FLO_E_REST_UNKNOWN);
}

static void a_value_that_its_type_does_not_allow_is_refused(void **state)
{
    (void)state;
    static const char shape[] =
        "uses release yank by[:dimension] quantiles[:quantile] "
        "phases[devices:uses name] labels{:label_value} policy{*} role serial";
    static const char *const good[] = {
        "{\"uses\":1}",
        "{\"uses\":100000}",
        "{\"release\":\"a@1.0\"}",
        "{\"yank\":false}",
        "{\"by\":[]}",
        "{\"by\":[\"model\",\"device\"]}",
        "{\"quantiles\":[0.5,1]}",
        "{\"phases\":[{\"devices\":1,\"name\":\"x\"}]}",
        "{\"labels\":{\"any\":\"\u00e9\"}}",
        "{\"policy\":{}}",
        "{\"role\":\"viewer,operator:lab\"}",
        "{\"serial\":\"SN 1\"}",
    };
    static const struct {
        const char *body;
        const char *at;
    } bad[] = {
        {"{\"uses\":0}", "/uses"},
        {"{\"uses\":1.5}", "/uses"},
        {"{\"uses\":1e300}", "/uses"},
        {"{\"uses\":\"1\"}", "/uses"},
        {"{\"uses\":null}", "/uses"},
        {"{\"release\":\"a\"}", "/release"},
        {"{\"release\":\"\"}", "/release"},
        {"{\"yank\":0}", "/yank"},
        {"{\"by\":\"model\"}", "/by"},
        {"{\"by\":[\"colour\"]}", "/by/0"},
        {"{\"by\":[\"model\",\"\"]}", "/by/1"},
        {"{\"quantiles\":[]}", "/quantiles"},
        {"{\"quantiles\":[0]}", "/quantiles/0"},
        {"{\"phases\":[]}", "/phases"},
        {"{\"phases\":[{},1]}", "/phases/1"},
        {"{\"phases\":[{},{\"devices\":0}]}", "/phases/1/devices"},
        {"{\"labels\":{\"a/b~c\":1}}", "/labels/a~1b~0c"},
        {"{\"labels\":{\"a/b\":\"text\"}}", "/labels/a~1b"},
        {"{\"labels\":[]}", "/labels"},
        {"{\"role\":\"king\"}", "/role"},
        {"{\"role\":\"admin:lab\"}", "/role"},
        {"{\"serial\":\"\"}", "/serial"},
        {"{\"serial\":\"S\\nN\"}", "/serial"},
        {"{\"serial\":\"0123456789012345678901234567890123456789012345678901234"
         "5678901234\"}",
         "/serial"},
        {"{\"policy\":[]}", "/policy"},
    };
    struct flo_err err = {0};

    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        if (check(shape, good[i], &err) != 0) {
            fail_msg("%s: %s", good[i], err.what);
        }
    }
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (check(shape, bad[i].body, &err) != FLO_E_REST_SCHEMA) {
            fail_msg("%s passed", bad[i].body);
        }
        assert_string_equal(err.at, bad[i].at);
    }
}

static void a_member_that_is_needed_is_missed_by_its_place(void **state)
{
    (void)state;
    static const char shape[] = "release! phases[name!]";
    struct flo_err err = {0};

    assert_int_equal(check(shape, "{\"release\":\"a@1\"}", &err), 0);
    assert_int_equal(check(shape, "{}", &err), FLO_E_REST_SCHEMA);
    assert_string_equal(err.what, "`release` is missing");
    assert_string_equal(err.at, "/release");
    assert_int_equal(check(shape, "{\"release\":\"a@1\",\"phases\":[{}]}", &err),
                     FLO_E_REST_SCHEMA);
    assert_string_equal(err.what, "`phases[0].name` is missing");
    assert_string_equal(err.at, "/phases/0/name");
}

/* A long way down the place is cut, and nothing else happens. */
static void a_name_longer_than_its_place_is_cut(void **state)
{
    (void)state;
    char name[400];
    char body[500];
    struct flo_err err = {0};

    memset(name, '/', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(body, sizeof(body), "{\"labels\":{\"%s\":1}}", name);

    assert_int_equal(check("labels{:label_value}", body, &err), FLO_E_REST_SCHEMA);
    assert_true(strlen(err.at) < sizeof(err.at));
    assert_int_equal(check("labels", body, &err), 0);
}

static void a_place_far_down_is_cut(void **state)
{
    (void)state;
#define LONG "a_name_of_thirty_one_characters"
    struct flo_err err = {0};

    assert_int_equal(check(LONG "{" LONG "{" LONG "{" LONG "{" LONG "[name!]}}}}",
                           "{\"" LONG "\":{\"" LONG "\":{\"" LONG "\":{\"" LONG "\":{\"" LONG
                           "\":[{\"name\":\"a\"},{}]}}}}}",
                           &err),
                     FLO_E_REST_SCHEMA);
    assert_int_equal(strncmp(err.at, "/" LONG "/" LONG, 2 * strlen("/" LONG)), 0);
    assert_non_null(strstr(err.what, "is missing"));
}

static void a_query_parameter_that_is_not_named_is_refused(void **state)
{
    (void)state;
    struct flo_err err = {0};

    assert_int_equal(flo_request_check_query("group limit", "limit", "7", &err), 0);
    assert_int_equal(flo_request_check_query("group limit", "labels", "", &err),
                     FLO_E_REST_UNKNOWN);
    assert_string_equal(err.what, "query parameter `labels` is not known "
                                  "here; known: group, limit");
    assert_string_equal(err.at, "?labels");
    assert_int_equal(flo_request_check_query("", "x", "", &err), FLO_E_REST_UNKNOWN);
    assert_int_equal(flo_request_check_query("colour", "colour", "any text", &err), 0);
}

static void a_query_parameter_has_its_type_too(void **state)
{
    (void)state;
    static const char shape[] = "limit state dry_run release";
    static const char *const bad[][2] = {
        {"limit", "0"},
        {"limit", "1001"},
        {"limit", "1.0"},
        {"limit", "+1"},
        {"limit", " 1"},
        {"limit", ""},
        {"limit", "0x1"},
        {"limit", "1e2"},
        {"limit", "nan"},
        {"limit", "1.5"},
        {"state", ""},
        {"state", "on"},
        {"state", "online|offline"},
        {"dry_run", "yes"},
        {"dry_run", ""},
        {"dry_run", "true|false"},
        {"release", "a"},
    };
    struct flo_err err = {0};

    assert_int_equal(flo_request_check_query(shape, "limit", "1000", &err), 0);
    assert_int_equal(flo_request_check_query(shape, "state", "offline", &err), 0);
    assert_int_equal(flo_request_check_query(shape, "dry_run", "true", &err), 0);
    assert_int_equal(flo_request_check_query(shape, "release", "a@1", &err), 0);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (flo_request_check_query(shape, bad[i][0], bad[i][1], &err) != FLO_E_REST_SCHEMA) {
            fail_msg("%s=%s passed", bad[i][0], bad[i][1]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_shape_names_passes),
        cmocka_unit_test(an_unknown_member_is_refused_with_the_known_ones),
        cmocka_unit_test(an_unknown_member_inside_is_refused_by_its_place),
        cmocka_unit_test(nothing_that_resembles_the_shape_passes),
        cmocka_unit_test(the_first_member_chooses_what_else_is_known),
        cmocka_unit_test(a_choice_that_is_none_names_the_choices),
        cmocka_unit_test(a_member_of_no_choice_is_refused_before_the_choice),
        cmocka_unit_test(of_many_words_and_choices_the_first_are_named),
        cmocka_unit_test(what_a_reader_of_its_own_checks_is_free_here),
        cmocka_unit_test(a_value_that_its_type_does_not_allow_is_refused),
        cmocka_unit_test(a_member_that_is_needed_is_missed_by_its_place),
        cmocka_unit_test(a_name_longer_than_its_place_is_cut),
        cmocka_unit_test(a_place_far_down_is_cut),
        cmocka_unit_test(a_query_parameter_that_is_not_named_is_refused),
        cmocka_unit_test(a_query_parameter_has_its_type_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

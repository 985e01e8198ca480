/* Specification of a rollout: values and their refusals, by the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/host/yaml.h"
#include "server-stub/core/spec/spec.h"

static struct flo_spec spec;
static struct flo_err err;

static int read_yaml(const char *text)
{
    struct flo_yaml *yaml = NULL;

    memset(&err, 0, sizeof(err));
    if (flo_yaml_parse(text, strlen(text), "t", &yaml, &err) < 0) {
        fail_msg("%s", err.what);
    }
    int rv = flo_spec_read(flo_yaml_root(yaml), &spec, &err);
    flo_yaml_free(yaml);
    return rv;
}

static void reads(const char *text)
{
    if (read_yaml(text) < 0) {
        fail_msg("%s", err.what);
    }
}

/* The sentence, and the line of the field that it names. */
static void refuses(const char *text, unsigned line, const char *what)
{
    struct flo_yaml *yaml = NULL;
    char path[FLO_SPEC_PATH_MAX];

    assert_true(read_yaml(text) < 0);
    if (strstr(err.what, what) != err.what) {
        fail_msg("`%s`, not `%s`", err.what, what);
    }
    flo_spec_path(&err, path);
    assert_int_equal(flo_yaml_parse(text, strlen(text), "t", &yaml, NULL), 0);
    assert_int_equal(flo_yaml_line(yaml, path), line);
    flo_yaml_free(yaml);
}

static void a_short_file_gets_the_standards(void **state)
{
    struct flo_policy policy;
    (void)state;

    reads("release: tiny@2.1.0\n");
    flo_policy_default(&policy);

    assert_string_equal(spec.model, "tiny");
    assert_string_equal(spec.model_version, "2.1.0");
    assert_string_equal(spec.target.group, "all");
    assert_int_equal(spec.phase_count, 2);
    assert_int_equal(spec.phases[0].size.devices, 1);
    assert_true(spec.phases[1].size.share_pct == 100);
    assert_int_equal(spec.gate_count, 1);
    assert_true(spec.rate_per_min == 1200);
    assert_false(spec.has_jitter);
    assert_memory_equal(&spec.policy, &policy, sizeof(policy));
}

static void people_write_units_and_programs_write_numbers(void **state)
{
    struct flo_spec people;
    (void)state;

    reads("release: tiny@2\n"
          "target: {group: prod}\n"
          "soak: 90s\n"
          "rate: 300/min\n"
          "jitter: 5m\n"
          "phases:\n"
          "  - {name: canary, size: 10, soak: 30m}\n"
          "  - size: 2.5%\n"
          "  - size: 100%\n");
    people = spec;
    reads(
        "{\"release\":\"tiny@2\",\"group\":\"prod\",\"soak_ms\":90000,"
        "\"starts_per_s\":5,\"policy\":{\"start_jitter_ms\":300000},"
        "\"phases\":[{\"name\":\"canary\",\"devices\":10,\"soak_ms\":1800000},"
        "{\"share_pct\":2.5},{\"share_pct\":100.0}]}");

    assert_memory_equal(&spec, &people, sizeof(spec));
    assert_int_equal(spec.policy.soak_ms, 90000);
    assert_int_equal(spec.phases[0].soak_ms, 1800000);
    assert_true(spec.phases[1].size.share_pct == 2.5);
    assert_true(spec.has_jitter);
}

static void a_refusal_begins_with_the_path_of_its_field(void **state)
{
    (void)state;

    refuses("release: tiny@2\n"
            "phases:\n"
            "  - size: 1\n"
            "  - size: 10 %%\n",
            4, "phases[1].size: `10 %%` is not a number of devices");
    refuses("release: tiny@2\n"
            "phases:\n"
            "  - size: 5\n"
            "    soak: 2 h\n",
            4, "phases[0].soak: `2 h` is not a duration");
    refuses("release: tiny@2\n\nsoak_ms: -1\n", 3,
            "soak_ms: -1 is not a whole number of milliseconds");
    refuses("release: tiny@2\non_fail: stop\n", 2,
            "on_fail: `stop` is not one of rollback|halt|pause");
    refuses("release: tiny@2\nrate: 300\n", 2, "rate: 300 is not a rate");
    refuses("release: tiny@2\nrate: 0/min\n", 2, "rate: `0/min` is not");
    refuses("release: tiny@2\npolicy:\n  tries: 0\n", 3, "policy.tries: ");
    refuses("release: tiny@2\ngates:\n  failed: {max_pct: 101}\n", 3,
            "gates.failed: ");
    refuses("release: tiny\n", 1, "release: `tiny` is not a release");
    refuses("group: prod\n", 0, "release: MODEL@VERSION is missing");
    refuses("release: tiny@2\ntarget: prod\n", 2, "target: an object");
    refuses("release: tiny@2\ntarget: {}\n", 2, "target: it names nobody");
    refuses("release: tiny@2\nlift: 1\n", 2, "lift: 1 is not true or false");
}

static void an_unknown_field_names_the_nearest(void **state)
{
    (void)state;

    refuses("release: tiny@2\nphases:\n  - sise: 5\n", 3,
            "member `phases[0].sise` is not known here; known: name, size");
    assert_int_equal(err.code, FLO_E_REST_UNKNOWN);
    assert_string_equal(err.fix, "did you mean `size`?");
    refuses("release: tiny@2\npolicy: {soak: 1}\n", 2,
            "member `policy.soak` is not known here");
}

static void phases_grow_and_say_their_size_once(void **state)
{
    (void)state;

    refuses("release: tiny@2\nphases:\n  - size: 5\n    share_pct: 3\n", 4,
            "phases[0].share_pct: the size is said twice");
    refuses("release: tiny@2\nphases:\n  - size: 5\n  - size: 5\n", 4,
            "phases[1]: it is not larger");
    refuses("release: tiny@2\nphases:\n  - name: canary\n", 3,
            "phases[0]: exactly one of size");
    refuses("release: tiny@2\nphases: []\n", 2,
            "phases: a list is not a list "
            "of 1 to 16");
}

/* Each field of the table is taken where it stands, with its own example. */
static void every_field_of_the_table_is_read(void **state)
{
    struct flo_spec_field field;
    char text[512];
    (void)state;

    for (size_t i = 0; flo_spec_field(i, &field); i++) {
        char word[64];
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(field.possible, "|"),
                 field.possible);
        if (field.possible[0] == '\0' || strcmp(field.kind, "PART") == 0 ||
            strcmp(field.kind, "LIST") == 0) {
            continue;
        }
        bool is_release = strcmp(field.name, "release") == 0;
        snprintf(text, sizeof(text),
                 field.part == FLO_SPEC_SPEC     ? "%s%s: %s\n"
                 : field.part == FLO_SPEC_TARGET ? "%starget: {%s: %s}\n"
                                                 : "%sphases: [{%s: %s%s}]\n",
                 is_release ? "" : "release: tiny@2\n", field.name, word,
                 strcmp(field.kind, "SIZE") == 0 ||
                         strcmp(field.kind, "DEVICES") == 0 ||
                         strcmp(field.kind, "SHARE") == 0
                     ? ""
                     : ", size: 100%");
        reads(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_file_gets_the_standards),
        cmocka_unit_test(people_write_units_and_programs_write_numbers),
        cmocka_unit_test(a_refusal_begins_with_the_path_of_its_field),
        cmocka_unit_test(an_unknown_field_names_the_nearest),
        cmocka_unit_test(phases_grow_and_say_their_size_once),
        cmocka_unit_test(every_field_of_the_table_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* YAML and configuration: lines, the nearest key, ranges, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>

#include "base/host/config.h"
#include "base/host/yaml.h"

static const struct flo_config_row rows[] = {
    {.key = "broker.url", .type = FLO_CONFIG_TEXT, .max = 100},
    {.key = "broker.keepalive",
     .type = FLO_CONFIG_DURATION,
     .min = 1000,
     .max = 3600000,
     .standard = "30s"},
    {.key = "disk.budget",
     .type = FLO_CONFIG_SIZE,
     .min = 1 << 20,
     .max = 0x1p40,
     .standard = "2GiB"},
    {.key = "threads", .type = FLO_CONFIG_U64, .min = 1, .max = 64, .standard = "4"},
    {.key = "page", .type = FLO_CONFIG_BOOL, .standard = "true"},
    {.key = "mode", .type = FLO_CONFIG_TEXT, .standard = "warm", .choices = "warm stop-first"},
    {.key = "groups", .type = FLO_CONFIG_TEXTS, .max = 3, .standard = "canary,lab"},
    {.key = "labels", .type = FLO_CONFIG_MAP},
    {.key = "models", .type = FLO_CONFIG_LIST},
};

static int parse(const char *text, struct flo_config **out, struct flo_err *err)
{
    return flo_config_parse(text, strlen(text), "c.yaml", rows, FLO_COUNT(rows), out, err);
}

static void assert_refused(const char *text, int code, const char *what, const char *fix)
{
    struct flo_config *config = NULL;
    struct flo_err err = {0};

    assert_int_equal(parse(text, &config, &err), code);
    assert_null(config);
    assert_string_equal(err.what, what);
    if (fix != NULL) {
        assert_string_equal(err.fix, fix);
    }
}

static void values_are_typed_and_missing_ones_have_their_standard(void **state)
{
    FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;
    (void)state;

    assert_int_equal(parse("# a comment\n"
                           "broker:\n"
                           "  url: 'ssl://b:8883'\n"
                           "disk: {budget: 64MiB}\n"
                           "labels:\n"
                           "  site: berlin\n"
                           "  rack: 7\n"
                           "page: false\n"
                           "models: [{name: a}, {name: b}]\n",
                           &config, NULL),
                     0);

    assert_string_equal(flo_config_text(config, "broker.url"), "ssl://b:8883");
    assert_int_equal(flo_config_u64(config, "broker.keepalive"), 30000);
    assert_int_equal(flo_config_u64(config, "disk.budget"), 64 << 20);
    assert_int_equal(flo_config_u64(config, "threads"), 4);
    assert_false(flo_config_bool(config, "page"));
    assert_string_equal(flo_config_text(config, "mode"), "warm");
    assert_int_equal(flo_config_texts_count(config, "groups"), 2);
    assert_string_equal(flo_config_texts_get(config, "groups", 1), "lab");
    assert_null(flo_config_texts_get(config, "groups", 2));
    assert_int_equal(json_object_size(flo_config_tree(config, "labels")), 2);
    assert_int_equal(json_array_size(flo_config_tree(config, "models")), 2);
    assert_true(flo_config_is_set(config, "broker.url"));
    assert_false(flo_config_is_set(config, "threads"));
}

static void an_empty_file_gives_the_standards(void **state)
{
    static const char *const empty[] = {"", "# nothing\n", "---\n", "{}",
                                        "broker:\ndisk: ~\nthreads:\n"};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(empty); i++) {
        FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;
        assert_int_equal(parse(empty[i], &config, NULL), 0);
        assert_int_equal(flo_config_u64(config, "threads"), 4);
        assert_true(flo_config_bool(config, "page"));
        assert_null(flo_config_text(config, "broker.url"));
        assert_int_equal(json_object_size(flo_config_tree(config, "labels")), 0);
    }
}

static void an_unknown_key_names_its_line_and_the_nearest(void **state)
{
    (void)state;

    assert_refused("threads: 2\n\nbrokr:\n  url: x\n", FLO_E_CFG_KEY,
                   "c.yaml:3: unknown key `brokr`", "did you mean `broker`?");
    assert_refused("broker:\n  ulr: x\n", FLO_E_CFG_KEY, "c.yaml:2: unknown key `broker.ulr`",
                   "did you mean `broker.url`?");
    assert_refused("keepalive: 5s\n", FLO_E_CFG_KEY, "c.yaml:1: unknown key `keepalive`",
                   "did you mean `broker.keepalive`?");
    assert_refused("something: 1\n", FLO_E_CFG_KEY, "c.yaml:1: unknown key `something`", NULL);
    assert_refused("broker.url: x\n", FLO_E_CFG_KEY, "c.yaml: unknown key `broker.url`",
                   "write the parts below each other, each one indented");
}

static void a_wrong_type_says_what_was_found(void **state)
{
    (void)state;

    assert_refused("threads: many\n", FLO_E_CFG_TYPE,
                   "c.yaml:1: `threads`: \"many\" is not a whole number", NULL);
    assert_refused("threads: 1.5\n", FLO_E_CFG_TYPE,
                   "c.yaml:1: `threads`: 1.5 is not a whole number", NULL);
    assert_refused("broker: {url: 12}\n", FLO_E_CFG_TYPE,
                   "c.yaml:1: `broker.url`: 12 is not a text", "put it in quotes");
    assert_refused("broker: {keepalive: 30}\n", FLO_E_CFG_TYPE,
                   "c.yaml:1: `broker.keepalive`: 30 is not a duration such "
                   "as 30s",
                   NULL);
    assert_refused("broker: 5\n", FLO_E_CFG_TYPE, "c.yaml:1: `broker`: 5 is not a map", NULL);
    assert_refused("page: off\n", FLO_E_CFG_TYPE, "c.yaml:1: `page`: \"off\" is not true or false",
                   "give true or false");
    assert_refused("groups: [a, 1]\n", FLO_E_CFG_TYPE,
                   "c.yaml:1: `groups`: 1 is not a list of texts", NULL);
    assert_refused("labels: [a]\n", FLO_E_CFG_TYPE, "c.yaml:1: `labels`: a list is not a map",
                   NULL);
    assert_refused("- a\n", FLO_E_CFG_TYPE, "c.yaml:1: not a map of keys", NULL);
}

static void a_value_out_of_range_shows_the_range(void **state)
{
    (void)state;

    assert_refused("threads: 65\n", FLO_E_CFG_RANGE,
                   "c.yaml:1: `threads`: 65 is not within 1 to 64", NULL);
    assert_refused("threads: -1\n", FLO_E_CFG_RANGE,
                   "c.yaml:1: `threads`: -1 is not within 1 to 64", NULL);
    assert_refused("broker:\n  keepalive: 2h\n", FLO_E_CFG_RANGE,
                   "c.yaml:2: `broker.keepalive`: 2h is not within 1s to 1h",
                   "choose a value from 1s to 1h");
    assert_refused("disk: {budget: 1KiB}\n", FLO_E_CFG_RANGE,
                   "c.yaml:1: `disk.budget`: 1KiB is not within 1MiB to 1TiB", NULL);
    assert_refused("mode: cold\n", FLO_E_CFG_RANGE,
                   "c.yaml:1: `mode`: `cold` is none of warm stop-first", NULL);
    assert_refused("groups: [a, b, c, d]\n", FLO_E_CFG_RANGE,
                   "c.yaml:1: `groups`: a count of 4 is not within 0 to 3", NULL);
}

static void what_is_not_our_yaml_is_refused_with_line_and_column(void **state)
{
    static const char *const bad[][2] = {
        {"a: [1,\n b: }", NULL},
        {"a: 1\na: 2", "c.yaml:2:1: key `a` stands twice"},
        {"x: {b: 1, b: 2}", "c.yaml:1:11: key `b` stands twice"},
        {"x: &a b", "c.yaml:1:4: anchors and tags are not allowed"},
        {"&a x: b", "c.yaml:1:1: anchors and tags are not allowed"},
        {"x: *a", "c.yaml:1:4: aliases are not allowed"},
        {"x: !!str b", "c.yaml:1:4: anchors and tags are not allowed"},
        {"x: !t [a]", "c.yaml:1:4: anchors and tags are not allowed"},
        {"%TAG ! x:y,2026:\n---\na: 1", "c.yaml:1:1: tags are not allowed"},
        {"--- a\n--- b", "c.yaml:2:1: a second document"},
        {"? [a]\n: b", "c.yaml:1:3: a key must be a plain text"},
        {"'': b", "c.yaml:1:1: a key needs 1 to 256 characters"},
        {"x: 99999999999999999999", "c.yaml:1:4: the number is too large"},
        {"x: 1e999", "c.yaml:1:4: the number is too large"},
        {"x: .nan", "c.yaml:1:4: the number is not finite"},
        {"x: \"a\\0b\"", "c.yaml:1:4: a NUL inside a text"},
        {"x: a\xff", NULL},
        {"a: 1\nx: a\x01", "c.yaml:2:5: control characters are not allowed"},
        {"a:\n\tb: 1", NULL},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "c.yaml:1:17: deeper than 16 levels"},
        {"\"abc", NULL},
        {"a: b: c", NULL},
    };
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct flo_yaml *yaml = NULL;
        struct flo_err err = {0};
        int rv = flo_yaml_parse(bad[i][0], strlen(bad[i][0]), "c.yaml", &yaml, &err);
        assert_int_equal(rv, FLO_E_CFG_PARSE);
        assert_null(yaml);
        assert_memory_equal(err.what, "c.yaml:", 7);
        if (bad[i][1] != NULL) {
            assert_string_equal(err.what, bad[i][1]);
        }
    }
}

static void scalars_follow_the_core_schema(void **state)
{
    static const char text[] = "[~, null, true, False, 12, +5, -3, 007, 1.5, .5, 1e3, yes, 0x10, "
                               "1.2.3, '12', \"true\", 2026-11-20, 1e, .]\n";
    static const char wanted[] = "[null,null,true,false,12,5,-3,7,1.5,0.5,1000.0,\"yes\",\"0x10\","
                                 "\"1.2.3\",\"12\",\"true\",\"2026-11-20\",\"1e\",\".\"]";
    struct flo_yaml *yaml = NULL;
    struct flo_buf out = {0};
    (void)state;

    assert_int_equal(flo_yaml_parse(text, strlen(text), "c.yaml", &yaml, NULL), 0);

    flo_json_dump(flo_yaml_root(yaml), &out);
    assert_string_equal(out.data, wanted);
    flo_buf_deinit(&out);
    flo_yaml_free(yaml);
}

static void sizes_and_counts_are_bounded(void **state)
{
    enum { BYTES = FLO_YAML_BYTES_MAX + 1 };
    char *text = malloc(BYTES);
    struct flo_yaml *yaml = NULL;
    (void)state;
    memset(text, '#', BYTES);
    assert_int_equal(flo_yaml_parse(text, BYTES, "c.yaml", &yaml, NULL), FLO_E_META_TOO_LARGE);

    /* 70,000 values; 1 MiB of brackets; a key of 1 MiB. */
    text[0] = '[';
    for (size_t i = 1; i < 140000; i += 2) {
        memcpy(text + i, "1,", 2);
    }
    text[140000] = ']';
    assert_int_equal(flo_yaml_parse(text, 140001, "c.yaml", &yaml, NULL), FLO_E_CFG_PARSE);
    memset(text, '[', BYTES - 1);
    assert_int_equal(flo_yaml_parse(text, BYTES - 1, "c.yaml", &yaml, NULL), FLO_E_CFG_PARSE);
    memset(text, 'a', BYTES - 1);
    memcpy(text + 300, ": b", 3);
    assert_int_equal(flo_yaml_parse(text, 303, "c.yaml", &yaml, NULL), FLO_E_CFG_PARSE);
    assert_null(yaml);
    free(text);
}

static void a_required_key_must_be_there(void **state)
{
    static const struct flo_config_row needed[] = {
        {.key = "fleet", .type = FLO_CONFIG_TEXT, .is_required = true, .doc = "its name"}};
    struct flo_config *config = NULL;
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_config_parse("", 0, "c.yaml", needed, 1, &config, &err), FLO_E_CFG_KEY);
    assert_string_equal(err.what, "c.yaml: missing key `fleet`");
    assert_string_equal(err.fix, "add `fleet`: its name");
}

static void a_file_is_loaded_by_its_name(void **state)
{
    char path[] = "/tmp/flo-config-XXXXXX";
    struct flo_config *config = NULL;
    struct flo_err err = {0};
    char wanted[100];
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(flo_fd_write_all(fd, "thread: 1\n", 10, NULL), 0);
    close(fd);

    assert_int_equal(flo_config_load(path, rows, FLO_COUNT(rows), &config, &err), FLO_E_CFG_KEY);
    snprintf(wanted, sizeof(wanted), "%s:1: unknown key `thread`", path);
    assert_string_equal(err.what, wanted);
    unlink(path);
    assert_int_equal(flo_config_load(path, rows, FLO_COUNT(rows), &config, &err), FLO_E_ABSENT);
}

static void sizes_have_binary_and_decimal_units(void **state)
{
    static const char *const bad[] = {
        "", "-1", "KiB", "1.5MiB", "1mb", "99999999999999999999", "99999999999TiB"};
    uint64_t bytes;
    (void)state;

    assert_true(flo_size_parse("0", &bytes) && bytes == 0);
    assert_true(flo_size_parse("512 MiB", &bytes) && bytes == 512 << 20);
    assert_true(flo_size_parse("3kB", &bytes) && bytes == 3000);
    assert_true(flo_size_parse("1TiB", &bytes) && bytes == UINT64_C(1) << 40);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_size_parse(bad[i], &bytes));
    }
}

static void a_map_within_a_file_is_read_by_rows_of_its_own(void **state)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *map = json_pack("{s:i, s:s}", "threads", 7, "mode", "warm");
    struct flo_config *config = NULL;
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_config_map(map, "engines.a", rows, FLO_COUNT(rows), &config, &err), 0);
    assert_int_equal(flo_config_u64(config, "threads"), 7);
    assert_string_equal(flo_config_texts_get(config, "groups", 1), "lab");
    flo_config_free(config);
    json_object_set_new(map, "threads", json_integer(65));
    assert_int_equal(flo_config_map(map, "engines.a", rows, FLO_COUNT(rows), &config, &err),
                     FLO_E_CFG_RANGE);
    assert_string_equal(err.what, "engines.a: `threads`: 65 is not within 1 to 64");
    json_object_set_new(map, "thread", json_integer(1));
    json_object_del(map, "threads");
    assert_int_equal(flo_config_map(map, "engines.a", rows, FLO_COUNT(rows), &config, &err),
                     FLO_E_CFG_KEY);
    assert_string_equal(err.what, "engines.a: unknown key `thread`");
    assert_string_equal(err.fix, "did you mean `threads`?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_typed_and_missing_ones_have_their_standard),
        cmocka_unit_test(an_empty_file_gives_the_standards),
        cmocka_unit_test(an_unknown_key_names_its_line_and_the_nearest),
        cmocka_unit_test(a_wrong_type_says_what_was_found),
        cmocka_unit_test(a_value_out_of_range_shows_the_range),
        cmocka_unit_test(what_is_not_our_yaml_is_refused_with_line_and_column),
        cmocka_unit_test(scalars_follow_the_core_schema),
        cmocka_unit_test(sizes_and_counts_are_bounded),
        cmocka_unit_test(a_required_key_must_be_there),
        cmocka_unit_test(a_file_is_loaded_by_its_name),
        cmocka_unit_test(a_map_within_a_file_is_read_by_rows_of_its_own),
        cmocka_unit_test(sizes_have_binary_and_decimal_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The words that parts say to each other: topics, tables, buckets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/metrics.h>
#include <flotilla/proto.h>

static void every_topic_is_parsed_back_to_what_built_it(void **state)
{
    (void)state;
    for (int i = 0; i < FLO_TOPIC_COUNT; i++) {
        char text[FLO_TOPIC_TEXT];
        char key[FLO_NAME_MAX + 1];
        enum flo_topic topic;
        struct flo_err err = {0};

        assert_int_equal(flo_topic_build((enum flo_topic)i, "demo", "store-eu", text, &err), 0);
        assert_int_equal(flo_topic_parse(text, "demo", &topic, key, &err), 0);

        assert_int_equal(topic, i);
        bool has_key = strchr(flo_topic_fact((enum flo_topic)i)->path, '{') != NULL;
        assert_string_equal(key, has_key ? "store-eu" : "");
    }
}

static void topics_of_others_and_wild_ones_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "flotilla/v1/demo",
        "flotilla/v1/demo/",
        "flotilla/v1/other/d/a/event",
        "flotilla/v2/demo/d/a/event",
        "flotilla/v1/demo/d/a/event/",
        "flotilla/v1/demo/d/a/b/event",
        "flotilla/v1/demo/d/+/event",
        "flotilla/v1/demo/d//event",
        "flotilla/v1/demo/d/../event",
        "flotilla/v1/demo/g/a/event",
        "$SYS/broker",
    };
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        char key[FLO_NAME_MAX + 1];
        enum flo_topic topic;
        assert_int_equal(flo_topic_parse(bad[i], "demo", &topic, key, NULL), FLO_E_MQTT_TOPIC);
    }
    char text[FLO_TOPIC_TEXT];
    assert_int_equal(flo_topic_build(FLO_TOPIC_EVENT, "demo", "a/b", text, NULL), FLO_E_MQTT_TOPIC);
}

static void words_of_the_tables_are_read_back(void **state)
{
    (void)state;
    for (int i = 0; i < FLO_EXECUTION_COUNT; i++) {
        enum flo_execution found;
        assert_true(flo_execution_parse(flo_execution_word((enum flo_execution)i), &found));
        assert_int_equal(found, i);
    }
    for (int i = 0; i < FLO_METRIC_COUNT; i++) {
        int found;
        assert_true(flo_metric_parse(flo_metric_fact(i)->word, &found));
        assert_int_equal(found, i);
    }
    enum flo_execution execution;
    assert_false(flo_execution_parse("done", &execution));
    assert_true(flo_execution_is_end(FLO_EXECUTION_ROLLED_BACK));
    assert_false(flo_execution_is_end(FLO_EXECUTION_SOAKING));
}

static void a_bucket_follows_from_salt_and_device_alone(void **state)
{
    (void)state;
    /* SHA-256("r-0001" 00 device) computed by another program. */
    const char *device = "00000000-0000-4000-8000-000000000001";
    uint32_t bucket = flo_bucket("r-0001", device);

    assert_int_equal(bucket, flo_bucket("r-0001", device));
    assert_int_equal(bucket, 477117961);
}

static void buckets_spread_evenly_over_a_fleet(void **state)
{
    (void)state;
    unsigned counts[10] = {0};
    for (unsigned i = 0; i < 10000; i++) {
        char device[37];
        snprintf(device, sizeof(device), "00000000-0000-4000-8000-%012x", i);
        counts[flo_bucket("r-0002", device) / (FLO_BUCKETS / 10)]++;
    }
    for (size_t i = 0; i < 10; i++) {
        assert_in_range(counts[i], 880, 1120); /* 4 sigma */
    }
}

static void a_scope_holds_its_group_bucket_or_device(void **state)
{
    (void)state;
    const char *device = "00000000-0000-4000-8000-000000000001";
    const char groups[1][FLO_NAME_MAX + 1] = {"store-eu"};
    uint32_t bucket = flo_bucket("r-0001", device);
    struct flo_scope scope = {.group = "all"};

    assert_true(flo_scope_holds(&scope, device, groups, 1));
    strcpy(scope.group, "store-eu");
    assert_true(flo_scope_holds(&scope, device, groups, 1));
    assert_false(flo_scope_holds(&scope, device, groups, 0));
    strcpy(scope.salt, "r-0001");
    scope.bucket_from = bucket;
    scope.bucket_to = bucket;
    assert_false(flo_scope_holds(&scope, device, groups, 1));
    scope.bucket_to = bucket + 1;
    assert_true(flo_scope_holds(&scope, device, groups, 1));
    strcpy(scope.device, "00000000-0000-4000-8000-000000000002");
    assert_false(flo_scope_holds(&scope, device, groups, 1));
}

static void a_release_title_has_a_model_and_a_version(void **state)
{
    (void)state;
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];

    assert_int_equal(flo_release_title_parse("tiny@2.1.0", model, version, NULL), 0);
    assert_string_equal(model, "tiny");
    assert_string_equal(version, "2.1.0");
    static const char *const bad[] = {"",      "tiny",   "@1",    "tiny@", "A@1",
                                      "a@b@c", "../x@1", "a@1/2", "a @1",  "a@\n1"};
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(flo_release_title_parse(bad[i], model, version, NULL), FLO_E_META_NAME);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_topic_is_parsed_back_to_what_built_it),
        cmocka_unit_test(topics_of_others_and_wild_ones_are_refused),
        cmocka_unit_test(words_of_the_tables_are_read_back),
        cmocka_unit_test(a_bucket_follows_from_salt_and_device_alone),
        cmocka_unit_test(buckets_spread_evenly_over_a_fleet),
        cmocka_unit_test(a_scope_holds_its_group_bucket_or_device),
        cmocka_unit_test(a_release_title_has_a_model_and_a_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

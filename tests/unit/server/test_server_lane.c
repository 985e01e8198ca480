/* The telemetry lane: its thread, its limits and its answers.  Under TSan it
 * is the place where the controller's two threads meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include <flotilla/metrics.h>

#include "base/host/json.h"

#include "server-stub/telemetry/lane_thread.h"
#include "unit/waits.h"

#define ONE "11111111-1111-4111-8111-111111111111"
#define TWO "22222222-2222-4222-8222-222222222222"
#define RELEASE                                                                                    \
    "sha256:"                                                                                      \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct world {
    struct event_base *base;
    struct flo_lane *lane;
    uint64_t seq;
    int news;
    bool answered;
    int code;
    json_t *answer;
};

static void on_news(void *context)
{
    ((struct world *)context)->news++;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    flo_log_level_set(FLO_LOG_ERROR);
    world->base = event_base_new();
    assert_int_equal(flo_lane_open(":memory:", "demo", FLO_BLOCK_MS, &world->lane, NULL), 0);
    flo_lane_device(world->lane, ONE, "x86_64 avx2 4g");
    flo_lane_device(world->lane, TWO, "aarch64 neon 1g");
    flo_lane_release(world->lane, RELEASE, "tiny", "1", "");
    assert_int_equal(flo_lane_start(world->lane, world->base, NULL, on_news, world, NULL), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_lane_close(world->lane);
    event_base_free(world->base);
    json_decref(world->answer);
    free(world);
    return 0;
}

static void feed(struct world *world, const char *device, const char *release)
{
    char topic[FLO_TOPIC_TEXT];
    char text[512];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/tele", device);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"seq\":%llu,\"at_ms\":%llu,\"window_ms\":60000,"
             "\"model\":\"m\",\"version\":\"1\",\"release\":\"%s\","
             "\"counters\":{\"requests\":2},"
             "\"gauges\":{\"agent_rss_bytes\":7000000}}",
             (unsigned long long)++world->seq, (unsigned long long)waits_wall_ms(), release);
    flo_lane_feed(world->lane,
                  &(struct flo_mqtt_message){.topic = topic, .data = text, .bytes = strlen(text)});
}

static struct flo_lane_counters count(struct world *world)
{
    struct flo_lane_counters counters;

    flo_lane_count(world->lane, &counters);
    return counters;
}

static uint64_t handled(struct world *world)
{
    struct flo_lane_counters c = count(world);

    return c.windows + c.repeated + c.dropped + c.shed + c.limited + c.lost;
}

/* Everything that was fed is stored or left out. */
static void settle(struct world *world, uint64_t fed)
{
    struct timeval pause = {.tv_usec = 5000};

    while (handled(world) < fed) {
        event_base_loopexit(world->base, &pause);
        event_base_dispatch(world->base);
    }
}

static void on_answer(void *context, const struct flo_lane_query *query, const char *text,
                      const struct flo_err *err)
{
    struct world *world = context;

    (void)query;

    world->answered = true;
    world->code = err->code;
    json_decref(world->answer);
    world->answer = NULL;
    if (err->code == 0) {
        assert_int_equal(flo_json_parse(text, strlen(text), 1 << 20, &world->answer, NULL), 0);
    }
}

static const char *account = ""; /* who asks */

static int ask_what(struct world *world, const struct flo_telemetry_query *what)
{
    struct flo_lane_query *query = calloc(1, sizeof(*query));
    struct flo_err err = {0};

    query->query = *what;
    query->query.metric = FLO_METRIC_NAME_REQUESTS;
    query->query.since_ms = 600000;
    query->query.step_ms = 600000;
    query->context = world;
    query->done = on_answer;
    snprintf(query->account, sizeof(query->account), "%s", account);
    world->answered = false;
    return flo_lane_ask(world->lane, query, &err);
}

static int ask(struct world *world, bool by_device, bool by_hardware)
{
    return ask_what(world, &(struct flo_telemetry_query){.by_release = true,
                                                         .by_device = by_device,
                                                         .by_hardware = by_hardware});
}

static json_int_t sum_answered(struct world *world, size_t *series_count)
{
    json_int_t sum = 0;

    while (!world->answered) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    assert_int_equal(world->code, 0);
    json_t *series = json_object_get(world->answer, "series");
    *series_count = json_array_size(series);
    for (size_t i = 0; i < *series_count; i++) {
        sum += json_integer_value(json_object_get(json_array_get(series, i), "sum"));
    }
    return sum;
}

static json_int_t sum_of(struct world *world, bool by_device, bool by_hardware,
                         size_t *series_count)
{
    assert_int_equal(ask(world, by_device, by_hardware), 0);
    return sum_answered(world, series_count);
}

static void what_devices_send_is_answered_by_release_and_hardware(void **state)
{
    struct world *world = *state;
    size_t series;

    for (int i = 0; i < 50; i++) {
        feed(world, ONE, RELEASE);
        feed(world, TWO, RELEASE);
    }
    settle(world, 100);

    assert_int_equal(count(world).windows, 100);
    assert_int_equal(sum_of(world, false, false, &series), 200);
    assert_int_equal(sum_of(world, false, true, &series), 200);
    assert_int_equal(series, 2);
    assert_int_equal(sum_of(world, true, false, &series), 200);
    assert_int_equal(series, 2);
}

#define OTHER_RELEASE                                                                              \
    "sha256:"                                                                                      \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void feed_variant(struct world *world, uint64_t seq, const char *variant)
{
    char text[512];
    char topic[FLO_TOPIC_TEXT];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/tele", ONE);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"seq\":%llu,\"at_ms\":%llu,\"window_ms\":60000,\"model\":\"m\","
             "\"release\":\"" OTHER_RELEASE "\",\"variant\":\"%s\",\"counters\":{\"requests\":1}}",
             (unsigned long long)seq, (unsigned long long)waits_wall_ms(), variant);
    flo_lane_feed(world->lane,
                  &(struct flo_mqtt_message){.topic = topic, .data = text, .bytes = strlen(text)});
}

static void a_release_is_answered_by_the_variants_that_it_has(void **state)
{
    struct world *world = *state;
    static const char *const told[] = {"gpu", "native", "native", "nat", "gpu native"};
    size_t series;

    flo_lane_release(world->lane, OTHER_RELEASE, "help", "1", " gpu native");
    for (size_t i = 0; i < FLO_COUNT(told); i++) {
        feed_variant(world, i + 1, told[i]);
    }
    settle(world, FLO_COUNT(told));

    assert_int_equal(ask_what(world, &(struct flo_telemetry_query){.by_release = true}), 0);
    assert_int_equal(sum_answered(world, &series), 4); /* the last one is no name */
    assert_int_equal(series, 1);
    for (int by_device = 0; by_device < 2; by_device++) {
        assert_int_equal(ask_what(world, &(struct flo_telemetry_query){.by_variant = true,
                                                                       .by_device = by_device}),
                         0);
        assert_int_equal(sum_answered(world, &series), 4);
        assert_int_equal(series, 3); /* "" for a variant that the release has not */
        const json_t *last = json_array_get(json_object_get(world->answer, "series"), 2);
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(last, "key"), "variant")), "native");
        assert_int_equal(json_integer_value(json_object_get(last, "sum")), 2);
    }
}

static void each_model_of_a_message_counts_for_its_own_release(void **state)
{
    struct world *world = *state;
    char text[1024];
    char topic[FLO_TOPIC_TEXT];
    size_t series;

    flo_lane_release(world->lane, OTHER_RELEASE, "help", "1", "");
    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/tele", ONE);
    snprintf(text, sizeof(text),
             "{\"v\":2,\"seq\":1,\"at_ms\":%llu,\"window_ms\":60000,"
             "\"gauges\":{\"agent_rss_bytes\":7000000},\"models\":["
             "{\"model\":\"m\",\"release\":\"" RELEASE "\","
             "\"counters\":{\"requests\":2}},"
             "{\"model\":\"n\",\"release\":\"" OTHER_RELEASE "\","
             "\"counters\":{\"requests\":5}}]}",
             (unsigned long long)waits_wall_ms());
    for (int i = 0; i < 2; i++) { /* the second time it is known */
        flo_lane_feed(world->lane, &(struct flo_mqtt_message){
                                       .topic = topic, .data = text, .bytes = strlen(text)});
    }
    settle(world, 2);

    assert_int_equal(count(world).windows, 1);
    assert_int_equal(count(world).repeated, 1);
    assert_int_equal(sum_of(world, false, false, &series), 7);
    assert_int_equal(series, 2);
}

static const char *model_of(struct world *world, size_t i)
{
    return json_string_value(json_object_get(
        json_object_get(json_array_get(json_object_get(world->answer, "series"), i), "key"),
        "model"));
}

/* The device may call its release what it likes: the publisher's word counts.
 */
static void a_query_of_one_model_counts_no_other(void **state)
{
    struct world *world = *state;
    size_t series;

    flo_lane_release(world->lane, OTHER_RELEASE, "help", "1", "");
    for (int i = 0; i < 10; i++) {
        feed(world, ONE, RELEASE);
    }
    feed(world, ONE, OTHER_RELEASE);
    settle(world, 11);

    struct flo_telemetry_query by_device = {.by_device = true};
    assert_int_equal(ask_what(world, &by_device), 0);
    assert_int_equal(sum_answered(world, &series), 22); /* all together */
    snprintf(by_device.model, sizeof(by_device.model), "help");
    assert_int_equal(ask_what(world, &by_device), 0);
    assert_int_equal(sum_answered(world, &series), 2);
    assert_int_equal(series, 1);

    struct flo_telemetry_query by_model = {.by_model = true};
    assert_int_equal(ask_what(world, &by_model), 0);
    assert_int_equal(sum_answered(world, &series), 22);
    assert_int_equal(series, 2);
    assert_string_equal(model_of(world, 0), "help");
    assert_string_equal(model_of(world, 1), "tiny");

    struct flo_telemetry_query absent = {.model = "none"};
    assert_int_equal(ask_what(world, &absent), 0);
    assert_int_equal(sum_answered(world, &series), 0);
}

static void feed_memory(struct world *world, const char *model, int engine)
{
    char topic[FLO_TOPIC_TEXT];
    char text[512];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/tele", ONE);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"seq\":%llu,\"at_ms\":%llu,\"model\":\"%s\","
             "\"release\":\"" RELEASE "\",\"gauges\":{\"agent_rss_bytes\":"
             "10,\"engine_rss_bytes\":%d}}",
             (unsigned long long)++world->seq, (unsigned long long)waits_wall_ms(), model, engine);
    flo_lane_feed(world->lane,
                  &(struct flo_mqtt_message){.topic = topic, .data = text, .bytes = strlen(text)});
}

static void the_engines_of_all_models_count_together(void **state)
{
    struct world *world = *state;
    const struct flo_lane_device *device;

    for (int i = 0; i < 3; i++) {
        feed_memory(world, "help", 100);
        feed_memory(world, "tiny", 1000);
    }
    settle(world, 6);
    device = flo_lane_find(&world->lane->devices, ONE);
    assert_int_equal(device->rss_bytes, 1110);
    feed_memory(world, "help", 200); /* the other one's number is to come */
    settle(world, 7);
    assert_int_equal(device->rss_bytes, 1110);
    feed_memory(world, "tiny", 1000);
    settle(world, 8);
    assert_int_equal(device->rss_bytes, 1210);
    feed_memory(world, "help", 200); /* tiny was removed */
    feed_memory(world, "help", 200);
    settle(world, 10);
    assert_int_equal(device->rss_bytes, 210);
}

static void a_device_that_floods_loses_its_own_windows_alone(void **state)
{
    struct world *world = *state;
    uint64_t fed = 0;
    size_t series;

    for (int turn = 0; turn < 8; turn++) { /* 512 wait at most */
        for (int i = 0; i < 512; i++, fed++) {
            feed(world, ONE, RELEASE);
        }
        settle(world, fed);
    }
    feed(world, TWO, RELEASE);
    settle(world, ++fed);

    struct flo_lane_counters counters = count(world);
    assert_int_equal(counters.windows + counters.limited, fed);
    assert_true(counters.windows >= FLO_TELEMETRY_TAKEN_BURST);
    assert_true(counters.limited > 1000);
    assert_true(flo_lane_is_shedding(world->lane));
    assert_int_equal(flo_lane_find(&world->lane->devices, TWO)->limited, 0);
    assert_int_equal(sum_of(world, true, false, &series), 2 * counters.windows);
    assert_int_equal(series, 2);
}

static void who_is_no_device_of_ours_is_not_stored(void **state)
{
    struct world *world = *state;
    size_t series;

    feed(world, "99999999-9999-4999-8999-999999999999", RELEASE);
    feed(world, ONE, RELEASE);
    settle(world, 2);
    flo_lane_device(world->lane, ONE, NULL); /* retired */
    feed(world, ONE, RELEASE);
    settle(world, 3);

    assert_int_equal(count(world).dropped, 2);
    assert_int_equal(sum_of(world, true, false, &series), 2);
}

static void an_invented_release_is_of_no_release(void **state)
{
    struct world *world = *state;
    size_t series;
    char invented[FLO_DIGEST_TEXT];

    for (int i = 0; i < 20; i++) {
        snprintf(invented, sizeof(invented), "sha256:%064d", i + 1);
        feed(world, ONE, invented);
    }
    settle(world, 20);

    assert_int_equal(sum_of(world, false, false, &series), 40);
    assert_int_equal(series, 1);
}

static void whom_it_heard_is_told_within_seconds(void **state)
{
    struct world *world = *state;
    struct flo_lane_fact *facts = NULL;
    size_t told = 0;

    feed(world, ONE, RELEASE);
    while (facts == NULL) {
        event_base_loop(world->base, EVLOOP_ONCE);
        facts = flo_lane_facts(world->lane, &told);
    }
    assert_int_equal(told, 1);
    assert_string_equal(facts[0].device, ONE);
    assert_int_equal(facts[0].rss_bytes, 7000000);
    assert_true(world->news > 0);
    free(facts);
}

static void too_many_queries_at_once_are_refused(void **state)
{
    struct world *world = *state;
    int refused = 0;

    /* Their places are free again when their answers are given: here. */
    for (int i = 0; i < FLO_LANE_QUERIES_MAX + 3; i++) {
        refused += ask(world, false, false) == FLO_E_REST_LIMIT;
    }
    assert_int_equal(refused, 3);
    while (!world->answered) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
}

/* Places that this account gets. */
static int places_of(struct world *world, const char *who)
{
    int count = 0;

    account = who;
    while (ask(world, false, false) == 0) {
        count++;
    }
    account = "";
    return count;
}

static void one_account_leaves_places_to_others_and_all_to_the_gates(void **state)
{
    struct world *world = *state;

    assert_int_equal(places_of(world, "user:a"), FLO_LANE_ACCOUNT_MAX);
    assert_int_equal(places_of(world, "user:b"), FLO_LANE_PEOPLE_MAX - FLO_LANE_ACCOUNT_MAX);
    assert_int_equal(places_of(world, "user:c"), 0);
    assert_int_equal(places_of(world, ""), FLO_LANE_QUERIES_MAX - FLO_LANE_PEOPLE_MAX);
    while (!world->answered) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_devices_send_is_answered_by_release_and_hardware),
        TEST(a_release_is_answered_by_the_variants_that_it_has),
        TEST(the_engines_of_all_models_count_together),
        TEST(each_model_of_a_message_counts_for_its_own_release),
        TEST(a_query_of_one_model_counts_no_other),
        TEST(a_device_that_floods_loses_its_own_windows_alone),
        TEST(who_is_no_device_of_ours_is_not_stored),
        TEST(an_invented_release_is_of_no_release),
        TEST(whom_it_heard_is_told_within_seconds),
        TEST(too_many_queries_at_once_are_refused),
        TEST(one_account_leaves_places_to_others_and_all_to_the_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

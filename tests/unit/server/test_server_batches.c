/* What waits between MQTT and the store, and who gives way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "server-stub/mqtt/batches.h"

#include "unit/server/store.h"

static const char *const ids[] = {"11111111-1111-4111-8111-111111111111",
                                  "22222222-2222-4222-8222-222222222222"};

static void enrol(struct flo_controller *controller, const char *id)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    struct flo_fleet_device device = {.id = id,
                                      .name = id,
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 1};

    assert_int_equal(
        flo_fleet_device_add(controller->store, &device, groups, 1, NULL), 0);
}

/* With a broker that nobody answers for. */
static int set_up(void **state)
{
    struct flo_controller_options options = {.dir = ":memory:",
                                             .fleet = "demo"};
    struct flo_controller *controller;

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(flo_controller_open(&options, &controller, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        enrol(controller, ids[i]);
    }
    controller->base = event_base_new();
    snprintf(controller->mqtt_url_own, sizeof(controller->mqtt_url_own),
             "mqtt://127.0.0.1:1");
    assert_int_equal(flo_batches_open(controller, NULL), 0);
    *state = controller;
    return 0;
}

static int tear_down(void **state)
{
    struct flo_controller *controller = *state;
    struct event_base *base = controller->base;

    flo_batches_close(controller);
    flo_controller_close(controller);
    event_base_free(base);
    return 0;
}

static void comes_from(struct flo_controller *controller, const char *id,
                       const char *word, const char *payload)
{
    char topic[FLO_TOPIC_TEXT];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", id, word);
    flo_batches_take(controller->batches,
                     &(struct flo_mqtt_message){.topic = topic,
                                                .data = payload,
                                                .bytes = strlen(payload)});
}

static void comes(struct flo_controller *controller, size_t device,
                  const char *word, const char *payload)
{
    comes_from(controller, ids[device], word, payload);
}

static void write_batch(struct flo_controller *controller)
{
    uint64_t before = controller->counters.batches;

    while (controller->counters.batches == before) {
        event_base_loop(controller->base, EVLOOP_ONCE);
    }
}

/* An external broker knows one identity of ours: telemetry comes here. */
static void presence_is_not_lost_behind_the_telemetry_of_an_outage(void **state)
{
    struct flo_controller *controller = *state;
    struct flo_lane_counters lane;

    for (int i = 0; i < 200001; i++) {
        comes(controller, 0, "tele", "{\"v\":1}");
    }
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        comes(controller, i, "presence", "{\"v\":1,\"online\":true}");
    }
    write_batch(controller);

    assert_true(is_online(controller->store, ids[0]));
    assert_true(is_online(controller->store, ids[1]));
    /* No statement of a batch is for telemetry, and what is too much of it is
     * counted. */
    assert_int_equal(controller->counters.messages, 2);
    flo_lane_count(controller->lane, &lane);
    assert_true(lane.shed > 190000);
    assert_true(flo_lane_is_shedding(controller->lane));
}

/* An operator waits for answers; a fleet that reports comes after them. */
static void an_answer_to_an_order_overtakes_reports_that_wait(void **state)
{
    struct flo_controller *controller = *state;
    enum flo_order_outcome outcome;
    bool known;
    char order[FLO_NAME_MAX + 1], ack[256], id[37];

    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    assert_int_equal(
        flo_orders_fleet(controller, FLO_ORDER_FREEZE, "ops", 0, order, NULL),
        0);
    assert_int_equal(flo_controller_commit(controller, NULL), 0);
    /* More than a batch takes. */
    for (int i = 0; i < 2560; i++) {
        snprintf(id, sizeof(id), "33333333-3333-4333-8333-%012d", i / 250);
        comes_from(controller, id, "reported", "{\"v\":1}");
    }
    snprintf(ack, sizeof(ack),
             "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\","
             "\"took_ms\":0}",
             order);
    comes(controller, 1, "ack", ack);
    write_batch(controller);

    assert_int_equal(flo_fleet_outcome_get(controller->store, order, ids[1],
                                           &known, &outcome, NULL),
                     0);
    assert_true(known);
    assert_int_equal(outcome, FLO_OUTCOME_DONE);
    assert_int_equal(controller->counters.messages_dropped, 1999);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(presence_is_not_lost_behind_the_telemetry_of_an_outage),
        TEST(an_answer_to_an_order_overtakes_reports_that_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

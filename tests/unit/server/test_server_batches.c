/* Messages that wait between MQTT and the store, and which of them give way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "server-stub/mqtt/batches.h"
#include "server-stub/state/recall/recall.h"

#include "unit/server/store/store.h"

static const char *const ids[] = {"11111111-1111-4111-8111-111111111111",
                                  "22222222-2222-4222-8222-222222222222"};

static void enrol(struct flo_controller *controller, const char *id)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    struct flo_fleet_device device = {.id = id,
                                      .name = id + 9, /* no id */
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 1};

    assert_int_equal(flo_fleet_device_add(controller->store, &device, groups, 1, NULL), 0);
}

struct link {
    struct flo_controller *controller;
    struct event_base *base;
    struct flo_batches *batches;
};

/* With a broker that nobody answers for. */
static int set_up(void **state)
{
    struct flo_controller_options options = {
        .dir = ":memory:", .fleet = "demo", .unproved = FLO_UNPROVED_TAKE};
    struct flo_controller *controller;

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(flo_controller_open(&options, &controller, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        enrol(controller, ids[i]);
    }
    snprintf(controller->addresses.mqtt_own, sizeof(controller->addresses.mqtt_own),
             "mqtt://127.0.0.1:1");
    struct link *link = calloc(1, sizeof(*link));
    *link = (struct link){.controller = controller, .base = event_base_new()};
    assert_int_equal(flo_batches_open(controller, link->base, NULL, &link->batches, NULL), 0);
    *state = link;
    return 0;
}

static int tear_down(void **state)
{
    struct link *link = *state;

    flo_batches_close(link->batches);
    flo_controller_close(link->controller);
    event_base_free(link->base);
    free(link);
    return 0;
}

static void comes_from(struct link *link, const char *id, const char *word, const char *payload)
{
    char topic[FLO_TOPIC_TEXT];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", id, word);
    flo_batches_take(link->batches, &(struct flo_mqtt_message){
                                        .topic = topic, .data = payload, .bytes = strlen(payload)});
}

static void comes(struct link *link, size_t device, const char *word, const char *payload)
{
    comes_from(link, ids[device], word, payload);
}

static void write_batch(struct link *link)
{
    uint64_t before = flo_batches_count(link->batches).batches;

    while (flo_batches_count(link->batches).batches == before) {
        event_base_loop(link->base, EVLOOP_ONCE);
    }
}

/* An external broker knows one identity of ours: telemetry comes here. */
static void presence_is_not_lost_behind_the_telemetry_of_an_outage(void **state)
{
    struct link *link = *state;
    struct flo_controller *controller = link->controller;
    struct flo_lane_counters lane;

    for (int i = 0; i < 200001; i++) {
        comes(link, 0, "tele", "{\"v\":1}");
    }
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        comes(link, i, "presence", "{\"v\":1,\"online\":true}");
    }
    do { /* a slow machine writes one message in a batch's turn */
        write_batch(link);
    } while (flo_batches_count(link->batches).messages < FLO_COUNT(ids));

    assert_true(is_online(controller->store, ids[0]));
    assert_true(is_online(controller->store, ids[1]));
    /* No statement of a batch is for telemetry, and what is too much of it is
     * counted. */
    assert_int_equal(flo_batches_count(link->batches).messages, FLO_COUNT(ids));
    flo_lane_count(controller->lane, &lane);
    assert_true(lane.shed > 100000); /* the lane takes some meanwhile */
    assert_true(flo_lane_is_shedding(controller->lane));
}

static bool is_done(struct link *link, size_t device, const char *order)
{
    enum flo_order_outcome outcome;
    bool known;

    assert_int_equal(
        flo_fleet_outcome_get(link->controller->store, order, ids[device], &known, &outcome, NULL),
        0);
    return outcome == FLO_OUTCOME_DONE;
}

static void answers(struct link *link, size_t device, const char *order)
{
    char ack[256];

    snprintf(ack, sizeof(ack),
             "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\","
             "\"took_ms\":0}",
             order);
    comes(link, device, "ack", ack);
}

/* More than a batch takes. */
#define CROWD 100000

static void others_come(struct link *link)
{
    char id[37];

    for (int i = 0; i < CROWD; i++) {
        snprintf(id, sizeof(id), "33333333-3333-4333-8333-%012d", i / 200);
        comes_from(link, id, "reported", "{\"v\":2}");
    }
}

/* An answer that overtook its device's event would end an execution with the
 * wrong word. */
static void an_answer_overtakes_other_devices_and_never_its_own(void **state)
{
    struct link *link = *state;
    struct flo_controller *controller = link->controller;
    char order[FLO_NAME_MAX + 1];

    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    assert_int_equal(flo_orders_fleet(controller, FLO_ORDER_FREEZE, "ops", 0, order, NULL), 0);
    assert_int_equal(flo_controller_commit(controller, NULL), 0);
    others_come(link);
    comes(link, 1, "reported", "{\"v\":2}");
    answers(link, 0, order);
    answers(link, 1, order);

    write_batch(link);
    assert_true(flo_batches_count(link->batches).dropped < CROWD);
    assert_true(is_done(link, 0, order));
    assert_false(is_done(link, 1, order));

    while (flo_batches_count(link->batches).dropped < CROWD) {
        write_batch(link);
    }
    while (!is_done(link, 1, order)) {
        write_batch(link);
    }
}

static void what_has_no_proof_does_not_wait(void **state)
{
    struct link *link = *state;

    link->controller->refuses_unproved = true;
    comes(link, 0, "reported", "{\"v\":2}");
    assert_int_equal(flo_batches_count(link->batches).dropped, 1);
}

/* Others are heard, whatever one of them sends. */
static void a_device_that_floods_leaves_room_to_others(void **state)
{
    struct link *link = *state;

    for (int i = 0; i < 1000; i++) {
        comes(link, 0, "reported", "{\"v\":2}");
    }
    uint64_t dropped = flo_batches_count(link->batches).dropped;
    assert_true(dropped > 0);
    comes(link, 1, "presence", "{\"v\":1,\"online\":true}");
    assert_int_equal(flo_batches_count(link->batches).dropped, dropped);
    while (!is_online(link->controller->store, ids[1])) {
        write_batch(link);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(presence_is_not_lost_behind_the_telemetry_of_an_outage),
        TEST(an_answer_overtakes_other_devices_and_never_its_own),
        TEST(what_has_no_proof_does_not_wait),
        TEST(a_device_that_floods_leaves_room_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

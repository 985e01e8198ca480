/* The cost of messages on the thread that orders wait for: statements of the
 * store. A message of any kind takes two at most; what a batch changed together
 * is written once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "tests/unit/server/world.h"
#include "unit/server/store/store.h"

#define DEVICES 200
#define OF_A_BATCH 12 /* rollout, its phase, pruning of events */

static const char *id_of(int device)
{
    static char id[37];

    snprintf(id, sizeof(id), "%08x-7777-4777-8777-777777777777", (unsigned)device);
    return id;
}

static int set_up(void **state)
{
    assert_int_equal(world_setup(state), 0);
    struct world *world = *state;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < DEVICES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "many-%d", i);
        assert_int_equal(enrol(world, id_of(i), name), 0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return 0;
}

/* One message of each device in a batch; how many statements it took. */
static uint64_t cost(struct world *world, const char *word, const char *before_id,
                     const char *after_id)
{
    uint64_t statements = flo_fleet_statements(world->controller->store);

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < DEVICES; i++) {
        char topic[FLO_TOPIC_TEXT];
        char text[1024];
        snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", id_of(i), word);
        snprintf(text, sizeof(text), "%s%s%s", before_id, id_of(i), after_id);
        assert_int_equal(flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err),
                         0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(world->ingest.dropped, 0);
    return flo_fleet_statements(world->controller->store) - statements;
}

static uint64_t event_cost(struct world *world, uint64_t seq, const char *state)
{
    char text[512];

    /* the id stands in a place that nobody reads */
    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":%llu,\"type\":\"execution\","
             "\"execution\":\"r-0001.1\",\"release\":\"%s\",\"state\":\"%s\","
             "\"detail\":{\"codec\":\"zstd\",\"bytes\":1},\"x\":\"",
             (unsigned long long)seq, DIGEST, state);
    return cost(world, "event", text, "\"}");
}

static void an_event_takes_two_statements_at_most(void **state)
{
    struct world *world = *state;
    static const char *const words[] = {"downloading", "verifying", "probing", "soaking"};

    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":"
                                 "[{\"share_pct\":100}]}"));
    event_cost(world, 1, "accepted"); /* the first one learns of its device */
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        uint64_t statements = event_cost(world, 2 + i, words[i]);
        print_message("%s: %.2f\n", words[i], (double)statements / DEVICES);
        assert_in_range(statements, DEVICES, 2 * DEVICES + OF_A_BATCH);
    }
}

/* An emergency for a group, and a newer rollout, let all of them go at once:
 * the rollout's own row is written once. */
static void who_is_let_go_takes_a_statement(void **state)
{
    static const enum flo_rollout_event_kind kinds[] = {FLO_ROLLOUT_EVENT_SUPERSEDED,
                                                        FLO_ROLLOUT_EVENT_LEFT};
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":"
                                                   "[{\"share_pct\":100}]}");

    assert_non_null(entry);
    for (size_t kind = 0; kind < FLO_COUNT(kinds); kind++) {
        uint64_t before = flo_fleet_statements(controller->store);
        assert_int_equal(flo_controller_begin(controller, &world->err), 0);
        for (int i = 0; i < DEVICES; i++) {
            assert_int_equal(flo_rollouts_step(controller, entry,
                                               (struct flo_rollout_event){.kind = kinds[kind],
                                                                          .device = id_of(i)},
                                               &world->err),
                             0);
        }
        assert_int_equal(flo_controller_commit(controller, &world->err), 0);
        assert_in_range(flo_fleet_statements(controller->store) - before, DEVICES,
                        DEVICES + OF_A_BATCH);
    }
}

static void presence_and_reports_take_two_statements_at_most(void **state)
{
    struct world *world = *state;
    const char *report = "\",\"rev\":1,\"profile\":{\"arch\":\"x86_64\"}}";

    assert_in_range(cost(world, "presence", "{\"v\":1,\"online\":true,\"x\":\"", "\"}"), 0,
                    2 * DEVICES + OF_A_BATCH);
    assert_in_range(cost(world, "presence", "{\"v\":1,\"online\":true,\"x\":\"", "\"}"), 0,
                    OF_A_BATCH);
    cost(world, "reported", "{\"v\":2,\"device\":\"", report);
    uint64_t statements = cost(world, "reported", "{\"v\":2,\"device\":\"", report);
    print_message("reported: %.2f\n", (double)statements / DEVICES);
    assert_in_range(statements, DEVICES, 2 * DEVICES + OF_A_BATCH);
}

static void an_answer_to_an_order_takes_two_statements_at_most(void **state)
{
    struct world *world = *state;
    char order[FLO_NAME_MAX + 1];
    char text[128];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_orders_fleet(world->controller, FLO_ORDER_FREEZE, "ops", 0, order, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    cost(world, "presence", "{\"v\":1,\"online\":true,\"x\":\"", "\"}");
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\",\"x\":\"", order);
    uint64_t statements = cost(world, "ack", text, "\"}");
    print_message("ack: %.2f\n", (double)statements / DEVICES);
    assert_in_range(statements, DEVICES, 2 * DEVICES + OF_A_BATCH);

    struct flo_order_progress progress;
    assert_int_equal(
        flo_fleet_outcome_progress(world->controller->store, order, &progress, &world->err), 0);
    assert_int_equal(progress.done, DEVICES);
    /* said again, it is no news */
    assert_in_range(cost(world, "ack", text, "\"}"), 0, DEVICES + OF_A_BATCH);
}

/* An emergency: a row for each device that is to answer.  Its answer writes one
 * of the order and one of the rollout, and looks once for other orders.
 * Repeated, it costs nothing. */
static void a_rollback_of_all_takes_a_statement_a_device(void **state)
{
    struct world *world = *state;
    struct flo_fleet_store *store = world->controller->store;
    struct flo_order_progress progress;
    char order[FLO_NAME_MAX + 1];
    char text[128];

    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":"
                                 "[{\"share_pct\":100}]}"));
    event_cost(world, 1, "accepted");
    event_cost(world, 2, "succeeded");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < DEVICES; i++) { /* all were told */
        assert_int_equal(flo_fleet_desired_set(store, id_of(i), "tiny", "o-0001", &world->err), 0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    uint64_t before = flo_fleet_statements(store);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", order, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    uint64_t statements = flo_fleet_statements(store) - before;
    print_message("rollback: %.2f\n", (double)statements / DEVICES);
    assert_in_range(statements, DEVICES, DEVICES + 60);

    assert_int_equal(flo_fleet_outcome_progress(store, order, &progress, &world->err), 0);
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\",\"x\":\"", order);
    statements = cost(world, "ack", text, "\"}");
    print_message("its answer: %.2f\n", (double)statements / DEVICES);
    assert_in_range(statements, DEVICES, 3 * DEVICES + OF_A_BATCH);
    assert_in_range(cost(world, "ack", text, "\"}"), 0, OF_A_BATCH);
}

/* How many orders the device is asked for by name when it says this. */
static size_t asked_when(struct world *world, const char *device, const char *word,
                         const char *text, bool is_retained)
{
    struct flo_controller *controller = world->controller;
    char topic[FLO_TOPIC_TEXT];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", device, word);
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(
        flo_ingest(&world->ingest, topic, text, strlen(text), is_retained, &world->err), 0);
    size_t count = controller->outgoing->asks.count;
    assert_int_equal(flo_controller_commit(controller, &world->err), 0);
    return count;
}

static size_t asked(struct world *world, const char *device, const char *word, const char *text)
{
    return asked_when(world, device, word, text, false);
}

static size_t reports(struct world *world, const char *device)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"rev\":1}", device);
    return asked(world, device, "reported", text);
}

/* The broker keeps nothing for a device that is away. */
static void who_was_away_is_asked_when_it_comes(void **state)
{
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    char order[FLO_NAME_MAX + 1];

    asked(world, ids[0], "presence", "{\"v\":1,\"online\":true}");
    reports(world, ids[0]);
    asked(world, ids[0], "presence", "{\"v\":1,\"online\":false}");
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(flo_orders_fleet(controller, FLO_ORDER_FREEZE, "ops", 0, order, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(controller, &world->err), 0);
    asked(world, ids[0], "presence", "{\"v\":1,\"online\":true}");

    assert_int_equal(reports(world, ids[0]), 1);
    assert_int_equal(reports(world, ids[0]), 0);
}

/* The leader before died in the moment of the order.  The next one hears what
 * the broker keeps, in either order, and waits for no report. */
static void who_answered_while_nobody_led_is_asked_at_once(void **state)
{
    static const char there[] = "{\"v\":1,\"online\":true}";
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    char order[FLO_NAME_MAX + 1], text[256];

    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(flo_orders_fleet(controller, FLO_ORDER_FREEZE, "ops", 0, order, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(controller, &world->err), 0);
    for (int turn = 0; turn < 2; turn++) {
        snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"rev\":1}", ids[turn]);
        if (turn == 0) {
            asked_when(world, ids[turn], "reported", text, true);
        }
        assert_int_equal(asked_when(world, ids[turn], "presence", there, true), 1);
        assert_int_equal(asked_when(world, ids[turn], "reported", text, true), 0);
        assert_int_equal(asked(world, ids[turn], "reported", text), 0);
    }
}

/* An answer that was lost on the way is asked for by name: devices do not
 * repeat what they told for a list. */
static void who_is_awaited_for_long_is_asked_when_it_reports(void **state)
{
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    char order[FLO_NAME_MAX + 1];
    char text[256];

    asked(world, ids[0], "presence", "{\"v\":1,\"online\":true}");
    reports(world, ids[0]); /* it is there already */
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(flo_orders_fleet(controller, FLO_ORDER_FREEZE, "ops", 0, order, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(controller, &world->err), 0);
    for (int turn = 0; turn < 2; turn++) {
        char topic[FLO_TOPIC_TEXT];
        snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/reported", ids[turn]);
        snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"rev\":1}", ids[turn]);
        assert_int_equal(flo_controller_begin(controller, &world->err), 0);
        if (turn == 0) { /* issued a moment ago: it may be on its way */
            assert_int_equal(
                flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err), 0);
            assert_int_equal(controller->outgoing->asks.count, 0);
            assert_int_equal(
                flo_fleet_update(controller->store, FLO_TABLE_ORDER,
                                 CHANGES(add_number(FLO_FIELD_ORDER_ISSUED_AT, (uint64_t)-60000)),
                                 NULL, 0, NULL, &world->err),
                0);
        } else if (turn == 1) {
            assert_int_equal(
                flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err), 0);
            assert_int_equal(controller->outgoing->asks.count, 1);
            assert_int_equal(
                flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err), 0);
            assert_int_equal(controller->outgoing->asks.count, 1);
        }
        assert_int_equal(flo_controller_commit(controller, &world->err), 0);
    }
}

/* Memory knows marks: of a batch that the disk did not take it must not. */
static void an_event_of_a_batch_that_was_taken_back_is_not_acknowledged(void **state)
{
    struct world *world = *state;
    struct flo_fleet_store *store = world->controller->store;
    const char *boot = "44444444-4444-4444-8444-444444444444";
    uint64_t mark;
    bool is_new;

    for (uint64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(flo_fleet_event_add(store, ids[0], boot, seq, 0, 1, 1, "{}", &is_new,
                                             &mark, &world->err),
                         0);
        assert_int_equal(mark, seq);
        if (seq == 2) {
            flo_controller_cancel(world->controller);
            break;
        }
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    }
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_event_add(store, ids[0], boot, 3, 0, 1, 1, "{}", &is_new, &mark, &world->err), 0);
    assert_int_equal(mark, 1); /* 2 is missing */
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_event_takes_two_statements_at_most),
        TEST(who_is_let_go_takes_a_statement),
        TEST(presence_and_reports_take_two_statements_at_most),
        TEST(a_rollback_of_all_takes_a_statement_a_device),
        TEST(an_answer_to_an_order_takes_two_statements_at_most),
        TEST(who_is_awaited_for_long_is_asked_when_it_reports),
        TEST(who_answered_while_nobody_led_is_asked_at_once),
        TEST(who_was_away_is_asked_when_it_comes),
        TEST(an_event_of_a_batch_that_was_taken_back_is_not_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

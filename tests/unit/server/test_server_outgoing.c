/* Outgoing: handed over after a commit, and desired documents in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "server-stub/mqtt/publisher.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/store/calls/kept.h"
#include "unit/waits.h"

static int ended;

static void note_end(void *context)
{
    (void)context;
    ended++;
}

static void desired_documents_leave_in_pieces_between_which_others_run(void **state)
{
    (void)state;
    enum { DEVICES = 20000 };
    struct flo_controller_options options = {.dir = ":memory:", .fleet = "demo"};
    struct flo_controller *controller;
    struct flo_err err = {0};
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(flo_controller_open(&options, &controller, &err), 0);
    struct event_base *base = event_base_new();
    struct flo_publisher *publisher;
    assert_int_equal(flo_publisher_open(controller, base, NULL, &publisher, &err), 0);
    assert_int_equal(flo_controller_begin(controller, &err), 0);
    for (int i = 0; i < DEVICES; i++) {
        char id[37], name[16];
        snprintf(name, sizeof(name), "d-%d", i);
        snprintf(id, sizeof(id), "%08x-1111-4111-8111-111111111111", (unsigned)i);
        struct flo_fleet_device device = {.id = id,
                                          .name = name,
                                          .labels = "{}",
                                          .profile = "{}",
                                          .groups = "[\"all\"]",
                                          .enrolled_at_ms = 1};
        assert_int_equal(flo_fleet_device_add(controller->store, &device, groups, 1, &err), 0);
    }
    assert_int_equal(flo_controller_commit(controller, &err), 0);

    flo_publisher_send_all(publisher, note_end, NULL);
    assert_int_equal(ended, 1); /* nobody is there: nothing waits */
    ended = 0;
    assert_int_equal(flo_controller_begin(controller, &err), 0);
    for (int i = 0; i < DEVICES; i++) {
        char id[37];
        bool is_news;
        snprintf(id, sizeof(id), "%08x-1111-4111-8111-111111111111", (unsigned)i);
        assert_int_equal(flo_fleet_device_online(controller->store, id, true, &is_news, &err), 0);
    }
    assert_int_equal(flo_controller_commit(controller, &err), 0);
    flo_publisher_send_all(publisher, note_end, NULL);
    /* The call does not publish them: it only knows whom. */
    assert_int_equal(ended, 0);
    int turns = 0;
    WAIT_TURNING(ended != 0, {
        event_base_loop(base, EVLOOP_ONCE);
        turns++;
    });
    assert_true(turns > 3);
    assert_int_equal(ended, 1);

    /* After the begin of a connection memory knows that nobody is there. */
    assert_int_equal(flo_controller_begin(controller, &err), 0);
    assert_int_equal(flo_fleet_devices_offline(controller->store, &err), 0);
    uint64_t statements = flo_fleet_statements(controller->store);
    for (int i = 0; i < DEVICES; i++) {
        char id[37];
        bool is_online = true;
        snprintf(id, sizeof(id), "%08x-1111-4111-8111-111111111111", (unsigned)i);
        assert_int_equal(flo_fleet_device_is_online(controller->store, id, &is_online, &err), 0);
        assert_false(is_online);
    }
    assert_int_equal(flo_fleet_statements(controller->store), statements);
    assert_int_equal(flo_controller_commit(controller, &err), 0);
    flo_publisher_close(publisher);
    flo_controller_close(controller);
    event_base_free(base);
}

#define ONE "11111111-1111-4111-8111-111111111111"
#define TWO "22222222-2222-4222-8222-222222222222"
#define BOOT "44444444-4444-4444-8444-444444444444"

struct heard {
    int commits;
    size_t desired, came, acks, changes, audits;
    uint64_t sequence; /* of the last acknowledgement */
    enum flo_object first;
};

static void on_committed(void *context, const struct flo_outgoing *outgoing)
{
    struct heard *heard = context;

    heard->commits++;
    heard->desired = outgoing->desired.count;
    heard->came = outgoing->came.count;
    heard->acks = outgoing->acks.count;
    heard->changes = outgoing->changes.count;
    heard->audits = outgoing->audit.count;
    if (outgoing->acks.count > 0) {
        heard->sequence = outgoing->acks.items[heard->acks - 1].sequence;
    }
    if (outgoing->changes.count > 0) {
        heard->first = outgoing->changes.items[0].object;
    }
}

static int set_up(void **state)
{
    struct flo_controller_options options = {.dir = ":memory:", .fleet = "demo"};
    struct flo_controller *controller;

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(flo_controller_open(&options, &controller, NULL), 0);
    *state = controller;
    return 0;
}

static int tear_down(void **state)
{
    flo_controller_close(*state);
    return 0;
}

static void subscribers_get_each_thing_once_after_the_commit(void **state)
{
    struct flo_controller *controller = *state;
    struct heard heard = {0};
    struct heard other = {0};

    flo_outgoing_subscribe(
        controller, (struct flo_subscriber){.context = &heard, .on_committed = on_committed});
    flo_outgoing_subscribe(
        controller, (struct flo_subscriber){.context = &other, .on_committed = on_committed});
    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    flo_outgoing_desired(controller, TWO);
    flo_outgoing_desired(controller, ONE);
    flo_outgoing_desired(controller, TWO);
    flo_outgoing_change(controller, FLO_OBJECT_ROLLOUT, "r-0001");
    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, ONE);
    flo_outgoing_change(controller, FLO_OBJECT_ROLLOUT, "r-0001");
    flo_outgoing_ack(controller, ONE, BOOT, 1);
    flo_outgoing_ack(controller, ONE, BOOT, 2);
    flo_outgoing_ack(controller, TWO, BOOT, 1);
    flo_outgoing_ack(controller, ONE, BOOT, 3);
    assert_int_equal(heard.commits, 0);
    assert_int_equal(flo_controller_audit(controller, "ops", "test", "x", "ok", "", NULL), 0);
    assert_int_equal(flo_controller_commit(controller, NULL), 0);

    assert_int_equal(heard.commits, 1);
    assert_int_equal(other.commits, 1);
    assert_int_equal(heard.desired, 2);
    assert_int_equal(heard.changes, 2);
    assert_int_equal(heard.first, FLO_OBJECT_DEVICE);
    /* 3 makes 1 and 2 pointless. */
    assert_int_equal(heard.acks, 2);
    assert_int_equal(heard.sequence, 1);
    assert_int_equal(heard.audits, 1);
}

static void who_came_gets_lists_and_its_desired(void **state)
{
    struct flo_controller *controller = *state;
    struct heard heard = {0};

    flo_outgoing_subscribe(
        controller, (struct flo_subscriber){.context = &heard, .on_committed = on_committed});
    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    flo_outgoing_came(controller, TWO);
    flo_outgoing_came(controller, ONE);
    flo_outgoing_came(controller, TWO);
    assert_int_equal(flo_controller_commit(controller, NULL), 0);
    assert_int_equal(heard.came, 2);
    assert_int_equal(heard.desired, 2);
}

static void a_transaction_that_is_cancelled_lets_nothing_out(void **state)
{
    struct flo_controller *controller = *state;
    struct heard heard = {0};

    flo_outgoing_subscribe(
        controller, (struct flo_subscriber){.context = &heard, .on_committed = on_committed});
    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    flo_outgoing_desired(controller, ONE);
    flo_outgoing_ack(controller, ONE, BOOT, 1);
    flo_controller_cancel(controller);
    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    assert_int_equal(flo_controller_commit(controller, NULL), 0);

    assert_int_equal(heard.commits, 1);
    assert_int_equal(heard.desired, 0);
    assert_int_equal(heard.acks, 0);
}

static void who_unsubscribed_hears_nothing_and_others_go_on(void **state)
{
    struct flo_controller *controller = *state;
    struct heard heard = {0};
    struct heard other = {0};

    flo_outgoing_subscribe(
        controller, (struct flo_subscriber){.context = &heard, .on_committed = on_committed});
    flo_outgoing_subscribe(
        controller, (struct flo_subscriber){.context = &other, .on_committed = on_committed});
    flo_outgoing_unsubscribe(controller, &heard);
    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    assert_int_equal(flo_controller_commit(controller, NULL), 0);
    assert_int_equal(heard.commits, 0);
    assert_int_equal(other.commits, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(desired_documents_leave_in_pieces_between_which_others_run),
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        TEST(subscribers_get_each_thing_once_after_the_commit),
        TEST(who_came_gets_lists_and_its_desired),
        TEST(a_transaction_that_is_cancelled_lets_nothing_out),
        TEST(who_unsubscribed_hears_nothing_and_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

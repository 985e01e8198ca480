/* Numbers of orders: per subject a device takes none that is older than what it
 * has.  An order that still holds then gets a newer number from
 * the controller. */
#include "server-stub/core/orders/renewal.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/store/calls/kept.h"
#include "tests/unit/server/world.h"

/* As if so many orders had been signed for others. */
static void numbers_go_by(struct world *world, uint64_t count)
{
    assert_int_equal(flo_fleet_skip(world->controller->store, "order", count, &world->err), 0);
}

static void answers(struct world *world, size_t device, const char *order, const char *outcome,
                    const char *error)
{
    char text[256];

    snprintf(text, sizeof(text),
             "{\"v\":1,\"order\":\"%s\",\"outcome\":\"%s\","
             "\"error\":{\"id\":\"%s\"}}",
             order, outcome, error);
    send(world, device, "ack", text);
}

static void hour(struct world *world)
{
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
}

static void as_restored(struct world *world)
{
    assert_int_equal(flo_orders_renew_each(world->controller, &world->err), 0);
}

static enum flo_execution state_of(const struct flo_rollout_entry *entry, size_t device)
{
    size_t index = flo_rollout_find(&entry->core, ids[device]);

    return (enum flo_execution)entry->core.members[index].state;
}

static enum flo_order_outcome outcome_of(struct world *world, const char *order, size_t device)
{
    enum flo_order_outcome out;
    bool known;

    assert_int_equal(flo_fleet_outcome_get(world->controller->store, order, ids[device], &known,
                                           &out, &world->err),
                     0);
    assert_true(known);
    return out;
}

static void what_is_held_is_signed_again_behind_the_numbers_of_a_backup(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    numbers_go_by(world, 100000);
    hour(world); /* nothing is wrong with it */
    assert_string_equal(order_of(world, canary), "o-0001");
    as_restored(world);
    assert_string_equal(order_of(world, canary), "o-100002");

    hour(world);
    assert_string_equal(order_of(world, canary), "o-100002");
}

/* Everybody runs 2.2.0 by desired; the rollback of 2.1.0 (o-0003) is in the
 * list alone. */
static void recall_the_release_before(struct world *world, char *id)
{
    bring_to_two_releases(world);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", id, &world->err), 0);
    assert_string_equal(id, "o-0003");
}

static void an_answer_to_what_was_signed_again_counts_for_what_was_asked(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    recall_the_release_before(world, id);
    numbers_go_by(world, 100000);
    as_restored(world); /* the list: o-100004 */
    answers(world, 0, "o-100004", "refused", "cmd.target");
    answers(world, 1, "o-100004", "running", "");

    assert_int_equal(outcome_of(world, id, 0), FLO_OUTCOME_REFUSED);
    assert_int_equal(outcome_of(world, id, 1), FLO_OUTCOME_PENDING);
}

static void a_refusal_for_a_wrong_clock_ends_nothing_that_was_asked(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    recall_the_release_before(world, id);
    numbers_go_by(world, 100000);
    as_restored(world);
    answers(world, 0, "o-100004", "refused", "cmd.future");

    assert_int_equal(outcome_of(world, id, 0), FLO_OUTCOME_PENDING);
}

struct listed {
    size_t count;
    uint64_t seq[4];
    char release[4][FLO_DIGEST_TEXT];
};

static int take_rollback(void *context, const struct flo_fleet_order *order)
{
    struct listed *listed = context;

    if (strcmp(order->op, "rollback") == 0) {
        assert_in_range(listed->count, 0, 3);
        listed->seq[listed->count] = order->seq;
        snprintf(listed->release[listed->count++], FLO_DIGEST_TEXT, "%s", order->release);
    }
    return 0;
}

/* Which are the newest four is by when people asked for them. */
static void rollbacks_that_are_signed_again_keep_their_order(void **state)
{
    struct world *world = *state;
    struct listed before = {0};
    struct listed after = {0};
    char id[FLO_NAME_MAX + 1];

    recall_the_release_before(world, id);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.2.0", "all", "ops", "bad", id, &world->err), 0);
    assert_int_equal(
        flo_fleet_order_standing(world->controller->store, take_rollback, &before, &world->err), 0);
    as_restored(world);
    assert_int_equal(
        flo_fleet_order_standing(world->controller->store, take_rollback, &after, &world->err), 0);

    assert_int_equal(before.count, 2);
    assert_int_equal(after.count, 2);
    assert_true(after.seq[0] > before.seq[1]);
    assert_string_equal(after.release[0], before.release[0]);
    assert_string_equal(after.release[1], before.release[1]);
}

/* Everybody is told 2.2.0, the older release is taken back: who heard of that
 * takes no older deploy. */
static void a_deploy_that_a_rollback_overtook_gets_a_newer_number(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    recall_the_release_before(world, id); /* o-0003 */
    assert_string_equal(order_of(world, 0), "o-0002");
    assert_true(flo_orders_are_overtaken(world->controller->orders));
    hour(world);

    assert_string_equal(op_of(world, ids[0]), "deploy");
    assert_string_equal(order_of(world, 0), "o-0004");
    hour(world);
    assert_string_equal(order_of(world, 0), "o-0004");
}

/* A rollback says nothing about a model's place on a device. */
static void a_removal_that_a_rollback_overtook_gets_a_newer_number(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    const struct flo_remove what = {.model = "tiny", .group = "all", .by = "ops", .reason = ""};

    bring_to_two_releases(world);
    assert_int_equal(flo_orders_remove(world->controller, &what, id, &world->err), 0);
    assert_string_equal(id, "o-0003");
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", id, &world->err), 0);
    assert_string_equal(order_of(world, 0), "o-0003");
    hour(world);

    assert_string_equal(op_of(world, ids[0]), "remove");
    assert_string_equal(order_of(world, 0), "o-0005");
    assert_string_equal(order_of(world, 1), "o-0006");
    hour(world);
    assert_string_equal(order_of(world, 0), "o-0005");
}

static int take_order(void *context, const struct flo_fleet_order *order)
{
    struct flo_err err = {0};

    return flo_order_parse(order->body, strlen(order->body), "demo", context, &err);
}

/* The device's desired document, as the device reads it. */
static struct flo_order held_by(struct world *world, const char *device)
{
    struct flo_order order;
    char id[FLO_NAME_MAX + 1];

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, device, "tiny", id, &world->err), 0);
    assert_int_equal(
        flo_fleet_order_get(world->controller->store, id, take_order, &order, &world->err), 0);
    return order;
}

static bool is_in_scope(const struct flo_order *order, const char *device)
{
    return flo_scope_holds(&order->scope, device, NULL, 0);
}

/* Its number is the newest everywhere: whoever carries it to another device
 * must find that it is not meant there. */
static void what_is_signed_again_for_a_device_is_for_no_other(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    recall_the_release_before(world, id);
    struct flo_order before = held_by(world, ids[0]);
    assert_true(is_in_scope(&before, ids[1]));
    hour(world);

    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        struct flo_order order = held_by(world, ids[i]);
        char release[FLO_DIGEST_TEXT];
        flo_digest_text(&order.release, release);
        assert_int_equal(order.op, FLO_ORDER_DEPLOY);
        assert_string_equal(release, NEXT_DIGEST);
        assert_string_equal(order.rollout, "r-0002");
        assert_int_equal(order.seq, 4 + i);
        for (size_t j = 0; j < FLO_COUNT(ids); j++) {
            assert_int_equal(is_in_scope(&order, ids[j]), i == j);
        }
    }
}

static void one_that_came_too_late_is_signed_again_for_that_device(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    assert_int_equal(flo_orders_send_again(world->controller, ids[canary], "o-0001", &world->err),
                     0);
    struct flo_order order = held_by(world, ids[canary]);
    assert_int_equal(order.seq, 2);

    assert_string_equal(order.scope.device, ids[canary]);
}

static void a_newcomer_gets_no_order_of_another_device(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    recall_the_release_before(world, id);
    hour(world); /* each has one of its own */
    order_of_newcomer(world);
    struct flo_order order = held_by(world, NEWCOMER);

    assert_int_equal(order.op, FLO_ORDER_DEPLOY);
    assert_true(order.seq > 3);
    assert_true(is_in_scope(&order, NEWCOMER));
}

static void what_many_hold_is_signed_once_for_all_of_them(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    char device[37];

    recall_the_release_before(world, id); /* o-0003 */
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (unsigned i = 0; i < FLO_RENEWAL_OWN_MAX; i++) {
        char name[16];
        snprintf(device, sizeof(device), "%08x-7777-4777-8777-777777777777", i);
        snprintf(name, sizeof(name), "many-%u", i);
        assert_int_equal(enrol(world, device, name), 0);
        assert_int_equal(
            flo_fleet_desired_set(world->controller->store, device, "tiny", "o-0002", &world->err),
            0);
    }
    assert_int_equal(
        flo_fleet_desired_set(world->controller->store, ids[0], "tiny", "o-0002", &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    uint64_t before = flo_orders_signed(world->controller->orders);
    hour(world);
    struct flo_order order = held_by(world, device);

    assert_true(is_in_scope(&order, device));
    assert_true(is_in_scope(&order, ids[0]));
    assert_int_equal(flo_orders_signed(world->controller->orders), before + 1);
}

static void a_deploy_that_is_superseded_ends_so(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    send(world, canary, "ack",
         "{\"v\":1,\"order\":\"o-0001\",\"outcome\":\"superseded\","
         "\"by\":{\"number\":9}}");

    assert_int_equal(state_of(entry, canary), FLO_EXECUTION_SUPERSEDED);
}

/* It knows a number that was never given here. */
static void report_top(struct world *world, size_t device, uint64_t top)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"top\":%llu}", ids[device],
             (unsigned long long)top);
    send(world, device, "reported", text);
}

static void a_restored_controller_rises_above_what_devices_know(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    uint64_t newest;

    report_top(world, canary, 500000);
    assert_string_equal(order_of(world, canary), "o-0001"); /* told only */
    assert_true(world->ingest.top_is_told);

    world->controller->options.is_restored = true;
    report_top(world, canary, 500000);
    assert_string_equal(order_of(world, canary), "o-500001");
    report_top(world, canary, 1500002 + 1000000);
    assert_int_equal(flo_fleet_newest(world->controller->store, "order", &newest, &world->err), 0);
    assert_int_equal(newest, 500001); /* beyond belief */
}

/* The others wait for their turn, which comes every 1000 s. */
static struct flo_rollout_entry *next_at_a_pace(struct world *world)
{
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":"
                                                   "[{\"share_pct\":100}]}");

    assert_non_null(entry);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        event(world, i, "succeeded");
    }
    add_next_release(world);
    entry = start(world, "{\"release\":\"tiny@2.2.0\",\"phases\":"
                         "[{\"share_pct\":100}],\"starts_per_s\":0.001}");
    assert_non_null(entry);
    return entry;
}

static uint64_t number_held(struct world *world, size_t device)
{
    return strtoull(order_of(world, device) + strlen("o-"), NULL, 10);
}

/* A device takes no order that is older than the one that it has. */
static void who_waited_for_its_turn_is_told_above_what_was_signed_meanwhile(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = next_at_a_pace(world);
    size_t last = FLO_COUNT(ids);

    as_restored(world);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        last = state_of(entry, i) == FLO_EXECUTION_QUEUED ? i : last;
    }
    assert_int_not_equal(last, FLO_COUNT(ids));
    uint64_t before = number_held(world, last);

    for (int i = 0; i < 3; i++) {
        world->controller->clock_offset_ms += 1000000;
        does(world, entry, FLO_ROLLOUT_EVENT_TICK);
    }
    assert_int_equal(state_of(entry, last), FLO_EXECUTION_NOTIFIED);
    assert_true(number_held(world, last) > before);
}

/* Its answer is awaited for a minute: it is sent to this device by name. */
static void a_rollback_that_is_asked_for_is_older_than_the_deploy(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    const struct flo_recall what = {
        .release = "tiny@2.2.0", .group = "all", .by = "ops", .reason = "drill"};

    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":"
                                 "[{\"share_pct\":100}]}"));
    add_next_release(world);
    assert_int_equal(flo_orders_recall(world->controller, &what, id, &world->err), 0);
    assert_string_equal(id, "o-0002");
    assert_int_equal(
        flo_fleet_update(world->controller->store, FLO_TABLE_ORDER,
                         CHANGES(add_number(FLO_FIELD_ORDER_ISSUED_AT, (uint64_t)-60000)), NULL, 0,
                         NULL, &world->err),
        0);
    report_top(world, 0, 1);

    assert_string_equal(op_of(world, ids[0]), "deploy");
    assert_string_equal(order_of(world, 0), "o-0003");
    assert_string_equal(order_of(world, 1), "o-0001");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(what_is_held_is_signed_again_behind_the_numbers_of_a_backup),
        WITH_WORLD(an_answer_to_what_was_signed_again_counts_for_what_was_asked),
        WITH_WORLD(a_refusal_for_a_wrong_clock_ends_nothing_that_was_asked),
        WITH_WORLD(rollbacks_that_are_signed_again_keep_their_order),
        WITH_WORLD(a_deploy_that_a_rollback_overtook_gets_a_newer_number),
        WITH_WORLD(a_removal_that_a_rollback_overtook_gets_a_newer_number),
        WITH_WORLD(what_is_signed_again_for_a_device_is_for_no_other),
        WITH_WORLD(one_that_came_too_late_is_signed_again_for_that_device),
        WITH_WORLD(a_newcomer_gets_no_order_of_another_device),
        WITH_WORLD(what_many_hold_is_signed_once_for_all_of_them),
        WITH_WORLD(who_waited_for_its_turn_is_told_above_what_was_signed_meanwhile),
        WITH_WORLD(a_rollback_that_is_asked_for_is_older_than_the_deploy),
        WITH_WORLD(a_deploy_that_is_superseded_ends_so),
        WITH_WORLD(a_restored_controller_rises_above_what_devices_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

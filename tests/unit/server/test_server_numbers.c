/* Numbers of orders: a device takes none that is far behind the highest it
 * took, whatever the order says.  That is the controller's to mend, and
 * nobody's failure. */
#include "tests/unit/server/world.h"

/* As if so many orders had been signed for others. */
static void numbers_go_by(struct world *world, uint64_t count)
{
    assert_int_equal(
        flo_records_skip(world->controller->store, "order", count, &world->err),
        0);
}

static void answers(struct world *world, size_t device, const char *order,
                    const char *outcome, const char *error)
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

static enum flo_execution state_of(const struct flo_rollout_entry *entry,
                                   size_t device)
{
    size_t index = flo_rollout_find(&entry->core, ids[device]);

    return (enum flo_execution)entry->core.members[index].state;
}

static enum flo_order_outcome outcome_of(struct world *world, const char *order,
                                         size_t device)
{
    enum flo_order_outcome out;
    bool known;

    assert_int_equal(flo_records_outcome_get(world->controller->store, order,
                                             ids[device], &known, &out,
                                             &world->err),
                     0);
    assert_true(known);
    return out;
}

static void
what_is_held_is_signed_anew_behind_the_numbers_of_a_backup(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    numbers_go_by(world, 100000);
    hour(world);
    assert_string_equal(order_of(world, canary), "o-100002");

    hour(world);
    assert_string_equal(order_of(world, canary), "o-100002");
}

static void a_freeze_or_unfreeze_left_behind_is_signed_anew(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    assert_int_equal(flo_orders_fleet(world->controller, FLO_ORDER_UNFREEZE,
                                      "ops", 0, id, &world->err),
                     0);
    numbers_go_by(world, FLO_REPLAY_WINDOW);
    hour(world);
    assert_int_equal(world->controller->counters.orders_signed, 2);
    hour(world);
    assert_int_equal(world->controller->counters.orders_signed, 2);
}

static void
a_rollout_resumed_behind_many_numbers_brings_one_that_is_taken(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    does(world, entry, FLO_ROLLOUT_EVENT_PAUSE); /* o-0002 */
    numbers_go_by(world, 100000);
    does(world, entry, FLO_ROLLOUT_EVENT_RESUME); /* o-100003 */

    assert_string_equal(op_of(world, ids[canary]), "deploy");
    assert_string_equal(order_of(world, canary), "o-100004");
}

static void
a_deploy_refused_for_its_number_alone_is_sent_anew_not_rejected(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    numbers_go_by(world, FLO_REPLAY_WINDOW_OLD);
    for (int i = 0; i < 3; i++) { /* a broker may bring it again and again */
        answers(world, canary, "o-0001", "refused", "cmd.nonce_reused");
    }

    assert_int_equal(state_of(entry, canary), FLO_EXECUTION_NOTIFIED);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(order_of(world, canary), "o-0258");
    assert_int_equal(world->controller->counters.orders_signed, 2);
}

/* The controller's data are older than the device: no number helps. */
static void a_new_number_that_was_used_before_is_not_signed_again(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    numbers_go_by(world, FLO_REPLAY_WINDOW_OLD);
    answers(world, canary, "o-0001", "refused", "cmd.nonce_reused");
    answers(world, canary, "o-0258", "refused", "cmd.nonce_reused");

    assert_int_equal(state_of(entry, canary), FLO_EXECUTION_REJECTED);
    assert_string_equal(op_of(world, ids[canary]), "rollback");
}

/* Everybody runs 2.2.0 by desired; the rollback of 2.1.0 (o-0003) is in the
 * list alone. */
static void take_back_the_release_before(struct world *world, char *id)
{
    bring_to_two_releases(world);
    assert_int_equal(takes_back(world->controller, "tiny@2.1.0", "all", "ops",
                                "bad", id, &world->err),
                     0);
    assert_string_equal(id, "o-0003");
}

static void
a_rollback_in_the_list_refused_for_its_number_alone_is_awaited(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    char op[16];

    take_back_the_release_before(world, id);
    numbers_go_by(world, FLO_REPLAY_WINDOW_OLD);
    answers(world, 0, id, "refused", "cmd.nonce_reused");

    assert_int_equal(outcome_of(world, id, 0), FLO_OUTCOME_PENDING);
    assert_int_equal(world->controller->counters.orders_signed, 3);
    numbers_go_by(world, FLO_REPLAY_WINDOW / 2);
    hour(world); /* desired: o-1284, the list: o-1285 */
    assert_int_equal(flo_records_order_get(world->controller->store, "o-1285",
                                           take_op, op, &world->err),
                     0);
    assert_string_equal(op, "rollback");
}

static void
an_answer_to_what_was_signed_anew_counts_for_what_was_asked(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    take_back_the_release_before(world, id);
    numbers_go_by(world, 100000);
    hour(world); /* desired: o-100004, the list: o-100005 */
    answers(world, 0, "o-100005", "refused", "cmd.target");
    answers(world, 1, "o-100005", "running", "");

    assert_int_equal(outcome_of(world, id, 0), FLO_OUTCOME_REFUSED);
    assert_int_equal(outcome_of(world, id, 1), FLO_OUTCOME_PENDING);
}

static void
a_refusal_for_a_wrong_clock_ends_nothing_that_was_asked(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    take_back_the_release_before(world, id);
    numbers_go_by(world, 100000);
    hour(world);
    answers(world, 0, "o-100005", "refused", "cmd.future");

    assert_int_equal(outcome_of(world, id, 0), FLO_OUTCOME_PENDING);
}

struct listed {
    size_t count;
    uint64_t seq[4];
    char release[4][FLO_DIGEST_TEXT];
};

static int take_rollback(void *context, const struct flo_records_order *order)
{
    struct listed *listed = context;

    if (strcmp(order->op, "rollback") == 0) {
        assert_in_range(listed->count, 0, 3);
        listed->seq[listed->count] = order->seq;
        snprintf(listed->release[listed->count++], FLO_DIGEST_TEXT, "%s",
                 order->release);
    }
    return 0;
}

/* Which are the newest four is by when people asked for them. */
static void rollbacks_that_are_signed_anew_keep_their_order(void **state)
{
    struct world *world = *state;
    struct listed before = {0};
    struct listed after = {0};
    char id[FLO_NAME_MAX + 1];

    take_back_the_release_before(world, id);
    numbers_go_by(world, FLO_REPLAY_WINDOW / 2);
    assert_int_equal(takes_back(world->controller, "tiny@2.2.0", "all", "ops",
                                "bad", id, &world->err),
                     0);
    assert_int_equal(flo_records_order_standing(world->controller->store,
                                                take_rollback, &before,
                                                &world->err),
                     0);
    numbers_go_by(world, 100); /* the first is behind now, the second not */
    hour(world);
    assert_int_equal(flo_records_order_standing(world->controller->store,
                                                take_rollback, &after,
                                                &world->err),
                     0);

    assert_int_equal(before.count, 2);
    assert_int_equal(after.count, 2);
    assert_true(after.seq[0] > before.seq[1]);
    assert_string_equal(after.release[0], before.release[0]);
    assert_string_equal(after.release[1], before.release[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(what_is_held_is_signed_anew_behind_the_numbers_of_a_backup),
        WITH_WORLD(a_freeze_or_unfreeze_left_behind_is_signed_anew),
        WITH_WORLD(
            a_rollout_resumed_behind_many_numbers_brings_one_that_is_taken),
        WITH_WORLD(
            a_deploy_refused_for_its_number_alone_is_sent_anew_not_rejected),
        WITH_WORLD(a_new_number_that_was_used_before_is_not_signed_again),
        WITH_WORLD(
            a_rollback_in_the_list_refused_for_its_number_alone_is_awaited),
        WITH_WORLD(an_answer_to_what_was_signed_anew_counts_for_what_was_asked),
        WITH_WORLD(a_refusal_for_a_wrong_clock_ends_nothing_that_was_asked),
        WITH_WORLD(rollbacks_that_are_signed_anew_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

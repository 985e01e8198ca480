/* Several models on one device: each has orders, rollouts and a way back of its
 * own. */
#include "unit/server/world.h"

#define HELP_DIGEST                                                            \
    "sha256:"                                                                  \
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

#define ALL_AT_ONCE(release)                                                   \
    "{\"release\":\"" release "\",\"phases\":[{\"share_pct\":100}]}"

static const char *assigned(struct world *world, size_t device,
                            const char *model)
{
    static char order[FLO_NAME_MAX + 1];

    assert_int_equal(flo_fleet_desired_get(world->controller->store,
                                           ids[device], model, order,
                                           &world->err),
                     0);
    return order;
}

/* tiny@2.1.0 (r-0001, o-0001), then help@1.0.0 (r-0002, o-0002) on all. */
static void bring_two_models(struct world *world)
{
    add_release_of(world, "help", 1, "1.0.0", HELP_DIGEST);
    assert_non_null(start(world, ALL_AT_ONCE("tiny@2.1.0")));
    assert_non_null(start(world, ALL_AT_ONCE("help@1.0.0")));
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        event_of(world, "r-0001", DIGEST, i, "succeeded");
        event_of(world, "r-0002", HELP_DIGEST, i, "succeeded");
    }
}

static void a_second_model_leaves_the_first_ones_order_alone(void **state)
{
    struct world *world = *state;

    bring_two_models(world);

    assert_string_equal(assigned(world, 0, "tiny"), "o-0001");
    assert_string_equal(assigned(world, 0, "help"), "o-0002");
}

static void the_newest_wins_for_each_model_by_itself(void **state)
{
    struct world *world = *state;

    bring_two_models(world);
    add_next_release(world);
    struct flo_rollout_entry *next = start(world, ALL_AT_ONCE("tiny@2.2.0"));

    assert_non_null(next);
    assert_string_equal(assigned(world, 0, "tiny"), "o-0003");
    assert_string_equal(assigned(world, 0, "help"), "o-0002");
}

static void a_pause_of_one_model_leaves_the_other_alone(void **state)
{
    struct world *world = *state;

    add_release_of(world, "help", 1, "1.0.0", HELP_DIGEST);
    assert_non_null(start(world, ALL_AT_ONCE("tiny@2.1.0")));
    struct flo_rollout_entry *help = start(world, ALL_AT_ONCE("help@1.0.0"));
    assert_non_null(help);
    does(world, help, FLO_ROLLOUT_EVENT_ABORT);

    assert_string_equal(assigned(world, 0, "tiny"), "o-0001");
    assert_string_not_equal(assigned(world, 0, "help"), "o-0002");
}

static void an_emergency_rollback_leaves_other_models_alone(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_two_models(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(takes_back(world->controller, "tiny@2.1.0", "all", "ops",
                                "bad", id, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    uint64_t signed_before = world->controller->orders.signed_count;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_overtaken(world->controller, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    /* The deploy of the other model is not overtaken: it is not signed again.
     */
    assert_int_equal(world->controller->orders.signed_count, signed_before);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(assigned(world, i, "tiny"), id);
        assert_string_equal(assigned(world, i, "help"), "o-0002");
    }
}

static void a_newcomer_gets_every_model_of_its_groups(void **state)
{
    struct world *world = *state;
    char order[FLO_NAME_MAX + 1];

    bring_two_models(world);
    (void)order_of_newcomer(world);

    assert_int_equal(flo_fleet_desired_get(world->controller->store, NEWCOMER,
                                           "help", order, &world->err),
                     0);
    assert_string_not_equal(order, "");
    assert_int_equal(flo_fleet_desired_get(world->controller->store, NEWCOMER,
                                           "tiny", order, &world->err),
                     0);
    assert_string_not_equal(order, "");
}

/* ---- reports ---- */

static void a_report_is_asked_of_one_device_by_name(void **state)
{
    struct world *world = *state;
    struct flo_order order = {.op = FLO_ORDER_LOGS, .lines = 10};
    char id[FLO_NAME_MAX + 1];

    snprintf(order.scope.device, sizeof(order.scope.device), "%s", ids[1]);
    snprintf(order.by, sizeof(order.by), "ops");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_orders_report(world->controller, &order, id, &world->err), 0);
    assert_int_equal(world->controller->outgoing.asks.count, 1);
    assert_string_equal(world->controller->outgoing.asks.items[0].device,
                        ids[1]);
    assert_string_equal(world->controller->outgoing.asks.items[0].order, id);
    /* Neither desired documents nor lists carry it. */
    assert_int_equal(world->controller->outgoing.desired.count, 0);
    assert_int_equal(world->controller->outgoing.groups.count, 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_string_equal(assigned(world, 1, "tiny"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_second_model_leaves_the_first_ones_order_alone),
        WITH_WORLD(the_newest_wins_for_each_model_by_itself),
        WITH_WORLD(a_pause_of_one_model_leaves_the_other_alone),
        WITH_WORLD(an_emergency_rollback_leaves_other_models_alone),
        WITH_WORLD(a_newcomer_gets_every_model_of_its_groups),
        WITH_WORLD(a_report_is_asked_of_one_device_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

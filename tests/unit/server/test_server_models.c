/* Several models on one device: each has orders, rollouts and a way back of its
 * own. */
#include <flotilla/errors/group.h>
#include <flotilla/errors/order.h>
#include <flotilla/errors/target.h>

#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "unit/server/world.h"

#define HELP_DIGEST                                                                                \
    "sha256:"                                                                                      \
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

#define ALL_AT_ONCE(release) "{\"release\":\"" release "\",\"phases\":[{\"share_pct\":100}]}"

#define HOUR_MS 3600000
#define SECOND_NEWCOMER "dddddddd-dddd-4ddd-8ddd-dddddddddddd"

static const char *assigned_to(struct world *world, const char *device, const char *model)
{
    static char order[FLO_NAME_MAX + 1];

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, device, model, order, &world->err), 0);
    return order;
}

static const char *assigned(struct world *world, size_t device, const char *model)
{
    return assigned_to(world, ids[device], model);
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
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    uint64_t signed_before = flo_orders_signed(world->controller->orders);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_overtaken(world->controller, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    /* The deploy of the other model is not overtaken: it is not signed again.
     */
    assert_int_equal(flo_orders_signed(world->controller->orders), signed_before);
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

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, NEWCOMER, "help", order, &world->err), 0);
    assert_string_not_equal(order, "");
    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, NEWCOMER, "tiny", order, &world->err), 0);
    assert_string_not_equal(order, "");
}

static void a_ninth_model_is_refused_at_the_start(void **state)
{
    struct world *world = *state;
    char model[16];

    for (int i = 0; i < FLO_ASSIGNMENTS_MAX; i++) {
        snprintf(model, sizeof(model), "m-%d", i);
        assert_int_equal(
            flo_fleet_desired_set(world->controller->store, ids[1], model, "o-0900", &world->err),
            0);
    }
    assert_null(start(world, ALL_AT_ONCE("tiny@2.1.0")));
    assert_int_equal(world->err.code, FLO_E_TARGET_LIMIT);
    assert_non_null(strstr(world->err.what, ids[1]));
    /* One of the eight may come again. */
    assert_int_equal(
        flo_fleet_desired_set(world->controller->store, ids[1], "m-0", "", &world->err), 0);
    assert_non_null(start(world, ALL_AT_ONCE("tiny@2.1.0")));
}

static void a_device_distrusts_the_order_of_one_model(void **state)
{
    struct world *world = *state;

    add_release_of(world, "help", 1, "1.0.0", HELP_DIGEST);
    struct flo_rollout_entry *tiny = start(world, ALL_AT_ONCE("tiny@2.1.0"));
    struct flo_rollout_entry *help = start(world, ALL_AT_ONCE("help@1.0.0"));
    send(world, 0, "event",
         "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\",\"seq\":1,"
         "\"type\":\"security\",\"model\":\"help\",\"error\":{\"id\":"
         "\"sig.unknown_key\",\"what\":\"no trusted key\"}}");

    size_t at = flo_rollout_find(&help->core, ids[0]);
    assert_int_equal(help->core.members[at].state, FLO_EXECUTION_REJECTED);
    at = flo_rollout_find(&tiny->core, ids[0]);
    assert_int_equal(tiny->core.members[at].state, FLO_EXECUTION_NOTIFIED);
}

/* ---- removal ---- */

static int removes(struct world *world, const char *model, const char *group, size_t device,
                   char *id)
{
    struct flo_remove what = {.model = model,
                              .group = group,
                              .device = group == NULL ? ids[device] : NULL,
                              .by = "ops",
                              .reason = ""};

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_orders_remove(world->controller, &what, id, &world->err);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
        return rv;
    }
    return flo_controller_commit(world->controller, &world->err);
}

static void answers(struct world *world, size_t device, const char *order, const char *outcome)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"%s\"}", order, outcome);
    send(world, device, "ack", text);
}

static void reports(struct world *world, size_t device, uint64_t rev, const char *models)
{
    char text[512];

    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"rev\":%llu,\"models\":[%s]}",
             ids[device], (unsigned long long)rev, models);
    send(world, device, "reported", text);
}

static const char *order_state(struct world *world, const char *id)
{
    struct flo_order_progress progress;

    assert_int_equal(
        flo_fleet_outcome_progress(world->controller->store, id, &progress, &world->err), 0);
    return flo_order_progress_word(&progress);
}

static void a_removal_stands_until_the_device_says_that_it_is_gone(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_two_models(world);
    assert_int_equal(removes(world, "help", "all", 0, id), 0);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(assigned(world, i, "help"), id);
        assert_string_equal(assigned(world, i, "tiny"), "o-0001");
    }
    answers(world, 0, id, "done");
    assert_string_equal(assigned(world, 0, "help"), "");
    answers(world, 1, id, "refused");
    assert_string_equal(assigned(world, 1, "help"), id);
    answers(world, 2, id, "ignored");
    assert_string_equal(assigned(world, 2, "help"), "");
    assert_string_equal(order_state(world, id), "partly");
}

static void a_lost_answer_is_seen_in_the_report(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_two_models(world);
    assert_int_equal(removes(world, "help", NULL, 0, id), 0);
    is_for(world, id, ids[0]);
    reports(world, 0, 99, "{\"model\":\"help\",\"state\":\"ready\"}");
    assert_string_equal(assigned(world, 0, "help"), id);
    reports(world, 0, 99,
            "{\"model\":\"help\",\"state\":\"removed\"},"
            "{\"model\":\"tiny\",\"state\":\"ready\"}");
    assert_string_equal(assigned(world, 0, "help"), "");
    assert_string_equal(order_state(world, id), "done");
    assert_string_equal(assigned(world, 1, "help"), "o-0002");
}

static void a_report_from_before_the_removal_says_nothing(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_two_models(world);
    assert_int_equal(removes(world, "help", NULL, 0, id), 0);
    reports(world, 0, 1, "{\"model\":\"tiny\",\"state\":\"ready\"}");

    assert_string_equal(assigned(world, 0, "help"), id);
    assert_string_equal(order_state(world, id), "running");
}

static void a_model_that_nobody_has_is_no_order(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_two_models(world);
    assert_int_equal(removes(world, "hepl", "all", 0, id), FLO_E_ORDER_NOBODY);
    assert_int_equal(removes(world, "help", "lab", 0, id), FLO_E_GROUP_ABSENT);
    assert_string_equal(assigned(world, 0, "help"), "o-0002");
}

static void a_newcomer_gets_no_model_that_was_taken_away(void **state)
{
    struct world *world = *state;
    char order[FLO_NAME_MAX + 1];
    char id[FLO_NAME_MAX + 1];

    bring_two_models(world);
    assert_int_equal(removes(world, "help", "all", 0, id), 0);
    assert_string_not_equal(order_of_newcomer(world), "");
    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, NEWCOMER, "help", order, &world->err), 0);
    assert_string_equal(order, "");
}

/* Once the wall clock was set back, once forward, since the controller began.
 * The model is taken away, and comes again. */
static void a_newcomer_gets_what_came_last_whatever_the_clocks_say(void **state)
{
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    uint64_t right_ms = controller->clock_offset_ms;
    char id[FLO_NAME_MAX + 1];

    controller->clock_offset_ms = right_ms + HOUR_MS;
    bring_two_models(world);
    assert_int_equal(removes(world, "help", "all", 0, id), 0);
    assert_string_not_equal(order_of_newcomer(world), "");
    assert_string_equal(assigned_to(world, NEWCOMER, "help"), "");

    controller->clock_offset_ms = right_ms - HOUR_MS;
    assert_non_null(start(world, ALL_AT_ONCE("help@1.0.0")));
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        event_of(world, "r-0003", HELP_DIGEST, i, "succeeded");
    }
    flo_rollouts_forget(controller); /* as after a restart */
    assert_int_equal(flo_rollouts_load(controller, &world->err), 0);
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(enrol(world, SECOND_NEWCOMER, "gw-8"), 0);
    assert_int_equal(flo_controller_commit(controller, &world->err), 0);
    assert_string_not_equal(assigned_to(world, SECOND_NEWCOMER, "help"), "");
}

static void a_removal_ends_rollouts_of_that_model_alone(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    add_release_of(world, "help", 1, "1.0.0", HELP_DIGEST);
    struct flo_rollout_entry *tiny = start(world, ALL_AT_ONCE("tiny@2.1.0"));
    struct flo_rollout_entry *help = start(world, ALL_AT_ONCE("help@1.0.0"));
    assert_int_equal(removes(world, "help", "all", 0, id), 0);

    assert_int_equal(tiny->core.state, FLO_ROLLOUT_RUNNING);
    assert_int_not_equal(help->core.state, FLO_ROLLOUT_RUNNING);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(assigned(world, i, "help"), id);
    }
}

static void a_later_rollout_brings_a_removed_model_again(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_two_models(world);
    assert_int_equal(removes(world, "help", "all", 0, id), 0);
    answers(world, 0, id, "done");
    struct flo_rollout_entry *again = start(world, ALL_AT_ONCE("help@1.0.0"));

    assert_non_null(again);
    assert_string_not_equal(assigned(world, 0, "help"), "");
    assert_string_not_equal(assigned(world, 1, "help"), id);
    /* The late answer to the removal changes nothing. */
    answers(world, 1, id, "superseded");
    assert_string_not_equal(assigned(world, 1, "help"), "");
}

static void the_plan_of_a_removal_counts_and_changes_nothing(void **state)
{
    struct world *world = *state;
    struct flo_remove what = {.model = "help", .group = "all", .by = "ops", .reason = ""};
    struct flo_orders_plan *begun = NULL;

    bring_two_models(world);
    reports(world, 0, 1,
            "{\"model\":\"help\",\"state\":\"ready\",\"serving\":"
            "{\"version\":\"1.0.0\"}}");
    assert_int_equal(flo_orders_plan_removal(world->controller, &what, &begun, &world->err), 0);
    json_t *plan = end_plan(world, begun);
    assert_int_equal(json_integer_value(json_object_get(plan, "devices")), 1);
    assert_int_equal(json_integer_value(json_object_get(plan, "assigned")), 2);
    assert_int_equal(json_array_size(json_object_get(plan, "targets")), 2);
    json_decref(plan);
    assert_string_equal(assigned(world, 0, "help"), "o-0002");
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
    assert_int_equal(flo_orders_report(world->controller, &order, id, &world->err), 0);
    assert_int_equal(world->controller->outgoing->asks.count, 1);
    assert_string_equal(world->controller->outgoing->asks.items[0].device, ids[1]);
    assert_string_equal(world->controller->outgoing->asks.items[0].order, id);
    /* Neither desired documents nor lists carry it. */
    assert_int_equal(world->controller->outgoing->desired.count, 0);
    assert_int_equal(world->controller->outgoing->groups.count, 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_string_equal(assigned(world, 1, "tiny"), "");
    is_for(world, id, ids[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_second_model_leaves_the_first_ones_order_alone),
        WITH_WORLD(the_newest_wins_for_each_model_by_itself),
        WITH_WORLD(a_pause_of_one_model_leaves_the_other_alone),
        WITH_WORLD(an_emergency_rollback_leaves_other_models_alone),
        WITH_WORLD(a_newcomer_gets_every_model_of_its_groups),
        WITH_WORLD(a_ninth_model_is_refused_at_the_start),
        WITH_WORLD(a_device_distrusts_the_order_of_one_model),
        WITH_WORLD(a_removal_stands_until_the_device_says_that_it_is_gone),
        WITH_WORLD(a_lost_answer_is_seen_in_the_report),
        WITH_WORLD(a_report_from_before_the_removal_says_nothing),
        WITH_WORLD(a_model_that_nobody_has_is_no_order),
        WITH_WORLD(a_newcomer_gets_no_model_that_was_taken_away),
        WITH_WORLD(a_newcomer_gets_what_came_last_whatever_the_clocks_say),
        WITH_WORLD(a_removal_ends_rollouts_of_that_model_alone),
        WITH_WORLD(a_later_rollout_brings_a_removed_model_again),
        WITH_WORLD(the_plan_of_a_removal_counts_and_changes_nothing),
        WITH_WORLD(a_report_is_asked_of_one_device_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

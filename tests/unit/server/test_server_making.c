/* Orders to large groups: what is left to be made outlives its controller, at
 * each of its steps, and nothing is told from a half of it. */
#include <unistd.h>

#include "server-stub/state/devices/devices.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/store/making.h"
#include "tests/unit/server/world.h"
#include "unit/remove_tree.h"

#define DEVICES 7
#define SLICE 2
#define STEPS 4 /* the first one in the call itself */

static const char *id_of(int device)
{
    static char id[37];

    snprintf(id, sizeof(id), "%08x-7777-4777-8777-777777777777", (unsigned)device);
    return id;
}

static void open_world(struct world *world, const char *dir)
{
    struct flo_controller_options options = {.dir = dir,
                                             .fleet = "demo",
                                             .public_host = "127.0.0.1",
                                             .unproved = FLO_UNPROVED_TAKE,
                                             .slice_devices = SLICE};

    *world = (struct world){0};
    flo_log_level_set(FLO_LOG_ERROR);
    if (flo_controller_open(&options, &world->controller, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
    world->ingest.controller = world->controller;
}

static void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* All run the release by an order of their own. */
static void made_world(struct world *world, char *dir)
{
    struct flo_order order = {
        .op = FLO_ORDER_DEPLOY, .number = 1, .scope = {.group = "all", .bucket_to = FLO_BUCKETS}};
    char id[FLO_NAME_MAX + 1];

    assert_non_null(mkdtemp(dir));
    open_world(world, dir);
    begin(world);
    add_release(world, 1, "2.1.0", DIGEST);
    assert_true(flo_digest_parse(DIGEST, &order.release));
    snprintf(order.model, sizeof(order.model), "tiny");
    snprintf(order.version, sizeof(order.version), "2.1.0");
    snprintf(order.by, sizeof(order.by), "ops");
    flo_policy_default(&order.policy);
    assert_int_equal(flo_orders_issue(world->controller, &order, false, 100, id, &world->err), 0);
    for (int i = 0; i < DEVICES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "many-%d", i);
        assert_int_equal(enrol(world, id_of(i), name), 0);
        assert_int_equal(
            flo_fleet_desired_set(world->controller->store, id_of(i), "tiny", id, &world->err), 0);
    }
    commit(world);
}

static void again(struct world *world, const char *dir)
{
    flo_controller_close(world->controller);
    open_world(world, dir);
}

/* A rollback stands in the list of all, or in no list: then reports say who
 * needs it. */
enum kind { FREEZES, YANKS, TAKES_BACK, SENDS, REMOVES, KINDS };

/* Each other device keeps the release to which the rollback sends. */
static void reports(struct world *world)
{
    static const char *const texts[] = {
        "{\"models\":[{\"model\":\"tiny\",\"current\":{\"release\":\"" DIGEST
        "\"},\"previous\":{\"release\":\"" NEXT_DIGEST "\"}}]}",
        "{\"models\":[{\"model\":\"tiny\",\"current\":{\"release\":\"" DIGEST "\"}}]}"};
    const struct flo_fleet_model model = {.model = "tiny", .serving = "tiny@2.1.0"};

    begin(world);
    add_release(world, 2, "2.2.0", NEXT_DIGEST);
    for (int i = 0; i < DEVICES; i++) {
        assert_int_equal(flo_fleet_device_reported(world->controller->store, id_of(i), texts[i % 2],
                                                   NULL, NULL, false, 1, &model, 1, &world->err),
                         0);
    }
    commit(world);
}

static void remove_model(struct world *world, char *id)
{
    const struct flo_remove what = {.model = "tiny", .group = "all", .by = "ops", .reason = ""};

    begin(world);
    assert_int_equal(flo_orders_remove(world->controller, &what, id, &world->err), 0);
    commit(world);
}

static void issue_kind(struct world *world, enum kind kind, char *id)
{
    if (kind == REMOVES) {
        remove_model(world, id);
        return;
    }
    const struct flo_recall what = {.release = "tiny@2.1.0",
                                    .to = kind == SENDS ? "tiny@2.2.0" : NULL,
                                    .group = "all",
                                    .by = "ops",
                                    .reason = "bad",
                                    .is_yanked = kind == YANKS,
                                    .is_decided = true};

    if (kind == SENDS) {
        reports(world);
    }
    begin(world);
    assert_int_equal(kind != FREEZES ? flo_orders_recall(world->controller, &what, id, &world->err)
                                     : flo_orders_fleet(world->controller, FLO_ORDER_FREEZE, "ops",
                                                        0, id, &world->err),
                     0);
    commit(world);
}

static void issue(struct world *world, enum flo_order_op op, char *id)
{
    if (op != FLO_ORDER_UNFREEZE) {
        issue_kind(world, op == FLO_ORDER_ROLLBACK ? YANKS : FREEZES, id);
        return;
    }
    begin(world);
    assert_int_equal(flo_orders_fleet(world->controller, op, "ops", 0, id, &world->err), 0);
    commit(world);
}

static uint64_t made(struct world *world, const char *order)
{
    const struct flo_making *making;

    assert_int_equal(flo_fleet_making_of(world->controller->store, order, &making, &world->err), 0);
    return making != NULL ? making->count : DEVICES;
}

static void counts_are(struct world *world, const char *order, uint32_t done)
{
    struct flo_order_progress progress;

    assert_int_equal(
        flo_fleet_outcome_progress(world->controller->store, order, &progress, &world->err), 0);
    assert_int_equal(progress.devices, DEVICES);
    assert_int_equal(progress.done, done);
}

static int count_row(void *context, const struct flo_fleet_outcome *outcome)
{
    (void)outcome;
    ++*(size_t *)context;
    return 0;
}

static void is_whole(struct world *world, const char *order, uint32_t done)
{
    size_t rows = 0;

    assert_int_equal(made(world, order), DEVICES);
    assert_int_equal(flo_fleet_outcome_list(world->controller->store, order, FLO_FLEET_ALL,
                                            count_row, &rows, &world->err),
                     0);
    assert_int_equal(rows, DEVICES);
    counts_are(world, order, done);
}

static void answer(struct world *world, int device, const char *order)
{
    char topic[FLO_TOPIC_TEXT];
    char text[128];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/ack", id_of(device));
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\"}", order);
    begin(world);
    assert_int_equal(flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err), 0);
    assert_int_equal(world->ingest.dropped, 0);
    commit(world);
}

static void holds(struct world *world, int device, const char *expected)
{
    char order[FLO_NAME_MAX + 1];

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, id_of(device), "tiny", order, &world->err),
        0);
    assert_string_equal(order, expected);
}

/* The last devices answer first, before and after the controller is another
 * one. */
static void play(enum kind kind, int turns, bool has_torn)
{
    char dir[] = "/tmp/flotilla-making-XXXXXX";
    char order[FLO_NAME_MAX + 1];
    struct world world;

    made_world(&world, dir);
    issue_kind(&world, kind, order);
    assert_int_equal(made(&world, order), SLICE);
    counts_are(&world, order, 0);
    answer(&world, DEVICES - 1, order);
    for (int i = 0; i < turns; i++) {
        assert_int_equal(flo_making_turn(world.controller), i < STEPS - 2);
    }
    uint64_t count = made(&world, order);
    assert_int_equal(count, turns < STEPS - 1 ? SLICE * (1 + turns) : DEVICES);
    if (has_torn) { /* and the rest was never committed */
        begin(&world);
        assert_int_equal(flo_making_finish(world.controller, &world.err), 0);
        flo_controller_cancel(world.controller);
    }
    again(&world, dir);
    assert_int_equal(made(&world, order), count);
    counts_are(&world, order, 1);
    answer(&world, DEVICES - 2, order);
    counts_are(&world, order, 2);
    while (flo_making_turn(world.controller)) {
        assert_true(made(&world, order) < DEVICES);
    }
    is_whole(&world, order, 2);
    for (int i = 0; i < DEVICES; i++) {
        if (kind != FREEZES) { /* the deploy came behind the rollback */
            bool has_said = kind == REMOVES && i >= DEVICES - 2;
            holds(&world, i, has_said ? "" : kind == SENDS && i % 2 == 1 ? "o-0003" : order);
        }
    }
    answer(&world, 0, order);
    is_whole(&world, order, 3);
    again(&world, dir);
    is_whole(&world, order, 3);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

static void an_order_s_rows_outlive_a_kill_at_each_of_their_steps(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (int turns = 0; turns < STEPS; turns++) {
            play(kind, turns, false);
            play(kind, turns, true);
        }
    }
}

/* The deploy that the rollback has not taken out of a desired document yet is
 * not signed again: its new number would be above the rollback's. */
static void what_a_rollback_is_still_to_replace_is_not_signed_again(void **state)
{
    char dir[] = "/tmp/flotilla-making-XXXXXX";
    char order[FLO_NAME_MAX + 1];
    struct world world;

    (void)state;
    made_world(&world, dir);
    issue(&world, FLO_ORDER_ROLLBACK, order);
    holds(&world, DEVICES - 1, "o-0001");
    assert_true(flo_orders_are_overtaken(world.controller->orders));
    begin(&world);
    assert_int_equal(flo_orders_overtaken(world.controller, &world.err), 0);
    commit(&world);
    holds(&world, DEVICES - 1, "o-0001");
    assert_true(flo_orders_are_overtaken(world.controller->orders));

    /* A report asks what its device holds: it is reached before. */
    char topic[FLO_TOPIC_TEXT];
    char text[256];
    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/reported", id_of(DEVICES - 2));
    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"rev\":1,\"profile\":{}}",
             id_of(DEVICES - 2));
    begin(&world);
    assert_int_equal(flo_ingest(&world.ingest, topic, text, strlen(text), false, &world.err), 0);
    commit(&world);
    assert_int_equal(world.ingest.dropped, 0);
    holds(&world, DEVICES - 2, order);

    /* Whoever signs all of them again waits for the rest. */
    begin(&world);
    assert_int_equal(flo_orders_renew(world.controller, &world.err), 0);
    commit(&world);
    is_whole(&world, order, 0);
    for (int i = 0; i < DEVICES; i++) {
        holds(&world, i, order);
    }
    flo_controller_close(world.controller);
    remove_tree(dir);
}

/* Two at a time: the older one first, and neither takes from the other. */
static void two_orders_are_made_one_after_the_other(void **state)
{
    char dir[] = "/tmp/flotilla-making-XXXXXX";
    char freeze[FLO_NAME_MAX + 1], thaw[FLO_NAME_MAX + 1];
    struct world world;

    (void)state;
    made_world(&world, dir);
    issue(&world, FLO_ORDER_FREEZE, freeze);
    issue(&world, FLO_ORDER_UNFREEZE, thaw);
    assert_int_equal(made(&world, freeze), SLICE);
    assert_int_equal(made(&world, thaw), SLICE);
    answer(&world, DEVICES - 1, thaw);
    assert_true(flo_making_turn(world.controller));
    assert_int_equal(made(&world, freeze), 2 * SLICE);
    again(&world, dir);
    while (flo_making_turn(world.controller)) {
    }
    is_whole(&world, freeze, 0);
    is_whole(&world, thaw, 1);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

/* An order of its own, which is in no list, came while the list's was made. */
static void a_newer_order_stays_in_the_desired_document(void **state)
{
    (void)state;
    char dir[] = "/tmp/flotilla-making-XXXXXX";
    char first[FLO_NAME_MAX + 1], second[FLO_NAME_MAX + 1];
    char deploy[FLO_NAME_MAX + 1], last[37];
    struct world world;
    struct flo_order order = {
        .op = FLO_ORDER_DEPLOY, .number = 2, .scope = {.group = "all", .bucket_to = FLO_BUCKETS}};
    const struct flo_recall what = {.release = "tiny@2.2.0",
                                    .group = "all",
                                    .device = last,
                                    .by = "ops",
                                    .reason = "one",
                                    .is_decided = true};

    snprintf(last, sizeof(last), "%s", id_of(DEVICES - 1));
    made_world(&world, dir);
    begin(&world);
    add_release(&world, 2, "2.2.0", NEXT_DIGEST);
    assert_true(flo_digest_parse(NEXT_DIGEST, &order.release));
    snprintf(order.model, sizeof(order.model), "tiny");
    snprintf(order.version, sizeof(order.version), "2.2.0");
    snprintf(order.by, sizeof(order.by), "ops");
    flo_policy_default(&order.policy);
    assert_int_equal(flo_orders_issue(world.controller, &order, false, 100, deploy, &world.err), 0);
    assert_int_equal(
        flo_fleet_desired_set(world.controller->store, last, "tiny", deploy, &world.err), 0);
    commit(&world);
    issue(&world, FLO_ORDER_ROLLBACK, first);
    begin(&world);
    assert_int_equal(flo_orders_recall(world.controller, &what, second, &world.err), 0);
    commit(&world);

    while (flo_making_turn(world.controller)) {
    }

    holds(&world, DEVICES - 1, second);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

/* The report still names the release that goes, and the device was told another
 * one since. */
static void what_was_told_since_is_not_undone_by_a_slice(void **state)
{
    char dir[] = "/tmp/flotilla-making-XXXXXX";
    char back[FLO_NAME_MAX + 1], deploy[FLO_NAME_MAX + 1];
    struct world world;
    struct flo_order order = {
        .op = FLO_ORDER_DEPLOY, .number = 2, .scope = {.group = "all", .bucket_to = FLO_BUCKETS}};

    (void)state;
    made_world(&world, dir);
    reports(&world);
    issue_kind(&world, TAKES_BACK, back);
    begin(&world);
    assert_true(flo_digest_parse(NEXT_DIGEST, &order.release));
    snprintf(order.model, sizeof(order.model), "tiny");
    snprintf(order.version, sizeof(order.version), "2.2.0");
    snprintf(order.by, sizeof(order.by), "ops");
    flo_policy_default(&order.policy);
    assert_int_equal(flo_orders_issue(world.controller, &order, false, 100, deploy, &world.err), 0);
    assert_int_equal(flo_fleet_desired_set(world.controller->store, id_of(DEVICES - 1), "tiny",
                                           deploy, &world.err),
                     0);
    commit(&world);

    while (flo_making_turn(world.controller)) {
    }

    holds(&world, DEVICES - 1, deploy);
    holds(&world, DEVICES - 2, back);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

static bool is_member(const struct flo_rollout_entry *entry, int device)
{
    size_t at = flo_rollout_find(&entry->core, id_of(device));

    return at != SIZE_MAX && entry->core.members[at].state != FLO_EXECUTION_REMOVED;
}

/* It is awaited no more when its turn comes, and no rollout brings it the model
 * later. */
static void who_has_not_got_the_model_is_passed_by(void **state)
{
    char dir[] = "/tmp/flotilla-making-XXXXXX";
    char order[FLO_NAME_MAX + 1];
    struct flo_order_progress progress;
    struct flo_rollout_entry *entry;
    struct world world;

    (void)state;
    made_world(&world, dir);
    entry = start(&world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_"
                          "pct\":100}],\"policy\":{\"soak_ms\":0}}");
    begin(&world);
    assert_int_equal(
        flo_fleet_desired_set(world.controller->store, id_of(DEVICES - 1), "tiny", "", &world.err),
        0);
    commit(&world);
    entry->core.state = FLO_ROLLOUT_COMPLETED; /* it brings late devices */
    assert_true(is_member(entry, DEVICES - 1));
    remove_model(&world, order);
    counts_are(&world, order, 0);

    while (flo_making_turn(world.controller)) {
    }

    assert_int_equal(
        flo_fleet_outcome_progress(world.controller->store, order, &progress, &world.err), 0);
    assert_int_equal(progress.devices, DEVICES - 1);
    for (int i = 0; i < DEVICES; i++) {
        assert_false(is_member(entry, i));
        holds(&world, i, i < DEVICES - 1 ? order : "");
    }
    flo_controller_close(world.controller);
    remove_tree(dir);
}

/* Who leaves the group, or the fleet, before its turn has a row, and is awaited
 * no more. */
static void leaves_before_its_turn(bool retires)
{
    char dir[] = "/tmp/flotilla-making-XXXXXX";
    char order[FLO_NAME_MAX + 1];
    const struct flo_recall what = {.release = "tiny@2.1.0",
                                    .group = "lab",
                                    .by = "ops",
                                    .reason = "bad",
                                    .is_yanked = true,
                                    .is_decided = true};
    struct flo_order_progress progress;
    struct world world;
    bool is_news;

    made_world(&world, dir);
    begin(&world);
    for (int i = 0; i < DEVICES; i++) {
        assert_int_equal(
            flo_groups_member(world.controller, "lab", id_of(i), true, &is_news, &world.err), 0);
    }
    commit(&world);
    begin(&world);
    assert_int_equal(flo_orders_recall(world.controller, &what, order, &world.err), 0);
    commit(&world);
    assert_int_equal(
        flo_fleet_outcome_progress(world.controller->store, order, &progress, &world.err), 0);
    assert_int_equal(progress.pending, DEVICES);
    begin(&world);
    assert_int_equal(retires ? flo_devices_retire(world.controller, id_of(DEVICES - 1), &world.err)
                             : flo_groups_member(world.controller, "lab", id_of(DEVICES - 1), false,
                                                 &is_news, &world.err),
                     0);
    commit(&world);

    while (flo_making_turn(world.controller)) {
    }

    assert_int_equal(
        flo_fleet_outcome_progress(world.controller->store, order, &progress, &world.err), 0);
    assert_int_equal(progress.devices, DEVICES);
    assert_int_equal(progress.pending, DEVICES - 1);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

static void who_leaves_before_its_turn_is_awaited_no_more(void **state)
{
    (void)state;

    leaves_before_its_turn(false);
    leaves_before_its_turn(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_s_rows_outlive_a_kill_at_each_of_their_steps),
        cmocka_unit_test(what_a_rollback_is_still_to_replace_is_not_signed_again),
        cmocka_unit_test(two_orders_are_made_one_after_the_other),
        cmocka_unit_test(a_newer_order_stays_in_the_desired_document),
        cmocka_unit_test(what_was_told_since_is_not_undone_by_a_slice),
        cmocka_unit_test(who_has_not_got_the_model_is_passed_by),
        cmocka_unit_test(who_leaves_before_its_turn_is_awaited_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Claims: a device that joins, leaves or moves comes to the release that its
 * groups have; the group with the higher priority has the say, then the newer
 * rollout. */
#include "server-stub/core/member/claim.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/rollouts/work.h"
#include "unit/server/world.h"

#define DONE "\"phases\":[{\"share_pct\":100}]}"

static void priority_comes_first_and_then_the_newer_rollout(void **state)
{
    static const struct flo_claim old = {"r-9999", 100};
    static const struct flo_claim young = {"r-10000", 100};
    static const struct flo_claim high = {"r-0001", 101};

    (void)state;
    assert_int_equal(flo_claim_compare(&old, &young), -1);
    assert_int_equal(flo_claim_compare(&high, &young), 1);
    assert_int_equal(flo_claim_compare(&high, &high), 0);
    /* The older one comes back where the newer has no ground, or less say. */
    assert_false(flo_claim_returns(&old, &young, true));
    assert_true(flo_claim_returns(&old, &young, false));
    assert_true(flo_claim_returns(&high, &young, true));
    assert_false(flo_claim_returns(&high, &high, false));
}

static void group(struct world *world, const char *name, uint64_t priority)
{
    struct flo_fleet_group made = {.name = name, .selector = "", .note = "", .priority = priority};

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_group_put(world->controller->store, &made, &world->err), 0);
    flo_groups_changed(world->controller);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void move(struct world *world, size_t device, const char *name, bool is_member)
{
    bool is_news;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_groups_member(world->controller, name, ids[device], is_member, &is_news, &world->err),
        0);
    assert_true(is_news);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static struct flo_rollout_entry *complete(struct world *world, const char *spec, const char *digest)
{
    struct flo_rollout_entry *entry = start(world, spec);

    assert_non_null(entry);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        if (flo_rollout_find(&entry->core, ids[i]) != SIZE_MAX) {
            event_of(world, entry->core.id, digest, i, "succeeded");
        }
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
    return entry;
}

/* gw-1 is a shop with 2.2.0 (r-0002), gw-2 is the lab with 2.1.0 (r-0001). */
static void two_groups(struct world *world, uint64_t lab_priority)
{
    add_next_release(world);
    group(world, "shop", 100);
    group(world, "lab", lab_priority);
    move(world, 0, "shop", true);
    move(world, 1, "lab", true);
    complete(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"lab\"," DONE, DIGEST);
    complete(world, "{\"release\":\"tiny@2.2.0\",\"group\":\"shop\"," DONE, NEXT_DIGEST);
}

struct told {
    char rollout[FLO_NAME_MAX + 1];
    char scope[37];
    uint64_t seq;
};

static int take_told(void *context, const struct flo_fleet_order *order)
{
    struct told *told = context;

    snprintf(told->rollout, sizeof(told->rollout), "%s", order->rollout);
    told->seq = order->seq;
    snprintf(told->scope, sizeof(told->scope), "%s",
             strstr(order->body, "\"device\":\"") != NULL
                 ? strstr(order->body, "\"device\":\"") + 10
                 : "");
    return 0;
}

static struct told told(struct world *world, size_t device)
{
    struct told told = {.rollout = ""};

    assert_int_equal(flo_fleet_order_get(world->controller->store, order_of(world, device),
                                         take_told, &told, &world->err),
                     0);
    return told;
}

static void a_device_that_moves_comes_to_its_new_groups_release(void **state)
{
    struct world *world = *state;

    two_groups(world, 100);
    struct told before = told(world, 0);
    assert_string_equal(before.rollout, "r-0002");
    move(world, 0, "shop", false);
    assert_string_equal(told(world, 0).rollout, "r-0002"); /* it keeps it, */
    assert_string_equal(told(world, 0).scope, ids[0]);     /* by its name */
    move(world, 0, "lab", true);

    struct told now = told(world, 0);
    assert_string_equal(now.rollout, "r-0001");
    assert_string_equal(now.scope, ids[0]); /* no other one is meant */
    assert_true(now.seq > before.seq);      /* the device takes the newest */
    assert_string_equal(told(world, 1).rollout, "r-0001");

    move(world, 0, "lab", false);
    move(world, 0, "shop", true); /* where it was a member before */
    assert_string_equal(told(world, 0).rollout, "r-0002");
    assert_true(told(world, 0).seq > now.seq);
}

static void of_two_groups_the_newer_rollout_has_the_say(void **state)
{
    struct world *world = *state;

    two_groups(world, 100);
    move(world, 0, "lab", true);
    assert_string_equal(told(world, 0).rollout, "r-0002");
    move(world, 1, "shop", true);
    assert_string_equal(told(world, 1).rollout, "r-0002");
}

static void a_group_with_a_higher_priority_has_the_say(void **state)
{
    struct world *world = *state;

    two_groups(world, 200);
    move(world, 0, "lab", true); /* 2.1.0, although the shop has newer */
    assert_string_equal(told(world, 0).rollout, "r-0001");

    /* And a rollout to everybody passes the lab by. */
    struct flo_rollout_entry *all = start(world, "{\"release\":\"tiny@2.2.0\"," DONE);
    assert_non_null(all);
    assert_int_equal(all->own->excused[FLO_EXCUSE_OUTRANKED], 2);
    assert_int_equal(flo_rollout_find(&all->core, ids[0]), SIZE_MAX);
    assert_string_equal(told(world, 2).rollout, all->core.id);
    assert_string_equal(told(world, 0).rollout, "r-0001");

    move(world, 0, "lab", false); /* it joins what the others have */
    assert_string_equal(told(world, 0).rollout, all->core.id);
}

static void a_pin_and_maintenance_hold_a_moved_device(void **state)
{
    static const struct flo_fleet_edit edits[] = {{.pins = "{\"tiny\":\"tiny@2.2.0\"}"},
                                                  {.pins = "{}", .maintenance = "new fan"}};
    struct world *world = *state;

    two_groups(world, 100);
    move(world, 0, "shop", false);
    for (size_t i = 0; i < FLO_COUNT(edits); i++) {
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(
            flo_fleet_device_edit(world->controller->store, ids[0], &edits[i], &world->err), 0);
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
        move(world, 0, "lab", true);
        assert_string_equal(told(world, 0).rollout, "r-0002");
        move(world, 0, "lab", false);
    }
}

static void people_who_took_a_release_back_are_not_overruled(void **state)
{
    struct world *world = *state;
    char order[FLO_NAME_MAX + 1];

    two_groups(world, 100);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_recall(world->controller,
                                       &(struct flo_recall){.release = "tiny@2.1.0",
                                                            .group = "lab",
                                                            .is_yanked = true,
                                                            .by = "ops",
                                                            .reason = ""},
                                       order, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    move(world, 0, "shop", false);
    move(world, 0, "lab", true); /* its release is yanked: no claim */
    assert_string_equal(told(world, 0).rollout, "r-0002");
}

/* A removal, or a rollback that takes nothing else along. */
static void order(struct world *world, bool is_removal, char *id)
{
    const struct flo_remove gone = {
        .model = "tiny", .group = "lab", .keeps_blobs = true, .by = "ops", .reason = ""};
    const struct flo_recall back = {
        .release = "tiny@2.1.0", .group = "lab", .is_decided = true, .by = "ops", .reason = ""};

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(is_removal ? flo_orders_remove(world->controller, &gone, id, &world->err)
                                : flo_orders_recall(world->controller, &back, id, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static enum flo_order_outcome outcome_of(struct world *world, size_t device, const char *id)
{
    enum flo_order_outcome outcome;
    bool known;

    assert_int_equal(flo_fleet_outcome_get(world->controller->store, id, ids[device], &known,
                                           &outcome, &world->err),
                     0);
    assert_true(known);
    return outcome;
}

/* Its disk was full: the device could take neither order before it left. */
static void what_people_ordered_for_a_group_leaves_with_the_group(void **state)
{
    for (int is_removal = 0; is_removal < 2; is_removal++) {
        char id[FLO_NAME_MAX + 1];
        char held[FLO_NAME_MAX + 1];
        struct world *world;

        if (is_removal) {
            world_teardown(state);
            world_setup(state);
        }
        world = *state;
        two_groups(world, 100);
        move(world, 2, "lab", true);
        order(world, is_removal, id);
        assert_int_equal(outcome_of(world, 1, id), FLO_OUTCOME_PENDING);
        move(world, 1, "lab", false);

        assert_int_equal(
            flo_fleet_desired_get(world->controller->store, ids[1], "tiny", held, &world->err), 0);
        assert_string_equal(held, "");
        assert_int_equal(outcome_of(world, 1, id), FLO_OUTCOME_IGNORED);
        assert_int_equal(outcome_of(world, 2, id), FLO_OUTCOME_PENDING);

        /* It had begun all the same: its answer stands. */
        char text[160];
        snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\"}", id);
        send(world, 1, "ack", text);
        assert_int_equal(outcome_of(world, 1, id), FLO_OUTCOME_DONE);
    }
}

/* Removed by name after the rollout, it joins the group of that rollout. */
static void who_joins_a_group_gets_its_release_above_all_that_it_holds(void **state)
{
    struct world *world = *state;
    const struct flo_remove gone = {.model = "tiny", .device = ids[0], .by = "ops", .reason = ""};
    char removal[FLO_NAME_MAX + 1];
    char text[200];
    uint64_t seq = 0;

    two_groups(world, 100);
    move(world, 0, "shop", false);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_remove(world->controller, &gone, removal, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    seq = told(world, 0).seq;
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\"}", removal);
    send(world, 0, "ack", text);

    move(world, 0, "lab", true);
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"superseded\"}",
             order_of(world, 0));
    send(world, 0, "ack", text);
    assert_string_equal(told(world, 0).rollout, "r-0001");
    assert_string_equal(told(world, 0).scope, ids[0]);
    assert_true(told(world, 0).seq > seq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_comes_first_and_then_the_newer_rollout),
        WITH_WORLD(a_device_that_moves_comes_to_its_new_groups_release),
        WITH_WORLD(of_two_groups_the_newer_rollout_has_the_say),
        WITH_WORLD(a_group_with_a_higher_priority_has_the_say),
        WITH_WORLD(a_pin_and_maintenance_hold_a_moved_device),
        WITH_WORLD(people_who_took_a_release_back_are_not_overruled),
        WITH_WORLD(what_people_ordered_for_a_group_leaves_with_the_group),
        WITH_WORLD(who_joins_a_group_gets_its_release_above_all_that_it_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

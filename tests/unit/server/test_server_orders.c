/* Orders: signed again, emergencies, what is withdrawn. */
#include <flotilla/errors/group.h>
#include <flotilla/errors/release.h>

#include "server-stub/state/orders/orders.h"
#include "server-stub/state/orders/view.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/updates.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"
#include "unit/remove_tree.h"

static void an_emergency_order_rewrites_yanks_and_stops(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    char id[FLO_NAME_MAX + 1];
    struct flo_rollout_entry *again = NULL;
    const struct flo_update_counts *updates = flo_rollouts_updates(world->controller->rollouts);

    event(world, device_in_phase(entry, 0), "succeeded");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_int_equal(updates->items[0].ends[FLO_EXECUTION_ROLLED_BACK], 0);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(order_of(world, i), id);
        char text[256];
        snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\"}", id);
        send(world, i, "ack", text);
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
    /* The metric says what the rollout says. */
    assert_int_equal(updates->count, 1);
    assert_int_equal(updates->items[0].ends[FLO_EXECUTION_SUCCEEDED], 1);
    assert_int_equal(updates->items[0].ends[FLO_EXECUTION_ROLLED_BACK], 1);
    again = start(world, "{\"release\":\"tiny@2.1.0\"}");
    assert_null(again);
    assert_int_equal(world->err.code, FLO_E_RELEASE_YANKED);
    json_t *view = NULL;
    assert_int_equal(flo_object_order(world->controller, id, 1, &view, &world->err), 0);
    assert_string_equal(json_string_value(json_object_get(view, "state")), "done");
    json_decref(view);
}

static void an_order_of_a_thousand_devices_is_shown_in_few_bytes(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    json_t *view = NULL;

    /* given: done by 900 of 1,000 and three that did not answer */
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_orders_fleet(world->controller, FLO_ORDER_FREEZE, "ops", 0, id, &world->err), 0);
    for (int i = 0; i < 1000; i++) {
        char device[16];
        snprintf(device, sizeof(device), "d-%d", i);
        assert_int_equal(flo_fleet_outcome_put(world->controller->store, id, device,
                                               i < 900 ? FLO_OUTCOME_DONE : FLO_OUTCOME_REFUSED, 1,
                                               &world->err),
                         0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_int_equal(flo_object_order(world->controller, id, 0, &view, &world->err), 0);
    char *text = json_dumps(view, JSON_COMPACT);
    assert_true(strlen(text) < 4096);
    assert_null(json_object_get(view, "devices"));
    assert_int_equal(json_integer_value(json_object_get(view, "scope_devices")), 1003);
    assert_int_equal(json_integer_value(json_object_get(view, "done")), 900);
    assert_int_equal(json_integer_value(json_object_get(view, "failed")), 100);
    assert_int_equal(json_integer_value(json_object_get(view, "pending")), 3);
    free(text);
    json_decref(view);

    /* who did not get there comes first */
    assert_int_equal(flo_object_order(world->controller, id, 104, &view, &world->err), 0);
    const json_t *devices = json_object_get(view, "devices");
    assert_int_equal(json_array_size(devices), 104);
    for (size_t i = 0; i < 104; i++) {
        const char *outcome =
            json_string_value(json_object_get(json_array_get(devices, i), "outcome"));
        assert_int_equal(strcmp(outcome, "done") == 0, i == 103);
    }
    json_decref(view);
}

static char *list_of_all(struct world *world)
{
    struct flo_buf text = {0};

    assert_int_equal(flo_orders_group_text(world->controller, "all", &text, &world->err), 0);
    return text.data;
}

/* For those who hold it: a device that a newer rollout brought forward must
 * not hear of it again, nor may a pause come after its resume. */
static void old_orders_are_signed_again_for_those_whose_desired_holds_them(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    struct flo_buf text = {0};
    char aged[FLO_NAME_MAX + 1] = "o-0001";

    /* Young: stays. */
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    assert_string_equal(order_of(world, canary), aged);

    /* As if it had been issued 40 hours ago. */
    struct flo_fleet_order old = {.id = "o-0900",
                                  .op = "rollback",
                                  .group = "all",
                                  .envelope = "{}",
                                  .rollout = "",
                                  .model = "tiny",
                                  .release = DIGEST,
                                  .issued_at_ms = waits_wall_ms() - 144000000,
                                  .expires_at_ms = waits_wall_ms() + 115200000};
    old.body = "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-0900\",\"op\":"
               "\"rollback\",\"scope\":{\"group\":\"all\"},\"epoch\":1,"
               "\"seq\":900,\"issued_at_ms\":1,\"expires_at_ms\":2,\"args\":"
               "{\"model\":\"tiny\",\"from\":[\"" DIGEST "\"],\"to\":\"previous\"}}";
    assert_int_equal(flo_fleet_order_add(world->controller->store, &old, &world->err), 0);
    assert_int_equal(
        flo_fleet_desired_set(world->controller->store, ids[canary], "tiny", "o-0900", &world->err),
        0);
    char *before = list_of_all(world);
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);

    assert_string_equal(order_of(world, canary), "o-0002");
    char *after = list_of_all(world);
    assert_string_equal(after, before);
    assert_int_equal(world->controller->outgoing->groups.count, 0);
    free(before);
    free(after);
    assert_int_equal(flo_orders_desired_text(world->controller, ids[canary], &text, &world->err),
                     0);
    assert_non_null(strstr(text.data, "\"rev\":4"));
    flo_buf_deinit(&text);
}

/* An order of four days ago: nobody's list has it any more. */
static void add_old(struct world *world, const char *op, const char *rollout, uint64_t seq)
{
    char id[16], body[256];
    struct flo_fleet_order old = {.id = id,
                                  .op = op,
                                  .group = "all",
                                  .envelope = "{}",
                                  .body = body,
                                  .rollout = rollout,
                                  .release = "",
                                  .seq = seq,
                                  .issued_at_ms = waits_wall_ms() - 360000000,
                                  .expires_at_ms = waits_wall_ms() - 100800000};

    snprintf(id, sizeof(id), "o-%04d", (int)seq);
    snprintf(body, sizeof(body),
             "{\"v\":1,\"fleet\":\"demo\",\"id\":\"%s\",\"op\":\"%s\","
             "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":%d,"
             "\"issued_at_ms\":1,\"expires_at_ms\":2,"
             "\"args\":{\"rollout\":\"r-0001\",\"stay\":1}}",
             id, op, (int)seq);
    assert_int_equal(flo_fleet_order_add(world->controller->store, &old, &world->err), 0);
    assert_int_equal(flo_fleet_skip(world->controller->store, "order", 1, &world->err), 0);
}

/* A rollback that is signed again overtakes the deploy that devices hold: each
 * of the three gets one of its own. */
static void assert_renewed(struct world *world, const char *id, const char *wanted)
{
    uint64_t before = flo_orders_signed(world->controller->orders);
    char op[16];

    for (int hour = 0; hour < 2; hour++) { /* young in the second: stays */
        assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    }
    assert_int_equal(flo_orders_signed(world->controller->orders),
                     before + (strcmp(wanted, "rollback") == 0 ? 4 : 1));
    assert_int_equal(flo_fleet_order_get(world->controller->store, id, take_op, op, &world->err),
                     0);
    assert_string_equal(op, wanted);
    assert_string_equal(world->controller->outgoing->groups.items[0], "all");
    char *list = list_of_all(world);
    assert_non_null(strstr(list, "payload"));
    free(list);
}

/* A device may be away for longer than any order lives: the list of its group
 * must say what holds, whenever it comes back. */
static void the_newest_freeze_or_unfreeze_is_signed_again(void **state)
{
    struct world *world = *state;

    add_old(world, "freeze", "", 1);
    add_old(world, "unfreeze", "", 2);
    assert_int_equal(flo_fleet_order_reason(world->controller->store, "o-0002", "the storm is over",
                                            &world->err),
                     0);
    assert_renewed(world, "o-0003", "unfreeze");
    json_t *view = NULL;
    assert_int_equal(flo_object_order(world->controller, "o-0003", 0, &view, &world->err), 0);
    assert_string_equal(json_string_value(json_object_get(view, "reason")), "the storm is over");
    json_decref(view);
}

static void the_newest_order_about_prompts_is_signed_again_with_what_it_says(void **state)
{
    struct world *world = *state;
    bool stays = false, found;

    add_old(world, "prompts", "", 1);
    add_old(world, "prompts", "", 2);
    assert_renewed(world, "o-0003", "prompts");
    assert_int_equal(flo_fleet_prompts_stay(world->controller->store, &stays, &found, &world->err),
                     0);
    assert_true(stays);
}

/* It accepted, and a pause and a resume of four days ago (o-0002, o-0003). */
static struct flo_rollout_entry *world_with_an_old_resume(struct world *world)
{
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");

    assert_non_null(entry);
    event(world, device_in_phase(entry, 0), "accepted");
    add_old(world, "pause", "r-0001", 2);
    add_old(world, "resume", "r-0001", 3);
    return entry;
}

static void a_resume_is_signed_again_for_who_accepted_and_may_wait(void **state)
{
    struct world *world = *state;

    world_with_an_old_resume(world);
    assert_renewed(world, "o-0004", "resume");
}

static void a_resume_is_not_signed_again_when_nobody_waits_for_it(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = world_with_an_old_resume(world);

    event(world, device_in_phase(entry, 0), "downloading");
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_signed(world->controller->orders), 1);
}

static void a_resume_is_not_signed_again_behind_an_abort(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = world_with_an_old_resume(world);

    does(world, entry, FLO_ROLLOUT_EVENT_ABORT); /* o-0004 */
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_signed(world->controller->orders), 2);
}

static void a_resume_ends_the_pause_of_who_accepted_just_before_it_came(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    does(world, entry, FLO_ROLLOUT_EVENT_PAUSE);
    assert_string_equal(op_of(world, ids[canary]), "pause");
    event(world, canary, "accepted");
    does(world, entry, FLO_ROLLOUT_EVENT_RESUME);
    assert_string_equal(op_of(world, ids[canary]), "deploy");
}

/* The same order again, as if it had been signed four days ago. */
static int add_expired(void *context, const struct flo_fleet_order *order)
{
    struct world *world = context;
    struct flo_fleet_order old = *order;

    old.id = "o-0900";
    old.seq = 900;
    old.issued_at_ms = waits_wall_ms() - 345600000;
    old.expires_at_ms = waits_wall_ms() - 86400000;
    return flo_fleet_order_add(world->controller->store, &old, &world->err);
}

static void a_rollout_resumed_after_days_brings_an_order_that_lives(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    does(world, entry, FLO_ROLLOUT_EVENT_PAUSE);
    assert_int_equal(
        flo_fleet_order_get(world->controller->store, "o-0001", add_expired, world, &world->err),
        0);
    assert_int_equal(flo_fleet_skip(world->controller->store, "order", 998, &world->err), 0);
    does(world, entry, FLO_ROLLOUT_EVENT_RESUME);

    assert_string_equal(op_of(world, ids[canary]), "deploy");
    assert_string_equal(order_of(world, canary), "o-1002");
}

/* The canary's desired holds an order that expired while nobody was there. */
static struct flo_rollout_member *world_after_days(struct world *world)
{
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    assert_int_equal(
        flo_fleet_order_get(world->controller->store, "o-0001", add_expired, world, &world->err),
        0);
    assert_int_equal(
        flo_fleet_desired_set(world->controller->store, ids[canary], "tiny", "o-0900", &world->err),
        0);
    return &entry->core.members[flo_rollout_find(&entry->core, ids[canary])];
}

static void refuses(struct world *world, const struct flo_rollout_member *who, const char *order,
                    const char *error)
{
    char text[256];
    size_t device = 0;

    while (strcmp(ids[device], who->device) != 0) {
        device++;
    }
    snprintf(text, sizeof(text),
             "{\"v\":1,\"order\":\"%s\",\"outcome\":\"refused\","
             "\"error\":{\"id\":\"%s\"}}",
             order, error);
    send(world, device, "ack", text);
}

static void an_order_that_expired_on_the_way_is_sent_again_not_rejected(void **state)
{
    struct world *world = *state;
    const struct flo_rollout_member *canary = world_after_days(world);

    for (int i = 0; i < 3; i++) { /* a broker may bring it again and again */
        refuses(world, canary, "o-0900", "cmd.expired");
    }

    assert_int_equal(canary->state, FLO_EXECUTION_NOTIFIED);
    assert_int_equal(flo_rollouts_at(world->controller->rollouts, 0)->core.state,
                     FLO_ROLLOUT_RUNNING);
    assert_string_equal(op_of(world, canary->device), "deploy");
    assert_int_equal(flo_orders_signed(world->controller->orders), 2);
}

static void an_aged_order_refused_for_what_it_says_is_rejected(void **state)
{
    struct world *world = *state;
    const struct flo_rollout_member *canary = world_after_days(world);

    refuses(world, canary, "o-0900", "target.denied");
    assert_int_equal(canary->state, FLO_EXECUTION_REJECTED);
}

static void a_device_with_a_wrong_clock_waits_and_says_why(void **state)
{
    struct world *world = *state;
    const struct flo_rollout_member *canary = world_after_days(world);
    FLO_CLEANUP(flo_json_cleanup)
    json_t *members = json_pack("[{s:s,s:s}]", "id", canary->device, "state", "notified");
    size_t device = 0;
    char text[512];

    refuses(world, canary, "o-0001", "cmd.expired");
    assert_int_equal(canary->state, FLO_EXECUTION_NOTIFIED);
    assert_int_equal(flo_rollouts_at(world->controller->rollouts, 0)->core.state,
                     FLO_ROLLOUT_RUNNING);

    while (strcmp(ids[device], canary->device) != 0) {
        device++;
    }
    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"models\":[],\"degraded\":{\"id\":\"clock.ahead\","
             "\"text\":\"the controller says 2026, this device 2036\"}}",
             canary->device);
    send(world, device, "reported", text);
    assert_int_equal(flo_rollouts_show_why(world->controller, "r-0001", members, &world->err), 0);
    assert_string_equal(flo_json_text(json_array_get(members, 0), "reason", ""),
                        "clock.ahead: the controller says 2026, this device 2036");
}

static void a_rollback_that_expired_on_the_way_is_still_awaited(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    event(world, canary, "soaking");
    does(world, entry, FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_int_equal(flo_fleet_order_get(world->controller->store, order_of(world, canary),
                                         add_expired, world, &world->err),
                     0);
    refuses(world, &entry->core.members[flo_rollout_find(&entry->core, ids[canary])], "o-0900",
            "cmd.expired");

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
}

static void a_withdrawn_release_starts_nowhere(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = world_with_two_groups(world);
    const char *canary = ids[device_in_phase(entry, 0)];

    assert_string_equal(op_of(world, canary), "deploy");
    assert_string_equal(op_of(world, NEWCOMER), "deploy");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_orders_withdraw(world->controller, &entry->release, "", "yanked by ops", &world->err),
        0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTING);
    assert_string_equal(op_of(world, canary), "abort");
    assert_string_equal(op_of(world, NEWCOMER), "");
}

static void a_rollback_of_one_group_aborts_the_rollout_of_all(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = world_with_two_groups(world);
    const char *canary = ids[device_in_phase(entry, 0)];
    char id[FLO_NAME_MAX + 1];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "lab", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTING);
    assert_string_equal(op_of(world, canary), "abort");
    assert_string_equal(op_of(world, NEWCOMER), "rollback");
}

/* 2.1.0 is under way on all (r-0001), 2.2.0 on "lab" (r-0002), whose device
 * was told both while it was away. */
static struct flo_digest world_with_a_newer_release_in_lab(struct world *world)
{
    struct flo_rollout_entry *first;

    enrol_in_lab(world);
    add_next_release(world);
    first = start(world, "{\"release\":\"tiny@2.1.0\","
                         "\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(first);
    assert_non_null(start(world, "{\"release\":\"tiny@2.2.0\","
                                 "\"group\":\"lab\"}"));
    return first->release;
}

/* The deploy order of 2.2.0 (o-0002) is still there. */
static void assert_only_others_lost_theirs(struct world *world)
{
    char order[FLO_NAME_MAX + 1];

    assert_string_equal(op_of(world, ids[0]), "abort");
    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, NEWCOMER, "tiny", order, &world->err), 0);
    assert_string_equal(order, "o-0002");
}

static void a_yank_leaves_who_was_told_another_release_since(void **state)
{
    struct world *world = *state;
    struct flo_digest release = world_with_a_newer_release_in_lab(world);

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_orders_withdraw(world->controller, &release, "", "yanked by ops", &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_only_others_lost_theirs(world);
}

static void a_rollback_of_a_group_leaves_who_was_told_another_release_since(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    world_with_a_newer_release_in_lab(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "lab", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_only_others_lost_theirs(world);
}

static void a_rollback_of_a_group_without_devices_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    char id[FLO_NAME_MAX + 1];

    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "canari", "ops", "bad", id, &world->err),
        FLO_E_GROUP_ABSENT);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(flo_orders_signed(world->controller->orders), 1);
}

static void a_completed_rollout_that_nobody_asked_for_says_taken_back(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;
    char id[FLO_NAME_MAX + 1];
    char reason[FLO_NAME_MAX + 16];

    /* given: only the store knows of both */
    bring_to_two_releases(world);
    flo_rollouts_forget(world->controller);

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    snprintf(reason, sizeof(reason), "taken-back: %s", id);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_string_equal(entry->core.reason, reason);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0002", &entry, &world->err), 0);
    assert_string_not_equal(entry->core.reason, reason);
}

/* Rows of rollouts that another version wrote. */
static void an_old_rollout_that_cannot_be_read_stops_no_emergency(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    struct flo_fleet_rollout damaged = {
        .id = "r-0900", .spec = "?", .state = "completed", .core = "{}", .digest = DIGEST};

    assert_int_equal(flo_fleet_rollout_put(world->controller->store, &damaged, &world->err), 0);

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* All have 2.2.0 and are told to run it; 2.1.0 is taken back (o-0003), as if
 * four days ago. */
static void recall_long_ago(struct world *world, char *id)
{
    bring_to_two_releases(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_order_get(world->controller->store, id, add_expired, world, &world->err), 0);
    assert_int_equal(flo_fleet_skip(world->controller->store, "order", 998, &world->err), 0);
}

/* It is told another release than the one taken back, and should that one
 * fail, it must not stay with what it had. */
static void an_emergency_rollback_stays_in_the_list_while_awaited(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    recall_long_ago(world, id);
    assert_string_equal(op_of(world, ids[0]), "deploy");
    assert_renewed(world, "o-1002", "rollback");
}

static void an_emergency_rollback_is_not_signed_again_for_nobody(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    char text[256];

    recall_long_ago(world, id);
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\"}", id);
    send(world, 0, "ack", text);
    send(world, 1, "ack", text);
    assert_int_equal(flo_fleet_device_retire(world->controller->store, ids[2], &world->err), 0);
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    /* the deploy that it overtook, for the two that are there */
    assert_int_equal(flo_orders_signed(world->controller->orders), 5);
    assert_string_equal(op_of(world, ids[0]), "deploy");
}

static void a_rollouts_own_rollback_is_not_signed_again_in_the_list(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");

    does(world, entry, FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_int_equal(
        flo_fleet_order_get(world->controller->store, "o-0002", add_expired, world, &world->err),
        0);
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_signed(world->controller->orders), 2);
}

/* A device that a freeze after the backup reached must not be unfrozen by
 * what the backup knows. */
static void data_from_a_backup_start_frozen(void **state)
{
    struct flo_controller_options options = {
        .dir = ":memory:", .fleet = "demo", .is_restored = true};
    struct world restored = {0};

    (void)state;
    assert_int_equal(flo_controller_open(&options, &restored.controller, &restored.err), 0);
    char op[16] = "";
    assert_int_equal(
        flo_fleet_order_get(restored.controller->store, "o-100001", take_op, op, &restored.err), 0);
    assert_string_equal(op, "freeze");
    bool is_frozen = false;
    assert_int_equal(flo_fleet_is_frozen(restored.controller->store, &is_frozen, &restored.err), 0);
    assert_true(is_frozen);
    flo_controller_close(restored.controller);
}

/* An order to stay may be newer than the backup. */
static void data_from_a_backup_let_no_prompt_out(void **state)
{
    char dir[] = "/tmp/flo-orders-XXXXXX";
    struct flo_controller_options options = {.listen = "127.0.0.1:0", .fleet = "demo"};
    struct world world = {0};
    char id[FLO_NAME_MAX + 1];
    bool stays = false, found = false;

    (void)state;
    options.dir = mkdtemp(dir);
    assert_int_equal(flo_controller_open(&options, &world.controller, &world.err), 0);
    assert_int_equal(flo_controller_begin(world.controller, &world.err), 0);
    assert_int_equal(
        flo_orders_fleet(world.controller, FLO_ORDER_PROMPTS, "ops", 0, id, &world.err), 0);
    assert_int_equal(flo_controller_commit(world.controller, &world.err), 0);
    assert_int_equal(flo_fleet_prompts_stay(world.controller->store, &stays, &found, &world.err),
                     0);
    assert_true(found && !stays);
    flo_controller_close(world.controller);

    options.is_restored = true;
    assert_int_equal(flo_controller_open(&options, &world.controller, &world.err), 0);
    assert_int_equal(flo_fleet_prompts_stay(world.controller->store, &stays, &found, &world.err),
                     0);
    assert_true(stays);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

static int take_what(void *context, const struct flo_audit_record *record,
                     const struct flo_digest *hash)
{
    (void)hash;
    flo_buf_printf(context, "%s %s %s", record->who, record->what, record->object);
    return 0;
}

static void the_audit_has_each_order(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char id[FLO_NAME_MAX + 1];
    char expected[128];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_orders_fleet(world->controller, FLO_ORDER_FREEZE, "ops", 0, id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_audit_newest(world->controller->store, INT64_MAX, 1, take_what,
                                            &text, &world->err),
                     0);
    snprintf(expected, sizeof(expected), "ops order.issue %s", id);
    assert_string_equal(text.data, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(an_order_of_a_thousand_devices_is_shown_in_few_bytes),
        WITH_WORLD(an_emergency_order_rewrites_yanks_and_stops),
        WITH_WORLD(old_orders_are_signed_again_for_those_whose_desired_holds_them),
        WITH_WORLD(a_rollout_resumed_after_days_brings_an_order_that_lives),
        WITH_WORLD(the_newest_freeze_or_unfreeze_is_signed_again),
        WITH_WORLD(the_newest_order_about_prompts_is_signed_again_with_what_it_says),
        WITH_WORLD(a_resume_is_signed_again_for_who_accepted_and_may_wait),
        WITH_WORLD(an_order_that_expired_on_the_way_is_sent_again_not_rejected),
        WITH_WORLD(an_aged_order_refused_for_what_it_says_is_rejected),
        WITH_WORLD(a_device_with_a_wrong_clock_waits_and_says_why),
        WITH_WORLD(a_rollback_that_expired_on_the_way_is_still_awaited),
        WITH_WORLD(a_withdrawn_release_starts_nowhere),
        WITH_WORLD(a_rollback_of_one_group_aborts_the_rollout_of_all),
        WITH_WORLD(a_yank_leaves_who_was_told_another_release_since),
        WITH_WORLD(a_rollback_of_a_group_leaves_who_was_told_another_release_since),
        WITH_WORLD(a_rollback_of_a_group_without_devices_is_refused),
        WITH_WORLD(a_completed_rollout_that_nobody_asked_for_says_taken_back),
        WITH_WORLD(an_old_rollout_that_cannot_be_read_stops_no_emergency),
        WITH_WORLD(a_resume_is_not_signed_again_when_nobody_waits_for_it),
        WITH_WORLD(a_resume_is_not_signed_again_behind_an_abort),
        WITH_WORLD(a_resume_ends_the_pause_of_who_accepted_just_before_it_came),
        WITH_WORLD(an_emergency_rollback_stays_in_the_list_while_awaited),
        WITH_WORLD(an_emergency_rollback_is_not_signed_again_for_nobody),
        WITH_WORLD(a_rollouts_own_rollback_is_not_signed_again_in_the_list),
        cmocka_unit_test(data_from_a_backup_start_frozen),
        cmocka_unit_test(data_from_a_backup_let_no_prompt_out),
        WITH_WORLD(the_audit_has_each_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

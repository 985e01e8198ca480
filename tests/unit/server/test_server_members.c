/* Who is a member of a rollout: identities that never came, devices in
 * maintenance, pinned ones, and who joins when that ends. */
#include <flotilla/errors/order.h>
#include <flotilla/errors/release.h>

#include "server-stub/state/forecast/forecast.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"
#include "tests/unit/waits.h"
#include "unit/server/world.h"

#define ALL_AT_ONCE "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":100}]}"
#define SLOWLY                                                                                     \
    "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":10},"                                  \
    "{\"share_pct\":100}]}"
#define PHANTOMS 200

static void add_phantoms(struct world *world)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    char id[37];
    char name[16];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < PHANTOMS; i++) {
        snprintf(id, sizeof(id), "%08x-dddd-4ddd-8ddd-dddddddddddd", i);
        snprintf(name, sizeof(name), "none-%d", i);
        struct flo_fleet_device device = {.id = id,
                                          .name = name,
                                          .labels = "{}",
                                          .profile = "{}",
                                          .groups = "[\"all\"]",
                                          .enrolled_at_ms = 1};
        assert_int_equal(
            flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err), 0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void edit(struct world *world, size_t device, const struct flo_fleet_edit *edit)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_device_edit(world->controller->store, ids[device], edit, &world->err), 0);
    assert_int_equal(flo_rollouts_reconsider(world->controller, ids[device], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static bool is_member(const struct flo_rollout_entry *entry, size_t device)
{
    return flo_rollout_find(&entry->core, ids[device]) != SIZE_MAX;
}

/* A tenth of 203 devices, of which three are there: the first phase had
 * phantoms alone, waited for them, and never ended. */
static void identities_that_never_came_hold_no_rollout_up(void **state)
{
    struct world *world = *state;

    add_phantoms(world);
    struct flo_rollout_entry *entry = start(world, SLOWLY);
    assert_non_null(entry);
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < FLO_COUNT(ids); i++) {
            event(world, i, "succeeded");
        }
        does(world, entry, FLO_ROLLOUT_EVENT_TICK);
    }

    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
    assert_int_equal(entry->core.member_count, FLO_COUNT(ids));
    assert_int_equal(entry->own->excused[FLO_EXCUSE_NEVER_CAME], PHANTOMS);
}

static void a_device_is_a_member_from_its_first_message_on(void **state)
{
    static const char *const words[] = {"presence", "reported"};
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, ALL_AT_ONCE);
    char topic[FLO_TOPIC_TEXT];
    const char *id = "00000001-dddd-4ddd-8ddd-dddddddddddd";
    const char *payload = "{\"v\":1,\"online\":true}";
    char order[FLO_NAME_MAX + 1];

    assert_non_null(entry);
    add_phantoms(world);
    assert_true(flo_rollout_find(&entry->core, id) == SIZE_MAX);
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        id = i == 0 ? id : "00000002-dddd-4ddd-8ddd-dddddddddddd";
        payload = i == 0 ? payload
                         : "{\"v\":2,\"device\":\"00000002-dddd-4ddd-8ddd-"
                           "dddddddddddd\",\"rev\":1}";
        snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", id, words[i]);
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(
            flo_ingest(&world->ingest, topic, payload, strlen(payload), false, &world->err), 0);
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
        assert_true(flo_rollout_find(&entry->core, id) != SIZE_MAX);
        assert_int_equal(
            flo_fleet_desired_get(world->controller->store, id, "tiny", order, &world->err), 0);
        assert_string_not_equal(order, "");
    }
}

static void a_device_in_maintenance_takes_no_rollout(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;
    struct flo_forecast_plan *plan;

    edit(world, 1, &(struct flo_fleet_edit){.maintenance = "new fan"});
    entry = start(world, ALL_AT_ONCE);
    assert_non_null(entry);
    assert_false(is_member(entry, 1));
    assert_string_equal(order_of(world, 1), "");
    assert_int_equal(entry->own->excused[FLO_EXCUSE_MAINTENANCE], 1);
    assert_int_equal(flo_forecast_plan_new(world->controller, entry, &plan, &world->err),
                     FLO_E_RELEASE_ABSENT); /* it has no document; see the plan in e2e */

    /* One that was told and has not begun goes too; one that began stays. */
    event(world, 2, "downloading");
    edit(world, 0, &(struct flo_fleet_edit){.maintenance = "x"});
    edit(world, 2, &(struct flo_fleet_edit){.maintenance = "x"});
    assert_false(is_member(entry, 0));
    assert_string_equal(order_of(world, 0), "");
    assert_true(is_member(entry, 2));
    event(world, 2, "succeeded");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);

    /* At its end they are where their group is. */
    edit(world, 0, &(struct flo_fleet_edit){.maintenance = ""});
    edit(world, 1, &(struct flo_fleet_edit){.maintenance = ""});
    assert_true(is_member(entry, 0) && is_member(entry, 1));
    assert_string_not_equal(order_of(world, 1), "");
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(entry->core.member_count, 3);
}

static void a_pinned_device_takes_no_other_release(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    edit(world, 0, &(struct flo_fleet_edit){.pins = "{\"tiny\":\"tiny@1.0\"}"});
    edit(world, 1, &(struct flo_fleet_edit){.pins = "{\"tiny\":\"tiny@2.1.0\"}"});
    edit(world, 2, &(struct flo_fleet_edit){.pins = "{\"ocr\":\"ocr@1.0\"}"});
    entry = start(world, ALL_AT_ONCE);
    assert_non_null(entry);
    assert_false(is_member(entry, 0));
    assert_true(is_member(entry, 1) && is_member(entry, 2));
    edit(world, 0, &(struct flo_fleet_edit){.pins = "{}"});
    assert_true(is_member(entry, 0));
}

static void a_rollout_of_nobody_says_why(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        edit(world, i, &(struct flo_fleet_edit){.maintenance = "x"});
    }
    assert_null(start(world, ALL_AT_ONCE));
    assert_int_equal(world->err.code, FLO_E_ORDER_NOBODY);
    assert_string_equal(world->err.what, "no device of group all can be a "
                                         "member: 3 maintenance");
    assert_string_equal(world->err.fix, "flotilla device set NAME --maintenance off");
}

/* ---- groups and labels that change under way ---- */

#define OF_LAB(membership)                                                                         \
    "{\"release\":\"tiny@2.1.0\",\"group\":\"lab\",\"membership\":"                                \
    "\"" membership "\",\"phases\":[{\"devices\":1},{\"share_pct\":100}]}"
#define OF_SITES(membership)                                                                       \
    "{\"release\":\"tiny@2.1.0\",\"membership\":\"" membership                                     \
    "\",\"phases\":[{\"share_pct\":100}],\"limits\":{\"per_site\":1}}"

static void set_group(struct world *world, size_t device, bool is_in)
{
    struct flo_fleet_store *store = world->controller->store;
    bool is_news;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_group_member(store, "lab", ids[device], is_in, 0, &is_news, &world->err), 0);
    assert_int_equal(flo_rollouts_reconsider(world->controller, ids[device], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static int take_envelope(void *context, const struct flo_fleet_group_statement *statement)
{
    flo_buf_text(context, statement->envelope);
    return 0;
}

static void the_groups_of_a_device_are_told_to_it_alone(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char body[2048] = "", expected[80];
    bool is_news;

    send(world, 0, "reported",
         "{\"v\":2,\"device\":\"11111111-1111-4111-8111-111111111111\","
         "\"groups\":[\"all\"],\"models\":[]}");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_groups_enrol(world->controller, "lab", &world->err), 0);
    assert_int_equal(
        flo_groups_member(world->controller, "lab", ids[0], true, &is_news, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    while (flo_groups_turn(world->controller, waits_now_ms())) {
    }
    assert_int_equal(flo_fleet_group_statement_get(world->controller->store, ids[0], take_envelope,
                                                   &text, &world->err),
                     0);
    json_t *json = json_loads(text.data, 0, NULL);
    const char *payload = json_string_value(json_object_get(json, "payload"));
    assert_non_null(payload);
    assert_true(flo_base64_decode(payload, strlen(payload), body) > 0);
    snprintf(expected, sizeof(expected), "\"scope\":{\"device\":\"%s\"}", ids[0]);
    assert_non_null(strstr(body, expected));
    assert_non_null(strstr(body, "\"lab\""));
    json_decref(json);
}

static size_t waiting(const struct flo_rollout_entry *entry)
{
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        size_t index = flo_rollout_find(&entry->core, ids[i]);
        if (index != SIZE_MAX && entry->core.members[index].state == FLO_EXECUTION_QUEUED) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void who_joins_or_leaves_the_group_joins_or_leaves_the_rollout(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    set_group(world, 0, true);
    set_group(world, 1, true);
    entry = start(world, OF_LAB("continuous"));
    assert_non_null(entry);
    assert_false(is_member(entry, 2));
    set_group(world, 2, true);
    assert_true(is_member(entry, 2));
    size_t leaves = waiting(entry);
    assert_true(leaves != SIZE_MAX);
    set_group(world, leaves, false);
    assert_false(is_member(entry, leaves));
}

static void a_snapshot_keeps_the_members_that_it_began_with(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    set_group(world, 0, true);
    set_group(world, 1, true);
    entry = start(world, OF_LAB("snapshot"));
    assert_non_null(entry);
    set_group(world, 2, true);
    assert_false(is_member(entry, 2));
    size_t leaves = waiting(entry);
    assert_true(leaves < 2);
    set_group(world, leaves, false);
    assert_true(is_member(entry, leaves));
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(entry->core.member_count, 2);
    /* Maintenance of the device itself counts all the same. */
    edit(world, leaves, &(struct flo_fleet_edit){.maintenance = "new fan"});
    assert_false(is_member(entry, leaves));
}

static void relabel(struct world *world, size_t device, const char *labels)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_device_edit(world->controller->store, ids[device],
                                           &(struct flo_fleet_edit){.labels = labels}, &world->err),
                     0);
    assert_int_equal(flo_rollouts_relabelled(world->controller, ids[device], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* One of a site at a time: a device that moved to another one begins. */
static void a_device_counts_where_its_label_says_now(void **state)
{
    static const char *const specs[] = {OF_SITES("continuous"), OF_SITES("snapshot")};
    struct world *world = *state;

    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        relabel(world, i, "{\"site\":\"lyon\"}");
    }
    for (size_t i = 0; i < FLO_COUNT(specs); i++) {
        struct flo_rollout_entry *entry = start(world, specs[i]);
        assert_non_null(entry);
        does(world, entry, FLO_ROLLOUT_EVENT_TICK);
        size_t moves = waiting(entry);
        assert_true(moves != SIZE_MAX);
        relabel(world, moves, "{\"site\":\"nantes\"}");
        entry->core.phases[0].told_at_ms = 0; /* no need to wait for the pace */
        does(world, entry, FLO_ROLLOUT_EVENT_TICK);
        assert_true(waiting(entry) != moves);
        relabel(world, moves, "{\"site\":\"lyon\"}");
        does(world, entry, FLO_ROLLOUT_EVENT_ABORT);
        entry->core.state = FLO_ROLLOUT_ABORTED; /* devices do not answer */
    }
}

/* Everybody but one has the release of a newer rollout. */
static void take_the_older_one_back(struct world *world)
{
    struct flo_rollout_entry *entry = NULL;

    bring_to_two_releases(world);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_desired_set(world->controller->store, ids[1], "tiny", "o-0001", &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    does(world, entry, FLO_ROLLOUT_EVENT_ROLLBACK);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(order_of(world, i), i == 1 ? "o-0003" : "o-0002");
    }
}

static void an_older_rollout_takes_no_newer_order_back(void **state)
{
    take_the_older_one_back(*state);
}

/* Few of many are looked for one by one, most of them together. */
static void nor_does_one_of_a_small_part_of_the_fleet(void **state)
{
    add_phantoms(*state);
    take_the_older_one_back(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(an_older_rollout_takes_no_newer_order_back),
        WITH_WORLD(nor_does_one_of_a_small_part_of_the_fleet),
        WITH_WORLD(identities_that_never_came_hold_no_rollout_up),
        WITH_WORLD(a_device_is_a_member_from_its_first_message_on),
        WITH_WORLD(a_device_in_maintenance_takes_no_rollout),
        WITH_WORLD(a_pinned_device_takes_no_other_release),
        WITH_WORLD(a_rollout_of_nobody_says_why),
        WITH_WORLD(who_joins_or_leaves_the_group_joins_or_leaves_the_rollout),
        WITH_WORLD(a_snapshot_keeps_the_members_that_it_began_with),
        WITH_WORLD(a_device_counts_where_its_label_says_now),
        WITH_WORLD(the_groups_of_a_device_are_told_to_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

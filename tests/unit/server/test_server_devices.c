/* Devices that leave, and hardware that takes a place. */
#include <flotilla/errors/enrol.h>
#include <flotilla/errors/fleet.h>
#include <flotilla/errors/order.h>
#include <flotilla/errors/release.h>

#include "server-stub/state/devices/devices.h"
#include "server-stub/state/devices/serials.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/store/fleet.h"
#include "tests/unit/waits.h"
#include "unit/server/world.h"

#define OF_LAB                                                                                     \
    "{\"release\":\"tiny@2.1.0\",\"group\":\"lab\","                                               \
    "\"phases\":[{\"share_pct\":100}]}"

static void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void make_group(struct world *world, const char *name, const char *selector)
{
    begin(world);
    assert_int_equal(
        flo_fleet_group_put(world->controller->store,
                            &(struct flo_fleet_group){
                                .name = name, .selector = selector, .priority = 100, .note = ""},
                            &world->err),
        0);
    flo_groups_changed(world->controller);
    commit(world);
}

static void join(struct world *world, size_t device, const char *group)
{
    bool is_news;

    begin(world);
    assert_int_equal(
        flo_groups_member(world->controller, group, ids[device], true, &is_news, &world->err), 0);
    commit(world);
}

static void write_on(struct world *world, size_t device, const struct flo_fleet_edit *edit)
{
    begin(world);
    assert_int_equal(
        flo_fleet_device_edit(world->controller->store, ids[device], edit, &world->err), 0);
    commit(world);
}

static int replace(struct world *world, size_t old, size_t next)
{
    begin(world);
    int rv = flo_devices_replace(world->controller, ids[old], ids[next], "ops", &world->err);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
    } else {
        commit(world);
    }
    return rv;
}

static int show(void *context, const struct flo_fleet_device *device)
{
    flo_buf_printf(context, "%s %s %s note=%s maintenance=%s pins=%s %s%.4s%.4s", device->name,
                   device->labels, device->groups, device->note, device->maintenance, device->pins,
                   device->is_retired ? "retired " : "", device->replaces, device->replaced_by);
    return 0;
}

static void shows(struct world *world, size_t device, const char *expected)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    assert_int_equal(
        flo_fleet_device_get(world->controller->store, ids[device], show, &text, &world->err), 0);
    assert_string_equal(text.data, expected);
}

static void other_hardware_takes_what_people_decided(void **state)
{
    struct world *world = *state;

    make_group(world, "lab", "");
    make_group(world, "spare", "");
    make_group(world, "old-ones", "hw=rpi4");
    join(world, 0, "lab");
    join(world, 1, "spare");
    write_on(world, 0,
             &(struct flo_fleet_edit){.labels = "{\"site\":\"lyon\",\"hw\":\"rpi4\"}",
                                      .note = "behind the till",
                                      .pins = "{\"tiny\":\"tiny@2.1.0\"}"});
    write_on(world, 1,
             &(struct flo_fleet_edit){.labels = "{\"mac\":\"02:1\",\"site\":\"store room\"}",
                                      .maintenance = "not built in yet",
                                      .note = "new"});

    assert_int_equal(replace(world, 0, 1), 0);

    shows(world, 1,
          "gw-1 {\"mac\":\"02:1\",\"site\":\"lyon\",\"hw\":\"rpi4\"}"
          " [\"all\",\"lab\"] note=behind the till maintenance="
          " pins={\"tiny\":\"tiny@2.1.0\"} 1111");
    shows(world, 0,
          "gw-1 {\"site\":\"lyon\",\"hw\":\"rpi4\"} [\"all\",\"lab\"]"
          " note=behind the till maintenance="
          " pins={\"tiny\":\"tiny@2.1.0\"} retired 2222");
}

/* Its own group brings it to where the old one was, and no rollout waits for
 * the old one. */
static void the_new_one_is_brought_to_the_old_one_s_releases(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;
    bool offered = true;

    make_group(world, "lab", "");
    join(world, 0, "lab");
    join(world, 2, "lab");
    entry = start(world, OF_LAB);
    assert_non_null(entry);
    event(world, 0, "downloading");
    assert_string_equal(order_of(world, 1), "");

    assert_int_equal(replace(world, 0, 1), 0);

    assert_string_not_equal(order_of(world, 1), "");
    assert_int_equal(
        flo_fleet_offers_release(world->controller->store, ids[1], DIGEST, &offered, &world->err),
        0);
    assert_true(offered);
    assert_int_equal(
        flo_fleet_offers_release(world->controller->store, ids[0], DIGEST, &offered, &world->err),
        0);
    assert_false(offered);
    event(world, 1, "succeeded");
    event(world, 2, "succeeded");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
}

static void a_place_is_taken_once(void **state)
{
    struct world *world = *state;

    assert_int_equal(replace(world, 0, 0), FLO_E_STATE);
    assert_int_equal(replace(world, 0, 1), 0);
    assert_int_equal(replace(world, 0, 2), FLO_E_STATE);
    assert_string_equal(world->err.what, "gw-1 was replaced already");
    assert_int_equal(replace(world, 2, 1), FLO_E_STATE);
    assert_int_equal(replace(world, 2, 0), FLO_E_STATE);
    assert_string_equal(world->err.what, "gw-1 is retired");
    shows(world, 2, "gw-3 {} [\"all\"] note= maintenance= pins= ");

    /* The one that came breaks too. */
    assert_int_equal(replace(world, 1, 2), 0);
    shows(world, 2, "gw-1 {} [\"all\"] note= maintenance= pins= 2222");
    shows(world, 1,
          "gw-1 {} [\"all\"] note= maintenance= pins= retired "
          "11113333");
}

static void one_that_was_retired_in_haste_is_replaced_too(void **state)
{
    struct world *world = *state;

    make_group(world, "lab", "");
    join(world, 0, "lab");
    write_on(world, 0, &(struct flo_fleet_edit){.note = "behind the till"});
    begin(world);
    assert_int_equal(flo_devices_retire(world->controller, ids[0], &world->err), 0);
    commit(world);

    write_on(world, 2, &(struct flo_fleet_edit){.name = "gw-1"});
    assert_int_equal(replace(world, 0, 1), FLO_E_STATE); /* the name is 2's */
    assert_int_equal(replace(world, 0, 2), 0);
    shows(world, 2,
          "gw-1 {} [\"all\",\"lab\"] note=behind the till maintenance= pins= "
          "1111");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* ---- pins ---- */

static int pin(struct world *world, size_t device, const char *before, const char *after)
{
    json_t *old = json_loads(before, 0, NULL);
    json_t *next = json_loads(after, 0, NULL);
    const char *title = json_string_value(json_object_get(next, "tiny"));

    begin(world);
    int rv =
        title != NULL ? flo_devices_may_pin(world->controller, ids[device], title, &world->err) : 0;
    rv = rv < 0 ? rv
                : flo_fleet_device_edit(world->controller->store, ids[device],
                                        &(struct flo_fleet_edit){.pins = after}, &world->err);
    rv = rv < 0 ? rv
                : flo_devices_pin(world->controller, ids[device], "ops", old, next, &world->err);
    json_decref(old);
    json_decref(next);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
    } else {
        commit(world);
    }
    return rv;
}

static int take_rows(void *context, const struct flo_fleet_device *device)
{
    struct world *world = ((void **)context)[0];
    struct flo_buf *text = ((void **)context)[1];
    json_t *rows = flo_devices_pins(world->controller, device);
    const json_t *row = json_array_get(rows, 0);

    flo_buf_printf(text, "%s %s", json_string_value(json_object_get(row, "state")),
                   json_string_value(json_object_get(row, "why")));
    json_decref(rows);
    return 0;
}

static void pin_shows(struct world *world, size_t device, const char *expected)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    void *both[] = {world, &text};

    assert_int_equal(
        flo_fleet_device_get(world->controller->store, ids[device], take_rows, both, &world->err),
        0);
    assert_string_equal(text.data, expected);
}

static int take_release_of(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, FLO_DIGEST_TEXT, "%s", order->release);
    return 0;
}

static const char *ordered(struct world *world, size_t device)
{
    static char release[FLO_DIGEST_TEXT];
    const char *order = order_of(world, device);

    release[0] = '\0';
    if (order[0] != '\0') {
        assert_int_equal(flo_fleet_order_get(world->controller->store, order, take_release_of,
                                             release, &world->err),
                         0);
    }
    return release;
}

static void reports(struct world *world, size_t device, const char *digest)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"at_ms\":1,\"models\":[{\"model\":"
             "\"tiny\",\"current\":{\"release\":\"%s\",\"version\":\"x\","
             "\"number\":1}}]}",
             ids[device], digest);
    send(world, device, "reported", text);
}

static void a_pin_brings_its_release_and_unpinning_the_groups_release(void **state)
{
    struct world *world = *state;

    bring_to_two_releases(world);
    reports(world, 0, NEXT_DIGEST);

    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), 0);
    assert_string_equal(ordered(world, 0), DIGEST);
    is_for(world, order_of(world, 0), ids[0]);
    pin_shows(world, 0, "on-its-way the device has the order");
    reports(world, 0, DIGEST);
    pin_shows(world, 0, "there ");
    assert_string_equal(ordered(world, 1), NEXT_DIGEST);

    assert_int_equal(pin(world, 0, "{\"tiny\":\"tiny@2.1.0\"}", "{}"), 0);
    assert_string_equal(ordered(world, 0), NEXT_DIGEST);
}

static void a_pinned_device_says_why_it_refuses(void **state)
{
    struct world *world = *state;
    char text[256];

    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), 0);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"order\":\"%s\",\"outcome\":\"refused\",\"error\":{"
             "\"id\":\"target.floor\",\"what\":\"1 is below 3\"},\"at_ms\":1,"
             "\"took_ms\":1}",
             order_of(world, 0));
    send(world, 0, "ack", text);

    pin_shows(world, 0, "refused target.floor: 1 is below 3");
    /* Its labels change: an order of people is no rollout's. */
    begin(world);
    assert_int_equal(flo_rollouts_reconsider(world->controller, ids[0], &world->err), 0);
    commit(world);
    assert_string_equal(ordered(world, 0), DIGEST);
}

static void an_update_of_a_pin_that_fails_is_told_by_the_pin(void **state)
{
    struct world *world = *state;
    char order[FLO_NAME_MAX + 1];

    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), 0);
    snprintf(order, sizeof(order), "%s", order_of(world, 0));
    event_of(world, order, DIGEST, 0, "failed");

    pin_shows(world, 0, "refused it gave no reason");
}

static void a_yanked_release_is_not_pinned(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_to_two_releases(world);
    assert_int_equal(pin(world, 1, "{}", "{\"tiny\":\"tiny@2.2.0\"}"), 0);
    begin(world);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.2.0", "all", "ops", "slow", id, &world->err), 0);
    commit(world);

    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.2.0\"}"), FLO_E_RELEASE_YANKED);
    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@9\"}"), FLO_E_RELEASE_ABSENT);
    pin_shows(world, 1, "refused the release was withdrawn");
}

static void a_release_that_is_not_published_is_not_pinned(void **state)
{
    struct world *world = *state;
    struct flo_fleet_release draft = {.model = "tiny",
                                      .version = "2.2.0",
                                      .number = 2,
                                      .digest = NEXT_DIGEST,
                                      .state = "draft",
                                      .body = "{}"};

    begin(world);
    assert_int_equal(flo_fleet_release_add(world->controller->store, &draft, &world->err), 0);
    commit(world);
    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.2.0\"}"), FLO_E_STATE);
}

static void rule(struct world *world, const char *group, uint32_t people)
{
    begin(world);
    assert_int_equal(flo_rules_set_approval(world->controller, group, people, "root", &world->err),
                     0);
    commit(world);
}

static void a_pin_passes_no_approval_of_others(void **state)
{
    struct world *world = *state;

    bring_to_two_releases(world);
    reports(world, 0, NEXT_DIGEST);
    rule(world, "lab", 1); /* it is none of this device's */
    rule(world, "all", 2);
    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), FLO_E_ORDER_APPROVAL);
    assert_string_equal(ordered(world, 0), NEXT_DIGEST);
    rule(world, "all", 0);
    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), 0);
}

static void a_pin_passes_no_change_freeze(void **state)
{
    struct world *world = *state;
    struct flo_rule_freeze freeze = {
        .name = "audit", .group = "lab", .from_ms = 1, .until_ms = waits_wall_ms() + 3600000};

    bring_to_two_releases(world);
    reports(world, 0, NEXT_DIGEST);
    begin(world);
    assert_int_equal(flo_rules_set_freeze(world->controller, &freeze, &world->err), 0);
    commit(world);
    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), 0);
    assert_int_equal(pin(world, 0, "{\"tiny\":\"tiny@2.1.0\"}", "{}"), 0);
    snprintf(freeze.group, sizeof(freeze.group), "all");
    begin(world);
    assert_int_equal(flo_rules_set_freeze(world->controller, &freeze, &world->err), 0);
    commit(world);
    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), FLO_E_CHANGE_FREEZE);
}

static void pins_move_with_the_place_and_bring_the_new_hardware(void **state)
{
    struct world *world = *state;

    bring_to_two_releases(world);
    assert_int_equal(pin(world, 0, "{}", "{\"tiny\":\"tiny@2.1.0\"}"), 0);

    assert_int_equal(replace(world, 0, 1), 0);

    assert_string_equal(ordered(world, 1), DIGEST);
}

/* ---- serial numbers ---- */

static int prepare(struct world *world, const char *text)
{
    json_t *item = json_loads(text, 0, NULL);

    begin(world);
    int rv = flo_serials_prepare(world->controller, item, &world->err);
    commit(world);
    json_decref(item);
    return rv;
}

static int comes(struct world *world, size_t device, const char *serial)
{
    struct flo_serial_found found;

    begin(world);
    int rv = flo_serials_look(world->controller, serial, &found, &world->err);
    rv = rv < 0 ? rv : flo_serials_take(world->controller, &found, ids[device], &world->err);
    commit(world);
    json_decref(found.body);
    return rv;
}

static void set_policy(struct world *world, enum flo_unlisted policy)
{
    begin(world);
    assert_int_equal(flo_serials_set_policy(world->controller, policy, &world->err), 0);
    commit(world);
}

static void a_listed_serial_number_brings_note_and_groups(void **state)
{
    struct world *world = *state;

    assert_int_equal(prepare(world, "{\"serial\":\"SN 1\",\"note\":\"till\","
                                    "\"groups\":[\"lab\"]}"),
                     0);
    assert_int_equal(comes(world, 0, "sn-1"), 0);

    shows(world, 0, "gw-1 {} [\"all\",\"lab\"] note=till maintenance= pins= ");
}

static void a_serial_number_claimed_twice_names_both(void **state)
{
    struct world *world = *state;

    assert_int_equal(prepare(world, "{\"serial\":\"sn-1\"}"), 0);
    assert_int_equal(comes(world, 0, "sn-1"), 0);

    assert_int_equal(comes(world, 1, "SN-1"), FLO_E_ENROL_CLAIMED);
    assert_non_null(strstr(world->err.what, "sn-1 was claimed by gw-1"));
    /* The list is imported again: who has it stays. */
    assert_int_equal(prepare(world, "{\"serial\":\"sn-1\"}"), 0);
    assert_int_equal(comes(world, 1, "sn-1"), FLO_E_ENROL_CLAIMED);
    begin(world);
    assert_int_equal(flo_devices_retire(world->controller, ids[0], &world->err), 0);
    commit(world);
    assert_int_equal(comes(world, 1, "sn-1"), 0);
}

static void the_policy_says_what_becomes_of_others(void **state)
{
    struct world *world = *state;

    assert_int_equal(comes(world, 0, NULL), 0);
    set_policy(world, FLO_UNLISTED_WAIT);
    assert_int_equal(comes(world, 0, "sn-7"), FLO_E_ENROL_WAITS);
    assert_int_equal(comes(world, 0, NULL), FLO_E_ENROL_SERIAL);
    begin(world);
    assert_int_equal(flo_serials_wait(world->controller, "sn-7", &world->err), 0);
    commit(world);
    assert_int_equal(comes(world, 0, "sn-7"), FLO_E_ENROL_WAITS);
    assert_int_equal(prepare(world, "{\"serial\":\"sn-7\"}"), 0);
    assert_int_equal(comes(world, 0, "sn-7"), 0);
    set_policy(world, FLO_UNLISTED_REFUSE);
    assert_int_equal(comes(world, 1, "sn-8"), FLO_E_ENROL_SERIAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_listed_serial_number_brings_note_and_groups),
        TEST(a_serial_number_claimed_twice_names_both),
        TEST(the_policy_says_what_becomes_of_others),
        TEST(a_pin_brings_its_release_and_unpinning_the_groups_release),
        TEST(a_pinned_device_says_why_it_refuses),
        TEST(an_update_of_a_pin_that_fails_is_told_by_the_pin),
        TEST(a_yanked_release_is_not_pinned),
        TEST(a_release_that_is_not_published_is_not_pinned),
        TEST(a_pin_passes_no_approval_of_others),
        TEST(a_pin_passes_no_change_freeze),
        TEST(pins_move_with_the_place_and_bring_the_new_hardware),
        TEST(other_hardware_takes_what_people_decided),
        TEST(the_new_one_is_brought_to_the_old_one_s_releases),
        TEST(a_place_is_taken_once),
        TEST(one_that_was_retired_in_haste_is_replaced_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

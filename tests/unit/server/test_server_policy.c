/* A rollout's policy at the controller: labels and zones of devices, windows in
 * orders, orders of single devices. */
#include <time.h>

#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"

#define MANY 40

static const char *many_id(int device)
{
    static char id[37];

    snprintf(id, sizeof(id), "%08x-8888-4888-8888-888888888888", (unsigned)device);
    return id;
}

/* Devices of two sites, with a zone as label, as report, or none. */
static int set_up(void **state)
{
    static const char *const labels[] = {
        "{\"site\":\"lyon\",\"hw\":\"rpi5\",\"tz\":\"Europe/Paris\"}",
        "{\"site\":\"oslo\",\"hw\":\"rpi4\",\"tz\":\"+05:30\"}",
        "{\"site\":\"lyon\",\"hw\":\"rpi5\",\"tz\":\"No/Where\"}",
        "{\"site\":\"lyon\",\"hw\":\"rpi5\"}"};
    const char groups[1][FLO_NAME_MAX + 1] = {"many"};

    assert_int_equal(world_setup(state), 0);
    struct world *world = *state;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        bool is_news;
        snprintf(name, sizeof(name), "many-%d", i);
        struct flo_fleet_device device = {.id = many_id(i),
                                          .name = name,
                                          .labels = labels[i < 36   ? i % 2
                                                           : i < 38 ? 2
                                                                    : 3],
                                          .profile =
                                              i < 38 ? "{\"zone\":\"America/New_York\"}" : "{}",
                                          .groups = "[\"many\"]",
                                          .enrolled_at_ms = 1};
        assert_int_equal(
            flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err), 0);
        assert_int_equal(flo_fleet_device_online(world->controller->store, many_id(i), true,
                                                 &is_news, &world->err),
                         0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return 0;
}

static const struct flo_rollout_member *member(const struct flo_rollout_entry *entry, int device)
{
    size_t index = flo_rollout_find(&entry->core, many_id(device));

    assert_int_not_equal(index, SIZE_MAX);
    return &entry->core.members[index];
}

static int take_body(void *context, const struct flo_fleet_order *order)
{
    return flo_order_parse(order->body, strlen(order->body), "demo", context, NULL);
}

/* The order in the device's desired document; false: there is none. */
static bool order_to(struct world *world, int device, struct flo_order *out)
{
    char id[FLO_NAME_MAX + 1];

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, many_id(device), "tiny", id, &world->err),
        0);
    if (id[0] == '\0') {
        return false;
    }
    assert_int_equal(flo_fleet_order_get(world->controller->store, id, take_body, out, &world->err),
                     0);
    return true;
}

static void tick(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step_all(
                         world->controller,
                         (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* ---- zones ---- */

static void a_zone_is_a_label_or_what_the_device_reported(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\","
                                                   "\"limits\":{\"window\":\"00:00-24:00\"}}");

    assert_non_null(entry);
    assert_string_equal(entry->own->zone_names.words[member(entry, 0)->place.zone - 1],
                        "Europe/Paris");
    assert_string_equal(entry->own->zone_names.words[member(entry, 1)->place.zone - 1], "+05:30");
    /* A label that is no zone means no other one. */
    assert_int_equal(member(entry, 36)->place.zone, 0);
    assert_int_equal(member(entry, 38)->place.zone, 0);
}

static void an_order_states_the_window_by_utc(void **state)
{
    struct world *world = *state;
    struct flo_order order;
    uint32_t seen = 0;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\",\"rate\":"
                     "\"1000/s\",\"phases\":[{\"size\":\"100%\"}],\"limits\":"
                     "{\"window\":\"mon-sun 02:00-01:00\"}}"); /* 23 hours */
    assert_non_null(entry);

    for (int i = 0; i < MANY; i++) {
        const struct flo_rollout_member *m = member(entry, i);
        if (!order_to(world, i, &order)) {
            /* Its window is closed, or nobody knows its zone. */
            assert_int_equal(m->state, FLO_EXECUTION_QUEUED);
            continue;
        }
        assert_int_equal(m->state, FLO_EXECUTION_NOTIFIED);
        assert_int_not_equal(m->place.zone, 0);
        int32_t offset_s = entry->core.zones[m->place.zone - 1].offset_s;
        assert_int_equal(order.policy.window_length_s, 23 * 3600);
        assert_int_equal(order.policy.window_from_s,
                         (uint32_t)(2 * 3600 - offset_s + 86400) % 86400);
        assert_int_equal(order.policy.window_days, 127);
        assert_int_equal(order.phase, 0);
        seen++;
    }
    /* Half of the devices are in each zone, and an hour a day one is closed. */
    assert_true(seen >= MANY / 3);
}

/* A row of the rollout's first devices. */
static json_t *row_of(const json_t *rows, const char *id)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "id")), id) == 0) {
            return row;
        }
    }
    return NULL;
}

static void who_waits_says_for_what_and_until_when(void **state)
{
    struct world *world = *state;
    time_t later = (time_t)(waits_wall_ms() / 1000) + 6 * 3600;
    struct tm at;
    char body[300], opens[80];
    json_t *rows = NULL;

    gmtime_r(&later, &at);
    snprintf(body, sizeof(body),
             "{\"release\":\"tiny@2.1.0\",\"group\":\"many\",\"phases\":[{\"size\":\"100%%\"}],"
             "\"limits\":{\"window\":\"%02d:00-%02d:30 +00:00\"}}",
             at.tm_hour, at.tm_hour);
    struct flo_rollout_entry *entry = start(world, body);
    assert_non_null(entry);
    assert_int_equal(flo_rollouts_show_first(world->controller, entry, MANY, &rows, &world->err),
                     0);
    const json_t *row = row_of(rows, many_id(0));
    snprintf(opens, sizeof(opens), "its window, which opens at %04d-%02d-%02dT%02d:00:00.",
             at.tm_year + 1900, at.tm_mon + 1, at.tm_mday, at.tm_hour);
    const char *why = json_string_value(json_object_get(row, "reason"));
    assert_non_null(why);
    if (strncmp(why, opens, strlen(opens)) != 0 || strstr(why, "(+00:00)") == NULL) {
        fail_msg("%s, not %s", why, opens);
    }
    json_int_t until_ms = json_integer_value(json_object_get(row, "until_at_ms"));
    assert_in_range(until_ms / 1000, later - 3600, later);
    json_decref(rows);

    /* Each in its own zone: nobody knows that of device 36. */
    entry->core.window.is_local = true;
    entry->core.members[flo_rollout_find(&entry->core, many_id(36))].place.zone = 0;
    assert_int_equal(flo_rollouts_show_first(world->controller, entry, MANY, &rows, &world->err),
                     0);
    row = row_of(rows, many_id(36));
    assert_string_equal(json_string_value(json_object_get(row, "reason")),
                        "a time zone for its window: give it the label tz");
    assert_null(json_object_get(row, "until_at_ms"));
    json_decref(rows);
}

static void report_zone(struct world *world, int device, const char *zone)
{
    char topic[FLO_TOPIC_TEXT];
    char text[512];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/reported", many_id(device));
    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"profile\":{\"zone\":\"%s\"},"
             "\"models\":[]}",
             many_id(device), zone);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_ingest(&world->ingest, topic, text, strlen(text), true, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* Also while the device waits: its window is that of the place where it is. */
static void a_zone_that_changes_is_taken_by_the_next_report(void **state)
{
    static const char *const zones[] = {"UTC", "Asia/Tokyo", "+02:00", "America/New_York"};
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\","
                                                   "\"limits\":{\"window\":\"00:00-24:00\"}}");

    for (size_t i = 0; i < FLO_COUNT(zones); i++) {
        report_zone(world, 39, zones[i]);
        assert_string_equal(entry->own->zone_names.words[member(entry, 39)->place.zone - 1],
                            zones[i]);
    }
    report_zone(world, 0, "Asia/Tokyo"); /* its label counts */
    assert_string_equal(entry->own->zone_names.words[member(entry, 0)->place.zone - 1],
                        "Europe/Paris");
}

static void a_device_begins_when_its_zone_becomes_known(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\",\"rate\":"
                     "\"1000/s\",\"phases\":[{\"size\":\"100%\"}],\"limits\":"
                     "{\"window\":\"00:00-24:00\"}}");

    assert_non_null(entry);
    assert_int_equal(member(entry, 39)->state, FLO_EXECUTION_QUEUED);
    report_zone(world, 39, "UTC");

    /* A thousand begin in a second, so its turn is a millisecond after the others'. */
    WAIT_TURNING(member(entry, 39)->state == FLO_EXECUTION_NOTIFIED, { tick(world); });
}

static void a_window_in_a_zone_that_nobody_knows_is_refused(void **state)
{
    struct world *world = *state;

    assert_null(start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\","
                             "\"limits\":{\"window\":\"01:00-05:00 "
                             "Mars/Olympus\"}}"));
    assert_int_equal(world->err.code, FLO_E_REST_SCHEMA);
    assert_non_null(strstr(world->err.what, "limits.window: no time zone"));
}

/* ---- labels ---- */

static void no_site_has_more_under_way_than_its_limit(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\",\"rate\":"
                     "\"1000/s\",\"phases\":[{\"size\":\"100%\"}],\"limits\":"
                     "{\"per_site\":2}}");
    uint32_t told = 0;

    assert_non_null(entry);
    tick(world);
    for (int i = 0; i < MANY; i++) {
        told += member(entry, i)->state == FLO_EXECUTION_NOTIFIED;
    }
    assert_int_equal(told, 4); /* lyon and oslo */

    /* After a restart too. */
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    tick(world);
    told = 0;
    for (int i = 0; i < MANY; i++) {
        told += member(entry, i)->state == FLO_EXECUTION_NOTIFIED;
    }
    assert_int_equal(told, 4);
}

static void a_spread_canary_survives_a_restart(void **state)
{
    struct world *world = *state;
    struct flo_order order;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\",\"phases\":"
                     "[{\"size\":2,\"spread\":[\"site\",\"hw\"]},"
                     "{\"size\":\"100%\"}]}");
    uint32_t strata = 0;
    uint32_t before[MANY];

    assert_non_null(entry);
    for (int i = 0; i < MANY; i++) {
        const struct flo_rollout_member *m = member(entry, i);
        before[i] = m->bucket;
        assert_int_equal(order_to(world, i, &order), m->phase == 0);
        if (m->phase == 0) {
            strata |= 1u << m->place.stratum;
            assert_string_equal(order.scope.device, m->device);
        }
    }
    assert_int_equal(strata, 1u << 1 | 1u << 2);
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(member(entry, i)->bucket, before[i]);
    }
    /* The rest is ordered for all, as their buckets are not of their hash. */
    does(world, entry, FLO_ROLLOUT_EVENT_PROMOTE);
    bool is_seen = false;
    for (int i = 0; i < MANY && !is_seen; i++) {
        if (member(entry, i)->phase == 1 && member(entry, i)->state == FLO_EXECUTION_NOTIFIED) {
            assert_true(order_to(world, i, &order));
            assert_string_equal(order.scope.group, "many");
            assert_int_equal(order.scope.bucket_from, 0);
            assert_int_equal(order.scope.bucket_to, FLO_BUCKETS);
            is_seen = true;
        }
    }
    assert_true(is_seen);
}

static void a_rollback_of_a_spread_canary_is_for_its_devices_alone(void **state)
{
    struct world *world = *state;
    struct flo_order order;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\",\"phases\":"
                     "[{\"size\":2,\"spread\":[\"site\"]},{\"size\":\"100%\"}]}");

    assert_non_null(entry);
    does(world, entry, FLO_ROLLOUT_EVENT_ROLLBACK);
    for (int i = 0; i < MANY; i++) {
        const struct flo_rollout_member *m = member(entry, i);
        bool is_told = order_to(world, i, &order);
        assert_int_equal(is_told, m->phase == 0);
        if (is_told) {
            assert_int_equal(order.op, FLO_ORDER_ROLLBACK);
            assert_string_equal(order.scope.device, m->device);
        }
    }
}

/* ---- attempts, requests ---- */

static void another_attempt_is_an_order_for_that_device_alone(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"size\":"
                     "\"100%\"}],\"retries\":{\"network\":1},\"retry_wait\":"
                     "\"0s\"}");
    struct flo_order order;
    char before[FLO_NAME_MAX + 1];
    char text[512];

    assert_non_null(entry);
    snprintf(before, sizeof(before), "%s", order_of(world, 0));
    event(world, 0, "downloading");
    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":%llu,\"type\":\"execution\",\"execution\":\"r-0001.1\","
             "\"release\":\"%s\",\"state\":\"failed\",\"error\":{\"id\":"
             "\"net.stalled\",\"what\":\"?\"}}",
             (unsigned long long)++world->seq, DIGEST);
    send(world, 0, "event", text);
    size_t index = flo_rollout_find(&entry->core, ids[0]);
    assert_int_equal(entry->core.members[index].retries, 1);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    entry->core.phases[0].told_at_ms -= 1000;
    tick(world);

    assert_int_equal(entry->core.members[index].state, FLO_EXECUTION_NOTIFIED);
    assert_string_not_equal(order_of(world, 0), before);
    assert_int_equal(flo_fleet_order_get(world->controller->store, order_of(world, 0), take_body,
                                         &order, &world->err),
                     0);
    assert_string_equal(order.scope.device, ids[0]);
    assert_string_equal(order.rollout, "r-0001");

    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(entry->core.members[index].retries, 1);
}

static void a_phase_may_ask_for_requests_on_trial(void **state)
{
    struct world *world = *state;
    struct flo_order order;

    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"many\",\"phases\""
                                 ":[{\"size\":\"100%\",\"min_requests\":77}]}"));
    for (int i = 0; i < MANY; i++) {
        if (order_to(world, i, &order)) {
            assert_int_equal(order.policy.soak_requests, 77);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_zone_is_a_label_or_what_the_device_reported, set_up,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_order_states_the_window_by_utc, set_up, world_teardown),
        cmocka_unit_test_setup_teardown(who_waits_says_for_what_and_until_when, set_up,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_device_begins_when_its_zone_becomes_known, set_up,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_zone_that_changes_is_taken_by_the_next_report, set_up,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_window_in_a_zone_that_nobody_knows_is_refused, set_up,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(no_site_has_more_under_way_than_its_limit, set_up,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_spread_canary_survives_a_restart, set_up, world_teardown),
        cmocka_unit_test_setup_teardown(a_rollback_of_a_spread_canary_is_for_its_devices_alone,
                                        set_up, world_teardown),
        cmocka_unit_test_setup_teardown(another_attempt_is_an_order_for_that_device_alone, set_up,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_phase_may_ask_for_requests_on_trial, set_up,
                                        world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

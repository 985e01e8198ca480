/* Each fact of a device that a rollout uses follows the device.  Labels and profiles
 * change here while the rollout runs, and are taken within 20 s. */
#include <time.h>

#include "server-stub/state/clock/clock.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "tests/unit/held_clock.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"

#define TAKEN_S 20
#define DAY_MS UINT64_C(86400000)
#define NOON_MS (DAY_MS / 2)
#define OPENS_MS (UINT64_C(3600000)) /* a window that is shut at the start opens then */

/* OPEN and SHUT stand for zones in which a window from 2 to 4 is open (or opens in an
 * hour), or opens in 16 hours.  `fits` lets the device be told, `bars` does not. */
struct row {
    const char *name;
    const char *where;  /* selector of the rollout's group; NULL: it is for all */
    const char *limits; /* of the rollout */
    bool is_profile;    /* the fact is in the device's report, not in a label */
    const char *fits, *bars;
};

static const struct row rows[] = {
    {"zone, label", NULL, "\"window\":\"02:00-04:00\"", false, "{\"tz\":\"OPEN\"}",
     "{\"tz\":\"SHUT\"}"},
    {"zone, profile", NULL, "\"window\":\"02:00-04:00\"", true, "{\"zone\":\"OPEN\"}",
     "{\"zone\":\"SHUT\"}"},
    {"class, label", "label.class=small", "", false, "{\"class\":\"small\"}",
     "{\"class\":\"large\"}"},
    {"class, profile", "class=small", "", true, "{\"class\":\"small\"}", "{\"class\":\"large\"}"},
    {"memory, label", "label.memory=4", "", false, "{\"memory\":\"4\"}", "{\"memory\":\"1\"}"},
    {"memory, profile", "memory>=4GiB", "", true, "{\"memory_bytes\":4294967296}",
     "{\"memory_bytes\":1073741824}"},
    {"architecture, label", "label.arch=aarch64", "", false, "{\"arch\":\"aarch64\"}", "{}"},
    {"architecture, profile", "arch=aarch64", "", true, "{\"arch\":\"aarch64\"}",
     "{\"arch\":\"x86_64\"}"},
    {"accelerator, label", "not label.accelerator", "", false, "{}", "{\"accelerator\":\"npu\"}"},
    {"accelerator, profile", "accelerator=npu", "", true, "{\"accelerators\":[{\"kind\":\"npu\"}]}",
     "{\"accelerators\":[{\"kind\":\"gpu\"}]}"},
    {"runtime, label", "label.runtime=own", "", false, "{\"runtime\":\"own\"}", "{}"},
    {"runtime, profile", "runtime=own", "", true, "{\"runtimes\":[{\"name\":\"own\"}]}",
     "{\"runtimes\":[]}"},
    /* These are labels alone. */
    {"country, label", "country in (fr,be)", "", false, "{\"country\":\"fr\"}",
     "{\"country\":\"de\"}"},
    {"site, label", NULL, "\"per_site\":1", false, "{\"site\":\"oslo\"}", "{\"site\":\"lyon\"}"},
};

/* Offset of a zone in which it is now so many minutes after midnight. */
static const char *zone_at(int minutes, char out[8])
{
    int utc = (int)(waits_wall_ms() / 60000 % 1440);
    int offset = ((minutes - utc) % 1440 + 1440 + 720) % 1440 - 720;

    snprintf(out, 8, "%c%02d:%02d", offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);
    return out;
}

static void write_zones(const char *from, bool is_soon, char *out)
{
    const char *open = strstr(from, "OPEN");
    const char *word = open != NULL ? open : strstr(from, "SHUT");
    char zone[8];

    strcpy(out, from);
    if (word != NULL) {
        zone_at(*word == 'S' ? 10 * 60 : is_soon ? 60 : 180, zone);
        sprintf(out + (word - from), "%s%s", zone, word + 4);
    }
}

static void turn(struct world *world)
{
    while (flo_groups_turn(world->controller, waits_now_ms())) {
    }
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step_all(
                         world->controller,
                         (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* A person labels a device, or it sends a report. */
static void say(struct world *world, size_t device, bool is_profile, const char *fact)
{
    char text[400];

    if (is_profile) {
        snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"profile\":%s,\"models\":[]}",
                 ids[device], fact);
        send(world, device, "reported", text);
        return;
    }
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_device_edit(world->controller->store, ids[device],
                                           &(struct flo_fleet_edit){.labels = fact}, &world->err),
                     0);
    assert_int_equal(flo_rollouts_relabelled(world->controller, ids[device], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static bool is_told(const struct flo_rollout_entry *entry, size_t device)
{
    size_t index = flo_rollout_find(&entry->core, ids[device]);

    return index != SIZE_MAX && entry->core.members[index].state == FLO_EXECUTION_NOTIFIED;
}

/* true: within 20 s. */
static bool comes_to_be_told(struct world *world, const struct flo_rollout_entry *entry,
                             size_t device)
{
    for (int i = 0; i < TAKEN_S && !is_told(entry, device); i++) {
        held_clock_pass_ms(1000);
        turn(world);
    }
    return is_told(entry, device);
}

static struct flo_rollout_entry *begin_row(struct world *world, const struct row *row,
                                           const char *fact, bool is_soon)
{
    char spec[400], zone[8], window[80] = "", text[200];
    struct flo_rollout_entry *entry;

    if (row->where != NULL) {
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(
            flo_fleet_group_put(
                world->controller->store,
                &(struct flo_fleet_group){.name = "here", .selector = row->where, .note = ""},
                &world->err),
            0);
        flo_groups_changed(world->controller);
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    }
    if (is_soon && strstr(row->limits, "window") == NULL) {
        snprintf(window, sizeof(window), "%s\"window\":\"02:00-04:00 %s\"",
                 row->limits[0] == '\0' ? "" : ",", zone_at(60, zone));
    }
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        bool fits = i == 2 && row->where != NULL; /* a group without devices is refused */
        write_zones(i == 0 ? fact : fits ? row->fits : row->bars, is_soon, text);
        say(world, i, row->is_profile, text);
    }
    turn(world);
    snprintf(spec, sizeof(spec),
             "{\"release\":\"tiny@2.1.0\",\"group\":\"%s\",\"rate\":\"1000/s\","
             "\"phases\":[{\"size\":\"100%%\"}],\"limits\":{%s%s}}",
             row->where != NULL ? "here" : "all", row->limits, window);
    entry = start(world, spec);
    if (entry == NULL) {
        fail_msg("%s: %s", row->name, world->err.what);
    }
    return entry;
}

static void each_fact_that_changes_is_taken_within_20_s(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        bool is_shared = strstr(row->limits, "per_site") != NULL;
        struct world *world;
        char fits[200];

        assert_int_equal(world_setup((void **)&world), 0);
        struct flo_rollout_entry *entry = begin_row(world, row, row->bars, false);
        /* One of a site is told; the others wait for it. */
        size_t device = comes_to_be_told(world, entry, 0) && is_shared ? 1 : 0;
        if (comes_to_be_told(world, entry, device)) {
            fail_msg("%s: it is told before", row->name);
        }
        write_zones(row->fits, false, fits);
        say(world, device, row->is_profile, fits);
        if (!comes_to_be_told(world, entry, device)) {
            fail_msg("%s: not taken within %d s", row->name, TAKEN_S);
        }
        world_teardown((void **)&world);
    }
}

/* The other way round: a device that waits for a window does not fit any more when the
 * window opens.  The same device is told if nothing changes. */
static void who_does_not_fit_any_more_is_not_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * FLO_COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        bool is_shared = strstr(row->limits, "per_site") != NULL;
        bool changes = i % 2 == 0;
        struct world *world;
        char bars[200];

        assert_int_equal(world_setup((void **)&world), 0);
        struct flo_rollout_entry *entry = begin_row(world, row, row->fits, true);
        write_zones(row->bars, true, bars);
        assert_false(comes_to_be_told(world, entry, 0));
        if (changes) {
            say(world, 0, row->is_profile, bars);
        }
        held_clock_pass_ms(OPENS_MS);
        bool is_first = comes_to_be_told(world, entry, 0);
        bool is_other = comes_to_be_told(world, entry, 1) || is_told(entry, 2);
        bool is_taken = is_shared ? is_first != is_other : !is_first; /* one of a site */
        if (changes ? !is_taken : !is_first) {
            fail_msg("%s: %s", row->name, changes ? "told, though it changed" : "not told");
        }
        world_teardown((void **)&world);
    }
}

/* ---- a device that was told, and has not begun ---- */

static int take_body(void *context, const struct flo_fleet_order *order)
{
    return flo_order_parse(order->body, strlen(order->body), "demo", context, NULL);
}

/* Hour of the day in UTC at which the window opens, by the device's order. */
static uint32_t opens_at(struct world *world, size_t device)
{
    struct flo_order order;

    assert_int_equal(flo_fleet_order_get(world->controller->store, order_of(world, device),
                                         take_body, &order, &world->err),
                     0);
    return (uint32_t)(order.policy.window_from_s / 3600);
}

static struct flo_rollout_entry *tell_all(struct world *world, bool is_profile, const char *zone)
{
    char fact[64];

    snprintf(fact, sizeof(fact), "{\"%s\":\"%s\"}", is_profile ? "zone" : "tz", zone);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        say(world, i, is_profile, fact);
    }
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"all\",\"rate\":\"1000/s\","
                     "\"phases\":[{\"size\":\"100%\"}],\"limits\":{\"window\":\"05:00-04:00\"}}");
    assert_non_null(entry);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_true(comes_to_be_told(world, entry, i));
    }
    return entry;
}

/* Its order says the window by UTC: that of the zone to which the device went. */
static void a_told_device_has_the_window_of_its_new_zone(void **state)
{
    (void)state;
    for (int is_profile = 0; is_profile < 2; is_profile++) {
        struct world *world;

        assert_int_equal(world_setup((void **)&world), 0);
        (void)tell_all(world, is_profile, "+00:00");
        assert_int_equal(opens_at(world, 0), 5);
        say(world, 0, is_profile, is_profile ? "{\"zone\":\"-07:00\"}" : "{\"tz\":\"-07:00\"}");
        for (int i = 0; i < TAKEN_S && opens_at(world, 0) == 5; i++) {
            held_clock_pass_ms(1000);
            turn(world);
        }
        assert_int_equal(opens_at(world, 0), 12);
        assert_int_equal(opens_at(world, 1), 5); /* it stayed */
        world_teardown((void **)&world);
    }
}

static void a_zone_that_goes_to_and_fro_gets_few_orders(void **state)
{
    struct world *world;

    (void)state;
    assert_int_equal(world_setup((void **)&world), 0);
    (void)tell_all(world, true, "+00:00");
    long first = atol(order_of(world, 0) + 2);
    for (int i = 0; i < 300; i++) {
        say(world, 0, true, i % 2 == 0 ? "{\"zone\":\"-07:00\"}" : "{\"zone\":\"+00:00\"}");
    }
    assert_int_equal(atol(order_of(world, 0) + 2) - first, FLO_ROLLOUT_REPEATS_MAX);
    world_teardown((void **)&world);
}

/* The report is taken, though no order can be signed. */
static void a_moved_device_is_heard_while_the_clock_has_leapt(void **state)
{
    struct world *world;

    (void)state;
    assert_int_equal(world_setup((void **)&world), 0);
    flo_clock_tick(world->controller);
    (void)tell_all(world, true, "+00:00");
    held_wall_ms += 400 * UINT64_C(86400000);
    flo_clock_tick(world->controller);
    assert_true(flo_clock_is_leapt(world->controller));
    say(world, 0, true, "{\"zone\":\"-07:00\"}");
    assert_int_equal(world->ingest.dropped, 0);
    world_teardown((void **)&world);
}

#define SPRING_MS UINT64_C(1806195600000) /* 2027-03-28 01:00 UTC: Paris turns its clocks */

static void a_told_device_has_the_window_of_summer_time(void **state)
{
    struct world *world;

    (void)state;
    held_clock_pass_ms(SPRING_MS - 3600000 - waits_wall_ms());
    assert_int_equal(world_setup((void **)&world), 0);
    (void)tell_all(world, false, "Europe/Paris");
    assert_int_equal(opens_at(world, 0), 4);
    held_clock_pass_ms(SPRING_MS - waits_wall_ms());
    for (int i = 0; i < TAKEN_S + 1; i++) {
        turn(world);
        held_clock_pass_ms(1000);
    }
    assert_int_equal(opens_at(world, 0), 3);
    assert_int_equal(opens_at(world, 2), 3);
    world_teardown((void **)&world);
}

/* It's noon, so that no window is open or shut by the hour of the machine. */
static int hold(void **state)
{
    (void)state;
    held_clock_hold();
    held_clock_pass_ms(NOON_MS + DAY_MS - waits_wall_ms() % DAY_MS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_fact_that_changes_is_taken_within_20_s, hold),
        cmocka_unit_test_setup(who_does_not_fit_any_more_is_not_told, hold),
        cmocka_unit_test_setup(a_told_device_has_the_window_of_its_new_zone, hold),
        cmocka_unit_test_setup(a_zone_that_goes_to_and_fro_gets_few_orders, hold),
        cmocka_unit_test_setup(a_told_device_has_the_window_of_summer_time, hold),
        cmocka_unit_test_setup(a_moved_device_is_heard_while_the_clock_has_leapt, hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

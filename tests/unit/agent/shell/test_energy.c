/* Energy of processors and batteries below a faked root: counters that begin
 * again, that are missing, that nobody may read, or that are no numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/shell/benchmark/benchmark.h"
#include "unit/remove_tree.h"

#define CAP "/sys/class/powercap/"
#define BAT "/sys/class/power_supply/BAT0/"
#define NOBODY 65534
#define MINUTE UINT64_C(60000)

static char root[64];

static int begin(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/flo-energy-XXXXXX");
    return mkdtemp(root) == NULL || chmod(root, 0755) != 0 ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    remove_tree(root);
    return 0;
}

static void put(const char *path, const char *text)
{
    char whole[512];
    FILE *file;

    snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *at = whole + strlen(root) + 1; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            mkdir(whole, 0755);
            *at = '/';
        }
    }
    unlink(whole);
    file = fopen(whole, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct flo_energy look(void)
{
    struct flo_energy energy;

    flo_energy_read(root, &energy);
    return energy;
}

static void put_package(const char *zone, const char *name, const char *uj)
{
    char path[256];

    snprintf(path, sizeof(path), CAP "%s/name", zone);
    put(path, name);
    snprintf(path, sizeof(path), CAP "%s/energy_uj", zone);
    put(path, uj);
    snprintf(path, sizeof(path), CAP "%s/max_energy_range_uj", zone);
    put(path, "1000\n");
}

static uint64_t used(const struct flo_energy *before, const struct flo_energy *after)
{
    uint64_t uj = UINT64_MAX;

    return flo_energy_used(before, after, &uj) ? uj : UINT64_MAX;
}

/* ---- processors ---- */

static void a_machine_without_counters_reads_as_absent(void **state)
{
    struct flo_energy energy;

    (void)state;
    energy = look();
    assert_int_equal(energy.source, FLO_ENERGY_ABSENT);
    assert_false(energy.has_battery);
    assert_int_equal(energy.battery_pct, -1);
    assert_true(used(&energy, &energy) == UINT64_MAX);
}

static void packages_are_summed_and_their_parts_are_not_counted_again(void **state)
{
    struct flo_energy before, after;

    (void)state;
    put_package("intel-rapl:0", "package-0\n", "100\n");
    put_package("intel-rapl:1", "package-1\n", "200\n");
    put_package("intel-rapl:0:0", "core\n", "50\n");
    put_package("intel-rapl:2", "psys\n", "70\n");
    put_package("intel-rapl-mmio:0", "package-0\n", "5\n");
    put(CAP "intel-rapl/enabled", "1\n");
    put(CAP "dtpm/name", "package-9\n");
    before = look();
    put_package("intel-rapl:0", "package-0\n", "130\n");
    put_package("intel-rapl:1", "package-1\n", "205\n");
    after = look();
    assert_int_equal(after.source, FLO_ENERGY_READ);
    assert_int_equal(after.zone_count, 2);
    assert_true(used(&before, &after) == 35);
}

static void a_counter_that_began_again_is_followed_past_its_end(void **state)
{
    struct flo_energy before, after;

    (void)state;
    put_package("intel-rapl:0", "package-0\n", "990\n");
    before = look();
    put_package("intel-rapl:0", "package-0\n", "9\n");
    after = look();
    assert_true(used(&before, &after) == 20); /* 990 to 1000, then 0, then 9 */
}

static void a_counter_that_sank_without_a_known_end_says_nothing(void **state)
{
    struct flo_energy before, after;

    (void)state;
    put_package("intel-rapl:0", "package-0\n", "2000\n"); /* above its own end */
    before = look();
    put_package("intel-rapl:0", "package-0\n", "9\n");
    after = look();
    assert_true(used(&before, &after) == UINT64_MAX);
    after.zones[0].max_uj = 0;
    assert_true(used(&before, &after) == UINT64_MAX);
}

static void a_package_that_came_between_two_readings_makes_them_unfit(void **state)
{
    struct flo_energy before, after;

    (void)state;
    put_package("intel-rapl:0", "package-0\n", "1\n");
    before = look();
    put_package("intel-rapl:1", "package-1\n", "1\n");
    after = look();
    assert_true(used(&before, &after) == UINT64_MAX);
}

static void counters_that_are_no_numbers_are_left_out(void **state)
{
    static const char *const bad[] = {"",
                                      "\n",
                                      "-5\n",
                                      "x\n",
                                      "12x\n",
                                      " 7\n",
                                      "99999999999999999999999\n",
                                      "18446744073709551615\n"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        put_package("intel-rapl:0", "package-0\n", bad[i]);
        struct flo_energy energy = look();
        assert_int_equal(energy.source, FLO_ENERGY_ABSENT);
        assert_int_equal(energy.zone_count, 0);
    }
}

static void a_counter_that_only_root_may_read_is_told_apart_from_none(void **state)
{
    char path[256];
    struct flo_energy energy;

    (void)state;
    put_package("intel-rapl:0", "package-0\n", "5\n");
    put_package("intel-rapl:1", "package-1\n", "5\n");
    snprintf(path, sizeof(path), "%s" CAP "intel-rapl:1/energy_uj", root);
    assert_int_equal(chmod(path, 0), 0);
    uid_t user = geteuid();
    if (user == 0) { /* root reads every file */
        assert_int_equal(seteuid(NOBODY), 0);
    }
    energy = look();
    assert_int_equal(seteuid(user), 0);
    assert_int_equal(energy.source, FLO_ENERGY_UNREADABLE);
    assert_int_equal(energy.zone_count, 0);
}

static void more_packages_than_there_is_room_for_are_left_out(void **state)
{
    char zone[32], name[32];

    (void)state;
    for (int i = 0; i < FLO_ENERGY_ZONES_MAX + 3; i++) {
        snprintf(zone, sizeof(zone), "intel-rapl:%d", i);
        snprintf(name, sizeof(name), "package-%d\n", i);
        put_package(zone, name, "5\n");
    }
    assert_int_equal(look().zone_count, FLO_ENERGY_ZONES_MAX);
}

/* ---- batteries ---- */

static double drain(const struct flo_energy *before, const struct flo_energy *after, uint64_t ms)
{
    double percent = -1;

    return flo_energy_drain(before, after, ms, &percent) ? percent : -1;
}

static void put_battery(const char *status, const char *now, const char *pct)
{
    put(BAT "type", "Battery\n");
    put(BAT "status", status);
    put(BAT "energy_now", now);
    put(BAT "energy_full", "50000000\n");
    put(BAT "capacity", pct);
}

static void a_battery_tells_how_much_of_it_an_hour_takes(void **state)
{
    struct flo_energy before, after;

    (void)state;
    put_battery("Discharging\n", "40000000\n", "80\n");
    before = look();
    put_battery("Discharging\n", "39500000\n", "79\n");
    after = look();
    assert_true(drain(&before, &after, 6 * MINUTE) == 10); /* 1 % in a tenth of an hour */
    assert_true(drain(&before, &after, MINUTE - 1) == -1); /* too short to say */
}

static void a_battery_that_counts_ampere_hours_tells_the_same(void **state)
{
    struct flo_energy energy;

    (void)state;
    put(BAT "type", "Battery\n");
    put(BAT "charge_now", "4000000\n");
    put(BAT "charge_full", "5000000\n");
    put(BAT "voltage_now", "12000000\n");
    energy = look();
    assert_true(energy.battery_uwh == 48000000);
    assert_true(energy.battery_full_uwh == 60000000);
}

static void a_battery_with_nothing_but_percents_is_enough(void **state)
{
    struct flo_energy before, after;

    (void)state;
    put(BAT "type", "Battery\n");
    put(BAT "status", "Discharging\n");
    put(BAT "capacity", "80\n");
    before = look();
    put(BAT "capacity", "78\n");
    after = look();
    assert_true(drain(&before, &after, 60 * MINUTE) == 2);
    put(BAT "capacity", "780\n");
    after = look();
    assert_int_equal(after.battery_pct, -1);
    assert_true(drain(&before, &after, 60 * MINUTE) == -1);
}

static void a_battery_that_is_charged_says_nothing(void **state)
{
    struct flo_energy before, after;

    (void)state;
    put_battery("Discharging\n", "40000000\n", "80\n");
    before = look();
    put_battery("Charging\n", "39000000\n", "79\n");
    after = look();
    assert_true(drain(&before, &after, 60 * MINUTE) == -1);
    put_battery("Discharging\n", "41000000\n", "82\n"); /* charged meanwhile */
    after = look();
    assert_true(drain(&before, &after, 60 * MINUTE) == -1);
}

static void the_battery_of_a_mouse_is_not_the_devices_own(void **state)
{
    (void)state;
    put_battery("Discharging\n", "40000000\n", "80\n");
    put(BAT "scope", "Device\n");
    assert_false(look().has_battery);
    put("/sys/class/power_supply/AC/type", "Mains\n");
    assert_false(look().has_battery);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_without_counters_reads_as_absent),
        TEST(packages_are_summed_and_their_parts_are_not_counted_again),
        TEST(a_counter_that_began_again_is_followed_past_its_end),
        TEST(a_counter_that_sank_without_a_known_end_says_nothing),
        TEST(a_package_that_came_between_two_readings_makes_them_unfit),
        TEST(counters_that_are_no_numbers_are_left_out),
        TEST(a_counter_that_only_root_may_read_is_told_apart_from_none),
        TEST(more_packages_than_there_is_room_for_are_left_out),
        TEST(a_battery_tells_how_much_of_it_an_hour_takes),
        TEST(a_battery_that_counts_ampere_hours_tells_the_same),
        TEST(a_battery_with_nothing_but_percents_is_enough),
        TEST(a_battery_that_is_charged_says_nothing),
        TEST(the_battery_of_a_mouse_is_not_the_devices_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

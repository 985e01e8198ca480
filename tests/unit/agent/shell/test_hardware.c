/* Sensors below a faked root, and the ring of log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/shell/hardware/hardware.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

static char root[64];

static int begin(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/flo-hardware-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
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
            mkdir(whole, 0700);
            *at = '/';
        }
    }
    file = fopen(whole, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_machine_that_says_nothing_reads_as_nothing(void **state)
{
    struct flo_sensed sensed;

    (void)state;
    flo_sensors_read(root, &sensed);
    assert_false(sensed.has_pressure);
    assert_false(sensed.has_zone);
    assert_int_equal(sensed.battery_pct, -1);
    assert_true(sensed.cgroup_bytes_max == 0);
}

static void every_sensor_is_read(void **state)
{
    struct flo_sensed sensed;

    (void)state;
    put("/proc/pressure/memory",
        "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00\n");
    put("/proc/pressure/cpu", "some avg10=99.99 avg60=0.00\n");
    put("/proc/loadavg", "3.25 1.00 0.50 2/100 1\n");
    put("/proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 1000 kB\n"
                         "SwapTotal: 100 kB\nSwapFree: 40 kB\n");
    put("/proc/self/cgroup", "0::/system.slice/flotilla.service\n");
    put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/flotilla.service/memory.max", "5000\n");
    put("/sys/fs/cgroup/system.slice/flotilla.service/memory.current", "4000\n");
    put("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
    put("/sys/class/thermal/thermal_zone0/temp", "71000\n");
    put("/sys/class/thermal/thermal_zone0/trip_point_0_type", "passive\n");
    put("/sys/class/thermal/thermal_zone0/trip_point_0_temp", "75000\n");
    put("/sys/class/thermal/thermal_zone1/type", "PMIC-Die\n");
    put("/sys/class/thermal/thermal_zone1/temp", "100000\n");
    put("/sys/class/power_supply/BAT0/type", "Battery\n");
    put("/sys/class/power_supply/BAT0/capacity", "15\n");
    put("/sys/class/power_supply/BAT0/status", "Discharging\n");
    put("/sys/class/power_supply/mouse/type", "Battery\n");
    put("/sys/class/power_supply/mouse/scope", "Device\n");
    put("/sys/class/power_supply/mouse/capacity", "3\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "600000\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1800000\n");

    flo_sensors_read(root, &sensed);

    assert_int_equal(sensed.psi_memory, 1234);
    assert_int_equal(sensed.psi_cpu, 9999);
    assert_int_equal(sensed.load_centi, 325);
    assert_true(sensed.memory_free_bytes == 1024000);
    assert_true(sensed.swap_used_bytes == 60 * 1024);
    assert_true(sensed.cgroup_bytes_max == 5000);
    assert_true(sensed.cgroup_bytes == 4000);
    assert_true(sensed.zone_mc == 71000 && sensed.trip_mc == 75000);
    assert_true(sensed.is_discharging);
    assert_int_equal(sensed.battery_pct, 15);
    assert_true(sensed.clock_khz == 600000);
    assert_true(sensed.clock_khz_max == 1800000);
}

/* Zones, each "type temperature trips...", and which one is told. */
static void the_zone_nearest_to_its_own_trip_point_counts(void **state)
{
    static const struct {
        const char *zones[3];
        int64_t zone_mc, trip_mc;
    } tables[] = {
        {{"cpu 92000 passive:90000", "gpu 96000 passive:105000"}, 92000, 90000},
        {{"gpu 96000 passive:105000", "cpu 92000 passive:90000"}, 92000, 90000},
        {{"cpu 60000 passive:90000", "gpu 90000 passive:105000"}, 90000, 105000},
        {{"wifi 82000", "cpu 50000 passive:90000"}, 50000, 90000},
        {{"cpu 50000 passive:90000", "wifi 82000"}, 50000, 90000},
        {{"wifi 82000", "nvme 40000"}, 82000, 0},
        {{"nvme 40000", "wifi 82000"}, 82000, 0},
        {{"cpu 70000 critical:110000"}, 70000, 85000},
        {{"cpu 70000 critical:110000 passive:80000 passive:95000"}, 70000, 80000},
        {{"cpu 70000 hot:100000 critical:110000"}, 70000, 75000},
        {{"acpi 30000 active:50000 critical:0", "cpu 20000"}, 30000, 0},
        {{"PMIC-Die 100000 passive:90000", "cpu 45000 passive:85000"}, 45000, 85000},
        {{"cpu -40000 passive:90000", "gpu -50000 passive:30000"}, -50000, 30000},
    };
    char path[160], type[32], line[160];
    struct flo_sensed sensed;

    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (int z = 0; z < 3 && tables[t].zones[z] != NULL; z++) {
            int temp = 0, used = 0, chars = 0, trip = 0;
            sscanf(tables[t].zones[z], "%31s %d%n", type, &temp, &used);
            snprintf(path, sizeof(path), "/sys/class/thermal/thermal_zone%d/type", z);
            put(path, type);
            snprintf(path, sizeof(path), "/sys/class/thermal/thermal_zone%d/temp", z);
            snprintf(line, sizeof(line), "%d\n", temp);
            put(path, line);
            for (const char *at = tables[t].zones[z] + used;
                 sscanf(at, " %31[a-z]:%d%n", type, &temp, &chars) == 2; at += chars, trip++) {
                snprintf(path, sizeof(path), "/sys/class/thermal/thermal_zone%d/trip_point_%d_type",
                         z, trip);
                put(path, type);
                snprintf(path, sizeof(path), "/sys/class/thermal/thermal_zone%d/trip_point_%d_temp",
                         z, trip);
                snprintf(line, sizeof(line), "%d\n", temp);
                put(path, line);
            }
        }
        flo_sensors_read(root, &sensed);
        if (sensed.zone_mc != tables[t].zone_mc || sensed.trip_mc != tables[t].trip_mc) {
            fail_msg("table %zu: %lld of %lld", t, (long long)sensed.zone_mc,
                     (long long)sensed.trip_mc);
        }
        assert_int_equal(end(state), 0);
        assert_int_equal(begin(state), 0);
    }
}

static void page_cache_that_nobody_used_is_not_in_use(void **state)
{
    struct flo_sensed sensed;

    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "1000000\n");
    put("/sys/fs/cgroup/a/memory.current", "990000\n");
    put("/sys/fs/cgroup/a/memory.stat",
        "anon 100\nfile 700000\nactive_file 1\ninactive_file 600000\nslab 1\n");
    flo_sensors_read(root, &sensed);
    assert_true(sensed.cgroup_bytes == 390000);
}

static void garbage_is_no_number(void **state)
{
    struct flo_sensed sensed;

    (void)state;
    put("/proc/pressure/memory", "some avg10=nan avg60=x\n");
    put("/proc/self/cgroup", "garbage");
    put("/proc/loadavg", "-5");
    put("/sys/class/thermal/thermal_zone0/temp", "hot\n");
    put("/sys/class/power_supply/BAT0/type", "Battery\n");
    put("/sys/class/power_supply/BAT0/capacity", "900\n");
    flo_sensors_read(root, &sensed);
    assert_int_equal(sensed.psi_memory, 0);
    assert_int_equal(sensed.load_centi, 0);
    assert_false(sensed.has_zone);
    assert_int_equal(sensed.battery_pct, -1);
}

/* ---- the benchmark ---- */

static void numbers_of_a_benchmark_are_read_or_refused(void **state)
{
    static const char good[] = "{\"memory_bytes_per_s\":12000000000,\"int8_ops_per_s\":5,"
                               "\"read_bytes_per_s\":0,\"took_ms\":1400,\"threads\":4}";
    static const char *const bad[] = {"", "{}", "[1]",
                                      "{\"memory_bytes_per_s\":-1,\"int8_ops_per_s\":5,"
                                      "\"read_bytes_per_s\":0,\"took_ms\":1}",
                                      "{\"memory_bytes_per_s\":1e30,\"int8_ops_per_s\":5,"
                                      "\"read_bytes_per_s\":0,\"took_ms\":1}"};
    struct flo_bench bench = {.took_ms = 7};
    struct flo_err err = {0};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_true(flo_bench_read(bad[i], strlen(bad[i]), &bench, &err) < 0);
        assert_true(bench.took_ms == 7);
    }
    assert_int_equal(flo_bench_read(good, strlen(good), &bench, &err), 0);
    assert_true(bench.memory_bytes_per_s == UINT64_C(12000000000));
    assert_true(bench.took_ms == 1400);
}

/* ---- the log ---- */

static const char *line(const json_t *lines, size_t i)
{
    return json_string_value(json_array_get(lines, i));
}

static void the_newest_lines_come_without_secrets(void **state)
{
    uint64_t cut = 99;
    json_t *lines;

    (void)state;
    flo_lines_begin();
    flo_log(FLO_LOG_ERROR, "test", "one");
    flo_log(FLO_LOG_ERROR, "test", "two token=abc");
    flo_log(FLO_LOG_ERROR, "test", "three");
    lines = flo_lines_json(2, 0, 100000, &cut);
    assert_int_equal(json_array_size(lines), 2);
    assert_non_null(strstr(line(lines, 0), "two token=[hidden]"));
    assert_non_null(strstr(line(lines, 1), "three"));
    assert_int_equal(cut, 1);
    json_decref(lines);

    lines = flo_lines_json(100, waits_wall_ms() + 60000, 100000, &cut);
    assert_int_equal(json_array_size(lines), 0);
    json_decref(lines);
    lines = flo_lines_json(100, 0, 60, &cut);
    assert_int_equal(json_array_size(lines), 1); /* no room for more */
    assert_int_equal(cut, 2);
    json_decref(lines);
}

static void the_ring_forgets_the_oldest(void **state)
{
    uint64_t cut = 0;
    json_t *lines;
    char text[64];

    (void)state;
    flo_lines_begin();
    for (int i = 0; i < 5000; i++) {
        flo_log(FLO_LOG_ERROR, "test", "line number %d of many, to fill", i);
    }
    lines = flo_lines_json(4000, 0, 1 << 20, &cut);
    snprintf(text, sizeof(text), "line number %d of", 4999);
    assert_non_null(strstr(line(lines, json_array_size(lines) - 1), text));
    assert_true(json_array_size(lines) > 1000 && json_array_size(lines) < 4000);
    assert_true(cut + json_array_size(lines) >= 5000);
    snprintf(text, sizeof(text), "line number %zu of", 5000 - json_array_size(lines));
    assert_non_null(strstr(line(lines, 0), text));
    json_decref(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_that_says_nothing_reads_as_nothing, begin, end),
        cmocka_unit_test_setup_teardown(every_sensor_is_read, begin, end),
        cmocka_unit_test_setup_teardown(the_zone_nearest_to_its_own_trip_point_counts, begin, end),
        cmocka_unit_test_setup_teardown(page_cache_that_nobody_used_is_not_in_use, begin, end),
        cmocka_unit_test_setup_teardown(garbage_is_no_number, begin, end),
        cmocka_unit_test(numbers_of_a_benchmark_are_read_or_refused),
        cmocka_unit_test(the_newest_lines_come_without_secrets),
        cmocka_unit_test(the_ring_forgets_the_oldest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

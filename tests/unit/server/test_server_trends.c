/* Trends of devices, by class, and across a start of the controller. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/metrics.h>

#include "server-stub/telemetry/trends.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

#define HOUR_MS UINT64_C(3600000)
#define DEVICES 10

struct world {
    char dir[64];
    struct flo_windows *store;
    struct flo_trends *trends;
    uint64_t now_ms;
};

static void open_all(struct world *world)
{
    struct flo_err err = {0};

    assert_int_equal(flo_windows_open(world->dir, &world->store, &err), 0);
    assert_int_equal(flo_trends_open(world->store, &world->trends, &err), 0);
}

static void close_all(struct world *world)
{
    flo_trends_store(world->trends, SIZE_MAX);
    flo_trends_close(world->trends);
    flo_windows_close(world->store);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-trends-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->now_ms = waits_wall_ms() - UINT64_C(14) * 24 * HOUR_MS;
    open_all(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    close_all(world);
    remove_tree(world->dir);
    free(world);
    return 0;
}

static const char *id_of(int device)
{
    static char id[37];

    snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", device);
    return id;
}

/* Days in which all report each hour; the first `hot` get a degree hotter each
 * day, and the last one's disk fills by a GiB. */
static void live(struct world *world, int days, int hot)
{
    for (int hour = 0; hour < 24 * days; hour++, world->now_ms += HOUR_MS) {
        double day = (double)world->now_ms / (24.0 * (double)HOUR_MS);
        for (int d = 0; d < DEVICES; d++) {
            struct flo_telemetry_window window = {.window_ms = HOUR_MS};
            double swing = 4000 * sin(6.283185307 * day);
            double rise = d < hot ? 1000 * (day - 20000) : 0;
            window.has[FLO_METRIC_NAME_TEMPERATURE] = true;
            window.values[FLO_METRIC_NAME_TEMPERATURE] = (int64_t)(50000 + swing + rise);
            window.has[FLO_METRIC_NAME_DISK_FREE] = true;
            window.values[FLO_METRIC_NAME_DISK_FREE] =
                d + 1 < DEVICES
                    ? INT64_C(1) << 36
                    : (INT64_C(1) << 34) - (INT64_C(1) << 30) * (int64_t)(hour / 24.0 * 4) / 4;
            flo_trends_take(world->trends, id_of(d), "rpi5", &window, world->now_ms);
        }
    }
}

static struct flo_trend_line read_line(struct world *world)
{
    size_t count;
    struct flo_trend_line *lines = flo_trends_read(world->trends, world->now_ms, &count);

    assert_int_equal(count, 1);
    assert_string_equal(lines[0].hardware, "rpi5");
    struct flo_trend_line line = lines[0];
    free(lines);
    return line;
}

static void devices_that_get_hotter_are_counted_by_class(void **state)
{
    struct world *world = *state;

    live(world, 5, 3);
    struct flo_trend_line line = read_line(world);
    assert_int_equal(line.kinds[FLO_TREND_HEATING].known, 0);
    live(world, 8, 3);
    line = read_line(world);
    const struct flo_trend_sum *heating = &line.kinds[FLO_TREND_HEATING];
    assert_int_equal(heating->known, DEVICES);
    assert_int_equal(heating->there, 3);
    assert_true(fabs(heating->slope) < 100); /* the median one stays cool */
    assert_int_equal(line.kinds[FLO_TREND_CRASHING].known, DEVICES);
    assert_int_equal(line.kinds[FLO_TREND_CRASHING].there, 0);
}

static void the_first_disk_to_be_full_is_told(void **state)
{
    struct world *world = *state;

    live(world, 4, 0);
    struct flo_trend_line line = read_line(world);
    assert_int_equal(line.kinds[FLO_TREND_FILLING].there, 1);
    assert_true(line.full_s > 10 * 86400.0 && line.full_s < 14 * 86400.0);
}

static void points_survive_a_start_of_the_controller(void **state)
{
    struct world *world = *state;

    /* The start is now by the clock, which judges what was stored. */
    world->now_ms = waits_wall_ms() - UINT64_C(12) * 24 * HOUR_MS;
    live(world, 12, DEVICES);
    close_all(world);
    open_all(world);
    live(world, 1, DEVICES);
    assert_int_equal(read_line(world).kinds[FLO_TREND_HEATING].there, DEVICES);
    flo_trends_forget(world->trends, id_of(0));
    assert_int_equal(read_line(world).kinds[FLO_TREND_HEATING].there, DEVICES - 1);
    world->now_ms += 60 * HOUR_MS; /* nobody was heard */
    assert_int_equal(read_line(world).kinds[FLO_TREND_HEATING].known, 0);
}

static void a_row_that_cannot_be_read_begins_again(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};

    assert_int_equal(flo_windows_begin(world->store, &err), 0);
    assert_int_equal(flo_windows_observed_put(world->store, id_of(1), "", "xyz", 3, &err), 0);
    assert_int_equal(flo_windows_commit(world->store, &err), 0);
    close_all(world);
    open_all(world);
    live(world, 12, 2);
    assert_int_equal(read_line(world).kinds[FLO_TREND_HEATING].there, 2);
}

static void one_device_that_is_of_many_classes_fills_no_table(void **state)
{
    struct world *world = *state;
    struct flo_telemetry_window window = {.window_ms = HOUR_MS};
    char class[32];
    size_t count;

    for (int i = 0; i < 1000; i++) {
        snprintf(class, sizeof(class), "c%d", i);
        flo_trends_take(world->trends, id_of(0), class, &window, world->now_ms);
    }
    flo_trends_take(world->trends, id_of(1), "rpi5", &window, world->now_ms);
    struct flo_trend_line *lines = flo_trends_read(world->trends, world->now_ms, &count);
    bool is_there = false;
    for (size_t i = 0; i < count; i++) {
        is_there = is_there || strcmp(lines[i].hardware, "rpi5") == 0;
    }
    free(lines);
    assert_true(is_there);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(devices_that_get_hotter_are_counted_by_class),
        TEST(the_first_disk_to_be_full_is_told),
        TEST(points_survive_a_start_of_the_controller),
        TEST(a_row_that_cannot_be_read_begins_again),
        TEST(one_device_that_is_of_many_classes_fills_no_table),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}

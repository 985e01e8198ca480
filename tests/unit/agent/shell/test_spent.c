/* The neighbours' budget on the disk: kills, boots and clocks that jump give no
 * byte back, and a file that is damaged or finds no room ends nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/shell/neighbours/neighbourhood.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

#define HOUR 3600000ull
#define DAY (24 * HOUR)
#define NOON 1795435200000ull /* 12:00 of a day in 2026 */
#define MIB (1ull << 20)

/* ---- clocks of the test ---- */

static uint64_t wall_ms, boot_ms;

int(clock_gettime)(clockid_t clock, struct timespec *out)
{
    uint64_t ms = clock == CLOCK_REALTIME ? wall_ms : boot_ms;

    *out = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    return 0;
}

static void pass(uint64_t ms)
{
    wall_ms += ms;
    boot_ms += ms;
}

/* ---- an agent ---- */

struct world {
    char dir[64];
    struct flo_shell *shell;
    unsigned boots;
    struct flo_neighbourhood hood;
    struct flo_shell_neighbours room;
};

static void start(struct world *world)
{
    uint64_t budget = world->room.counts.budget;

    world->hood = (struct flo_neighbourhood){.shell = world->shell};
    world->room.counts = (struct flo_neighbour_counts){.budget = budget};
    snprintf(world->hood.spent_file, sizeof world->hood.spent_file, "%s/given.json", world->dir);
    flo_spent_load(&world->hood);
}

/* Another boot: the time since then is short, and its id another. */
static void boot(struct world *world, uint64_t off_ms)
{
    wall_ms += off_ms;
    boot_ms = 20000;
    snprintf(world->shell->boot_id, sizeof world->shell->boot_id, "1ff53d56-16b5-4c8e-8d1e-%012u",
             ++world->boots);
    start(world);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->shell = calloc(1, sizeof *world->shell);
    world->shell->neighbours = &world->room;
    snprintf(world->dir, sizeof world->dir, "/tmp/flo-spent-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    snprintf(world->shell->boot_id, sizeof world->shell->boot_id,
             "1ff53d56-16b5-4c8e-8d1e-8f6c3a1b2c3d");
    wall_ms = NOON;
    boot_ms = 5 * DAY;
    world->room.counts.budget = 160 * MIB;
    start(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    assert_int_equal(remove_tree(world->dir), 0);
    free(world->shell);
    free(world);
    return 0;
}

/* The process says so: so many bytes of a day that is so old. */
static void give(struct world *world, uint64_t used, uint64_t since_ms)
{
    world->room.counts.used_bytes = used;
    world->hood.day_began_ms = waits_now_ms() - since_ms;
    flo_spent_keep(&world->hood, false);
}

static uint64_t used(const struct world *world)
{
    return world->room.counts.used_bytes;
}

static uint64_t since(const struct world *world)
{
    return waits_now_ms() - world->hood.day_began_ms;
}

static void put(const struct world *world, const char *text)
{
    assert_int_equal(flo_file_write(world->hood.spent_file, text, strlen(text), 0600, NULL), 0);
}

/* ---- stories ---- */

static void a_first_start_has_the_whole_budget(void **state)
{
    struct world *world = *state;

    assert_int_equal(used(world), 0);
    assert_int_equal(access(world->hood.spent_file, F_OK), -1);
}

static void a_kill_gives_nothing_back(void **state)
{
    struct world *world = *state;

    for (uint64_t bytes = 1; bytes < 170 * MIB; bytes += 3 * MIB) {
        give(world, bytes, HOUR);
        start(world);
        assert_true(used(world) >= bytes);
        assert_true(used(world) <= bytes + 10 * MIB); /* a sixteenth */
        assert_true(bytes > 160 * MIB || used(world) <= 160 * MIB);
        assert_int_equal(since(world), HOUR);
    }
}

static void an_end_in_order_names_what_was_given(void **state)
{
    struct world *world = *state;

    give(world, 12345, HOUR);
    flo_spent_keep(&world->hood, true);
    pass(2 * HOUR);
    start(world);
    assert_int_equal(used(world), 12345);
    assert_int_equal(since(world), 3 * HOUR);
}

static void the_day_goes_on_over_a_boot(void **state)
{
    struct world *world = *state;

    give(world, 50 * MIB, 20 * HOUR);
    boot(world, 3 * HOUR); /* off for so long */
    assert_true(used(world) >= 50 * MIB);
    assert_int_equal(since(world), 23 * HOUR); /* began before the boot */
    flo_spent_keep(&world->hood, true);
    boot(world, HOUR - 1);
    assert_true(used(world) >= 50 * MIB);
    boot(world, 1);
    assert_int_equal(used(world), 0);
}

static void midnight_is_no_end_of_a_day(void **state)
{
    struct world *world = *state;

    wall_ms = NOON + 12 * HOUR - 1000;
    give(world, 50 * MIB, HOUR);
    pass(2000);
    start(world);
    assert_true(used(world) >= 50 * MIB);
    pass(22 * HOUR);
    start(world);
    assert_true(used(world) >= 50 * MIB);
    pass(HOUR);
    start(world);
    assert_int_equal(used(world), 0);
}

static void a_clock_that_jumps_gives_nothing_back_within_a_boot(void **state)
{
    struct world *world = *state;
    const int64_t jumps[] = {(int64_t)DAY, 365 * (int64_t)DAY, -(int64_t)DAY, -(int64_t)NOON,
                             (int64_t)HOUR};

    give(world, 50 * MIB, HOUR);
    for (size_t i = 0; i < FLO_COUNT(jumps); i++) {
        wall_ms = NOON + (uint64_t)jumps[i];
        start(world);
        assert_true(used(world) >= 50 * MIB);
        assert_int_equal(since(world), HOUR);
        give(world, 50 * MIB, HOUR);
    }
    pass(23 * HOUR);
    start(world);
    assert_int_equal(used(world), 0);
}

/* A device without a battery clock begins each boot in 1970. */
static void a_clock_that_is_not_set_yet_makes_no_day_old(void **state)
{
    struct world *world = *state;

    give(world, 50 * MIB, HOUR);
    boot(world, 0);
    wall_ms = 30000;
    start(world);
    assert_true(used(world) >= 50 * MIB);
    give(world, 70 * MIB, HOUR);
    wall_ms = NOON + HOUR; /* the time has come over the network */
    boot(world, 0);
    assert_true(used(world) >= 70 * MIB);
    boot(world, DAY);
    assert_int_equal(used(world), 0);
}

static void a_new_day_is_written_though_it_gave_less(void **state)
{
    struct world *world = *state;

    give(world, 100 * MIB, 23 * HOUR);
    pass(2 * HOUR);
    give(world, MIB, HOUR);
    boot(world, HOUR);
    assert_true(used(world) >= MIB && used(world) <= 11 * MIB);
    assert_int_equal(since(world), 2 * HOUR);
}

static void few_writes_are_made(void **state)
{
    struct world *world = *state;
    struct stat before, after;
    unsigned writes = 0;

    memset(&before, 0, sizeof before);
    for (uint64_t bytes = 0; bytes < 160 * MIB; bytes += 65536) {
        give(world, bytes, HOUR);
        if (stat(world->hood.spent_file, &after) == 0 && after.st_ino != before.st_ino) {
            writes++;
            before = after;
        }
    }
    assert_true(writes <= 17);
}

static void a_damaged_file_begins_a_day_and_is_replaced(void **state)
{
    struct world *world = *state;
    static const char *const texts[] = {
        "",
        "\n",
        "{",
        "{\"used_bytes\":52428800,\"began_at_",
        "{\"used_bytes\":-1,\"began_at_ms\":5}",
        "{\"used_bytes\":1e300,\"began_at_ms\":5}",
        "{\"used_bytes\":9223372036854775808,\"began_at_ms\":5}",
        "{\"used_bytes\":\"7\",\"began_at_ms\":5}",
        "{\"used_bytes\":7}",
        "[]",
        "null",
    };

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        put(world, texts[i]);
        start(world);
        assert_int_equal(used(world), 0);
        give(world, 20 * MIB, HOUR);
        start(world);
        assert_true(used(world) >= 20 * MIB);
    }
    char *large = malloc(100001);
    memset(large, ' ', 100000);
    large[100000] = '\0';
    put(world, large);
    free(large);
    start(world);
    assert_int_equal(used(world), 0);
    assert_int_equal(unlink(world->hood.spent_file), 0);
    assert_int_equal(mkdir(world->hood.spent_file, 0700), 0);
    start(world);
    assert_int_equal(used(world), 0);
    give(world, 20 * MIB, HOUR); /* it cannot be written: it is told */
    assert_int_equal(rmdir(world->hood.spent_file), 0);
}

/* Every beginning of the file that a cut may leave. */
static void a_half_written_file_is_a_damaged_one(void **state)
{
    struct world *world = *state;
    char *text = NULL;
    size_t bytes = 0;

    give(world, 20 * MIB, HOUR);
    assert_int_equal(flo_file_read(world->hood.spent_file, 4096, &text, &bytes, NULL), 0);
    for (size_t cut = 0; cut + 2 < bytes; cut++) {
        assert_int_equal(flo_file_write(world->hood.spent_file, text, cut, 0600, NULL), 0);
        start(world);
        assert_int_equal(used(world), 0);
    }
    free(text);
}

static void the_file_of_an_agent_before_is_read(void **state)
{
    struct world *world = *state;
    char text[128];

    snprintf(text, sizeof text, "{\"used_bytes\":777,\"began_at_ms\":%llu}\n",
             (unsigned long long)(NOON - 3 * HOUR));
    put(world, text);
    start(world);
    assert_int_equal(used(world), 777);
    assert_int_equal(since(world), 3 * HOUR);
}

static void a_full_disk_is_tried_again_and_keeps_what_was_there(void **state)
{
    struct world *world = *state;
    struct rlimit whole, none = {0, 0};

    give(world, 20 * MIB, HOUR); /* 30 MiB are on the disk */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    none.rlim_max = whole.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    give(world, 40 * MIB, HOUR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    assert_int_equal(world->hood.kept_bytes, 30 * MIB);
    pass(9999); /* not each half second */
    give(world, 40 * MIB, HOUR);
    assert_int_equal(world->hood.kept_bytes, 30 * MIB);
    pass(1);
    give(world, 40 * MIB, HOUR); /* there is room again */
    start(world);
    assert_true(used(world) >= 40 * MIB);
    char path[80];
    snprintf(path, sizeof path, "%s/given.json", world->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(world->dir), 0); /* no other file was left */
    assert_int_equal(mkdir(world->dir, 0700), 0);
}

static void numbers_near_2_to_the_63_stay_in_the_file(void **state)
{
    struct world *world = *state;
    const uint64_t most = (uint64_t)INT64_MAX / 2;
    const uint64_t numbers[] = {most - 1, most, INT64_MAX, 1ull << 63, UINT64_MAX};
    const uint64_t budgets[] = {0, 1, most, INT64_MAX, UINT64_MAX};

    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        for (size_t k = 0; k < FLO_COUNT(budgets); k++) {
            assert_true(unlink(world->hood.spent_file) == 0 || i + k == 0);
            world->room.counts.budget = budgets[k];
            start(world);
            give(world, numbers[i], HOUR);
            start(world);
            assert_true(used(world) >= most - 1 && used(world) <= most);
        }
    }
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(a_first_start_has_the_whole_budget),
        in_world(a_kill_gives_nothing_back),
        in_world(an_end_in_order_names_what_was_given),
        in_world(the_day_goes_on_over_a_boot),
        in_world(midnight_is_no_end_of_a_day),
        in_world(a_clock_that_jumps_gives_nothing_back_within_a_boot),
        in_world(a_clock_that_is_not_set_yet_makes_no_day_old),
        in_world(a_new_day_is_written_though_it_gave_less),
        in_world(few_writes_are_made),
        in_world(a_damaged_file_begins_a_day_and_is_replaced),
        in_world(a_half_written_file_is_a_damaged_one),
        in_world(the_file_of_an_agent_before_is_read),
        in_world(a_full_disk_is_tried_again_and_keeps_what_was_there),
        in_world(numbers_near_2_to_the_63_stay_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Is the network metered: by the default route's interface, or by a program of
 * the device's owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/shell/device/device.h"
#include "agent/shell/hardware/hardware.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

static char root[64];
static struct flo_settings settings;

static int begin(void **state)
{
    char path[128];

    (void)state;
    snprintf(root, sizeof(root), "/tmp/flo-metered-XXXXXX");
    if (mkdtemp(root) == NULL || setenv("FLO_SENSORS", root, 1) != 0) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/proc", root);
    mkdir(path, 0700);
    strcat(path, "/net");
    return mkdir(path, 0700);
}

static int end(void **state)
{
    (void)state;
    flo_settings_deinit(&settings);
    unsetenv("FLO_SENSORS");
    return remove_tree(root);
}

static void put(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, NULL), 0);
}

static void configure(const char *lines)
{
    char path[128], text[512];
    struct flo_err err = {0};

    snprintf(text, sizeof(text), "state_dir: %s\n%s", root, lines);
    put("agent.yaml", text);
    snprintf(path, sizeof(path), "%s/agent.yaml", root);
    assert_int_equal(flo_settings_load(path, NULL, &settings, &err), 0);
}

static bool is_metered(void)
{
    struct flo_metered metered = {0};

    return flo_metered_look(&metered, settings.config, 1000);
}

/* ---- interfaces ---- */

#define HEAD "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
#define LAN "eth0\t000210AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
#define BY_ETH "eth0\t00000000\t010210AC\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
#define BY_LTE "wwan0\t00000000\t0100000A\t0003\t0\t0\t%d\t00000000\t0\t0\t0\n"
#define ZERO "00000000000000000000000000000000"
#define BY_LTE_6                                                                                   \
    ZERO " 00 " ZERO " 00 fe800000000000000000000000000001 00000400 00000001 "                     \
         "00000000 00000003   wwan0\n"
#define NOWHERE_6                                                                                  \
    ZERO " 00 " ZERO " 00 " ZERO " ffffffff 00000001 00000000 00200200    "                        \
         "lo\n"

static void the_default_route_with_the_least_metric_counts(void **state)
{
    char text[1024];
    struct flo_routes routes;

    (void)state;
    configure("metered: [ppp0, \"wwan*\"]\n");
    assert_false(is_metered()); /* no network at all */
    for (int metric = 50; metric <= 700; metric += 650) {
        snprintf(text, sizeof(text), HEAD LAN BY_ETH BY_LTE, metric);
        put("proc/net/route", text);
        flo_routes_read(root, &routes);
        assert_string_equal(routes.v4, metric < 100 ? "wwan0" : "eth0");
        assert_true(is_metered() == (metric < 100));
    }
}

static void a_route_of_version_6_counts_too(void **state)
{
    struct flo_routes routes;

    (void)state;
    configure("metered: [wwan0]\n");
    put("proc/net/route", HEAD LAN BY_ETH);
    put("proc/net/ipv6_route", NOWHERE_6);
    assert_false(is_metered());
    put("proc/net/ipv6_route", NOWHERE_6 BY_LTE_6);
    flo_routes_read(root, &routes);
    assert_string_equal(routes.v6, "wwan0");
    assert_true(is_metered());
}

static void garbage_is_no_route(void **state)
{
    struct flo_routes routes;

    (void)state;
    configure("metered: [\"*\"]\n");
    put("proc/net/route", "\n\n0 0 0\neth0\t00000000\nzz zz zz zz zz zz zz\n");
    put("proc/net/ipv6_route", "garbage\n" ZERO ZERO ZERO "\n");
    flo_routes_read(root, &routes);
    assert_string_equal(routes.v4, "");
    assert_string_equal(routes.v6, "");
    assert_false(is_metered());
}

static void a_name_fits_itself_and_a_star_what_begins_so(void **state)
{
    (void)state;
    assert_true(flo_interface_fits("wwan0", "wwan0"));
    assert_true(flo_interface_fits("wwan0", "wwan*"));
    assert_true(flo_interface_fits("wwan0", "*"));
    assert_false(flo_interface_fits("wwan01", "wwan0"));
    assert_false(flo_interface_fits("eth0", "wwan*"));
    assert_false(flo_interface_fits("eth0", ""));
}

/* ---- the program ---- */

#define BEGIN_MS 1000 /* of the first look */

/* The answer of the program once it has ended, in no time. */
static bool answer_of(struct flo_metered *metered)
{
    bool is_on = true;

    assert_true(flo_metered_look(metered, settings.config, BEGIN_MS));
    assert_true(metered->pid != 0);
    WAIT_TURNING(metered->pid == 0, {
        waits_pause();
        is_on = flo_metered_look(metered, settings.config, BEGIN_MS);
    });
    return is_on;
}

static void its_exit_status_is_the_answer(void **state)
{
    static const struct {
        const char *line;
        bool is_metered;
    } cases[] = {{"[/bin/sh, -c, \"exit 0\"]", false},
                 {"[/bin/sh, -c, \"exit 1\"]", true},
                 {"[/bin/sh, -c, \"exit 9\"]", true},
                 {"[/bin/sh, -c, \"kill -9 $$\"]", true}};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_metered metered = {0};
        char line[128];

        snprintf(line, sizeof(line), "metered_command: %s\n", cases[i].line);
        configure(line);
        assert_true(answer_of(&metered) == cases[i].is_metered);
        flo_settings_deinit(&settings);
    }
}

static void it_is_asked_again_after_a_minute(void **state)
{
    struct flo_metered metered = {0};

    (void)state;
    configure("metered_command: [/bin/sh, -c, \"exit 0\"]\n");
    assert_false(answer_of(&metered));
    assert_false(flo_metered_look(&metered, settings.config, 60999));
    assert_int_equal(metered.pid, 0);
    assert_false(flo_metered_look(&metered, settings.config, 61000));
    assert_int_not_equal(metered.pid, 0); /* the old word holds meanwhile */
    flo_metered_end(&metered);
    assert_int_equal(metered.pid, 0);
}

static void one_that_hangs_is_ended_and_counts_as_metered(void **state)
{
    struct flo_metered metered = {0};

    (void)state;
    configure("metered_command: [/bin/sleep, \"100000\"]\n");
    assert_true(flo_metered_look(&metered, settings.config, BEGIN_MS));
    WAIT_TURNING(metered.pid == 0, {
        assert_true(flo_metered_look(&metered, settings.config, BEGIN_MS + 10000));
        waits_pause();
    });
    assert_true(metered.is_said);
}

static void a_program_that_is_not_there_counts_as_metered(void **state)
{
    struct flo_metered metered = {0};

    (void)state;
    configure("metered_command: [/nowhere/at/all]\n");
    assert_true(flo_metered_look(&metered, settings.config, BEGIN_MS));
    WAIT_TURNING(metered.pid == 0, {
        assert_true(flo_metered_look(&metered, settings.config, BEGIN_MS));
        waits_pause();
    });
    assert_true(flo_metered_look(&metered, settings.config, BEGIN_MS));
    flo_metered_end(&metered);
}

static void words_and_paths_are_checked(void **state)
{
    static const struct {
        const char *lines;
        uint32_t waits;
    } good[] = {{"", 0},
                {"updates_wait: [mains]\n", FLO_WAIT_BIT(FLO_WAIT_MAINS)},
                {"updates_wait: [idle, unmetered]\n",
                 FLO_WAIT_BIT(FLO_WAIT_IDLE) | FLO_WAIT_BIT(FLO_WAIT_UNMETERED)}};
    static const char *const bad[] = {"updates_wait: [battery]\n", "updates_wait: [sunday]\n",
                                      "metered_command: [nmcli]\n"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        configure(good[i].lines);
        assert_int_equal(settings.waits, good[i].waits);
        flo_settings_deinit(&settings);
    }
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        char path[128], text[256];

        snprintf(text, sizeof(text), "state_dir: %s\n%s", root, bad[i]);
        put("agent.yaml", text);
        snprintf(path, sizeof(path), "%s/agent.yaml", root);
        assert_int_equal(flo_settings_load(path, NULL, &settings, NULL), FLO_E_CFG_RANGE);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_default_route_with_the_least_metric_counts),
        TEST(a_route_of_version_6_counts_too),
        TEST(garbage_is_no_route),
        TEST(a_name_fits_itself_and_a_star_what_begins_so),
        TEST(its_exit_status_is_the_answer),
        TEST(it_is_asked_again_after_a_minute),
        TEST(one_that_hangs_is_ended_and_counts_as_metered),
        TEST(a_program_that_is_not_there_counts_as_metered),
        TEST(words_and_paths_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

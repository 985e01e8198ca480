/* The lines of our broker that reach the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/mqtt/broker/lines.h"

static void has(const struct flo_buf *text, const char *line)
{
    if (strstr(text->data, line) == NULL) {
        fail_msg("`%s` is not in\n%s", line, text->data);
    }
}

#define CUT                                                                                        \
    "1764122175: OpenSSL Error[0]: error:0A000126:SSL routines::unexpected "                       \
    "eof while reading\n"

static void connections_that_end_without_a_goodbye_are_counted(void **state)
{
    static const char more[] = CUT "17641: Client gw-1 is told.\n" CUT;
    struct flo_broker_lines lines = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) log = {0};

    (void)state;
    flo_broker_lines_take(&lines, CUT, strlen(CUT) / 2, &log);
    flo_broker_lines_take(&lines, CUT + strlen(CUT) / 2, strlen(CUT) - strlen(CUT) / 2, &log);
    assert_int_equal(log.bytes, 0);
    flo_broker_lines_tell(&lines, 5, 7000, &log);
    assert_string_equal(log.data, "7: connections that ended without TLS's goodbye, as "
                                  "of devices that lost power or network: 1\n");
    flo_buf_deinit(&log);
    flo_broker_lines_take(&lines, more, strlen(more), &log);
    flo_broker_lines_tell(&lines, 4 + FLO_BROKER_LINES_TELL_MS, 8000, &log);
    assert_string_equal(log.data, "17641: Client gw-1 is told.\n");
    flo_broker_lines_tell(&lines, 5 + FLO_BROKER_LINES_TELL_MS, 9000, &log);
    has(&log, "network: 2\n");
    assert_int_equal(lines.count, 0);
}

/* Mosquitto 2.0.21 writes to it before it reads the end. */
static void each_error_of_a_cut_connection_is_left_out(void **state)
{
    static const char said[] = CUT "17641: OpenSSL Error[1]: error:80000020:system library::"
                                   "Broken pipe\n"
                                   "17641: OpenSSL Error[0]: error:80000068:system library::"
                                   "Connection reset by peer\n"
                                   "17641: OpenSSL Error[0]: error:0A000416:SSL routines::"
                                   "sslv3 alert certificate unknown\n";
    struct flo_broker_lines lines = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) log = {0};

    (void)state;
    flo_broker_lines_take(&lines, said, strlen(said), &log);
    assert_int_equal(lines.count, 2);
    assert_string_equal(log.data, strstr(said, "17641: OpenSSL Error[0]: error:0A000416"));
}

static void a_line_without_an_end_takes_no_more_than_its_limit(void **state)
{
    struct flo_broker_lines lines = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) log = {0};

    (void)state;
    for (int i = 0; i < 3 * FLO_BROKER_LINE_MAX; i++) {
        flo_broker_lines_take(&lines, "x", 1, &log);
    }
    flo_broker_lines_take(&lines, "\n", 1, &log);
    assert_int_equal(log.bytes, FLO_BROKER_LINE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_that_end_without_a_goodbye_are_counted),
        cmocka_unit_test(each_error_of_a_cut_connection_is_left_out),
        cmocka_unit_test(a_line_without_an_end_takes_no_more_than_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

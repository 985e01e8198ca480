/* A command that takes long says so on stderr, a short one does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/ticker.h"
#include "unit/waits.h"

/* Standard error goes to a pipe; *before has what it was. */
static int listen_to_stderr(int *before)
{
    int pipes[2];

    assert_int_equal(pipe(pipes), 0);
    *before = dup(STDERR_FILENO);
    assert_true(*before >= 0);
    assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
    close(pipes[1]);
    return pipes[0];
}

static void what_takes_longer_than_a_second_is_told(void **state)
{
    static const char line[] = "delta create, 1 s\n"; /* more may follow */
    struct flo_ticker ticker;
    char text[64] = "";
    int before, fd = listen_to_stderr(&before);
    struct pollfd waits = {.fd = fd, .events = POLLIN};

    (void)state;
    flo_ticker_start(&ticker, "delta create");
    int rv = poll(&waits, 1, (int)WAITS_HANG_MS);
    ssize_t bytes = rv == 1 ? read(fd, text, sizeof(line) - 1) : 0;
    flo_ticker_stop(&ticker);
    dup2(before, STDERR_FILENO);
    close(before);
    close(fd);
    assert_int_equal(bytes, sizeof(line) - 1);
    assert_string_equal(text, line);
}

static void each_second_has_a_line_with_the_part_that_is_done(void **state)
{
    static const char lines[] = "playing 4/16, 1 s\nplaying 4/16, 2 s\n";
    struct flo_ticker ticker;
    char text[128] = "";
    size_t bytes = 0;
    int before, fd = listen_to_stderr(&before);
    struct pollfd waits = {.fd = fd, .events = POLLIN};

    (void)state;
    flo_ticker_start(&ticker, "asking");
    flo_ticker_tell(&ticker, "playing", 4, 16);
    while (bytes < sizeof(lines) - 1 &&
           poll(&waits, 1, (int)WAITS_HANG_MS) == 1) {
        bytes += (size_t)read(fd, text + bytes, sizeof(lines) - 1 - bytes);
    }
    flo_ticker_stop(&ticker);
    flo_ticker_tell(&ticker, "nobody hears it", 5, 16);
    dup2(before, STDERR_FILENO);
    close(before);
    close(fd);
    assert_string_equal(text, lines);
}

static void what_is_done_at_once_is_not(void **state)
{
    struct flo_ticker ticker;
    char text[64];
    int before, fd = listen_to_stderr(&before);

    (void)state;
    flo_ticker_start(&ticker, "delta create");
    flo_ticker_stop(&ticker);
    flo_ticker_stop(&ticker);
    dup2(before, STDERR_FILENO); /* the pipe's last writer is gone */
    close(before);
    ssize_t bytes = read(fd, text, sizeof(text));
    close(fd);
    assert_int_equal(bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_takes_longer_than_a_second_is_told),
        cmocka_unit_test(each_second_has_a_line_with_the_part_that_is_done),
        cmocka_unit_test(what_is_done_at_once_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

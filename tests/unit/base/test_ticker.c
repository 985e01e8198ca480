/* A command that takes long says so on stderr, a short one does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/ticker.h"
#include "unit/waits.h"

int __real_pthread_cond_timedwait(pthread_cond_t *wake, pthread_mutex_t *lock,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *wake, pthread_mutex_t *lock,
                                  const struct timespec *until);

/* Seconds end by end_second() alone. */
static bool is_held;
/* Those that the ticker has not heard of; under its lock. */
static unsigned ended;
/* When the last one that it heard of was to end, and whether each one was to
 * end a second after the one before. */
static time_t until_s;
static bool are_seconds;

/* In place of the system's. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *wake, pthread_mutex_t *lock,
                                  const struct timespec *until)
{
    if (!is_held) {
        return __real_pthread_cond_timedwait(wake, lock, until);
    }
    if (ended == 0) {
        return pthread_cond_wait(wake, lock);
    }
    are_seconds &= until_s == 0 || until->tv_sec == until_s + 1;
    until_s = until->tv_sec;
    ended--;
    return ETIMEDOUT;
}

/* From here on, for the tickers that start. */
static void hold_seconds(void)
{
    is_held = true;
    ended = 0;
    until_s = 0;
    are_seconds = true;
}

static void end_second(struct flo_ticker *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    ended++;
    pthread_cond_signal(&ticker->wake);
    pthread_mutex_unlock(&ticker->lock);
}

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
    hold_seconds();
    flo_ticker_start(&ticker, "asking");
    flo_ticker_tell(&ticker, "playing", 4, 16);
    end_second(&ticker);
    end_second(&ticker);
    while (bytes < sizeof(lines) - 1 && poll(&waits, 1, (int)WAITS_HANG_MS) == 1) {
        bytes += (size_t)read(fd, text + bytes, sizeof(lines) - 1 - bytes);
    }
    flo_ticker_stop(&ticker);
    flo_ticker_tell(&ticker, "nobody hears it", 5, 16);
    dup2(before, STDERR_FILENO);
    close(before);
    close(fd);
    assert_string_equal(text, lines);
    assert_true(are_seconds);
}

static void what_is_done_at_once_is_not(void **state)
{
    struct flo_ticker ticker;
    char text[64];
    int before, fd = listen_to_stderr(&before);

    (void)state;
    hold_seconds();
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

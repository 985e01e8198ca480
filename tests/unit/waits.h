/* The only clock of the C tests; tools/clocks.py refuses any other.
 *
 * No test depends on how fast the machine is.  A wait ends by progress, and
 * only a hang reaches its bound; a test asserts what happened and in which
 * order, never how long it took.  The code under test gets its times from the
 * test wherever its interface takes one. */
#ifndef FLOTILLA_TESTS_WAITS_H
#define FLOTILLA_TESTS_WAITS_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include <flotilla/base.h>

enum { WAITS_HANG_S = 600 }; /* until a wait counts as a hang */
/* For a limit of the code under test that must not come first. */
#define WAITS_HANG_MS (WAITS_HANG_S * UINT64_C(1000))

/* For code under test that asks for "now": the steady clock, or the wall's. */
static inline uint64_t waits_now_ms(void)
{
    return flo_now_ms();
}

static inline uint64_t waits_now_us(void)
{
    return flo_now_us();
}

static inline uint64_t waits_wall_ms(void)
{
    return flo_wall_ms();
}

/* The pause between two looks at a thing that another process or thread
 * changes. */
static inline void waits_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* A child stands still, with all of its threads: they run on for a while after
 * the signal. */
static inline void waits_stop(pid_t child)
{
    siginfo_t seen;

    if (kill(child, SIGSTOP) != 0 || waitid(P_PID, (id_t)child, &seen, WSTOPPED | WNOWAIT) != 0) {
        perror("stop a child");
        abort();
    }
}

/* Another process, which a test starts and ends, hangs for good. */
static inline void waits_hang(void)
{
    for (;;) {
        nanosleep(&(struct timespec){.tv_sec = WAITS_HANG_S}, NULL);
    }
}

/* Time of the waits: a test may hold the clock of the code under test. */
static inline time_t waits_now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* One look at what was begun at from_s: a hang ends the program, and says
 * what it waited for. */
static inline void waits_look(time_t from_s, const char *what, const char *file, int line)
{
    if (waits_now_s() - from_s > WAITS_HANG_S) {
        fprintf(stderr, "%s:%d: waited %d s for: %s\n", file, line, WAITS_HANG_S, what);
        abort();
    }
}

/* Wait until the expression is true, with a statement between two
 * looks: a turn of an event loop, or waits_pause(). */
#define WAIT_TURNING(is_true, ...)                                                                 \
    do {                                                                                           \
        time_t from_s_ = waits_now_s();                                                            \
        while (!(is_true)) {                                                                       \
            waits_look(from_s_, #is_true, __FILE__, __LINE__);                                     \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)
#define WAIT_UNTIL(is_true) WAIT_TURNING(is_true, waits_pause())

#endif

/* Waits for a condition, whatever the wall clock says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/host/steady.h"
#include "unit/waits.h"

#define WAIT_MS 1030

/* The real call, whose deadline is noted. */
static uint64_t until_us;
int __real_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until)
{
    until_us = (uint64_t)until->tv_sec * 1000000 + (uint64_t)until->tv_nsec / 1000;
    return __real_pthread_cond_timedwait(condition, lock, until);
}

static void a_wait_ends_at_a_time_of_the_clock_that_nobody_sets(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;

    (void)state;
    flo_steady_init(&condition);
    uint64_t before_us = waits_now_us();
    pthread_mutex_lock(&lock);
    while (flo_steady_wait(&condition, &lock, WAIT_MS) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&lock);
    uint64_t after_us = waits_now_us();

    assert_in_range(until_us, before_us + WAIT_MS * 1000, after_us);
    pthread_cond_destroy(&condition);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_at_a_time_of_the_clock_that_nobody_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

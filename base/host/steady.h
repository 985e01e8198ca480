/* Steady waits: timed waits on a condition variable by the monotonic clock.
 *
 * With the wall clock, a wait would last a day more when the clock is set back
 * by a day. */
#ifndef FLOTILLA_HOST_STEADY_H
#define FLOTILLA_HOST_STEADY_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Initialises a condition variable for flo_steady_wait(). */
static inline void flo_steady_init(pthread_cond_t *condition)
{
    pthread_condattr_t steady;

    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &steady);
    pthread_condattr_destroy(&steady);
}

/* Waits for at most `ms` milliseconds.  Returns the result of
 * pthread_cond_timedwait(). */
static inline int flo_steady_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t ms)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)(ms % 1000 * 1000000);
    end.tv_sec += (time_t)(ms / 1000) + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return pthread_cond_timedwait(condition, lock, &end);
}

#endif

/* The clocks of the code under test, in a test's hands:
 * flotilla_held_clock() links them in place of flo_now_ms() and its like. */
#ifndef FLOTILLA_TESTS_HELD_CLOCK_H
#define FLOTILLA_TESTS_HELD_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>

#include <flotilla/base.h>

uint64_t __real_flo_now_us(void);
uint64_t __real_flo_now_ms(void);
uint64_t __real_flo_wall_ms(void);
uint64_t __wrap_flo_now_us(void);
uint64_t __wrap_flo_now_ms(void);
uint64_t __wrap_flo_wall_ms(void);

/* When they stood still, and how much later it has been made since then. */
static _Atomic uint64_t held_us, held_ms, held_wall_ms, held_passed_ms;
static atomic_bool held_stands;
static atomic_uint held_us_looks; /* at flo_now_us() */

uint64_t __wrap_flo_now_us(void)
{
    held_us_looks++;
    return (held_stands ? held_us : __real_flo_now_us()) + held_passed_ms * 1000;
}

uint64_t __wrap_flo_now_ms(void)
{
    return (held_stands ? held_ms : __real_flo_now_ms()) + held_passed_ms;
}

uint64_t __wrap_flo_wall_ms(void)
{
    return (held_stands ? held_wall_ms : __real_flo_wall_ms()) + held_passed_ms;
}

/* From now on no time passes by itself. */
static inline void held_clock_hold(void)
{
    held_us = __real_flo_now_us();
    held_ms = __real_flo_now_ms();
    held_wall_ms = __real_flo_wall_ms();
    held_stands = true;
}

static inline void held_clock_pass_ms(uint64_t ms)
{
    held_passed_ms += ms;
}

/* Time passes by itself again. */
static inline void held_clock_release(void)
{
    held_stands = false;
}

#endif

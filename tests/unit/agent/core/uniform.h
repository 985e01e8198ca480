/* Random numbers of simulations: the same ones in each run. */
#ifndef TESTS_UNIFORM_H
#define TESTS_UNIFORM_H

#include <stdint.h>

static uint64_t seed;

/* From 0 to below 1 (splitmix64). */
static inline double uniform(void)
{
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

#endif

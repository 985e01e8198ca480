/* Dice of a unit test.  tests/run/run.py sets FLOTILLA_SEED, that of the tree; the same
 * seed throws the same.  FLOTILLA_PART=all asks for the whole of a test that plays a
 * part in each run. */
#ifndef FLOTILLA_TESTS_DICE_H
#define FLOTILLA_TESTS_DICE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint64_t dice_state;

static inline void dice_begin(void)
{
    const char *seed = getenv("FLOTILLA_SEED");

    dice_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
}

/* 0 … below - 1 (SplitMix64). */
static inline uint32_t dice(uint32_t below)
{
    uint64_t z = dice_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((((z ^ (z >> 31)) >> 32) * below) >> 32);
}

static inline bool dice_plays_all(void)
{
    const char *part = getenv("FLOTILLA_PART");

    return part != NULL && strcmp(part, "all") == 0;
}

#endif

/* Chance of the simulated fleets: the same numbers for the same seed. */
#ifndef TESTS_BENCH_CHANCE_H
#define TESTS_BENCH_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chance {
    uint64_t s[4];
};
void chance_init(struct chance *chance, uint64_t seed);
/* In (0, 1). */
double chance_uniform(struct chance *chance);
double chance_normal(struct chance *chance);
/* Student's t with three degrees of freedom, variance 1. */
double chance_student3(struct chance *chance);
double chance_gamma(struct chance *chance, double shape);
double chance_poisson(struct chance *chance, double mean);
/* 0 … n - 1. */
size_t chance_below(struct chance *chance, size_t n);
void chance_shuffle(struct chance *chance, uint32_t *items, size_t count);

#endif

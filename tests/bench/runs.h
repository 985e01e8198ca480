/* Runs: the main of a bench that plays rows of simulated cases: its options,
 * its workers and its files. */
#ifndef FLOTILLA_TESTS_BENCH_RUNS_H
#define FLOTILLA_TESTS_BENCH_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct options {
    int runs, jobs;
    uint64_t seed;
    const char *only, *json;
};
/* Is this row one of --only? */
bool runs_wants(const struct options *options, const char *row);

struct runs_bench {
    const char *name;
    uint64_t seed;       /* the usual one */
    size_t shared_bytes; /* all zero, and written to by all workers */
    /* In a process of its own; `job` is its number. */
    void (*work)(const struct options *options, int job, void *shared);
    /* The table, and the same as JSON; how many goals were missed. */
    int (*say)(const struct options *options, const void *shared, FILE *json);
};
/* The exit code. */
int runs_main(int argc, char **argv, const struct runs_bench *bench);

#endif

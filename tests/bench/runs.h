/* Runs: the main of a bench that plays rows of simulated cases: its options,
 * its workers, its table and its files. */
#ifndef FLOTILLA_TESTS_BENCH_RUNS_H
#define FLOTILLA_TESTS_BENCH_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/bench/chance.h"

struct options {
    int runs, jobs;
    uint64_t seed, first; /* `first`: the run of each row that begins */
    const char *only, *json;
};
/* Is this row one of --only? */
bool runs_wants(const struct options *options, const char *row);

struct runs_bench {
    const char *name;
    uint64_t seed;       /* the usual one */
    size_t shared_bytes; /* all zero, and written to by all workers */
    /* In a process of its own; `job` is its number. */
    void (*work)(const struct options *options, int job, void *shared, const void *context);
    /* The table, and the same as JSON; how many goals were missed. */
    int (*say)(const struct options *options, const void *shared, FILE *json, const void *context);
    const void *context; /* of both */
};
/* The exit code. */
int runs_main(int argc, char **argv, const struct runs_bench *bench);

/* ---- rows of scenes ---- */

#define FIGURES_MAX 5
#define RUNS_ROWS_MAX 64

struct figure {
    const char *name; /* NULL: no more */
    double wanted;    /* % of the runs; 0: there is no goal */
    bool is_most;     /* at most so many, else at least */
};
struct runs_row {
    const char *name;
    double part;                  /* of the runs that are asked for */
    const struct figure *figures; /* [FIGURES_MAX] */
};
struct runs_scenes {
    const char *name;
    size_t count; /* at most RUNS_ROWS_MAX */
    struct runs_row (*row)(size_t at);
    /* One run: which of the figures it counts for. */
    void (*play)(size_t at, struct chance *chance, bool hits[FIGURES_MAX]);
};
/* Prints a table and the cost of each row.  A run's chance follows from seed,
 * row and run alone, so it does not matter who plays it.  The last rows begin,
 * as they are the longest.  RUNS_TRACE=1 names each run that a goal counts
 * against; `--first K --runs 1` plays it alone.
 *
 * A goal is missed where it would be met and chance explains so many misses in
 * less than 5 % of cases; fewer runs than that tell nothing. */
int runs_scenes_main(int argc, char **argv, const struct runs_scenes *scenes);

#endif

/* Runs: one world, many of them, fewer misfortunes, broken rules. */
#ifndef FLOTILLA_TESTS_SIM_RUN_H
#define FLOTILLA_TESTS_SIM_RUN_H

#include "tests/sim/sim.h"
#include "tests/sim/world/mutants.h"

struct sim_options {
    uint64_t from, count; /* seeds */
    unsigned jobs;        /* processes */
    bool is_traced, is_wired;
    bool is_patient;        /* a violation does not end the run */
    uint64_t without, only; /* misfortunes, kinds of them: bits */
    uint32_t devices, days; /* 0: as the seed says */
    uint64_t newest_ms;     /* interval of newest statements; 0: no silence is played */
    bool plays_clocks;      /* a wrong clock of the controller, and nothing else */
    enum sim_mutant mutant;
    uint64_t among; /* mutants to find: bits; 0: all */
};

/* world/world.c; the caller looks at `sim`, then closes it. */
void sim_world_play(uint64_t seed, const struct sim_options *options);
void sim_world_close(void);

/* many.c: exit codes. */
int sim_run_seeds(const struct sim_options *options);
/* Leave out each misfortune that the violation does not need. */
int sim_run_shrink(const struct sim_options *options);
/* Is each broken rule found? */
int sim_run_mutants(const struct sim_options *options);

#endif

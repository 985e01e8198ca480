/* Broken rules, one at a time (mutants.def). */
#ifndef FLOTILLA_TESTS_SIM_MUTANTS_H
#define FLOTILLA_TESTS_SIM_MUTANTS_H

#include "tests/sim/sim.h"

enum sim_mutant {
    SIM_MUTANT_NONE,
#define SIM_MUTANT(name, word, seed, meaning) SIM_MUTANT_##name,
#include "tests/sim/mutants.def"
#undef SIM_MUTANT
    SIM_MUTANTS
};
void sim_mutant_set(enum sim_mutant mutant);
/* Where to begin the search for it. */
uint32_t sim_mutant_seed(enum sim_mutant mutant);
const char *sim_mutant_word(enum sim_mutant mutant);
bool sim_mutant_find(const char *word, enum sim_mutant *out);

#endif

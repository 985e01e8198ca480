/* Commands: tables of the commands of flotilla-engine, the program on a
 * device. */
#ifndef FLOTILLA_ENGINE_COMMANDS_H
#define FLOTILLA_ENGINE_COMMANDS_H

#include "base/args/args.h"

extern const struct flo_verb flo_verb_run, flo_verb_bench, flo_verb_inspect, flo_verb_plan,
    flo_verb_pack, flo_verb_draft;

#endif

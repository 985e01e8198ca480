/* The commands of flotilla-engine, which a device has. */
#ifndef FLOTILLA_ENGINE_COMMANDS_H
#define FLOTILLA_ENGINE_COMMANDS_H

#include "engine/tools/tools.h"

extern const struct flo_command flo_command_run, flo_command_bench,
    flo_command_inspect, flo_command_plan, flo_command_pack;

#endif

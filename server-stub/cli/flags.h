/* The flags of each command. */
#ifndef FLOTILLA_CLI_FLAGS_H
#define FLOTILLA_CLI_FLAGS_H

#include "server-stub/cli/cli.h"

#define FLO_COMMAND(noun, verb, name, usage, help)                             \
    extern const struct flo_flag flo_flags_##name[];
#include "server-stub/cli/commands.def"
#undef FLO_COMMAND

#endif

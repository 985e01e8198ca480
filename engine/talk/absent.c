/* Talk stand-in: the command `run` of a build that has no such command. */
#include "engine/commands/commands.h"

const struct flo_verb flo_verb_run = {
    .name = "run",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_TALK",
};

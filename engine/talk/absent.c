/* The command `run`, in a build without it. */
#include "engine/commands/commands.h"

const struct flo_verb flo_verb_run = {
    .name = "run",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_TALK",
};

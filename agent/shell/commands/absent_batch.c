/* Batch stand-in: the command `batch` of a build that has no batches. */
#include "agent/shell/commands/commands.h"

const struct flo_verb flo_verb_batch = {
    .name = "batch",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_BATCHES",
};

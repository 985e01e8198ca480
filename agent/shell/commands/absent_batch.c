/* Batch stand-in: tells users of `flotilla-agent batch` that this build lacks
 * the command. */
#include "agent/shell/commands/commands.h"

const struct flo_verb flo_verb_batch = {
    .name = "batch",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_BATCHES",
};

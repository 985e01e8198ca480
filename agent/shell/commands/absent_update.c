/* Update stand-in: tells users of `flotilla-agent update` that this build lacks
 * the command. */
#include "agent/shell/commands/commands.h"

const struct flo_verb flo_verb_update = {
    .name = "update",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_BUNDLES",
};

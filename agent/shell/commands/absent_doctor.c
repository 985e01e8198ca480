/* Doctor stand-in: tells users of `flotilla-agent doctor` that this build lacks
 * the command. */
#include "agent/shell/commands/commands.h"

const struct flo_verb flo_verb_doctor = {
    .name = "doctor",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_CHECKUP",
};

/* Draft stand-in: the command `draft` of a build without drafts. */
#include "engine/commands/commands.h"

const struct flo_verb flo_verb_draft = {
    .name = "draft",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_DRAFTS",
};

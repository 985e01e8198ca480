/* Draft stand-in: the command `draft` of a build without drafts. */
#include "engine/publish/commands.h"

const struct flo_verb flo_verb_draft_make = {
    .name = "draft",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_DRAFTS",
};

/* Standalone stand-in: tells users of `flotilla-agent serve` that this build
 * lacks the command. */
#include "agent/serve/standalone/standalone.h"

const struct flo_verb flo_verb_serve = {
    .name = "serve",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_STANDALONE",
};

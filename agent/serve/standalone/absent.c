/* Standalone stand-in: the command `serve` of a build without it. */
#include "agent/serve/standalone/standalone.h"

const struct flo_verb flo_verb_serve = {
    .name = "serve",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_STANDALONE",
};

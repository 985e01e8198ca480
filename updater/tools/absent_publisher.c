/* Publisher's commands, stand-in for an updater without them. */
#include "updater/tools/tools.h"

#define VERB(variable, words)                                                                      \
    const struct flo_verb variable = {                                                             \
        .name = words,                                                                             \
        .usage = "",                                                                               \
        .help = "left out of this program",                                                        \
        .left_out = "FLOTILLA_PUBLISHER",                                                          \
    }

VERB(tool_delta_create, "delta create");
VERB(tool_delta_apply, "delta apply");
VERB(tool_delta_info, "delta info");
VERB(tool_bundle_create, "bundle create");
VERB(tool_bundle_verify, "bundle verify");
VERB(tool_release_sign, "release sign");
VERB(tool_release_verify, "release verify");
VERB(tool_release_inspect, "release inspect");

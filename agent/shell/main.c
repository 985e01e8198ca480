/* Starts the device daemon flotilla-agent, or one of the commands of its
 * operator. */
#include "agent/serve/standalone/standalone.h"
#include "agent/shell/commands/commands.h"
#include "agent/shell/device/runtimes.h"

static const struct flo_flag place_flags[] = {
    {"config", "FILE", "in place of " FLO_CONFIG_PATH, FLO_ASKED},
    {"state-dir", "DIR", "in place of the configuration's", FLO_ASKED},
    FLO_FLAGS_END,
};
static const struct flo_flag run_flags[] = {
    {"check-config", NULL, "read the configuration, start nothing", FLO_ASKED},
    FLO_FLAGS_END,
};
static const struct flo_verb run = {
    .name = "run",
    .usage = "[--config FILE] [--check-config]",
    .help = "the service; the word may be left out where a flag follows",
    .flags = {run_flags},
    .state = &flo_agent_line,
    .run = flo_run,
    .example = "--config /etc/flotilla/agent.yaml",
};
static const struct flo_verb *const verbs[] = {
    &run,
    &flo_verb_enroll,
    &flo_verb_status,
    &flo_verb_update,
    &flo_verb_rollback,
    &flo_verb_remove,
    &flo_verb_order,
    &flo_verb_trust,
    &flo_verb_doctor,
    &flo_verb_explain,
    &flo_verb_serve,
    &flo_verb_batch,
};

int main(int argc, char **argv)
{
    static const struct flo_args_program program = {
        .name = "flotilla-agent",
        .about = "Serves a model on this device and keeps it up to date",
        .verbs = verbs,
        .count = FLO_COUNT(verbs),
        .flags = place_flags,
        .standard = "run",
        .tells_json = true,
        .more = "serve takes neither: it reads no configuration.\n",
    };
    flo_runtimes_clear();
    return flo_args_main(&program, argc, argv);
}

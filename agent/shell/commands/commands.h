/* What a person at the device asks for. */
#ifndef FLOTILLA_AGENT_COMMANDS_COMMANDS_H
#define FLOTILLA_AGENT_COMMANDS_COMMANDS_H

#include "agent/shell/device/device.h"
#include "agent/shell/report/report.h"
#include "agent/shell/run.h"

int flo_status_main(int argc, char **argv);
int flo_rollback_main(int argc, char **argv);
int flo_update_main(int argc, char **argv);
int flo_explain_main(int argc, char **argv);
int flo_doctor_main(int argc, char **argv);
/* --state-dir, --config and -o of a command; usage error otherwise. */
struct flo_command {
    const char *config, *state_dir, *bundle, *output;
    unsigned lines;
    bool is_quiet;
};
FLO_MUST_USE int flo_command_parse(int argc, char **argv,
                                   struct flo_command *out,
                                   struct flo_err *err);

int flo_enroll_main(int argc, char **argv);

#endif

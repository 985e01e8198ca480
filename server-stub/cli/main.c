/* flotilla: the command of operators. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/scratch.h"
#include "server-stub/cli/cli.h"

static struct flo_cli cli;

struct command {
    struct flo_verb verb;
    int (*run)(struct flo_cli *cli, struct flo_err *err);
};
#define FLO_COMMAND_GROUP(group, title) static const char group_##group[] = title;
#define FLO_COMMAND(name, run, group, usage, example, help)                                        \
    static const struct command command_##run = {                                                  \
        {name, usage, help, {flo_flags_##run}, &cli, NULL, NULL, example, group_##group, NULL},    \
        flo_cmd_##run};
#include "server-stub/cli/commands.def"

static const struct flo_verb *const verbs[] = {
#define FLO_COMMAND(name, function, group, usage, example, help) &command_##function.verb,
#include "server-stub/cli/commands.def"
};

static const struct flo_verb *const start[] = {&command_login.verb,
                                               &command_doctor.verb,
                                               &command_device_list.verb,
                                               &command_rollout_start.verb,
                                               &command_rollout_watch.verb,
                                               &command_rollout_rollback.verb,
                                               NULL};

static const char *const aliases[][2] = {
    {"devices", "device"}, {"releases", "release"}, {"rollouts", "rollout"},
    {"models", "model"},   {"tokens", "token"},     {"users", "user"},
    {"keys", "key"},       {"bundles", "bundle"},   {"contexts", "context"},
    {"orders", "order"},   {"ls", "list"},          {"rm", "delete"},
    {"show", "get"},       {"apply", "start"},      {NULL, NULL},
};

/* Tells whether the command can run without the controller. */
static bool is_local(const struct command *command)
{
    return command->run == flo_cmd_login || command->run == flo_cmd_explain ||
           command->run == flo_cmd_key_create || command->run == flo_cmd_key_move ||
           command->run == flo_cmd_release_sign || command->run == flo_cmd_model_build ||
           command->run == flo_cmd_rollout_init || command->run == flo_cmd_version ||
           command->run == flo_cmd_doctor || command->run == flo_cmd_completion ||
           flo_trust_is_local(command->run);
}

static int run(struct flo_args *args, struct flo_err *err)
{
    const struct command *command = (const struct command *)args->verb;

    cli.is_tty = isatty(STDOUT_FILENO) == 1;
    if (flo_args_has(args, "ascii") && !flo_out_is_data(&cli)) {
        flo_ascii_open();
    }
    int rv = is_local(command) ? 0 : flo_context_load(&cli, err);
    if (rv == 0) {
        rv = command->run(&cli, err);
    }
    int end = rv >= 0 ? flo_out_end(err) : 0;
    args->is_told = flo_out_is_told();
    return end < 0 ? end : rv;
}

static void names(const struct flo_args *line, const char *what, struct flo_buf *out)
{
    cli.args = *line;
    flo_complete_names(&cli, what, out);
}

int main(int argc, char **argv)
{
    static const struct flo_args_program program = {
        .name = "flotilla",
        .about = "Small language models on a fleet of devices: releases, "
                 "rollouts, rollback",
        .verbs = verbs,
        .count = FLO_COUNT(verbs),
        .flags = flo_global_flags,
        .aliases = aliases,
        .tells_json = true,
        .run = run,
        .names = names,
        .start = start,
    };

    signal(SIGPIPE, SIG_IGN);
    flo_scratch_clear();
    int code = flo_args_main(&program, argc, argv);
    flo_http_close(cli.http);
    return code;
}

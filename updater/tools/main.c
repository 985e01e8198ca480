/* flotilla-updater: the table of its commands.
 *
 * The agent starts `worker`, one job per process.  The other commands are for
 * publishers and for inspecting a device's plan. */
#include "updater/tools/tools.h"

#include <flotilla/updater.h>

#include "updater/share/share.h"

/* Runs the worker on descriptor 3, which is the agent's socket. */
static int run_worker(void *state, struct flo_err *err)
{
    (void)state, (void)err;
    return flo_worker_run(3);
}

static int run_share(void *state, struct flo_err *err)
{
    (void)state, (void)err;
    return flo_share_run(3);
}

static int run_tuf(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *word = line->args.words[0];

    return flo_fail(err, FLO_E_NOT_BUILT, "tuf%s%s is not built yet", word != NULL ? " " : "",
                    word != NULL ? word : "");
}

static const struct flo_verb worker = {
    .name = "worker",
    .usage = "",
    .help = "one job for the agent, by descriptor 3",
    .state = &tool_line,
    .run = run_worker,
};
static const struct flo_verb share = {
    .name = "share",
    .usage = "",
    .help = "blobs for the neighbours of a device, by descriptor 3",
    .state = &tool_line,
    .run = run_share,
};
static const struct flo_verb tuf = {
    .name = "tuf",
    .usage = "[WORD...]",
    .help = "the TUF client (not built yet)",
    .state = &tool_line,
    .run = run_tuf,
};
static const struct flo_verb *const verbs[] = {
    &tool_delta_create,
    &tool_delta_apply,
    &tool_delta_info,
    &tool_bundle_create,
    &tool_bundle_verify,
    &tool_release_sign,
    &tool_release_verify,
    &tool_release_inspect,
    &worker,
    &share,
    &tuf,
};

/* Runs a command, with a progress line on stderr that names the command ("delta
 * create").  The processes of the agent have no such line. */
static int run_told(struct flo_args *args, struct flo_err *err)
{
    if (args->verb != &worker && args->verb != &share) {
        flo_ticker_start(&tool_ticker, args->verb->name);
    }
    int rv = args->verb->run(args, err);
    flo_ticker_stop(&tool_ticker);
    return rv;
}

int main(int argc, char **argv)
{
    static const struct flo_args_program program = {
        .name = "flotilla-updater",
        .about = "Makes and applies deltas, bundles and signed releases",
        .verbs = verbs,
        .count = FLO_COUNT(verbs),
        .tells_json = true,
        .run = run_told,
    };
    return flo_args_main(&program, argc, argv);
}

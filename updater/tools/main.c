/* flotilla-updater: the table of its commands.
 *
 * `worker` is what the agent starts, one job per process; the rest are for
 * publishers and for looking at what a device would do. */
#include "updater/tools/tools.h"

#include <string.h>

#include <flotilla/updater.h>

/* The agent leaves its socket as descriptor 3. */
static int run_worker(int argc, char **argv)
{
    struct flo_err err = {0};

    (void)argv;
    if (argc > 0) {
        (void)flo_fail(&err, FLO_E_USAGE, "usage: flotilla-updater worker");
        return flo_err_print(stderr, &err);
    }
    return flo_worker_run(3);
}

static int run_tuf(int argc, char **argv)
{
    struct flo_err err = {0};

    (void)flo_fail(&err, FLO_E_NOT_BUILT, "tuf%s%s is not built yet",
                   argc > 0 ? " " : "", argc > 0 ? argv[0] : "");
    return flo_err_print(stderr, &err);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0]: behind the command */
    const char *summary;
} commands[] = {
    {"delta", tool_delta, "create|apply|info: patches from file to file"},
    {"bundle", tool_bundle, "create|verify: releases in one file"},
    {"release", tool_release, "sign|verify|inspect: release documents"},
    {"worker", run_worker, "one job for the agent, by descriptor 3"},
    {"tuf", run_tuf, "the TUF client (not built yet)"},
};

static int print_help(FILE *file)
{
    (void)fprintf(file, "usage: flotilla-updater COMMAND ...\n\n");
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        (void)fprintf(file, "  %-8s %s\n", commands[i].name,
                      commands[i].summary);
    }
    return 0;
}

/* "delta create" on stderr, while it takes longer. */
static int run_told(size_t i, int argc, char **argv)
{
    static char what[64];

    (void)snprintf(what, sizeof what, "%s %.40s", commands[i].name,
                   argc > 0 ? argv[0] : "");
    if (commands[i].run != run_worker) {
        flo_ticker_start(&tool_ticker, what);
    }
    int code = commands[i].run(argc, argv);
    flo_ticker_stop(&tool_ticker);
    return code;
}

int main(int argc, char **argv)
{
    const char *names[FLO_COUNT(commands)];
    struct flo_err err = {0};

    if (argc < 2) {
        (void)print_help(stderr);
        return FLO_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return print_help(stdout);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("flotilla-updater %s\n", FLO_VERSION);
        return 0;
    }
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0) {
            return run_told(i, argc - 2, argv + 2);
        }
    }
    const char *near = flo_nearest(argv[1], names, FLO_COUNT(names));
    (void)flo_fail(&err, FLO_E_USAGE, "unknown command %s", argv[1]);
    if (near != NULL) {
        (void)flo_err_fix(&err, "did you mean %s?", near);
    }
    return flo_err_print(stderr, &err);
}

/* flotilla-agent: the device daemon and what an operator asks it. */
#include <stdio.h>
#include <string.h>

#include "agent/serve/standalone/standalone.h"
#include "agent/shell/commands/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"enroll", flo_enroll_main,
     "--controller URL --token-file F [--name N] [--label k=v] [--config F]"},
    {"status", flo_status_main, "[-o json]"},
    {"update", flo_update_main,
     "--bundle FILE [-q]  a running service sees no /tmp, /home"},
    {"rollback", flo_rollback_main, "back to the previous release"},
    {"doctor", flo_doctor_main, "what is wrong on this device"},
    {"explain", flo_explain_main, "[--lines N]  what the agent did and why"},
    {"serve", flo_serve_standalone,
     "--model M --listen 127.0.0.1:PORT|unix:PATH"},
};

static int usage(FILE *file)
{
    size_t i;

    fprintf(file,
            "flotilla-agent %s: serves a model on this device and keeps "
            "it up to date.\n\n"
            "  flotilla-agent run       [--config FILE] [--check-config]  the "
            "service\n",
            FLO_VERSION);
    for (i = 0; i < FLO_COUNT(commands); i++) {
        fprintf(file, "  flotilla-agent %-9s %s\n", commands[i].name,
                commands[i].help);
    }
    fprintf(file, "\nAll but serve read " FLO_CONFIG_PATH
                  ", or what --config FILE or --state-dir DIR\nsay instead. "
                  "`run` may be left out where an option follows.\n");
    return file == stdout ? 0 : FLO_EXIT_USAGE;
}

static int unknown(const char *word)
{
    const char *words[FLO_COUNT(commands) + 2];
    struct flo_err err = {0};
    const char *near;
    size_t i;

    for (i = 0; i < FLO_COUNT(commands); i++) {
        words[i] = commands[i].name;
    }
    words[i++] = "--config";
    words[i++] = "--check-config";
    near = flo_nearest(word, words, i);
    flo_fail(&err, FLO_E_USAGE, "flotilla-agent does not know `%s`", word);
    if (near != NULL) {
        flo_err_fix(&err, "did you mean `%s`?", near);
    }
    return flo_err_print(stderr, &err);
}

static int run(int argc, char **argv)
{
    const char *config = NULL;
    bool check_only = false;
    int i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check-config") == 0) {
            check_only = true;
        } else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            config = argv[++i];
        } else if (strcmp(argv[i], "--config") == 0) {
            struct flo_err err = {0};

            flo_fail(&err, FLO_E_USAGE, "--config needs a file");
            return flo_err_print(stderr, &err);
        } else {
            return unknown(argv[i]);
        }
    }
    return flo_run_main(config, check_only);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    size_t i;

    if (argc < 2) {
        return usage(stderr);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return usage(stdout);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("flotilla-agent %s\n", FLO_VERSION);
        return 0;
    }
    if (argv[1][0] == '-') {
        return run(argc, argv);
    }
    if (strcmp(argv[1], "run") == 0 && !wants_help(argc, argv)) {
        return run(argc - 1, argv + 1);
    }
    for (i = 0; i < FLO_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            if (wants_help(argc, argv) &&
                commands[i].run != flo_serve_standalone) {
                printf("usage: flotilla-agent %s %s\n", commands[i].name,
                       commands[i].help);
                return 0;
            }
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return unknown(argv[1]);
}

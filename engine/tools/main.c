/* flotilla-engine: one table of commands. */
#include "engine/tools/tools.h"

#include <stdio.h>
#include <string.h>

/* The agent starts it, with a socket; it has no options. */
static const struct flo_command worker = {
    .name = "worker",
    .help = "serve one model on descriptor 3 (by the agent)",
};
static const struct flo_command *const commands[] = {
    &flo_command_run,        &flo_command_generate, &flo_command_logits,
    &flo_command_tokenize,   &flo_command_bench,    &flo_command_inspect,
    &flo_command_plan,       &flo_command_pack,     &flo_command_quantize,
    &flo_command_merge_lora, &flo_command_embed,    &flo_command_perplexity,
    &flo_command_eval,       &flo_command_golden,   &worker,
};

static void print_help(FILE *file)
{
    fputs("usage: flotilla-engine COMMAND [OPTION...]\n\n", file);
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        fprintf(file, "  %-11s %s\n", commands[i]->name, commands[i]->help);
    }
    fputs("\nflotilla-engine COMMAND --help tells its options.\n", file);
}

static int refuse(const char *name)
{
    struct flo_err err = {0};
    const char *names[FLO_COUNT(commands)];
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        names[i] = commands[i]->name;
    }
    const char *near = flo_nearest(name, names, FLO_COUNT(names));
    flo_fail(&err, FLO_E_USAGE, "unknown command '%s'", name);
    if (near != NULL) {
        flo_err_fix(&err, "did you mean '%s'?", near);
    } else {
        flo_err_fix(&err, "flotilla-engine --help lists the commands");
    }
    return flo_err_print(stderr, &err);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return FLO_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return FLO_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("flotilla-engine " FLO_VERSION);
        return FLO_EXIT_OK;
    }
    if (strcmp(argv[1], worker.name) == 0) {
        return flo_cmd_worker(argc - 1, argv + 1);
    }
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i]->name) == 0) {
            return flo_command_main(commands[i], argc - 1, argv + 1);
        }
    }
    return refuse(argv[1]);
}

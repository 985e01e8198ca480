/* flotilla-engine: one table of commands. */
#include "engine/tools/tools.h"

#include <stdio.h>
#include <string.h>

#include <flotilla/base.h>

/* Commands that other folders bring; absent ones say so. */
#pragma weak flo_cmd_run
#pragma weak flo_cmd_generate
#pragma weak flo_cmd_logits
#pragma weak flo_cmd_bench
#pragma weak flo_cmd_plan
#pragma weak flo_cmd_worker

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", flo_cmd_run, "answer a prompt, as text"},
    {"generate", flo_cmd_generate, "continue token ids"},
    {"logits", flo_cmd_logits, "write the logits of a prompt's tokens"},
    {"tokenize", flo_cmd_tokenize, "text to token ids"},
    {"bench", flo_cmd_bench, "measure speed and memory"},
    {"inspect", flo_cmd_inspect, "what a model file holds"},
    {"plan", flo_cmd_plan, "the memory that a model would need"},
    {"pack", flo_cmd_pack, "write the weights as fast kernels read them"},
    {"quantize", flo_cmd_quantize, "write a model in a smaller type"},
    {"merge-lora", flo_cmd_merge_lora, "merge an adapter into its base"},
    {"embed", flo_cmd_embed, "a text as a vector"},
    {"perplexity", flo_cmd_perplexity, "how well a model foretells a text"},
    {"eval", flo_cmd_eval, "judge a model by a suite, and against another"},
    {"worker", flo_cmd_worker,
     "serve one model on descriptor 3 (by the agent)"},
};

static void print_help(FILE *file)
{
    fputs("usage: flotilla-engine COMMAND [OPTION...]\n\n", file);
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        fprintf(file, "  %-11s %s\n", commands[i].name, commands[i].help);
    }
    fputs("\nflotilla-engine COMMAND --help tells its options.\n", file);
}

static int refuse(const char *name)
{
    struct flo_err err = {0};
    const char *names[FLO_COUNT(commands)];
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        names[i] = commands[i].name;
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
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0) {
            continue;
        }
        if (commands[i].run == NULL) {
            struct flo_err err = {0};
            flo_fail(&err, FLO_E_NOT_BUILT, "%s is not built yet", argv[1]);
            return flo_err_print(stderr, &err);
        }
        return commands[i].run(argc - 1, argv + 1);
    }
    return refuse(argv[1]);
}

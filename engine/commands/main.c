/* flotilla-engine: one table of commands. */
#include "engine/commands/commands.h"
#include "engine/run/run.h"

/* The agent starts it, with a socket; it has no options. */
static const struct flo_command worker = {
    .name = "worker",
    .help = "serve one model on descriptor 3 (by the agent)",
    .main = flo_cmd_worker,
};
static const struct flo_command *const commands[] = {
    &flo_command_run,  &flo_command_bench, &flo_command_inspect,
    &flo_command_plan, &flo_command_pack,  &worker,
};
static const char *const publishing[] = {
    "quantize", "merge-lora", "perplexity", "eval",   "golden",
    "embed",    "tokenize",   "generate",   "logits", NULL,
};

int main(int argc, char **argv)
{
    static const struct flo_tool_program program = {
        .name = "flotilla-engine",
        .commands = commands,
        .count = FLO_COUNT(commands),
        .elsewhere = publishing,
        .elsewhere_program = "flotilla-model",
        .elsewhere_package = "flotilla-cli",
    };
    return flo_program_main(&program, argc, argv);
}

/* flotilla-model: makes and judges models on a publisher's machine. */
#include "engine/publish/commands.h"

static const struct flo_command *const commands[] = {
    &flo_command_quantize,   &flo_command_merge_lora, &flo_command_golden,
    &flo_command_perplexity, &flo_command_eval,       &flo_command_embed,
    &flo_command_tokenize,   &flo_command_generate,   &flo_command_logits,
};
static const char *const on_devices[] = {
    "run", "bench", "inspect", "plan", "pack", NULL,
};

int main(int argc, char **argv)
{
    static const struct flo_tool_program program = {
        .name = "flotilla-model",
        .commands = commands,
        .count = FLO_COUNT(commands),
        .elsewhere = on_devices,
        .elsewhere_program = "flotilla-engine",
        .elsewhere_package = "flotilla-engine",
    };
    return flo_program_main(&program, argc, argv);
}

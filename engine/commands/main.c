/* flotilla-engine: the program on a device; this file has its table of
 * commands. */
#include "engine/commands/commands.h"
#include "engine/proxy/proxy.h"
#include "engine/run/run.h"

/* The line of the command `worker`, which the agent starts with a socket. */
static struct flo_args worker_line;
static const struct flo_verb worker = {
    .name = "worker",
    .help = "serve one model on descriptor 3 (by the agent)",
    .usage = "[SANDBOX [BACKEND [INEXACT]]]",
    .state = &worker_line,
    .run = flo_cmd_worker,
};
static struct flo_args proxy_line;
static const struct flo_verb proxy = {
    .name = "proxy",
    .help = "serve a runtime of this device on descriptor 3 (by the agent)",
    .usage = "[SANDBOX]",
    .state = &proxy_line,
    .run = flo_cmd_proxy,
};
static const struct flo_verb *const verbs[] = {
    &flo_verb_run,  &flo_verb_bench, &flo_verb_inspect, &flo_verb_plan,
    &flo_verb_pack, &flo_verb_draft, &worker,           &proxy,
};
static const char *const publishing[] = {
    "quantize", "merge-lora", "perplexity", "eval",   "golden", "embed",
    "rerank",   "tokenize",   "generate",   "logits", NULL,
};

int main(int argc, char **argv)
{
    static const struct flo_args_program program = {
        .name = "flotilla-engine",
        .about = "Runs and measures small language models",
        .verbs = verbs,
        .count = FLO_COUNT(verbs),
        .tells_json = true,
        .elsewhere = publishing,
        .elsewhere_program = "flotilla-model",
        .elsewhere_package = "flotilla-cli",
    };
    flo_proxy_clear();
    return flo_args_main(&program, argc, argv);
}

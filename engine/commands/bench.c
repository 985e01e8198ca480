/* flotilla-engine bench: the command line of a bench, of a model
 * (bench_model.c) or of this machine (bench_device.c). */
#include "engine/commands/bench.h"
#include "engine/commands/bench_device.h"
#include "engine/commands/commands.h"

static int run_bench(void *context, struct flo_err *err)
{
    const struct flo_bench_line *line = context;

    return line->is_device ? flo_bench_device(line->read_file, line->to, err)
                           : flo_bench_model(line, err);
}

static struct flo_bench_line state = {.tests_text = "p128,g32"};
static const struct flo_flag flags[] = {
    {"tests", "LIST", "p128,p512,g32,g32@2048 (default p128,g32); - reads stdin",
     FLO_TEXT(struct flo_bench_line, tests_text)},
    {"device", NULL,
     "measure the machine instead of a model, two seconds at most: memory, "
     "8-bit operations, disk; always JSON",
     FLO_SWITCH(struct flo_bench_line, is_device)},
    {"read", "FILE", "with --device: a file to read for the disk's rate",
     FLO_TEXT(struct flo_bench_line, read_file)},
    {"to", "FD", "the answer goes to this descriptor; tests of --tests - come from it, too",
     FLO_U32(struct flo_bench_line, to)},
    {"golden", "FILE", "with --tests -: golden cases; the test c3 plays the fourth of them",
     FLO_TEXT(struct flo_bench_line, golden)},
    {"sandbox", "MODE", "with --to: required or preferred; reads the model in the sandbox",
     FLO_TEXT(struct flo_bench_line, sandbox)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_bench = {
    .name = "bench",
    .help = "measure speed and memory",
    .usage = "{--model FILE [--tests LIST] | --device} [--json]",
    .flags = {FLO_FLAGS_BACKEND, flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = run_bench,
    .example = "--model helpdesk.gguf",
};

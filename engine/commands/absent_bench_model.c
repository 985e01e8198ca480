/* Bench stand-in: a program that measures the machine alone, not a model. */
#include "base/left_out.h"
#include "engine/commands/bench.h"

int flo_bench_model(const struct flo_bench_line *line, struct flo_err *err)
{
    (void)line;
    return flo_left_out(err, "benches of a model", "FLOTILLA_BENCHMARK");
}

/* Benchmark stand-in: a device that measures no releases. */
#include "agent/shell/benchmark/benchmark.h"
#include "base/left_out.h"

int flo_benchmark_ask(struct flo_shell *shell, const struct flo_order *order,
                      flo_benchmark_done *done, struct flo_err *err)
{
    (void)shell, (void)order, (void)done;
    return flo_left_out(err, "benchmarks", "FLOTILLA_BENCHMARK");
}

bool flo_benchmark_is_kept(struct flo_shell *shell, const char *order)
{
    (void)shell, (void)order;
    return false;
}

int flo_benchmark_report(struct flo_shell *shell, const char *order, json_t *report,
                         struct flo_err *err)
{
    (void)order, (void)report;
    return flo_benchmark_ask(shell, NULL, NULL, err);
}

void flo_benchmark_close(struct flo_shell *shell)
{
    (void)shell;
}

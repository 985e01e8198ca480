/* Declares the functions for the order `benchmark`: a release is measured on
 * this device (agent/core/benchmark). */
#ifndef FLOTILLA_AGENT_BENCHMARK_H
#define FLOTILLA_AGENT_BENCHMARK_H

#include "agent/core/benchmark/energy.h"
#include "agent/shell/update/update.h"

/* Called when a benchmark has ended.  With an error there is no result. */
typedef void flo_benchmark_done(struct flo_shell *shell, const char *order,
                                const struct flo_err *err);
/* Begins the benchmark of an order, or adds it to those that wait.  An order
 * whose result is stored is answered again.
 * FLO_E_NOT_BUILT  this build has no benchmarks, or not of such a release
 * FLO_E_STATE      too many wait, or the order does not say which model */
FLO_MUST_USE int flo_benchmark_ask(struct flo_shell *shell, const struct flo_order *order,
                                   flo_benchmark_done *done, struct flo_err *err);
/* Tells whether the order's benchmark is the last one that began here. */
bool flo_benchmark_is_kept(struct flo_shell *shell, const char *order);
/* Puts the result of the benchmark that ended last into `report`.
 * FLO_E_NOT_BUILT  this build has no benchmarks
 * FLO_E_STATE      the stored result is not of this order */
FLO_MUST_USE int flo_benchmark_report(struct flo_shell *shell, const char *order, json_t *report,
                                      struct flo_err *err);
/* Ends the process that measures, and stores its figures. */
void flo_benchmark_close(struct flo_shell *shell);

/* Reads the counters of energy and the batteries below `root` ("": this
 * machine).  A file that is missing or has no number counts as absent
 * (energy.c). */
void flo_energy_read(const char *root, struct flo_energy *out);

#endif

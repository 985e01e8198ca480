/* Codes of the errors whose ids begin with `benchmark.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_BENCHMARK_H
#define FLOTILLA_ERRORS_BENCHMARK_H

enum {
    FLO_E_BENCHMARK_BUSY = -1601, /* benchmark.busy */
};

#endif

/* Fit: which release fits which hardware class, by what benchmarks measured.
 * Pure. */
#ifndef FLOTILLA_CLI_BENCHMARK_FIT_H
#define FLOTILLA_CLI_BENCHMARK_FIT_H

#include <flotilla/base.h>

#include "base/host/json.h"

/* Limits that a release must reach to fit. */
struct flo_fit_want {
    double tps;           /* generated tokens/s */
    double right_percent; /* golden cases answered right; a release without cases may fit */
};
#define FLO_FIT_TPS 5
#define FLO_FIT_RIGHT_PERCENT 95

/* Makes a row for each hardware class and release (with variant), sorted by
 * class; within a class the best one first.  `items`: answer of GET
 * /v1/benchmarks, newest first; only the newest of a device counts.  Numbers
 * are medians of the devices.  "verdict" is best, fits, slow, wrong or hot; one
 * release of a class is best: most answers right, then the fastest. */
json_t *flo_fit_rows(const json_t *items, const struct flo_fit_want *want);

/* Writes the rows and items as an HTML document with pictures (page.c). */
void flo_fit_page(const json_t *rows, const json_t *items, struct flo_buf *out);

#endif

/* Timing: durations as a Prometheus histogram. */
#ifndef FLOTILLA_SERVE_TIMING_H
#define FLOTILLA_SERVE_TIMING_H

#include <flotilla/base.h>

#include "agent/serve/serve.h"

#define SERVE_TIMING_BOUNDS 15
/* Durations of one kind, as a Prometheus histogram. */
struct serve_timing {
    uint64_t count, sum_us;
    uint64_t within[SERVE_TIMING_BOUNDS]; /* number of durations within each of timing.c's bounds */
};
void flo_timing_add(struct serve_timing *timing, uint64_t us);
/* Writes a histogram's head, once for each name; then call the function for the
 * rows, with NULL for all models together. */
void flo_timing_head(const char *name, const char *help, struct flo_buf *out);
void flo_timing_rows(const struct serve_timing *timing, const char *name, const char *model_or_null,
                     struct flo_buf *out);

#endif

/* Timing: adds up durations, as a Prometheus histogram. */
#ifndef FLOTILLA_SERVE_TIMING_H
#define FLOTILLA_SERVE_TIMING_H

#include <flotilla/base.h>

#include "agent/serve/serve.h"

#define SERVE_TIMING_BOUNDS 15
/* Durations of one kind, added up for a Prometheus histogram. */
struct serve_timing {
    uint64_t count, sum_us;
    /* number of durations within each of the bounds in timing.c */
    uint64_t within[SERVE_TIMING_BOUNDS];
};
void flo_timing_add(struct serve_timing *timing, uint64_t us);
/* Writes the head of a histogram, once for each name. */
void flo_timing_head(const char *name, const char *help, struct flo_buf *out);
/* Writes the rows of a histogram for a model; NULL: for all models together. */
void flo_timing_rows(const struct serve_timing *timing, const char *name, const char *model_or_null,
                     struct flo_buf *out);

#endif

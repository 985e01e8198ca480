/* Bench: the parsed command line of `flotilla-engine bench`. */
#ifndef FLOTILLA_ENGINE_BENCH_H
#define FLOTILLA_ENGINE_BENCH_H

#include "engine/tools/common.h"

struct flo_bench_line {
    struct flo_tool tool;
    const char *tests_text;
    bool is_device;        /* --device: no model */
    const char *read_file; /* file on the disk whose reading speed is measured; or NULL */
    uint32_t to;           /* descriptor for the answer; 0: stdout */
    const char *golden;    /* file with golden cases; NULL: none */
    const char *sandbox;   /* mode in which the model is read and computed; NULL: without */
};

/* Measures the model of the command line (bench_model.c).
 * FLO_E_NOT_BUILT  this build measures no models */
FLO_MUST_USE int flo_bench_model(const struct flo_bench_line *line, struct flo_err *err);

#endif

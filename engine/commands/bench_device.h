/* Bench device: measures how fast the machine's memory, 8-bit arithmetic and
 * disk are. */
#ifndef FLOTILLA_ENGINE_BENCH_DEVICE_H
#define FLOTILLA_ENGINE_BENCH_DEVICE_H

#include <flotilla/base.h>

/* Measures for at most two seconds and writes one JSON object to the descriptor
 * `to` (0: stdout).  The disk's rate comes from reading `file`.  It is 0 if
 * `file` is NULL or its file system has no direct I/O.  Afterwards the process
 * stays in the engine's sandbox. */
FLO_MUST_USE int flo_bench_device(const char *file, uint32_t to, struct flo_err *err);

#endif

/* The most that this machine gives: memory, 8-bit operations, disk. */
#ifndef FLOTILLA_ENGINE_BENCH_DEVICE_H
#define FLOTILLA_ENGINE_BENCH_DEVICE_H

#include <flotilla/base.h>

/* Measure for at most two seconds and write one JSON object to descriptor `to`
 * (0: stdout).  `file` is read for the disk's rate; NULL, or a file system
 * without direct reads: 0.  The process is in the engine's sandbox after
 * that. */
FLO_MUST_USE int flo_bench_device(const char *file, uint32_t to, struct flo_err *err);

#endif

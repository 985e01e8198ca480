/* A file that appears whole or not at all. */
#ifndef FLOTILLA_ENGINE_OUTFILE_H
#define FLOTILLA_ENGINE_OUTFILE_H

#include <flotilla/base.h>

/* Writes the content to a descriptor of an empty file, which may be mapped. */
typedef int flo_outfile_write(void *context, int fd, struct flo_err *err);

/* The inputs of a command, which it must not write over: paths, or NULL. */
struct flo_inputs {
    const char *paths[5];
};

/* Write `path`.part, sync it and rename it; it is removed when anything
 * fails and when SIGINT, SIGTERM or SIGHUP ends the process.  FLO_E_USAGE for a
 * path that is too long or one of the inputs, FLO_E_IO_OPEN (also for one that
 * is there and no file, or written by another process), FLO_E_IO_WRITE, or what
 * `write` returned. */
FLO_MUST_USE int flo_outfile(const char *path, struct flo_inputs inputs, flo_outfile_write *write,
                             void *context, struct flo_err *err);

/* Room on the disk for so many `what`.  FLO_E_IO_WRITE, FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_outfile_reserve(int fd, uint64_t bytes, const char *what, struct flo_err *err);

#endif

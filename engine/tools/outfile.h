/* Outfile: writes an output file that appears complete or not at all. */
#ifndef FLOTILLA_ENGINE_OUTFILE_H
#define FLOTILLA_ENGINE_OUTFILE_H

#include <flotilla/base.h>

/* Callback that writes the content to the descriptor of an empty file, and may
 * map it. */
typedef int flo_outfile_write(void *context, int fd, struct flo_err *err);

/* Paths of a command's input files, which must not be overwritten.  Each may be
 * NULL. */
struct flo_inputs {
    const char *paths[9];
};

/* Writes `path`.part, syncs it and renames it to `path`.  The file is removed
 * on failure, and when SIGINT, SIGTERM or SIGHUP ends the process.  Returns the
 * result of `write`, or an error.
 *
 * FLO_E_USAGE     the path is too long, or one of the inputs
 * FLO_E_IO_OPEN   the file cannot be made, the path is no regular file, or
 *                 another process writes it
 * FLO_E_IO_WRITE  the disk refused */
FLO_MUST_USE int flo_outfile(const char *path, struct flo_inputs inputs, flo_outfile_write *write,
                             void *context, struct flo_err *err);

/* Does the same, but goes on with a `path`.part that an earlier process left: it
 * is not emptied, and stays when a signal ends the process. */
FLO_MUST_USE int flo_outfile_go_on(const char *path, struct flo_inputs inputs,
                                   flo_outfile_write *write, void *context, struct flo_err *err);

/* Allocates `bytes` of the disk for the file.  An error calls the content
 * `what`.  FLO_E_IO_WRITE, FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_outfile_reserve(int fd, uint64_t bytes, const char *what, struct flo_err *err);

#endif

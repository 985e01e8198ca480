/* Outfile: writes a file that appears complete or not at all. */
#ifndef FLOTILLA_ENGINE_OUTFILE_H
#define FLOTILLA_ENGINE_OUTFILE_H

#include <flotilla/base.h>

/* Callback that writes the content to an empty file's descriptor, which may be
 * mapped. */
typedef int flo_outfile_write(void *context, int fd, struct flo_err *err);

/* Input files of a command, which must not be overwritten: paths, or NULL. */
struct flo_inputs {
    const char *paths[5];
};

/* Writes `path`.part, syncs it and renames it; removes it on failure and when
 * SIGINT, SIGTERM or SIGHUP ends the process.  FLO_E_USAGE for a path that is
 * too long or one of the inputs, FLO_E_IO_OPEN (also if the path exists and is
 * no file, or another process writes it), FLO_E_IO_WRITE, or the result of
 * `write`. */
FLO_MUST_USE int flo_outfile(const char *path, struct flo_inputs inputs, flo_outfile_write *write,
                             void *context, struct flo_err *err);

/* Allocates space on the disk for `bytes`; `what` names the file's content in
 * errors.  FLO_E_IO_WRITE, FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_outfile_reserve(int fd, uint64_t bytes, const char *what, struct flo_err *err);

#endif

/* Programs: finds software of other projects that could serve a model on this
 * machine. */
#ifndef FLOTILLA_AGENT_DEVICE_PROGRAMS_H
#define FLOTILLA_AGENT_DEVICE_PROGRAMS_H

#include "agent/core/checkup/checkup.h"
#include "agent/shell/shell.h"

#define FLO_PROGRAMS_MAX 16
#define FLO_PROGRAM_DEVICES_MAX 16

struct flo_program_found {
    const struct flo_server_program *program;
    char path[512]; /* absolute */
};
/* Looks for programs in the folders of `path` (as in PATH; NULL: none), and for
 * libraries by pattern, all below `root` ("": this machine).  Nothing is run.
 * The paths in `out` do not contain `root`.  Returns the number of programs
 * found. */
size_t flo_programs_find(const char *path, const char *root,
                         struct flo_program_found out[FLO_PROGRAMS_MAX]);

/* Writes a file for runtimes.d that uses the program that was found, and the
 * GPUs and NPUs in the folder dev below `root`. */
void flo_program_found_write(const struct flo_program_found *found, const char *root,
                             struct flo_buf *out);

#endif

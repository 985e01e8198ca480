/* Programs: finds software of other projects on this machine that could serve a
 * model. */
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
/* Looks in the folders of `path` (as in PATH; NULL: none) and for libraries by
 * pattern, all below `root` ("": this machine).  Nothing is run.  The paths
 * found do not contain `root`.  Returns the count in `out`. */
size_t flo_programs_find(const char *path, const char *root,
                         struct flo_program_found out[FLO_PROGRAMS_MAX]);

/* Writes a file for runtimes.d that uses the program found, with the GPUs and
 * NPUs below `root`/dev. */
void flo_program_found_write(const struct flo_program_found *found, const char *root,
                             struct flo_buf *out);

#endif

/* crash_drafts FILE N: `flotilla-model draft` writes a table of drafts, as its N-th
 * output; see engine/publish/draft.c. */
#include <stdio.h>
#include <string.h>

#include "engine/tools/outfile.h"

#define BYTES 6000

static int write_table(void *context, int fd, struct flo_err *err)
{
    char data[BYTES];

    memset(data, *(const char *)context, sizeof(data));
    return flo_fd_write_all(fd, data, sizeof(data), err);
}

int main(int argc, char **argv)
{
    struct flo_err err = {0};

    if (argc != 3) {
        return 2;
    }
    if (flo_outfile(argv[1], (struct flo_inputs){{NULL}}, write_table, argv[2], &err) < 0) {
        fprintf(stderr, "%s: %s\n", flo_error_id(err.code), err.what);
        return 1;
    }
    return 0;
}

/* Cleanup: what FLO_CLEANUP() calls for descriptors and memory. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <flotilla/base.h>

void flo_fd_cleanup(int *fd)
{
    if (*fd >= 0) {
        int keep = errno;
        close(*fd);
        *fd = -1;
        errno = keep;
    }
}

void flo_free_cleanup(void *pointer_to_pointer)
{
    void **pointer = pointer_to_pointer;

    free(*pointer);
    *pointer = NULL;
}

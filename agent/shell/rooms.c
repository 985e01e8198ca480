/* Rooms: gives the shell and its rooms their memory, and reads nothing of it. */
#include "agent/shell/rooms.h"

#include <stdlib.h>

#include "agent/shell/run.h"

struct flo_shell *flo_shell_new(void)
{
    struct flo_shell_whole *whole = calloc(1, sizeof(*whole));

    if (whole == NULL) {
        return NULL;
    }
    flo_shell_connect(whole);
    return &whole->shell;
}

void flo_shell_free(struct flo_shell *shell)
{
    free(shell); /* the first field of the whole */
}

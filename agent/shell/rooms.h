/* Rooms: a shell with the memory of each room. */
#ifndef FLOTILLA_AGENT_ROOMS_H
#define FLOTILLA_AGENT_ROOMS_H

#include "agent/shell/shell.h"

/* Makes a shell whose rooms have their memory, all zero.  Returns NULL when memory
 * is lacking. */
struct flo_shell *flo_shell_new(void);
/* Frees it, after flo_shell_close().  NULL is allowed. */
void flo_shell_free(struct flo_shell *shell);

#endif

/* A shell with the memory of its rooms, for tests that build some rooms only. */
#ifndef TESTS_SHELL_ROOMS_H
#define TESTS_SHELL_ROOMS_H

#include <string.h>

#include "agent/shell/rooms.h"

/* Empties the only shell of a test, and gives it empty rooms. */
static inline void shell_empty(struct flo_shell *to)
{
    static struct flo_shell_whole whole;

    memset(&whole, 0, sizeof(whole));
    flo_shell_connect(&whole);
    *to = whole.shell;
}

#endif

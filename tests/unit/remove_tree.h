/* How a test gets rid of the folder that it made. */
#ifndef FLOTILLA_TESTS_REMOVE_TREE_H
#define FLOTILLA_TESTS_REMOVE_TREE_H

#include <stdio.h>
#include <stdlib.h>

/* 0 unless something is left of it: also what a tear-down of cmocka returns. */
static inline int remove_tree(const char *path)
{
    char command[512];

    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    return system(command);
}

#endif

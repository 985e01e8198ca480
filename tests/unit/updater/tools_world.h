/* flotilla-updater as people call it, in a folder of the test's own. */
#ifndef FLOTILLA_TEST_TOOLS_WORLD_H
#define FLOTILLA_TEST_TOOLS_WORLD_H

#include <flotilla/base.h>

#define OLD "tests/models/tiny-v2.Q4_0.gguf"
#define NEW "tests/models/tiny-v2.1.Q4_0.gguf"

struct tools_world {
    char dir[64];
    char program[512];
    char output[65536]; /* stdout and stderr of the last run */
};

int tools_set_up(void **state);
int tools_tear_down(void **state);
/* Run with words that may say $D for the folder; returns the exit code. */
int tools_run(struct tools_world *world, const char *words);
/* Did the last run say this?  Is the file there? */
bool tools_says(const struct tools_world *world, const char *text);
bool tools_has(const struct tools_world *world, const char *name);

#endif

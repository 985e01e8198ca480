/* See tools_world.h. */
#include "tools_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/remove_tree.h"

int tools_set_up(void **state)
{
    struct tools_world *world = calloc(1, sizeof *world);

    snprintf(world->dir, sizeof world->dir, "/tmp/flo-tools-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    assert_true(flo_process_sibling("flotilla-updater", world->program, sizeof world->program));
    *state = world;
    return 0;
}

int tools_tear_down(void **state)
{
    struct tools_world *world = *state;

    assert_int_equal(remove_tree(world->dir), 0);
    free(world);
    return 0;
}

int tools_run(struct tools_world *world, const char *words)
{
    char command[2048];

    /* A busy machine makes it say that it goes on: "delta create, 1 s". */
    snprintf(command, sizeof command,
             "D='%s'; '%s' %s 2>\"$D.err\"; code=$?; "
             "grep -v ', [0-9]* s$' \"$D.err\"; rm \"$D.err\"; exit $code",
             world->dir, world->program, words);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t bytes = fread(world->output, 1, sizeof world->output - 1, pipe);
    world->output[bytes] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

bool tools_says(const struct tools_world *world, const char *text)
{
    return strstr(world->output, text) != NULL;
}

bool tools_has(const struct tools_world *world, const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", world->dir, name);
    return access(path, F_OK) == 0;
}

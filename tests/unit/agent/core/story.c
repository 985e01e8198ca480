/* See story.h. */
#include "unit/agent/core/story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world world;

int story_begin(void **state)
{
    (void)state;
    world_init(&world, 2, 1);
    return 0;
}

int story_end(void **state)
{
    (void)state;
    world_deinit(&world);
    return 0;
}

void boot(void)
{
    world_boot(&world);
    world_run(&world, 1000);
}

void assert_story(const char *name)
{
    const char *mode = getenv("FLOTILLA_GOLDEN");
    char path[256];
    char *expected = NULL;
    size_t bytes;
    struct flo_err err = {0};

    snprintf(path, sizeof(path), "tests/golden/traces/%s.txt", name);
    if (mode != NULL && strcmp(mode, "write") == 0) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fputs(world.trace.data, file);
        fclose(file);
        return;
    }
    assert_int_equal(flo_file_read(path, 1 << 20, &expected, &bytes, &err), 0);
    assert_string_equal(world.trace.data, expected);
    free(expected);
}

enum flo_execution end_of(const char *id)
{
    struct world_story *story = world_story(&world, id);

    assert_int_equal(story->ends, 1);
    return story->end;
}

bool is_current(int version)
{
    struct flo_digest digest = world_digest(version);

    return flo_digest_equal(&world.slots.current, &digest) && world.live_version == version;
}

bool is_denied(int version)
{
    struct flo_digest digest = world_digest(version);

    return flo_slots_is_denied(&world.slots, &digest, 0);
}

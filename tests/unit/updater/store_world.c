#include "store_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/remove_tree.h"

int world_set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-store-XXXXXX");
    if (mkdtemp(world->dir) == NULL ||
        flo_store_open(world->dir, true, &world->store, &world->err) < 0) {
        return -1;
    }
    *state = world;
    return 0;
}

int world_tear_down(void **state)
{
    struct world *world = *state;

    flo_store_close(world->store);
    int rv = remove_tree(world->dir);
    free(world);
    return rv;
}

struct flo_digest digest_of(uint8_t n)
{
    struct flo_digest digest;

    memset(digest.bytes, n, sizeof(digest.bytes));
    return digest;
}

void world_path(const struct world *world, const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", world->dir, name);
}

int open_file(const struct world *world, const char *name, int flags)
{
    char path[256];

    world_path(world, name, path);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

struct flo_slots read_slots(struct world *world)
{
    struct flo_slots slots;

    assert_int_equal(
        flo_store_slots_read(world->store, "tiny", &slots, &world->err), 0);
    return slots;
}

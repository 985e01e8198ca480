#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

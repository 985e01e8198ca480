/* A store in a folder of its own, for one test. */
#ifndef TESTS_STORE_WORLD_H
#define TESTS_STORE_WORLD_H

#include <flotilla/updater.h>

struct world {
    char dir[64];
    struct flo_store *store;
    struct flo_err err;
};

/* cmocka's set-up and tear-down; *state is a struct world. */
int world_set_up(void **state);
int world_tear_down(void **state);

/* All bytes `n`. */
struct flo_digest digest_of(uint8_t n);

#endif

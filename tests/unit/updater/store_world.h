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

void world_path(const struct world *world, const char *name, char out[256]);
/* A file of the store; the caller closes it. */
int open_file(const struct world *world, const char *name, int flags);
struct flo_slots read_slots(struct world *world); /* of the model tiny */
/* A signed-looking document (the store does not check signatures) of one file
 * with these bytes; puts both and gives the document's digest.  `step`, where
 * it is not NULL, is a second file of three bytes. */
struct flo_digest put_stepped_of(struct world *world, const char *model, const char *version,
                                 uint64_t number, const char *content, struct flo_digest *file,
                                 const struct flo_digest *step);

#endif

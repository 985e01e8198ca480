/* Bundles for tests: a signed release of two files, tars made header by header,
 * and what their reader gave. */
#ifndef TESTS_BUNDLE_WORLD_H
#define TESTS_BUNDLE_WORLD_H

#include <flotilla/release.h>

#include "base/host/crypto.h"

#define HELLO "hello"
#define WORLD "other bytes"

struct world {
    char dir[64];
    char path[96];
    struct flo_trust *trust;
    struct flo_key *key;
    struct flo_buf envelope; /* of tiny@2.0.0 */
    struct flo_buf more[2];  /* of other releases */
    struct flo_buf tar;
    char hello[80]; /* entry names */
    char other[80];
    struct flo_buf got; /* what the callbacks saw */
    unsigned ended;
    struct flo_err err;
};

struct entry {
    const char *name;
    const char *data;
    size_t bytes;
    char type; /* '0' when 0 */
    const char *link;
    unsigned mode;           /* 0644 when 0 */
    const uint8_t *raw_size; /* 12 bytes instead of octal */
};

void blob_name(const char *text, char *out, char *digest_text);
int bundle_set_up(void **state);
int bundle_tear_down(void **state);
void add_entry(struct world *world, const struct entry *entry);
void add_file(struct world *world, const char *name, const char *data, size_t bytes);
void add_document(struct world *world);
void add_hello(struct world *world);
void add_other(struct world *world);
void add_end(struct world *world);
int on_blob_end(void *context, const struct flo_digest *digest, struct flo_err *err);
int on_data(void *context, const void *data, size_t bytes, struct flo_err *err);
int read_path(struct world *world, const char *path);
int read_tar(struct world *world);
void must_fail(struct world *world, int code);
void save_blob(struct world *world, const char *name, const char *text);
#define in_bundle(test) cmocka_unit_test_setup_teardown(test, bundle_set_up, bundle_tear_down)

#endif

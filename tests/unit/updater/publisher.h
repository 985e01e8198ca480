/* A publisher for tests: keys, release documents by hand (also ones that the
 * authoring tool would refuse), artifacts in a mirror's folder. */
#ifndef TESTS_PUBLISHER_H
#define TESTS_PUBLISHER_H

#include <flotilla/release.h>

struct publisher {
    char dir[128];        /* holds sha256-<hex> and envelope-<hex> files */
    char trust_file[160]; /* trusts `key` for fleet demo */
    struct flo_key *key;
};

void publisher_open(struct publisher *publisher, const char *dir);
void publisher_close(struct publisher *publisher);

/* An empty release of model tiny with one variant for every device. */
struct flo_release publisher_begin(const char *version, uint64_t number);
/* Add a file with a raw way and chunk hashes; returns its index. */
uint32_t publisher_add(struct publisher *publisher, struct flo_release *release, const char *name,
                       const char *role, const char *path);
/* Add a way: choice "bsdiff40" (over `base`) or "zstd". */
/* Put this list of chunk hashes in the place of the right one. */
void publisher_add_list(const struct publisher *publisher, struct flo_release_file *file,
                        const void *list, size_t bytes);
void publisher_add_way(struct publisher *publisher, struct flo_release *release, uint32_t file,
                       const char *choice, const char *base);
/* Sign with `key` and store; gives the release's id and frees it. */
struct flo_digest publisher_sign(struct publisher *publisher, const struct flo_key *key,
                                 struct flo_release *release);
/* "<dir>/sha256-<hex>" */
void publisher_path(const struct publisher *publisher, const struct flo_digest *digest,
                    char out[256]);

/* "<dir>/envelope-<hex>" */
void publisher_envelope_path(const struct publisher *publisher, const struct flo_digest *release,
                             char out[256]);

/* Makes the other s of a signature, which verifies as well: n - s. */
void publisher_other_s(uint8_t signature[64]);

#endif

/* Newest statement: a short-lived document by which a device knows that no
 * newer desired document is withheld from it.
 *
 * The controller signs one statement an interval for the whole fleet.  Its root
 * is that of a hash tree over the devices: a leaf is the hash of a device's id
 * and of the orders in its desired document.  Each device gets the path from
 * its leaf to the root.  A path that is not the device's own, or is of another
 * tree, gives another root.  All functions are pure. */
#ifndef FLOTILLA_NEWEST_H
#define FLOTILLA_NEWEST_H

#include <flotilla/base.h>

#define FLO_TYPE_NEWEST "application/vnd.flotilla.newest.v1+json"
#define FLO_NEWEST_BYTES_MAX 1024
#define FLO_NEWEST_NUMBER_MAX ((UINT64_C(1) << 53) - 1)
#define FLO_NEWEST_INTERVAL_MS 60000
#define FLO_NEWEST_INTERVAL_MS_MIN 1000
#define FLO_NEWEST_INTERVAL_MS_MAX (24u * 3600 * 1000)
/* A device is stale when its newest word is older than so many intervals. */
#define FLO_NEWEST_INTERVALS 3
#define FLO_NEWEST_PATH_MAX 40 /* hashes of a path; enough for 2^40 devices */
/* longest base64 of a path's hashes; one hash more is longer */
#define FLO_NEWEST_HASHES_TEXT ((FLO_NEWEST_PATH_MAX * 32 + 2) / 3 * 4)

/* A bundle's statement holds for so many days. */
#define FLO_NEWEST_DAYS 30
#define FLO_NEWEST_DAYS_MAX 3650
#define FLO_NEWEST_RELEASES_MAX 8

struct json_t;

struct flo_newest {
    char fleet[FLO_NAME_MAX + 1];
#define FLO_NEWEST(name, least, most, meaning) uint64_t name;
#include "proto/newest.def"
    struct flo_digest root;
};
/* Reads a body.  A body of another fleet than `fleet` (NULL: any) is meta.fleet;
 * other errors are meta.* with the field. */
FLO_MUST_USE int flo_newest_parse(const char *body, size_t bytes, const char *fleet,
                                  struct flo_newest *out, struct flo_err *err);
/* Appends the canonical body, which flo_newest_parse reads. */
void flo_newest_write(const struct flo_newest *newest, struct flo_buf *out);

/* Hashes the orders of a desired document, in the order of a device's reading.
 * The other fields are unsigned and only change times, so they do not count. */
void flo_newest_desired(const struct json_t *desired, struct flo_digest *out);
void flo_newest_leaf(const char *device, const struct flo_digest *desired, struct flo_digest *out);

/* Makes the root of a bundle's statement from the ids of its releases, texts in
 * any order.  It is the root of no tree, so neither statement passes for the
 * other.  FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_newest_bundle(const struct json_t *releases, struct flo_digest *out,
                                   struct flo_err *err);

/* The hashes next to the way from a leaf to the root, the lowest first. */
struct flo_newest_path {
    uint64_t sides; /* bit i: hash i stands on the left */
    uint32_t count;
    struct flo_digest hashes[FLO_NEWEST_PATH_MAX];
};
void flo_newest_root(const struct flo_digest *leaf, const struct flo_newest_path *path,
                     struct flo_digest *out);
/* Reads {"sides":N,"hashes":"<base64>"}.  FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_newest_path_read(const struct json_t *json, struct flo_newest_path *out,
                                      struct flo_err *err);
void flo_newest_path_write(const struct flo_newest_path *path, struct flo_buf *out);

/* Makes the tree.  The nodes next to each other, 2 i and 2 i + 1, are below node
 * i.  nodes[leaves] to nodes[2 * leaves - 1] are the leaves, and nodes[1]
 * becomes the root.  leaves > 0 */
void flo_newest_tree(struct flo_digest *nodes, size_t leaves);
void flo_newest_path(const struct flo_digest *nodes, size_t leaves, size_t index,
                     struct flo_newest_path *out);

#endif

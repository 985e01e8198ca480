/* Inside the store: folders as descriptors, and the two-record file. */
#ifndef FLOTILLA_UPDATER_STORE_H
#define FLOTILLA_UPDATER_STORE_H

#include <sys/stat.h>

#include <flotilla/updater.h>

#define FLO_BLOB_NAME 72 /* "sha256-" + 64 hex + NUL */
#define FLO_PART_NAME 72 /* 64 hex + ".part", ".map" or ".made" + NUL */

struct flo_store {
    char *path;
    int dir_fd;
    int blobs_fd;
    int releases_fd;
    int partial_fd;
    int packed_fd;
    int slots_fd;
    int lock_fd; /* -1: open without the lock */
    bool keeps_patches;
    bool keeps_steps; /* steps of releases on their way stay */
};

void flo_store_blob_name(const struct flo_digest *digest, char out[FLO_BLOB_NAME]);
/* The digest with which the name of a file begins.  Returns the rest of the
 * name, or NULL: not a name of ours. */
const char *flo_store_name_read(const char *name, struct flo_digest *digest);
/* suffix: ".part", ".map", ".made" */
void flo_store_part_name(const struct flo_digest *digest, const char *suffix,
                         char out[FLO_PART_NAME]);
/* The facts of a plain file in a folder.  By opening it: a worker's sandbox
 * knows no stat of a path. */
bool flo_store_stat(int dir_fd, const char *name, struct stat *out);
/* A blob that was found damaged, blobs/sha256-<hex>.rotten: its right chunks
 * are copied into the download that takes its place.  Nobody writes to it,
 * since other names of the file may be in use.  Open it for reading; -1: there
 * is none. */
int flo_store_rotten_open(struct flo_store *store, const struct flo_digest *digest);
void flo_store_rotten_remove(struct flo_store *store, const struct flo_digest *digest);
/* fsync of a folder; file systems that cannot are forgiven. */
FLO_MUST_USE int flo_store_sync_dir(int dir_fd, const char *name, struct flo_err *err);
/* Names in blobs/ that were found there, and not made, may be known to the page
 * cache alone: sync before a record names them. */
FLO_MUST_USE int flo_store_blobs_sync(struct flo_store *store, struct flo_err *err);
/* Make partial/<hex>.part, whose bytes have that digest and are synced, the
 * blob; its map goes.  Durable when it returns. */
FLO_MUST_USE int flo_store_part_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);
/* Open a file of partial/ to write, or with O_CREAT make it.  One that is
 * read-only was complete when its worker was killed: its mode is changed back.
 * By a descriptor: the worker's sandbox changes no mode of a path. */
FLO_MUST_USE int flo_store_partial_open(struct flo_store *store, const char *name, int flags,
                                        int *fd, struct flo_err *err);
/* Remove a partial download, its map, and the rotten blob that it would be
 * mended from. */
void flo_store_part_remove(struct flo_store *store, const struct flo_digest *digest);
/* Was this file a blob that was found damaged?  It is rotten, or copied already
 * and without the map of a download. */
bool flo_store_part_is_damaged(struct flo_store *store, const struct flo_digest *digest);
/* partial/<hex>.made, which a patch turns into the file of that digest: open it
 * or begin it, with room for all its bytes.  *done are the first bytes that an
 * earlier worker may have made; none of them is known to be right, and zeros
 * may stand where the disk did not get to. */
FLO_MUST_USE int flo_store_made_open(struct flo_store *store, const struct flo_digest *digest,
                                     uint64_t bytes, int *fd, uint64_t *done, struct flo_err *err);
/* As flo_store_part_publish. */
FLO_MUST_USE int flo_store_made_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);
void flo_store_made_remove(struct flo_store *store, const struct flo_digest *digest);
/* Remove every partial download and every rotten blob but these and those of
 * `others`; returns the bytes on disk of the ones in `keep`, which become free
 * or are used. */
uint64_t flo_store_partials_keep(struct flo_store *store, const struct flo_digest *keep,
                                 size_t keep_count, const struct flo_digest_list *others);
/* Add the downloads that assigned releases of other models may need.  A record
 * or document that cannot be read wants nothing. */
void flo_store_others_want(struct flo_store *store, const struct flo_digest *release,
                           struct flo_digest_list *out);
/* How names go on after the digest in blobs/ (a rotten one), packed/, prefix/,
 * and releases/ (the chosen variant). */
bool flo_store_rotten_ending(const char *ending);
bool flo_store_packed_ending(const char *ending);
bool flo_store_prefix_ending(const char *ending);
bool flo_store_choice_ending(const char *ending);
/* The folder prefix/, which is there only where one was ever kept. */
FLO_MUST_USE int flo_store_prefixes_open(struct flo_store *store, int *dir_fd, struct flo_err *err);
/* Remove a file and count it. */
void flo_store_remove(int dir_fd, const char *name, struct flo_collected *collected);
/* Reserve room for a new file. */
FLO_MUST_USE int flo_store_reserve(struct flo_store *store, int fd, uint64_t bytes,
                                   struct flo_err *err);
/* One worker at a time: held until the store is closed.
 * FLO_E_STATE_LOCKED. */
FLO_MUST_USE int flo_store_partials_lock(struct flo_store *store, struct flo_err *err);
/* Call for each regular name of a folder; stops at the first non-zero, which it
 * returns.  Below 0: not all were seen, for FLO_E_IO_READ, FLO_E_MEMORY or
 * FLO_E_DESCRIPTORS. */
int flo_store_each_name(int dir_fd, int (*call)(void *context, const char *name), void *context);

/* ---- a file of two alternating records (record.c) ---- */

/* Common head and tail of a record:
 *   0 magic | 4 u16 format | 8 u64 generation | ... | bytes-4 u32 crc32c */
struct flo_record_kind {
    char magic[5];
    uint16_t format;
    size_t bytes; /* at most FLO_RECORD_BYTES_MAX */
};
#define FLO_RECORD_OFFSET 4096 /* the second record: another flash page */
#define FLO_RECORD_BYTES_MAX 4096

/* Read the valid record with the highest generation into `record`. generation
 * 0: there is no file, or an empty one. is_repaired: the other record holds
 * bytes that are not a record.  FLO_E_STATE_SLOT: bytes, but no record. */
FLO_MUST_USE int flo_record_read(struct flo_store *store, const char *name,
                                 const struct flo_record_kind *kind, uint8_t *record,
                                 uint64_t *generation, bool *is_repaired, struct flo_err *err);
/* Stamp magic, format, generation and crc into `record` and write it over the
 * older one; *generation is the new one. */
FLO_MUST_USE int flo_record_write(struct flo_store *store, const char *name,
                                  const struct flo_record_kind *kind, uint8_t *record,
                                  uint64_t *generation, struct flo_err *err);

/* Pure: which of the two images is the newest valid one: 0, 1, or -1. */
int flo_record_choose(const struct flo_record_kind *kind, const uint8_t *first,
                      const uint8_t *second, uint64_t *generation);

/* Remove the trees of releases that are not kept. */
void flo_store_trees_sweep(struct flo_store *store,
                           bool (*is_kept)(const void *context, const struct flo_digest *digest),
                           const void *context);

#endif

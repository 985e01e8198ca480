/* Inside of the store: folders as descriptors, and files of two alternating
 * records. */
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
    int lock_fd; /* -1: opened without the lock */
    bool keeps_patches;
    bool keeps_steps; /* keep intermediate files of updates in progress */
};

void flo_store_blob_name(const struct flo_digest *digest, char out[FLO_BLOB_NAME]);
/* Reads the digest at the start of a file name.  Returns the rest of the name;
 * NULL: not a name of the store. */
const char *flo_store_name_read(const char *name, struct flo_digest *digest);
/* Writes the name of a file in partial/.  suffix: ".part", ".map", ".made". */
void flo_store_part_name(const struct flo_digest *digest, const char *suffix,
                         char out[FLO_PART_NAME]);
/* Stats a plain file in a folder by opening it, because a worker's sandbox
 * allows no stat of a path. */
bool flo_store_stat(int dir_fd, const char *name, struct stat *out);
/* A blob that was found damaged, blobs/sha256-<hex>.rotten: its correct chunks
 * are copied into the new download.  It is never written, since other links to
 * the file may be in use.  Opens it for reading; -1: there is none. */
int flo_store_rotten_open(struct flo_store *store, const struct flo_digest *digest);
void flo_store_rotten_remove(struct flo_store *store, const struct flo_digest *digest);
/* Syncs a folder.  File systems that cannot are ignored. */
FLO_MUST_USE int flo_store_sync_dir(int dir_fd, const char *name, struct flo_err *err);
/* Syncs blobs/.  Names that were found there, not made by this process, may be
 * in the page cache only.  Call it before a record refers to them. */
FLO_MUST_USE int flo_store_blobs_sync(struct flo_store *store, struct flo_err *err);
/* Makes partial/<hex>.part the blob and removes its map.  Its bytes have that
 * digest and are synced.  Durable when it returns. */
FLO_MUST_USE int flo_store_part_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);
/* Opens a file of partial/ for writing, or makes it with O_CREAT.  A read-only
 * one was complete when its worker was killed: its mode is changed back.  By
 * its descriptor, because the worker's sandbox allows no chmod of a path. */
FLO_MUST_USE int flo_store_partial_open(struct flo_store *store, const char *name, int flags,
                                        int *fd, struct flo_err *err);
/* Removes a partial download, its map, and the damaged blob that it would be
 * repaired from. */
void flo_store_part_remove(struct flo_store *store, const struct flo_digest *digest);
/* Returns whether this file was a damaged blob: it is still .rotten, or was
 * copied already and has no download map. */
bool flo_store_part_is_damaged(struct flo_store *store, const struct flo_digest *digest);
/* Opens or creates partial/<hex>.made, which a patch turns into the file of
 * that digest, and reserves all its bytes.  *done: the first bytes that an
 * earlier worker may have made.  None of them is verified, and some may be
 * zeros that never reached the disk. */
FLO_MUST_USE int flo_store_made_open(struct flo_store *store, const struct flo_digest *digest,
                                     uint64_t bytes, int *fd, uint64_t *done, struct flo_err *err);
/* As flo_store_part_publish. */
FLO_MUST_USE int flo_store_made_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);
void flo_store_made_remove(struct flo_store *store, const struct flo_digest *digest);
/* Removes all partial downloads and damaged blobs except these and those in
 * `others`.  Returns the disk space of those in `keep`, which will be freed or
 * reused. */
uint64_t flo_store_partials_keep(struct flo_store *store, const struct flo_digest *keep,
                                 size_t keep_count, const struct flo_digest_list *others);
/* Adds the downloads that other models' assigned releases may need.  An
 * unreadable record or document needs none. */
void flo_store_others_want(struct flo_store *store, const struct flo_digest *release,
                           struct flo_digest_list *out);
/* Check the rest of a file name after its digest: in blobs/ (a damaged one),
 * packed/, prefix/, and releases/ (the chosen variant). */
bool flo_store_rotten_ending(const char *ending);
bool flo_store_packed_ending(const char *ending);
bool flo_store_prefix_ending(const char *ending);
bool flo_store_choice_ending(const char *ending);
/* Opens the folder prefix/, which exists only once a prefix was cached. */
FLO_MUST_USE int flo_store_prefixes_open(struct flo_store *store, int *dir_fd, struct flo_err *err);
/* Removes a file and counts it. */
void flo_store_remove(int dir_fd, const char *name, struct flo_collected *collected);
/* Reserves disk space for a new file. */
FLO_MUST_USE int flo_store_reserve(struct flo_store *store, int fd, uint64_t bytes,
                                   struct flo_err *err);
/* Locks partial/ until the store is closed, so that only one worker runs.
 * FLO_E_STATE_LOCKED. */
FLO_MUST_USE int flo_store_partials_lock(struct flo_store *store, struct flo_err *err);
/* Calls `call` for each regular name of a folder; stops at the first non-zero
 * result and returns it.  FLO_E_IO_READ, FLO_E_MEMORY or FLO_E_DESCRIPTORS: not
 * all names were seen. */
int flo_store_each_name(int dir_fd, int (*call)(void *context, const char *name), void *context);

/* ---- a file of two alternating records (record.c) ---- */

/* Common head and tail of a record:
 *   0 magic | 4 u16 format | 8 u64 generation | ... | bytes-4 u32 crc32c */
struct flo_record_kind {
    char magic[5];
    uint16_t format;
    size_t bytes; /* at most FLO_RECORD_BYTES_MAX */
};
#define FLO_RECORD_OFFSET 4096 /* second record, on another flash page */
#define FLO_RECORD_BYTES_MAX 4096

/* Reads the valid record with the highest generation into `record`.  generation
 * 0: there is no file, or an empty one.  is_repaired: the other record has
 * bytes that are not valid.  FLO_E_STATE_SLOT: there are bytes, but no valid
 * record. */
FLO_MUST_USE int flo_record_read(struct flo_store *store, const char *name,
                                 const struct flo_record_kind *kind, uint8_t *record,
                                 uint64_t *generation, bool *is_repaired, struct flo_err *err);
/* Sets magic, format, generation and crc in `record` and writes it over the
 * older one; *generation is the new one. */
FLO_MUST_USE int flo_record_write(struct flo_store *store, const char *name,
                                  const struct flo_record_kind *kind, uint8_t *record,
                                  uint64_t *generation, struct flo_err *err);

/* Index of the newest valid image, 0 or 1; -1: none.  Pure. */
int flo_record_choose(const struct flo_record_kind *kind, const uint8_t *first,
                      const uint8_t *second, uint64_t *generation);

/* Removes the trees of releases that are not kept. */
void flo_store_trees_sweep(struct flo_store *store,
                           bool (*is_kept)(const void *context, const struct flo_digest *digest),
                           const void *context);

#endif
